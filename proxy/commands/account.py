"""`account`: Add accounts to a configuration file.

Example: ads-proxy account add globex --config proxy.yaml
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.init import KINDS, SECRETS, account_lines, remove, secret_files, taken_files, write_files
from proxy.commands.prompts import ExistingAccounts, HomeRegion, ProvidedAnswers, answer_account, check_account
from proxy.commands.terminal import OK, say, tell
from proxy.config import config_path, environment, load
from proxy.config.reading.document import read_document
from proxy.errors import ConfigurationError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.commands.init import NewFile
    from proxy.commands.prompts import AccountAnswers
    from proxy.config import Config

_SHARED = ("client_secret", "redirect_uri", "scopes")
"""Keys of an application rather than of one account: another account of the same client id gets them as well."""
BY_HAND = "add the account by hand (docs/reference/configuration.md)"

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _account() -> None:
    """Makes `add` a command of its own."""


@app.command("add")
def add(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")],
    region: Annotated[
        HomeRegion | None, typer.Option(help="Its home region. Default: that of the other accounts.")
    ] = None,
    client_id: Annotated[str | None, typer.Option(metavar="ID", help="The application's client id.")] = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with the client secret, if the application is new here."),
    ] = None,
    refresh_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with a refresh token, if you have one.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for missing answers, on a terminal.")] = True,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Add an account to the configuration file.

    It writes files for the account's secrets and asks for missing answers. Nothing else in the file changes. If another
    account has the same application, both share its secret.

    Example: ads-proxy account add globex --region eu --config proxy.yaml
    """
    environ = environment(env_file)
    path = config_path(config, environ)
    if path is None:
        raise ConfigurationError(
            ("account add: no configuration file; name one with --config FILE, or make one with `ads-proxy init`",)
        )
    home = region and region.value
    given = ProvidedAnswers(client_id, name, home, None, client_secret_file, refresh_token_file)
    return add_account(path, environ, given, asks=ask and sys.stdin.isatty())


def add_account(path: Path, environ: Mapping[str, str], given: ProvidedAnswers, *, asks: bool) -> int:
    """Add it; raise `StartupError` if the configuration cannot be used or changed.

    Nothing else in the file changes: comments, order and spelling stay. Either the account is there and `serve` takes
    the file, or the file is as it was and no secret file is left.
    """
    config, written = load(path, environ), read_document(path, "--config").values.get("accounts", {})
    read_with_place(path)
    taken = (*config.accounts, *config.routes)
    _check_name(given, taken)
    if used := taken_files(path.parent, *(f"{SECRETS}/{given.account}-{kind}" for kind in KINDS)):
        raise StartupError(f"account add: {', '.join(used)}: exists already and is unchanged; choose another NAME")
    shared = shared_keys(config, written)
    answers = answer_account(given, _known(config, taken, shared), asks=asks)
    keys = shared.get(answers.client_id, {})
    own = ("client_secret",) if answers.client_secret is not None else ()
    lines = account_lines(answers, {key: _flow(value) for key, value in keys.items() if key not in own})
    text, place = read_with_place(path)  # again: it may have been edited while a person was asked
    _put(path, insert(text, place, [*lines]), environ, answers)
    say(f"Added: account {answers.account} in {path}")
    for line in next_steps(config, answers, path):
        tell(line)
    return OK


def _check_name(given: ProvidedAnswers, taken: Sequence[str]) -> None:
    try:
        check_account(given.account or "", taken)
    except ValueError as error:
        raise ConfigurationError((f"account add: NAME {error}",)) from None


def shared_keys(config: Config, written: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By client id, what the file says about an application. A secret is among it if the file refers to one. Pure."""
    found: dict[str, dict[str, Any]] = {}
    for name, account in config.accounts.items():
        entry = written.get(name)
        if isinstance(entry, dict):
            keys = [key for key in _SHARED if key in entry]
            refers = isinstance(entry.get("client_secret"), dict)
            shared = {key: entry[key] for key in keys if refers or key != "client_secret"}
            found.setdefault(account.client_id, shared)
    return found


def _known(config: Config, taken: Sequence[str], shared: Mapping[str, Mapping[str, Any]]) -> ExistingAccounts:
    accounts = config.accounts.values()
    regions = {account.region for account in accounts}
    ids = dict.fromkeys(account.client_id for account in accounts)
    return ExistingAccounts(taken, regions.pop() if len(regions) == 1 else "na", tuple(ids), _with_secret(shared))


def _with_secret(shared: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(client_id for client_id, keys in shared.items() if "client_secret" in keys)


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def read_with_place(path: Path) -> tuple[str, tuple[int, int]]:
    """The text of the file, byte for byte, and where an account is added; `StartupError` if it has no place."""
    try:
        text = path.read_bytes().decode()
        place = find_place(text)
    except (OSError, ValueError, yaml.YAMLError):
        raise StartupError(f"account add: {path}: was changed meanwhile, and cannot be read; correct it") from None
    if place is None:
        raise ConfigurationError((f"account add: {path}: no `accounts` section in block style; {BY_HAND}",))
    return text, place


def find_place(text: str) -> tuple[int, int] | None:
    """The line behind the last account, from 0, and the column of the accounts' names; None if they are not in a
    block. Pure."""
    root = yaml.compose(text, yaml.SafeLoader)
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in entries:
        if key.value == "accounts" and isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            return _last_line(value) + 1, value.value[0][0].start_mark.column
    return None


def _last_line(node: yaml.Node) -> int:
    """The last line that holds something of a node: a block ends where the next thing begins, comments included."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(map(_last_line, last)) if isinstance(last, tuple) else _last_line(last)
    ends_before = isinstance(node, yaml.ScalarNode) and (node.style in ("|", ">"))
    return int(node.end_mark.line) - (1 if ends_before and node.end_mark.column == 0 else 0)


def insert(text: str, place: tuple[int, int], lines: Iterable[str]) -> str:
    """The text with the lines at that place. Pure."""
    line, column = place
    before, end = text.splitlines(keepends=True), "\r\n" if "\r\n" in text else "\n"
    if before[line - 1 : line] and not before[line - 1].endswith("\n"):
        before[line - 1] += end
    return "".join((*before[:line], *(f"{' ' * column}{each}{end}" for each in lines), *before[line:]))


def _put(path: Path, text: str, environ: Mapping[str, str], answers: AccountAnswers) -> None:
    """Secret files first, then the configuration in one step, once it is known to be one."""
    target, trial = path.resolve(), None
    files: Iterable[NewFile] = ()
    try:
        write_files(path.parent, wanted := secret_files(answers))
        files = wanted
        descriptor, name = tempfile.mkstemp(".yaml", ".account-add-", path.parent)
        trial = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
        load(trial, environ)
        trial.chmod(target.stat().st_mode & 0o7777)
        os.chown(trial, target.stat().st_uid, target.stat().st_gid)
        trial.replace(target)
    except OSError as error:
        _undo(path, files, trial)
        raise StartupError(f"account add: {error.filename or path}: {error.strerror or error}") from None
    except ConfigurationError:
        _undo(path, files, trial)
        raise


def _undo(path: Path, files: Iterable[NewFile], trial: Path | None) -> None:
    remove([path.parent / file.name for file in files], path.parent)
    if trial is not None:
        trial.unlink(missing_ok=True)


def next_steps(config: Config, answers: AccountAnswers, path: Path) -> Iterable[str]:
    """What to type now, and which clients do not reach the account yet. Pure."""
    limited = [client.name for client in config.clients if client.accounts is not None]
    if limited:
        yield f"Add it to the `accounts` of these clients, if they may use it: {', '.join(limited)}."
    yield from ("A running proxy serves it within 5 seconds.", "", "Next:")
    if answers.refresh_token is None:
        yield f"  ads-proxy login {answers.account}"
    yield "  ads-proxy check"
