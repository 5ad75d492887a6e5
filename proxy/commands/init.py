"""`init`: Write a commented configuration and its secret files.

Only you can read the secret files. It never overwrites a file, and asks for missing answers. In a script, --client-id
and --client-secret-file are enough.

Example: ads-proxy init --no-ask --client-id ID --client-secret-file secret
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import sys
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer
import yaml

from proxy.commands.cli_options import AskOption, ClientIdOption, RefreshTokenOption
from proxy.commands.prompts import AccountAnswers, ProvidedAnswers, answer_all
from proxy.commands.terminal import OK, say, tell
from proxy.config import DEFAULT_ADMIN, is_folder, load
from proxy.config.reference import commented_yaml
from proxy.errors import ConfigurationError, StartupError
from proxy.secret import KEY_PREFIX
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


CONFIG, SECRETS = "proxy.yaml", "secrets"
KINDS = ("client-secret", "refresh-token")
"""The kinds of secret files that an account has."""
_OWNER_ONLY, _OWNERS_FOLDER, _READABLE = 0o600, 0o700, 0o644


def init(  # noqa: PLR0913 - each is an option of the command
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="The folder for proxy.yaml and secrets/.")
    ] = Path(),
    account: Annotated[str | None, typer.Option(metavar="NAME", help="The account's name. Default: main.")] = None,
    region: Annotated[Literal["na", "eu", "fe"] | None, typer.Option(help="Its home region. Default: na.")] = None,
    client_id: ClientIdOption = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the application's client secret.")
    ] = None,
    refresh_token_file: RefreshTokenOption = None,
    client: Annotated[str | None, typer.Option(metavar="NAME", help="Make a key for a client with this name.")] = None,
    profiles: Annotated[
        str | None,
        typer.Option(metavar="IDS", help="With --client: its only profiles, separated by commas."),
    ] = None,
    ask: AskOption = True,
) -> int:

    refuse_used(directory, CONFIG, f"{SECRETS}/admin-key")
    given = ProvidedAnswers(client_id, account, region, client, client_secret_file, refresh_token_file, profiles)
    return write_configuration(directory, answer_all(given, asks=ask and sys.stdin.isatty()))


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written, by its path from the folder."""

    name: str
    text: str = field(repr=False)
    mode: int = _OWNER_ONLY


def write_configuration(folder: Path, answers: AccountAnswers) -> int:
    """Write them; raise `StartupError` where something is in the way or an answer cannot be taken."""
    key = KEY_PREFIX + secrets.token_urlsafe(32) if answers.client else ""
    files = new_files(answers, hashlib.sha256(key.encode()).hexdigest())
    write_all(folder, files)
    say(f"Written: {', '.join(str(folder / file.name) for file in files)}")
    for line in next_steps(folder, answers, key):
        tell(line)
    return OK


def new_files(answers: AccountAnswers, key_digest: str) -> tuple[NewFile, ...]:
    """The configuration last, so that it is never there without what it names. Pure."""
    return (
        *secret_files(answers),
        NewFile(f"{SECRETS}/admin-key", f"{secrets.token_urlsafe(32)}\n"),
        NewFile(CONFIG, configuration(answers, key_digest), _READABLE),
    )


def secret_files(answers: AccountAnswers) -> tuple[NewFile, ...]:
    """A file for each secret of the account. Pure."""
    given = zip(KINDS, (answers.client_secret, answers.refresh_token), strict=True)
    return tuple(
        NewFile(f"{SECRETS}/{answers.account}-{kind}", f"{secret.reveal()}\n") for kind, secret in given if secret
    )


def account_lines(answers: AccountAnswers, written: Mapping[str, str]) -> Iterator[str]:
    """The account's entry under `accounts`; `written` are keys with their text, such as one that it shares. Pure."""
    files = {file.name.removeprefix(f"{SECRETS}/{answers.account}-"): file.name for file in secret_files(answers)}
    keys = {kind.replace("-", "_"): f"{{file: {_text(name)}}}" for kind, name in files.items()}
    yield f"{_text(answers.account)}:"
    yield "  # From the security profile in the Login with Amazon console."
    yield f"  client_id: {_text(answers.client_id)}"
    yield from (f"  {key}: {text}" for key, text in {**keys, **written}.items())
    if "refresh_token" not in keys:
        yield f"  # `ads-proxy login {answers.account}` gets the refresh token, and keeps it in the state store."
    yield "  # The home region: na, eu or fe. Requests to the other two work as well."
    yield f"  region: {answers.region}"


def configuration(answers: AccountAnswers, key_digest: str) -> str:
    """What is in force at the top, and everything else, commented out at its default. Pure."""
    lines = [
        "# The configuration of ads-proxy. Changes of this file, and of the secret files that it names, take effect",
        "# within seconds. A secret is {file: PATH} (from this file's folder), {env: NAME} or a text in quotes.",
        "",
        "# The accounts that the proxy serves:",
        "accounts:",
        *(f"  {line}" for line in account_lines(answers, {})),
        "",
        "# The key for console, sign-in and /status; metrics and health stay open.",
        "admin:",
        f"  key: {{file: {SECRETS}/admin-key}}",
        *(_client_lines(answers, key_digest) if answers.client else ()),
        "",
        "# Who changed what: writes, sign-ins, reloads, keys. `ads-proxy audit verify FILE` shows "
        "whether it is unchanged.",
        "audit:",
        "  # Relative to this file. The proxy makes it; its directory must be writable.",
        "  file: audit.jsonl",
        "  # Whether writes are refused (503) while their records cannot be kept.",
        "  required: true",
        "  # Which objects a write names and which members it sets, for `ads-proxy audit show`.",
        "  objects: true",
        "  # Members whose values are recorded too. List none that hold personal data.",
        "  values: [state, budget, bid]",
        "",
        "# Everything else, at its default. To change a key, remove the `#` in front of it.",
        "",
    ]
    without = {"accounts", "admin", "audit"} | ({"clients"} if answers.client else set())
    return "\n".join(lines) + "\n" + commented_yaml(frozenset(without))


def _client_lines(answers: AccountAnswers, key_digest: str) -> Iterator[str]:
    yield from ("", "# Clients with keys, and their permissions. `ads-proxy keys new NAME` makes another key.")
    yield from ("clients:", f"  - name: {_text(answers.client)}", f"    key_sha256: {key_digest}")
    yield f"    accounts: [{_text(answers.account)}]"
    yield "    # read: operations that provably change nothing; report: also those that make reports; write: all."
    yield "    access: report"
    yield "    # A request needs one of these profiles. What no profile governs, such as /v2/profiles, is refused"
    yield "    # unless unscoped_paths names it."
    yield f"    profiles: {list(answers.profiles)}" if answers.profiles else '    # profiles: ["PROFILE_ID"]'


def _text(value: str) -> str:
    """A text as YAML takes it for one, whatever it holds."""
    return yaml.safe_dump(value, default_style='"', width=1000, allow_unicode=True).strip()


def write_all(folder: Path, files: tuple[NewFile, ...]) -> None:
    """Write every file, or raise `StartupError` and leave none."""
    refuse_used(folder, *(file.name for file in files))
    try:
        write_files(folder, files)
        load(folder / CONFIG, {})
    except OSError as error:
        raise StartupError(f"init: {error.filename or folder}: {error.strerror or error}") from None
    except ConfigurationError:
        remove([folder / file.name for file in files], folder)
        raise


def write_files(folder: Path, files: tuple[NewFile, ...]) -> None:
    """Write every file, or raise `OSError` and leave none."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SECRETS).mkdir(_OWNERS_FOLDER, exist_ok=True)
        for file in files:
            with _create(folder / file.name, file.mode) as opened:
                written.append(folder / file.name)
                opened.write(file.text)
    except OSError:
        remove(written, folder)
        raise


def refuse_used(folder: Path, *names: str) -> None:
    """Raise `StartupError` if a folder has one of these files, or is none."""
    if os.path.lexists(folder) and not is_folder(folder):
        raise StartupError(f"init: {folder}: not a directory; choose another DIRECTORY")
    if taken := taken_files(folder, *names):
        more = f"ads-proxy account add NAME --config {shlex.quote(str(folder / CONFIG))}"
        raise StartupError(
            f"init: {', '.join(taken)}: exists already and is unchanged; choose another DIRECTORY, or add an "
            f"account to a configuration: `{more}`"
        )


def taken_files(folder: Path, *names: str) -> list[str]:
    """The paths of those that a folder has, links that lead nowhere included."""
    return [str(folder / name) for name in names if os.path.lexists(folder / name)]


def _create(path: Path, mode: int) -> TextIO:
    """Never through a link, never over something that came meanwhile, and never readable by others for a moment."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8")


def remove(written: list[Path], folder: Path) -> None:
    """Remove what was written."""
    for path in written:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / SECRETS).rmdir()


def next_steps(folder: Path, answers: AccountAnswers, key: str) -> Iterator[str]:
    """What to type now; the client's key is shown this once. Pure."""
    if key:
        yield from ("", f"The key of the client {answers.client}; it is not shown again:", f"  {key}")
    yield from ("", "Next:")
    config = f"--config {shlex.quote(str(folder / CONFIG))}"
    if answers.refresh_token is None:
        yield f"  ads-proxy login {answers.account} {config}"
    yield f"  ads-proxy check {config}"
    yield f"  ads-proxy serve {config}"
    yield ""
    yield f"The console is then at http://{DEFAULT_ADMIN}/; its key is in {folder / SECRETS / 'admin-key'}."
