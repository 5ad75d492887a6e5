"""`run`: Run one command with a proxy of its own.

The proxy stops when the command ends; the exit code is the command's. The command finds the proxy by
AMAZON_ADS_API_URL, AMAZON_ADS_TOKEN_URL and AMAZON_ADS_MCP_URL. It gets placeholders instead of Amazon's credentials.

Example: ads-proxy run --config proxy.yaml -- python report.py
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.completion import account_and_route_names, client_names
from proxy.config import environment, load, notes
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.errors import ConfigurationError, StartupError
from proxy.observability.redaction import Redaction
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import AccountFileReader, Config

ANY_PORT = "127.0.0.1:0"
_STAND_IN = "ads-proxy"
"""The text for credentials that a client requires but nothing checks."""
_OURS = ("ADS_PROXY_", "AMAZON_ADS_CLIENT_", "AMAZON_ADS_REFRESH_TOKEN")
_LOCAL = "127.0.0.1,localhost"


app = typer.Typer(add_completion=False)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(  # noqa: PLR0913 - each is an option of the command
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="The command.", show_default=False),
    ] = None,
    account: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The account or route, if there are several.",
            autocompletion=account_and_route_names,
        ),
    ] = "",
    client: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The client whose permissions the command gets.", autocompletion=client_names
        ),
    ] = "",
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The proxy's address. Default: any free port.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the log there. Default: warnings to standard error.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until an account must be able to serve.")] = 30,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    asked = RunRequest(tuple(command or ()), config, listen, client, account, log, timeout)
    return run_beside(asked, environment(env_file))


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The options of the command. Empty names come from the configuration; `log` is where the proxy's log goes."""

    command: tuple[str, ...]
    config: Path | None = None
    listen: str | None = None
    client: str = ""
    account: str = ""
    log: Path | None = None
    ready_timeout: float = 30.0


def run_beside(asked: RunRequest, environ: Mapping[str, str]) -> int:
    """The command's exit code. Raises `StartupError` where it was not started."""
    if not asked.command:
        raise ConfigurationError(("run: no command; write one after --, as in `ads-proxy run -- python report.py`",))
    from proxy.app.companion import Companion
    from proxy.app.run import serve_beside

    variables = serving_variables(asked, environ)
    key, admin_key = secrets.token_urlsafe(32), Secret(secrets.token_urlsafe(32))

    def load_with_key(running: Config | None = None, reader: AccountFileReader | None = None) -> Config:
        loaded = load(asked.config, variables, running=running, reader=reader)
        return lock_admin(give_key(loaded, asked.client, key), admin_key)

    config = load_with_key()
    account = chosen_account(config, asked.account)
    with ExitStack() as opened:
        output = sys.stderr
        if asked.log is not None:
            try:
                output = opened.enter_context(asked.log.open("a", encoding="utf-8"))
            except OSError as error:
                raise StartupError(f"--log: {asked.log}: {error.strerror or error}") from None

        def command_variables(url: str) -> Mapping[str, str]:
            return command_environment(environ, config, RunPlacement(url, account, asked.client, key))

        companion = Companion(asked.command, command_variables, asked.ready_timeout)
        return serve_beside(companion, load_with_key, output, notes(config))


def serving_variables(asked: RunRequest, environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy's own: any free ports unless one is asked for, and no more in the terminal than what is amiss. Pure."""
    variables = {**environ, "ADS_PROXY_LISTEN": asked.listen or ANY_PORT, "ADS_PROXY_ADMIN_LISTEN": ANY_PORT}
    if asked.log is None:
        variables.setdefault("ADS_PROXY_LOG__LEVEL", "warning")
    return variables


def give_key(config: Config, client: str, key: str) -> Config:
    """The configuration in which this client has this key, for as long as the command runs. Pure.

    Without invitations: that listener needs a program that stays. One process serves one command.
    """
    names = [known.name for known in config.clients]
    if client and client not in names:
        advice = did_you_mean(client, names) or f"; the clients are: {shown_names(names)}"
        raise ConfigurationError((f"--client: unknown client{advice}",))
    if names and not client:
        raise ConfigurationError(
            (f"run: which client is the command? Add --client NAME; the clients are: {shown_names(names)}",)
        )
    digest = hashlib.sha256(key.encode()).hexdigest()
    changed = [
        known.model_copy(update={"key_sha256": digest, "keys": ()}) if known.name == client else known
        for known in config.clients
    ]
    return config.model_copy(update={"clients": tuple(changed), "invites": type(config.invites)(), "workers": 1})


def lock_admin(config: Config, key: Secret) -> Config:
    """The configuration with this key for the admin listener if it has none; the command reaches that port. Pure."""
    if config.admin.key is not None:
        return config
    return config.model_copy(update={"admin": config.admin.model_copy(update={"key": key})})


def chosen_account(config: Config, name: str) -> str:
    """The account or route that is asked for, else the only account, else none. Pure."""
    names = [*config.accounts, *config.routes]
    if name and name not in names:
        advice = did_you_mean(name, names) or f"; the accounts and routes are: {shown_names(names)}"
        raise ConfigurationError((f"--account: unknown account or route{advice}",))
    return name or (next(iter(config.accounts)) if len(config.accounts) == 1 else "")


@dataclass(frozen=True, slots=True)
class RunPlacement:
    """Where the proxy is for the command, and as whom the command calls."""

    url: str
    account: str
    client: str
    key: str


def command_environment(environ: Mapping[str, str], config: Config, place: RunPlacement) -> dict[str, str]:
    """The environment without anything that is the proxy's, and with what leads to it. Pure.

    A variable that holds a secret of the configuration is left out, whatever its name and whatever else it holds.
    """
    known = Redaction()
    known.know(config.secrets())
    held = {secret.reveal() for secret in config.secrets()}
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OURS) and value not in held and not known.holds_known(value)
    }
    several = len(config.accounts) > 1
    base = f"{place.url}/@{place.account}" if place.account and several else place.url
    login = {
        "CLIENT_ID": place.client or _STAND_IN,
        "CLIENT_SECRET": place.key if place.client else _STAND_IN,
        "REFRESH_TOKEN": place.account or _STAND_IN,
    }
    leading = {
        "AMAZON_ADS_API_URL": base,
        "AMAZON_ADS_MCP_URL": f"{base}/mcp",
        "AMAZON_ADS_TOKEN_URL": f"{place.url}/auth/o2/token",
        "AMAZON_ADS_ACCESS_TOKEN": login["CLIENT_SECRET"],
        **{
            f"{prefix}{key}": value
            for prefix in ("AMAZON_ADS_", "AMAZON_AD_API_", "AD_API_")
            for key, value in login.items()
        },
    }
    past = {name: ",".join(part for part in (kept.get(name, ""), _LOCAL) if part) for name in ("NO_PROXY", "no_proxy")}
    return {**kept, **past, **leading}
