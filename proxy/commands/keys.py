"""`keys`: Make, list, expire and rotate keys.

Client keys let clients use the proxy. An approver's key lets a person decide about writes over a limit. The key of the
state store encrypts the tokens in it.

Example: ads-proxy keys new reporting
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from proxy.access.client_keys import CERTIFICATE, short_id
from proxy.commands.cli_options import ConfigOption, DryRunOption, EnvFileOption, config_option
from proxy.commands.completion import client_names
from proxy.commands.configuration_file import ConfigurationFile
from proxy.commands.consoles import answers, plain_table
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.commands.yaml_edits import Flow, Moment, add_item, flow, replace_entry, set_value
from proxy.config import ADMIN_APPROVER, StateKind, config_path, environment, load, variables_of
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.config.model.values import parse_end, parse_name, parse_title
from proxy.errors import ConfigurationError
from proxy.secret import KEY_PREFIX
from proxy.tokens.opening import rotate_keys
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config import Config, KeyConfig


app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("new")
def new(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="The client's name.", show_default=False, autocompletion=client_names),
    ] = "",
    approver: Annotated[
        str, typer.Option("--approver", metavar="NAME", help="Make a key for this approver instead of a client.")
    ] = "",
    expires: Annotated[
        str, typer.Option(metavar="DAY", help="The last day of the key in UTC, such as 2027-01-31.")
    ] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What the key is for.")] = "",
    dry_run: DryRunOption = False,
    config: Annotated[Path | None, config_option("The YAML file: add the key there.")] = None,
    env_file: EnvFileOption = None,
) -> int:
    """Make a key for a client, or for an approver.

    It prints the key once, with the digest for the configuration. With --config it writes the digest to the keys of the
    client or the approver: only its lines change. An unknown approver is added. --dry-run prints the difference, and
    neither writes nor prints a key.

    Example: ads-proxy keys new reporting --expires 2027-01-31 --config proxy.yaml
    """
    if bool(name) == bool(approver):
        raise ConfigurationError(("keys new: give the NAME of a client, or --approver NAME: one of the two",))
    terms = KeyTerms(expires, note)
    if config is not None:
        environ = environment(env_file)
        if approver:
            return write_approver_key(open_for_approver(config, environ), approver, terms, dry_run)
        return write_key(ConfigurationFile.open("keys new", config, environ), name, terms, dry_run)
    if dry_run:
        raise ConfigurationError(("keys new: --dry-run needs --config FILE; nothing is written without it",))
    return new_approver_key(approver, terms) if approver else new_key(name, terms)


@app.command("list")
def list_keys(
    layout: Annotated[Literal["table", "json"], typer.Option("--format", help="The output format.")] = "table",
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """List the keys of all clients and approvers, the next to expire first.

    `/status` shows when each key was last used.

    Example: ads-proxy keys list --config proxy.yaml
    """
    return print_keys(load(config, environment(env_file)), layout, datetime.now(UTC))


@app.command("expire")
def expire(  # noqa: PLR0913 - each is an option of the command
    client: Annotated[
        str,
        typer.Argument(metavar="[CLIENT]", help="The client's name.", show_default=False, autocompletion=client_names),
    ] = "",
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="The key's id or note, if there are several.", show_default=False)
    ] = "",
    approver: Annotated[
        str, typer.Option("--approver", metavar="NAME", help="Let a key of this approver expire instead of a client's.")
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="DAY", help="The last day of the key in UTC. Default: it expires now.")
    ] = "",
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Let a key of a client or an approver expire.

    It changes the expiry of this key in the configuration file, and prints the difference. Nothing else in the file
    changes. Where variables set the keys, it prints what to write instead.

    Example: ads-proxy keys expire reporting --on 2027-01-31 --config proxy.yaml
    """
    if not client and not approver:
        raise ConfigurationError(("keys expire: give the name of a CLIENT, or --approver NAME",))
    if approver and key:
        raise ConfigurationError(("keys expire: with --approver NAME give KEY alone, and no CLIENT",))
    environ, now, which = environment(env_file), datetime.now(UTC), client if approver else key
    section = ("approvals", "approvers") if approver else ("clients",)
    if config_path(config, environ) is None or variables_of(section, environ):
        found = load(config, environ)
        if dry_run:
            raise ConfigurationError(("keys expire: --dry-run needs keys in a file; nothing is written without it",))
        owner = approver_keys(found, approver) if approver else client_keys(found, client)
        return print_expiry(owner, now, which, on)
    file = ConfigurationFile.open("keys expire", config, environ)
    owner = approver_keys(file.config, approver) if approver else client_keys(file.config, client)
    return write_expiry(file, owner, Expiry(_chosen(owner.keys, which), _end("--on", on) or _now(now), now), dry_run)


@app.command("rotate-state")
def rotate(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    """Encrypt the state store with the first key of state.key.

    Then you can remove the old keys from state.key.

    Example: ads-proxy keys rotate-state --config proxy.yaml
    """
    state = load(config, environment(env_file)).state
    if state.kind is StateKind.MEMORY:
        complain("state.url: memory: has no keys to rotate; this command needs file: or redis:")
        return FAILED
    count = rotate_keys(state.url, state.key)
    what = "files" if state.kind is StateKind.FILE else "logins"
    say(f"{count} {what} are now encrypted with the first key; you can remove the others from state.key.")
    return OK


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """The expiry and the note of a key; both may be empty. `expires` is the text that was typed."""

    expires: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made, and its entry in the configuration."""

    key: str = field(repr=False)
    entry: Flow

    @classmethod
    def make(cls, terms: KeyTerms) -> NewKey:
        """A fresh one. Raises `ConfigurationError` for terms that the configuration would refuse."""
        ends = _end("--expires", terms.expires)
        try:
            note = parse_title(terms.note) if terms.note else ""
        except ValueError as error:
            raise ConfigurationError((f"--note {error}",)) from None
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        return cls(key, key_entry(hashlib.sha256(key.encode()).hexdigest(), ends, note))

    def show(self, name: str) -> None:
        """Print it, this once, as YAML, for the client or the approver of this name."""
        say(f"name: {flow(name)}")
        say(f"key: {self.key}")
        say(f"key_sha256: {self.entry['sha256']}")


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """A client or an approver, with the keys of each. `option` is what names it to `keys new` and `keys expire`."""

    role: Literal["client", "approver"]
    name: str
    keys: tuple[KeyConfig, ...]

    @property
    def option(self) -> str:
        return self.name if self.role == "client" else f"--approver {self.name}"


def client_keys(config: Config, name: str) -> KeyOwner:
    """The keys of a client. Raises `ConfigurationError` for an unknown one."""
    is_approver = any(approver.name == name for approver in config.approvals.approvers)
    advice = f" (for the approver: `ads-proxy keys expire --approver {name}`)" if is_approver else ""
    client = config.clients[find_client("keys expire", config, name, advice)]
    return KeyOwner("client", name, client.all_keys)


def approver_keys(config: Config, name: str) -> KeyOwner:
    """The keys of an approver. Raises `ConfigurationError` for an unknown one."""
    known = {approver.name: approver.keys for approver in config.approvals.approvers}
    if name not in known:
        choices = did_you_mean(name, known) or f"; the approvers are: {shown_names(known)}"
        raise ConfigurationError((f"keys expire: unknown approver{choices}",))
    return KeyOwner("approver", name, known[name])


def new_key(name: str, terms: KeyTerms) -> int:
    """Print a fresh key and its digest, as YAML; on standard error the entry to write."""
    check_client_name("keys new", name)
    made = NewKey.make(terms)
    made.show(name)
    tell("\nGive `key` to the client; it is not shown again. Add its digest to the configuration, under `clients:`,")
    tell(f"  - name: {flow(name)}")
    tell("    keys:")
    tell(f"      - {flow(made.entry)}")
    tell("next to the client's present keys; with --config FILE this command does it. A new client is added by")
    tell(f"`ads-proxy client add {name}`.")
    return OK


def write_key(file: ConfigurationFile, name: str, terms: KeyTerms, dry_run: bool) -> int:
    """Add a fresh key to a client of a file, and print it once. Raises `StartupError`."""
    file.refuse_variables("clients")
    check_client_name(file.command, name)
    number = find_client(file.command, file.config, name, f" (`ads-proxy client add {name}` adds it)")
    made, values = NewKey.make(terms), file.values
    written = dict(values["clients"][number])
    single = written.pop("key_sha256", None)
    present = written.get("keys") or []
    written["keys"] = [*present, made.entry] if single is None else [{"sha256": single}, made.entry]

    def edit(text: str) -> str:
        at = "clients", number
        if single is not None:
            text = replace_entry(text, (*at, "key_sha256"), "keys", [Flow({"sha256": single})])
        return add_item(text, (*at, "keys"), made.entry)

    clients = [*values["clients"]]
    clients[number] = written
    text = file.edited(edit, {**values, "clients": clients})
    file.finish(text, dry_run=dry_run, answers=dry_run)
    if dry_run:
        return OK
    made.show(name)
    tell("\nGive `key` to the client; it is not shown again. A running proxy accepts it within 5 seconds.")
    tell_olds(KeyOwner("client", name, file.config.clients[number].all_keys))
    return OK


def tell_olds(owner: KeyOwner) -> None:
    """Tell how the keys that an owner had before expire."""
    if owner.keys:
        tell(f"Once the {owner.role} uses the new key, let the old one expire:")
    for old in owner.keys:
        tell(f"ads-proxy keys expire {owner.option} {short_id(old.sha256)}")


def new_approver_key(name: str, terms: KeyTerms) -> int:
    """Print a fresh key of an approver and its digest, as YAML; on standard error the entry to write."""
    check_approver_name(name)
    made = NewKey.make(terms)
    made.show(name)
    tell("\nGive `key` to the approver; it is not shown again. Add its digest to the configuration:")
    tell("approvals:")
    tell("  approvers:")
    tell(f"    - name: {flow(name)}")
    tell("      keys:")
    tell(f"        - {flow(made.entry)}")
    tell("next to the approver's present keys; with --config FILE this command does it.")
    return OK


def open_for_approver(option: Path | None, environ: Mapping[str, str]) -> ConfigurationFile:
    """The file that gets a key of an approver. It may have clients whose writes need an approver."""
    any_approver = f"[{{name: any, keys: [{{sha256: {secrets.token_hex(32)}}}]}}]"
    return ConfigurationFile.open("keys new", option, environ, {"ADS_PROXY_APPROVALS__APPROVERS": any_approver})


def write_approver_key(file: ConfigurationFile, name: str, terms: KeyTerms, dry_run: bool) -> int:
    """Add a fresh key to an approver of a file, or a new approver with it, and print it once. Raises `StartupError`."""
    file.refuse_variables("approvals", "approvers")
    check_approver_name(name)
    made, values, at = NewKey.make(terms), file.values, ("approvals", "approvers")
    section = values.get("approvals") or {}
    approvers = _approver_entries(section)
    if approvers is None:
        load(file.path, file.environ)  # raises, and says what is wrong with the section
        approvers = []
    number = next((place for place, each in enumerate(approvers) if each["name"] == name), None)
    present = [] if number is None else approvers[number].get("keys") or []
    if number is None:
        approvers.append({"name": name, "keys": [made.entry]})
    else:
        approvers[number] = {**approvers[number], "keys": [*present, made.entry]}

    def edit(text: str) -> str:
        return (
            add_item(text, at, approvers[-1]) if number is None else add_item(text, (*at, number, "keys"), made.entry)
        )

    text = file.edited(edit, {**values, "approvals": {**section, "approvers": approvers}})
    file.finish(text, dry_run=dry_run, answers=dry_run)
    if not dry_run:
        made.show(name)
        tell("\nGive `key` to the approver; it is not shown again. A running proxy accepts it within 5 seconds.")
        if present:
            tell_olds(approver_keys(file.config, name))
    return OK


def _approver_entries(section: Any) -> list[dict[str, Any]] | None:
    """The approvers in a section of the file, with or without keys; None if it has no place for another key."""
    entries = (section.get("approvers") or []) if isinstance(section, dict) else None
    if not isinstance(entries, list):
        return None
    fits = all(
        isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("keys") or [], list)
        for each in entries
    )
    return [*entries] if fits else None


def check_client_name(command: str, name: str) -> None:
    """Raise `ConfigurationError` for a name that no client can have."""
    try:
        parse_name(name)
    except ValueError as error:
        raise ConfigurationError((f"{command}: NAME {error}",)) from None


def check_approver_name(name: str) -> None:
    """Raise `ConfigurationError` for a name that no approver can have."""
    try:
        parse_name(name)
    except ValueError as error:
        raise ConfigurationError((f"keys new: --approver {error}",)) from None
    if name == ADMIN_APPROVER:
        raise ConfigurationError((f"keys new: --approver: '{ADMIN_APPROVER}' decides by the admin key; take another",))


def find_client(command: str, config: Config, name: str, advice: str = "") -> int:
    """The number of a client in the configuration. Raises `ConfigurationError` for an unknown one."""
    names = [client.name for client in config.clients]
    if name in names:
        return names.index(name)
    choices = did_you_mean(name, names) or f"; the clients are: {shown_names(names)}"
    raise ConfigurationError((f"{command}: unknown client{choices}{advice}",))


def key_entry(digest: str, ends: datetime | None, note: str) -> Flow:
    """A key as the configuration has it."""
    entry = {"sha256": digest, "expires": None if ends is None else Moment(written_end(ends)), "note": note}
    return Flow({name: value for name, value in entry.items() if value})


def print_keys(config: Config, layout: str, now: datetime) -> int:
    """Print the keys of every client and approver, the first to end at the top, then the clients' certificates."""
    found = [("client", client.name, key) for client in config.clients for key in client.all_keys]
    found += [("approver", approver.name, key) for approver in config.approvals.approvers for key in approver.keys]
    found.sort(key=lambda each: (each[2].expires or datetime.max.replace(tzinfo=UTC), each[1]))
    certificates = [(client.name, client.certificate.san) for client in config.clients if client.certificate]
    if layout == "json":
        shown = [{kind: name} | _as_json(key, now) for kind, name, key in found]
        shown += ({"client": client, "id": CERTIFICATE, "note": san} for client, san in certificates)
        say(json.dumps(shown, indent=2))
        return OK
    columns = ("client", "key", "expires", "")
    table = plain_table(*columns, "note", unbroken=columns, overflow="ellipsis")
    for kind, name, key in found:
        client = name if kind == "client" else f"{name} ({kind})"
        table.add_row(client, short_id(key.sha256), shown_end(key.expires), _left(key.expires, now), key.note or "")
    for client, san in certificates:
        table.add_row(client, CERTIFICATE, "by itself", "", san)
    answers().print(table)
    return OK


def print_expiry(owner: KeyOwner, now: datetime, which: str = "", on: str = "") -> int:
    """Print someone's keys as they must be written to end one of them after a day, as it was typed; without it the key
    ends now. An empty `which` is the only key. Nothing is changed."""
    ends = _end("--on", on) or _now(now)
    chosen = _chosen(owner.keys, which)
    depth = "  " if owner.role == "client" else "    "  # below `clients`, and below `approvals` and `approvers`
    say(f"{depth}- name: {flow(owner.name)}")
    say(f"{depth}  keys:")
    for key in owner.keys:
        say(f"{depth}    - {flow(key_entry(key.sha256, ends if key == chosen else key.expires, key.note or ''))}")
    tell(
        f"\nNothing was changed. Write this into the configuration instead of the {owner.role}'s present keys, and keep"
    )
    tell("the rest of its entry. A running proxy applies it within 5 seconds. Removing the key has the same effect.")
    tell_without_keys(owner, chosen, now)
    return OK


def _now(now: datetime) -> datetime:
    return now.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Expiry:
    """A key that is to expire, when, and what time it is."""

    key: KeyConfig
    ends: datetime
    now: datetime


def write_expiry(file: ConfigurationFile, owner: KeyOwner, expiry: Expiry, dry_run: bool) -> int:
    """Let a key of a file expire. Raises `StartupError`, and then the file is as it was."""
    values, path = file.values, ("clients",) if owner.role == "client" else ("approvals", "approvers")
    entries = values["clients"] if owner.role == "client" else values["approvals"]["approvers"]
    number = next(place for place, each in enumerate(entries) if each["name"] == owner.name)
    entry, at, digest = entries[number], (*path, number), expiry.key.sha256
    ends = Moment(written_end(expiry.ends))
    place = next((place for place, each in enumerate(entry.get("keys") or ()) if _is(each["sha256"], digest)), None)
    if place is None:
        listed = Flow({"sha256": entry["key_sha256"], "expires": ends})
        changed = {name: value for name, value in entry.items() if name != "key_sha256"} | {"keys": [listed]}
    else:
        keys = [*entry["keys"]]
        keys[place] = {**keys[place], "expires": ends}
        changed = {**entry, "keys": keys}

    def edit(text: str) -> str:
        if place is None:
            return replace_entry(text, (*at, "key_sha256"), "keys", [listed])
        return set_value(text, (*at, "keys", place), "expires", ends)

    after = [*entries]
    after[number] = changed
    if owner.role == "client":
        intended = {**values, "clients": after}
    else:
        intended = {**values, "approvals": {**values["approvals"], "approvers": after}}
    file.finish(file.edited(edit, intended), dry_run=dry_run, answers=True)
    if not dry_run:
        when = "has expired" if expiry.ends <= expiry.now else f"expires: its last day is {ends}"
        tell(
            f"Key {short_id(digest)} of {owner.role} {owner.name} {when}. A running proxy applies it within 5 seconds."
        )
    tell_without_keys(owner, expiry.key, expiry.now)
    return OK


def _is(written: object, digest: str) -> bool:
    return str(written).lower() == digest


def tell_without_keys(owner: KeyOwner, expiring: KeyConfig, now: datetime) -> None:
    """Tell that an owner has no other valid key than one that expires, if that is so."""
    if all(key == expiring or (key.expires is not None and key.expires <= now) for key in owner.keys):
        who = f"{owner.role.capitalize()} {owner.name}"
        tell(f"{who} has no other valid key; make one with `ads-proxy keys new {owner.option}`.")


def _chosen(keys: tuple[KeyConfig, ...], which: str) -> KeyConfig:
    """The key of this id, or beginning of a digest, or note; the only one where none is named."""
    found = [key for key in keys if not which or key.sha256.startswith(which.lower()) or key.note == which]
    if len(found) == 1:
        return found[0]
    ids = ", ".join(short_id(key.sha256) for key in keys) or "none"
    raise ConfigurationError(
        (f"keys expire: {'several keys match KEY' if found else 'unknown KEY'}; the keys are: {ids}",)
    )


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


def _as_json(key: KeyConfig, now: datetime) -> dict[str, object]:
    return {
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
