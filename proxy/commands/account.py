"""`account`: Add accounts to a configuration file, and remove them.

Example: ads-proxy account add globex --config proxy.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from proxy.commands.cli_options import (
    AskOption,
    ClientIdOption,
    ConfigOption,
    DryRunOption,
    EnvFileOption,
    RefreshTokenOption,
)
from proxy.commands.completion import account_names, client_names
from proxy.commands.configuration_file import ConfigurationFile
from proxy.commands.init import KINDS, SECRETS, account_lines, remove, secret_files, taken_files, write_files
from proxy.commands.keys import find_client
from proxy.commands.prompts import ExistingAccounts, ProvidedAnswers, answer_account, check_account
from proxy.commands.terminal import OK, say, tell
from proxy.commands.yaml_edits import NoPlace, append_lines, change_list, flow, remove_entry, without_entry
from proxy.config import environment
from proxy.config.model.key_names import did_you_mean, shown_names
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
    client: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A client that may use it, too.", autocompletion=client_names),
    ] = None,
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
    return add_account(config, environment(env_file), given, client or (), asks=ask and sys.stdin.isatty())


@app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account's name.", autocompletion=account_names)],
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Remove an account from the configuration file.

    The comment lines directly above it go, too. Nothing else in the file changes. An account that a client, a route or
    a named report still names stays. Its secret files stay as well.

    Example: ads-proxy account remove globex --config proxy.yaml
    """
    return remove_account(ConfigurationFile.open("account remove", config, environment(env_file)), name, dry_run)


def add_account(
    option: Path | None, environ: Mapping[str, str], given: ProvidedAnswers, allowed: Sequence[str], *, asks: bool
) -> int:
    """Add it, and permit it to the `allowed` clients; raise `StartupError` if the configuration cannot be used or
    changed.

    Nothing else in the file changes: comments, order and spelling stay. Either the account is there and `serve` takes
    the file, or the file is as it was and no secret file is left.
    """
    file = ConfigurationFile.open(COMMAND, option, environ)
    config, path, written = file.config, file.path, file.values.get("accounts", {})
    _with_lines(file, [])
    _permitted(file, allowed, given.account or "")
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
    _put(file, _with_clients(file, _with_lines(file, lines), allowed, answers.account), answers)
    say(f"Added: account {answers.account} in {path}")
    for line in next_steps(config, answers, allowed):
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


def _permitted(file: ConfigurationFile, allowed: Sequence[str], account: str) -> dict[int, list[str]]:
    """The `accounts` of the clients that may use a new one, by their number. Raises `ConfigurationError`."""
    if allowed:
        file.refuse_variables("clients")
    numbers = [find_client(f"{COMMAND}: --client", file.config, name) for name in dict.fromkeys(allowed)]
    limits = {number: file.config.clients[number].accounts for number in numbers}
    return {number: [*accounts, account] for number, accounts in limits.items() if accounts is not None}


def _with_clients(file: ConfigurationFile, text: str, allowed: Sequence[str], account: str) -> str:
    """The text in which these clients may use the account, too."""
    try:
        for number, accounts in _permitted(file, allowed, account).items():
            text = change_list(text, ("clients", number, "accounts"), accounts)
    except NoPlace as error:
        raise ConfigurationError((f"{COMMAND}: {file.path}: {error}; {BY_HAND}",)) from None
    return text


def next_steps(config: Config, answers: AccountAnswers, allowed: Sequence[str]) -> Iterable[str]:
    """What to type now, and which clients do not reach the account yet. `config` is that of before. Pure."""
    limited = [client.name for client in config.clients if client.accounts is not None]
    if more := [name for name in allowed if name in limited]:
        yield f"It is in the `accounts` of: {', '.join(more)}."
    if free := [name for name in allowed if name not in limited]:
        yield f"These clients may use all accounts: {', '.join(free)}."
    if lacking := [name for name in limited if name not in allowed]:
        yield f"These clients may not use it yet: {', '.join(lacking)}. To permit it:"
        yield from (f"  ads-proxy client allow {name} --account {answers.account}" for name in lacking)
    yield from ("A running proxy serves it within 5 seconds.", "", "Next:")
    if answers.refresh_token is None:
        yield f"  ads-proxy login {answers.account}"
    yield "  ads-proxy check"


# --- account remove


def remove_account(file: ConfigurationFile, name: str, dry_run: bool) -> int:
    """Remove it. Raises `StartupError`, and then the file is as it was."""
    file.refuse_variables("accounts")
    accounts, values = file.config.accounts, file.values
    if name not in accounts:
        advice = did_you_mean(name, accounts) or f"; the accounts are: {shown_names(accounts)}"
        raise ConfigurationError((f"{file.command}: unknown account{advice}",))
    if name not in (values.get("accounts") or {}):
        raise ConfigurationError((f"{file.command}: {name} is not in {file.path}, but in a file of accounts_from",))
    if len(accounts) == 1:
        raise ConfigurationError((f"{file.command}: {name} is the only account; add another one first",))
    if users := tuple(f"{file.command}: {user}" for user in find_users(file.config, name)):
        raise ConfigurationError(users)
    place = ("accounts", name)
    text = file.edited(lambda text: remove_entry(text, place), without_entry(values, place))
    file.finish(text, dry_run=dry_run, answers=True)
    if not dry_run:
        tell(f"Removed: account {name}. A running proxy refuses requests for it within 5 seconds.")
        for left in _left_files(file, text, name):
            tell(f"No longer used: {left}")
    return OK


def find_users(config: Config, account: str) -> Iterable[str]:
    """What still names an account, and how to change that. Pure."""
    for client in config.clients:
        if client.accounts is not None and account in client.accounts:
            others = [name for name in client.accounts if name != account]
            options = " ".join(f"--account {name}" for name in others)
            change = f"client edit {client.name} {options}" if others else f"client remove {client.name}"
            yield f"client {client.name} may use {account}; `ads-proxy {change}` changes that"
    for name, route in config.routes.items():
        if route.account == account:
            yield f"route {name} leads to {account}; change or remove it in the file by hand"
    named = config.reports.named if config.reports is not None else {}
    for name, report in named.items():
        if report.account == account:
            yield f"report {name} is of {account}; `ads-proxy report remove {name}` removes it"


def _left_files(file: ConfigurationFile, text: str, account: str) -> Iterable[str]:
    """The secret files of an account that nothing in the text names, as the program itself once wrote them."""
    for kind in KINDS:
        written = f"{SECRETS}/{account}-{kind}"
        if written not in text and (file.path.parent / written).exists():
            yield str(file.path.parent / written)
