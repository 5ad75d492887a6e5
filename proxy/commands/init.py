"""`init`: asks what is needed, and writes a commented configuration and secret files that only their owner can read.

What is there already stays as it is. Either all files are written, and the configuration is one that `serve` takes, or
none is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from proxy.commands.keys import KEY_PREFIX
from proxy.commands.terminal import OK, say, tell
from proxy.config import load
from proxy.config.commented import commented_yaml
from proxy.config.model.values import parse_name
from proxy.errors import ConfigurationError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.secret import Secret

CONFIG, SECRETS = "proxy.yaml", "secrets"
_OWNER_ONLY, _OWNERS_FOLDER, _READABLE = 0o600, 0o700, 0o644


@dataclass(frozen=True, slots=True)
class Answers:
    """What was asked for or given on the command line. Without a client every local caller is trusted."""

    client_id: str
    client_secret: Secret
    refresh_token: Secret | None = None
    account: str = "main"
    region: str = "na"
    client: str = ""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written, by its path from the folder."""

    name: str
    text: str = field(repr=False)
    mode: int = _OWNER_ONLY


def init(folder: Path, answers: Answers) -> int:
    """Write them; raise `StartupError` where something is in the way or an answer cannot be taken."""
    for option, name in (("--account", answers.account), ("--client", answers.client)):
        try:
            parse_name(name) if name else None
        except ValueError as error:
            raise ConfigurationError((f"{option}: {error}",)) from None
    key = KEY_PREFIX + secrets.token_urlsafe(32) if answers.client else ""
    files = new_files(answers, hashlib.sha256(key.encode()).hexdigest())
    write_all(folder, files)
    say(f"Written: {', '.join(str(folder / file.name) for file in files)}")
    for line in next_steps(folder, answers, key):
        tell(line)
    return OK


def new_files(answers: Answers, key_digest: str) -> tuple[NewFile, ...]:
    """The configuration last, so that it is never there without what it names. Pure."""
    secret_files = {"client-secret": answers.client_secret, "refresh-token": answers.refresh_token}
    named = {kind: f"{SECRETS}/{answers.account}-{kind}" for kind, secret in secret_files.items() if secret is not None}
    return (
        *(NewFile(named[kind], f"{secret.reveal()}\n") for kind, secret in secret_files.items() if secret is not None),
        NewFile(f"{SECRETS}/admin-key", f"{secrets.token_urlsafe(32)}\n"),
        NewFile(CONFIG, configuration(answers, named, key_digest), _READABLE),
    )


def configuration(answers: Answers, named: Mapping[str, str], key_digest: str) -> str:
    """What is in force at the top, and everything else, commented out at its default. Pure."""
    token = (
        [f"    refresh_token: {{file: {_text(named['refresh-token'])}}}"]
        if "refresh-token" in named
        else [f"    # `ads-proxy login {answers.account}` obtains the refresh token, and keeps it in the state store."]
    )
    lines = [
        "# The configuration of ads-proxy. Changes of this file, and of the secret files that it names, take effect",
        "# within seconds. A secret is {file: PATH} (from this file's folder), {env: NAME} or a text in quotes.",
        "",
        "# Whose data the proxy reaches:",
        "accounts:",
        f"  {_text(answers.account)}:",
        "    # From the security profile in the Login with Amazon console.",
        f"    client_id: {_text(answers.client_id)}",
        f"    client_secret: {{file: {_text(named['client-secret'])}}}",
        *token,
        "    # The home region: na, eu or fe. The others are reached all the same.",
        f"    region: {answers.region}",
        "",
        "# Opens console, sign-in and /status; metrics and health stay open.",
        "admin:",
        f"  key: {{file: {SECRETS}/admin-key}}",
        *(_client_lines(answers, key_digest) if answers.client else ()),
        "",
        "# Who changed what: writes, sign-ins, reloads, keys. `ads-proxy audit verify FILE` shows whether it is whole.",
        "audit:",
        "  # From this file's folder, and made by the proxy. Its directory must be writable.",
        "  file: audit.jsonl",
        "  # Whether writes are refused (503) while their records cannot be kept.",
        "  required: true",
        "",
        "# Everything else, at its default. Take the `#` in front of a key away to change it.",
        "",
    ]
    without = {"accounts", "admin", "audit"} | ({"clients"} if answers.client else set())
    return "\n".join(lines) + "\n" + commented_yaml(frozenset(without))


def _client_lines(answers: Answers, key_digest: str) -> Iterator[str]:
    yield from ("", "# Tools with keys of their own, and what each may do. `ads-proxy keys new NAME` makes another.")
    yield from ("clients:", f"  - name: {_text(answers.client)}", f"    key_sha256: {key_digest}")
    yield f"    accounts: [{_text(answers.account)}]"
    yield "    # read: what provably changes nothing; report: the making of reports, too; write: all."
    yield "    access: report"


def _text(value: str) -> str:
    """A text as YAML takes it for one, whatever it holds."""
    return yaml.safe_dump(value, default_style='"', width=1000, allow_unicode=True).strip()


def write_all(folder: Path, files: tuple[NewFile, ...]) -> None:
    """Write every file, or raise `StartupError` and leave none."""
    taken = [str(folder / file.name) for file in files if os.path.lexists(folder / file.name)]
    if taken:
        raise StartupError(f"init: {', '.join(taken)}: exists already, and is left as it is; name another DIRECTORY")
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SECRETS).mkdir(_OWNERS_FOLDER, exist_ok=True)
        for file in files:
            written.append(folder / file.name)
            _write(folder / file.name, file)
        load(folder / CONFIG, {})
    except OSError as error:
        _remove(written, folder)
        raise StartupError(f"init: {error.filename or folder}: {error.strerror or error}") from None
    except ConfigurationError:
        _remove(written, folder)
        raise


def _write(path: Path, file: NewFile) -> None:
    """Never through a link, never over something that came meanwhile, and never readable by others for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(file.text)


def _remove(written: list[Path], folder: Path) -> None:
    for path in written:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / SECRETS).rmdir()


def next_steps(folder: Path, answers: Answers, key: str) -> Iterator[str]:
    """What to type now; the client's key is shown this once. Pure."""
    if key:
        yield from ("", f"The key of {answers.client}, for the tool; it is not shown again:", f"  {key}")
    yield from ("", "Next:")
    config = f"--config {folder / CONFIG}"
    if answers.refresh_token is None:
        yield f"  ads-proxy login {answers.account} {config}"
    yield f"  ads-proxy check {config}"
    yield f"  ads-proxy serve {config}"
