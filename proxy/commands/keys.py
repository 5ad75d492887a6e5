"""`keys`: Make, list, expire and rotate keys.

Client keys let clients use the proxy. The key of the state store encrypts the tokens in it.

Example: ads-proxy keys new reporting
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.table import Table

from proxy.access.client_keys import short_id
from proxy.commands.cli_options import ConfigOption, EnvFileOption, remember
from proxy.commands.completion import client_names
from proxy.commands.consoles import answers
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind, environment, load
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.config.model.values import parse_end, parse_name, parse_title
from proxy.errors import ConfigurationError
from proxy.secret import KEY_PREFIX
from proxy.tokens.opening import rotate_keys

if TYPE_CHECKING:
    from proxy.config import Config, KeyConfig


app = typer.Typer(no_args_is_help=True, add_completion=False)
ClientArgument = Annotated[
    str, typer.Argument(metavar="CLIENT", help="The client's name.", autocompletion=client_names)
]


class KeyLayout(StrEnum):
    """How `keys list` prints."""

    table = "table"
    json = "json"


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client's name.", autocompletion=client_names)],
    expires: Annotated[
        str, typer.Option(metavar="DAY", help="The last day of the key in UTC, such as 2027-01-31.")
    ] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What the key is for.")] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The YAML file: print the client's present keys too.",
            callback=remember("--config"),
        ),
    ] = None,
    env_file: EnvFileOption = None,
) -> int:
    """Make a key for a client.

    It prints the key once, with the digest for the configuration.

    Example: ads-proxy keys new reporting --expires 2027-01-31
    """
    present = None if config is None else load(config, environment(env_file))
    return new_key(name, KeyTerms(expires, note), present)


@app.command("list")
def list_keys(
    layout: Annotated[KeyLayout, typer.Option("--format", help="The output format.")] = KeyLayout.table,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """List the keys of all clients, the next to expire first.

    `/status` shows when each key was last used.

    Example: ads-proxy keys list --config proxy.yaml
    """
    return print_keys(load(config, environment(env_file)), layout.value, datetime.now(UTC))


@app.command("expire")
def expire(
    client: ClientArgument,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The key's id or note, if the client has several.", show_default=False)
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="DAY", help="The last day of the key in UTC. Default: it expires now.")
    ] = "",
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Print the configuration that lets a client's key expire.

    It changes no file.

    Example: ads-proxy keys expire reporting --on 2027-01-31 --config proxy.yaml
    """
    return print_expiry(load(config, environment(env_file)), KeyExpiry(client, key, on), datetime.now(UTC))


@app.command("rotate-state")
def rotate(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    """Encrypt the state store with the first key of state.key.

    Then you can remove the old keys from state.key.

    Example: ads-proxy keys rotate-state --config proxy.yaml
    """
    return rotate_state(load(config, environment(env_file)))


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """Until when a key is to be taken, and what it is for; both may be empty. `expires` is as it was typed."""

    expires: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeyExpiry:
    """Which key is to end, and after which day, as it was typed; an empty `key` is the only one, an empty day now."""

    client: str
    key: str = ""
    on: str = ""


def new_key(name: str, terms: KeyTerms, config: Config | None = None) -> int:
    """Print a fresh key and its digest, as YAML; on standard error the entry to write, with the client's present keys
    in `config`."""
    try:
        parse_name(name)
    except ValueError as error:
        raise ConfigurationError((f"keys new: NAME {error}",)) from None
    ends, note = _end("--expires", terms.expires), _note(terms.note)
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    say(f"name: {_written(name)}")
    say(f"key: {key}")
    say(f"key_sha256: {digest}")
    known = next((client for client in config.clients if client.name == name), None) if config else None
    present = known.all_keys if known is not None else ()
    tell("\nGive `key` to the client; it is not shown again. Add its digest to the configuration, under `clients:`,")
    tell(f"  - name: {_written(name)}")
    tell("    keys:")
    for entry in (*(_entry(key.sha256, key.expires, key.note or "") for key in present), _entry(digest, ends, note)):
        tell(f"      - {entry}")
    if known is None:
        tell(
            "next to the client's present keys (with --config FILE they are printed too). Limit the client with access,"
        )
        tell("accounts, profiles and other keys (`ads-proxy config-reference`).")
    else:
        tell("instead of the client's present `keys` or `key_sha256`. Keep the rest of its entry.")
        tell(
            "A running proxy accepts all of them within 5 seconds. Once the client uses the new key, "
            "let the old one expire:"
        )
        for old in present:
            tell(f"ads-proxy keys expire {name} {short_id(old.sha256)}")
    return OK


def print_keys(config: Config, layout: str, now: datetime) -> int:
    """Print every client's keys, the first to end at the top."""
    found = [(client.name, key) for client in config.clients for key in client.all_keys]
    found.sort(key=lambda each: (each[1].expires or datetime.max.replace(tzinfo=UTC), each[0]))
    if layout == "json":
        say(json.dumps([_as_json(client, key, now) for client, key in found], indent=2))
        return OK
    table = Table(box=None, pad_edge=False)
    for column in ("client", "key", "expires", "", "note"):
        table.add_column(column, no_wrap=column != "note")
    for client, key in found:
        table.add_row(client, short_id(key.sha256), shown_end(key.expires), _left(key.expires, now), key.note or "")
    answers().print(table)
    return OK


def print_expiry(config: Config, asked: KeyExpiry, now: datetime) -> int:
    """Print a client's keys as they must be written to end one of them; nothing is changed."""
    name = asked.client
    client = next((client for client in config.clients if client.name == name), None)
    if client is None:
        names = [client.name for client in config.clients]
        raise ConfigurationError(
            (f"keys expire: unknown client{did_you_mean(name, names) or f'; the clients are: {shown_names(names)}'}",)
        )
    ends = _end("--on", asked.on) or now.replace(microsecond=0)
    chosen = _chosen(client.all_keys, asked.key)
    say(f"  - name: {_written(name)}")
    say("    keys:")
    for key in client.all_keys:
        say(f"      - {_entry(key.sha256, ends if key == chosen else key.expires, key.note or '')}")
    tell("\nNothing was changed. Write this into the configuration instead of the client's present keys, and keep the")
    tell("rest of its entry. A running proxy applies it within 5 seconds. Removing the key has the same effect.")
    if all(key == chosen or (key.expires is not None and key.expires <= now) for key in client.all_keys):
        tell(f"Client {name} has no other valid key; make one with `ads-proxy keys new {name}`.")
    return OK


def _chosen(keys: tuple[KeyConfig, ...], which: str) -> KeyConfig:
    """The key of this id, or beginning of a digest, or note; the only one where none is named."""
    found = [key for key in keys if not which or key.sha256.startswith(which.lower()) or key.note == which]
    if len(found) == 1:
        return found[0]
    ids = ", ".join(short_id(key.sha256) for key in keys)
    raise ConfigurationError(
        (f"keys expire: {'several keys match KEY' if found else 'unknown KEY'}; the keys are: {ids}",)
    )


def _written(name: str) -> str:
    """A name as YAML has it: `007` and `true` would be no names without quotes."""
    return str(yaml.safe_dump(name)).removesuffix("...\n").strip()


def _entry(digest: str, ends: datetime | None, note: str) -> str:
    """A key as YAML's flow style has it."""
    parts = [f'sha256: "{digest}"']
    if ends is not None:
        parts.append(f"expires: {written_end(ends)}")
    if note:
        parts.append(f"note: {json.dumps(note, ensure_ascii=False)}")
    return "{" + ", ".join(parts) + "}"


def written_end(ends: datetime) -> str:
    """An end as the configuration takes it: the last day, where it is the end of one."""
    if ends.time() == datetime.min.time():
        return str((ends - timedelta(days=1)).date())
    return ends.isoformat().replace("+00:00", "Z")


def shown_end(ends: datetime | None) -> str:
    return "never" if ends is None else written_end(ends)


def _left(ends: datetime | None, now: datetime) -> str:
    if ends is None:
        return ""
    if ends <= now:
        return "expired"
    days = (ends - now).days
    return f"in {days} day{'' if days == 1 else 's'}" if days else "in less than a day"


def _as_json(client: str, key: KeyConfig, now: datetime) -> dict[str, object]:
    return {
        "client": client,
        "id": short_id(key.sha256),
        "sha256": key.sha256,
        "note": key.note or "",
        "ends_at": None if key.expires is None else key.expires.isoformat().replace("+00:00", "Z"),
        "ended": key.expires is not None and key.expires <= now,
    }


def _end(option: str, text: str) -> datetime | None:
    try:
        return parse_end(text)
    except ValueError as error:
        raise ConfigurationError((f"{option} {error}",)) from None


def _note(text: str) -> str:
    try:
        return parse_title(text) if text else ""
    except ValueError as error:
        raise ConfigurationError((f"--note {error}",)) from None


def rotate_state(config: Config) -> int:
    """Encrypt the state again, with the first of `state.key`."""
    if config.state.kind is StateKind.MEMORY:
        complain("state.url: memory: has no keys to rotate; this command needs file: or redis:")
        return FAILED
    count = rotate_keys(config.state.url, config.state.key)
    what = "files" if config.state.kind is StateKind.FILE else "logins"
    say(f"{count} {what} are now encrypted with the first key; you can remove the others from state.key.")
    return OK
