"""`account`: Add accounts to a configuration file.

Example: ads-proxy account add globex --config proxy.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from proxy.commands.cli_options import AskOption, ClientIdOption, ConfigOption, EnvFileOption, RefreshTokenOption
from proxy.commands.configuration_file import ConfigurationFile
from proxy.commands.init import KINDS, SECRETS, account_lines, remove, secret_files, taken_files, write_files
from proxy.commands.prompts import ExistingAccounts, ProvidedAnswers, answer_account, check_account
from proxy.commands.terminal import OK, say, tell
from proxy.commands.yaml_edits import NoPlace, append_lines, flow
from proxy.config import environment
from proxy.errors import ConfigurationError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.commands.prompts import AccountAnswers
    from proxy.config import Config

_SHARED = ("client_secret", "redirect_uri", "scopes")
"""Keys of an application rather than of one account: another account of the same client id gets them as well."""
COMMAND = "account add"
BY_HAND = "add the account by hand (docs/reference/configuration.md)"

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _account() -> None:
    """Makes `add` a command of its own."""


@app.command("add")
def add(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")],
    region: Annotated[
        Literal["na", "eu", "fe"] | None, typer.Option(help="Its home region. Default: that of the other accounts.")
    ] = None,
    client_id: ClientIdOption = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with the client secret, if the application is new here."),
    ] = None,
    refresh_token_file: RefreshTokenOption = None,
    ask: AskOption = True,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Add an account to the configuration file.

    It writes files for the account's secrets and asks for missing answers. Nothing else in the file changes. If another
    account has the same application, both share its secret.

    Example: ads-proxy account add globex --region eu --config proxy.yaml
    """
    given = ProvidedAnswers(client_id, name, region, None, client_secret_file, refresh_token_file)
    return add_account(config, environment(env_file), given, asks=ask and sys.stdin.isatty())


def add_account(option: Path | None, environ: Mapping[str, str], given: ProvidedAnswers, *, asks: bool) -> int:
    """Add it; raise `StartupError` if the configuration cannot be used or changed.

    Nothing else in the file changes: comments, order and spelling stay. Either the account is there and `serve` takes
    the file, or the file is as it was and no secret file is left.
    """
    file = ConfigurationFile.open(COMMAND, option, environ)
    config, path, written = file.config, file.path, file.values.get("accounts", {})
    _with_lines(file, [])
    taken = (*config.accounts, *config.routes)
    try:
        check_account(given.account or "", taken)
    except ValueError as error:
        raise ConfigurationError((f"account add: NAME {error}",)) from None
    if used := taken_files(path.parent, *(f"{SECRETS}/{given.account}-{kind}" for kind in KINDS)):
        raise StartupError(f"account add: {', '.join(used)}: exists already and is unchanged; choose another NAME")
    shared = shared_keys(config, written)
    answers = answer_account(given, _known(config, taken, shared), asks=asks)
    keys = shared.get(answers.client_id, {})
    own = ("client_secret",) if answers.client_secret is not None else ()
    lines = account_lines(answers, {key: flow(value) for key, value in keys.items() if key not in own})
    file = ConfigurationFile.open(COMMAND, option, environ)  # again: it may have been edited while a person was asked
    _put(file, _with_lines(file, lines), answers)
    say(f"Added: account {answers.account} in {path}")
    for line in next_steps(config, answers, path):
        tell(line)
    return OK


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
    with_secret = tuple(client_id for client_id, keys in shared.items() if "client_secret" in keys)
    return ExistingAccounts(taken, regions.pop() if len(regions) == 1 else "na", tuple(ids), with_secret)


def _with_lines(file: ConfigurationFile, lines: Iterable[str]) -> str:
    """The text of the file with the lines of one more account. Raises `ConfigurationError` if it has no place."""
    try:
        return append_lines(file.text, ("accounts",), lines)
    except NoPlace as error:
        raise ConfigurationError((f"{COMMAND}: {file.path}: {error}; {BY_HAND}",)) from None


def _put(file: ConfigurationFile, text: str, answers: AccountAnswers) -> None:
    """Secret files first, then the configuration in one step, once it is known to be one."""
    folder, files = file.path.parent, secret_files(answers)
    try:
        write_files(folder, files)
    except OSError as error:
        raise StartupError(f"{COMMAND}: {error.filename or folder}: {error.strerror or error}") from None
    try:
        file.replace(text)
    except StartupError:
        remove([folder / each.name for each in files], folder)
        raise


def next_steps(config: Config, answers: AccountAnswers, path: Path) -> Iterable[str]:
    """What to type now, and which clients do not reach the account yet. Pure."""
    limited = [client.name for client in config.clients if client.accounts is not None]
    if limited:
        yield f"Add it to the `accounts` of these clients, if they may use it: {', '.join(limited)}."
    yield from ("A running proxy serves it within 5 seconds.", "", "Next:")
    if answers.refresh_token is None:
        yield f"  ads-proxy login {answers.account}"
    yield "  ads-proxy check"
