"""`run`: Run one command with a proxy of its own.

The proxy stops when the command ends; the exit code is the command's. Clients with Amazon's own addresses need no
change: HTTPS_PROXY leads to the proxy, and SSL_CERT_FILE and its like name an authority that exists for this run alone.
Other clients find the proxy by AMAZON_ADS_API_URL, AMAZON_ADS_TOKEN_URL and AMAZON_ADS_MCP_URL. The command gets
placeholders instead of Amazon's credentials.

Example: ads-proxy run --config proxy.yaml -- python report.py
"""

from __future__ import annotations

import hashlib
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.client_variables import ClientPlacement, base_urls, credentials, interception_variables, losses
from proxy.commands.completion import account_and_route_names, client_names
from proxy.commands.keys import find_client
from proxy.commands.terminal import tell
from proxy.commands.trust_files import write_trust_files
from proxy.config import environment, load, notes
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.errors import ConfigurationError, StartupError
from proxy.redaction import Redaction
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.commands.client_variables import TrustFiles
    from proxy.config import Config, ReadingMemory

ANY_PORT = "127.0.0.1:0"
_OURS = ("ADS_PROXY_", "AMAZON_ADS_CLIENT_", "AMAZON_ADS_REFRESH_TOKEN")
_CREDENTIAL_PREFIXES = ("AMAZON_ADS_", "AMAZON_AD_API_")


app = typer.Typer(add_completion=False)
AccountOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="The account or route, if there are several.",
        autocompletion=account_and_route_names,
    ),
]


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(  # noqa: PLR0913 - each is an option of the command
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="The command.", show_default=False),
    ] = None,
    account: AccountOption = "",
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
    from proxy.app.audit import RunOutputs
    from proxy.app.companion import Companion
    from proxy.app.run import serve_beside
    from proxy.audit.file import AuditFile, open_for_run
    from proxy.intercept.authority import Authority

    serving = serving_variables(asked, environ)
    key, admin_key = secrets.token_urlsafe(32), Secret(secrets.token_urlsafe(32))
    authority = Authority.temporary(time.time())
    audit_files: dict[Path | None, tuple[Path, AuditFile]] = {}

    def load_for_run(running: Config | None = None, memory: ReadingMemory | None = None) -> Config:
        loaded = load(asked.config, serving, running=running, memory=memory)
        for_run = lock_admin(intercept(give_key(loaded, asked.client, key)), admin_key)
        opened = audit_files.get(for_run.audit.file)
        return for_run if opened is None else audit_to(for_run, opened[0])

    config = load_for_run()
    account = chosen_account(config, asked.account)
    file, audit = config.audit.file, None
    if file is not None:
        path, audit = audit_files[file] = open_for_run(file)
        if path != file:
            tell(f"ads-proxy: run: another program writes {file}; the changes of this run are recorded in {path}")
    with ExitStack() as opened:
        output = sys.stderr
        if asked.log is not None:
            try:
                output = opened.enter_context(asked.log.open("a", encoding="utf-8"))
            except OSError as error:
                raise StartupError(f"--log: {asked.log}: {error.strerror or error}") from None

        def command_variables(url: str) -> Mapping[str, str]:
            place = ClientPlacement(url, account, asked.client, key if asked.client else "")
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="ads-proxy-")))
            files = write_trust_files(folder, authority, environ)
            variables = command_environment(environ, config, place, files)
            for note in losses(environ, variables):
                tell(f"ads-proxy: run: {note}")
            return variables

        companion = Companion(asked.command, command_variables, asked.ready_timeout)
        return serve_beside(companion, load_for_run, RunOutputs(output, audit), notes(config), authority)


def serving_variables(asked: RunRequest, environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy's own: any free ports unless one is asked for, and no more in the terminal than what is amiss. Pure."""
    listeners = {"ADS_PROXY_LISTEN": asked.listen or ANY_PORT, "ADS_PROXY_ADMIN_LISTEN": ANY_PORT}
    variables = {**environ, **listeners, "ADS_PROXY_REUSE_PORT": "false"}
    if asked.log is None:
        variables.setdefault("ADS_PROXY_LOG__LEVEL", "warning")
    return variables


def give_key(config: Config, client: str, key: str) -> Config:
    """The configuration in which this client has this key, for as long as the command runs. Pure.

    Without invitations: that listener needs a program that stays.
    """
    names = [known.name for known in config.clients]
    if client:
        find_client("--client", config, client)
    elif names:
        raise ConfigurationError(
            (f"run: which client is the command? Add --client NAME; the clients are: {shown_names(names)}",)
        )
    digest = hashlib.sha256(key.encode()).hexdigest()
    changed = [
        known.model_copy(update={"key_sha256": digest, "keys": ()}) if known.name == client else known
        for known in config.clients
    ]
    return config.model_copy(update={"clients": tuple(changed), "invites": type(config.invites)()})


def intercept(config: Config) -> Config:
    """The configuration with interception for one command: on the client listener alone, which speaks plain HTTP where
    only this machine reaches it. Java and other clients cannot use TLS to a proxy. Pure."""
    changed = {"intercept": config.intercept.model_copy(update={"enabled": True, "listen": None})}
    return config.model_copy(update={**changed, "tls": None} if config.listen.is_loopback else changed)


def audit_to(config: Config, file: Path) -> Config:
    """The configuration with this file for the audit. Pure."""
    return config.model_copy(update={"audit": config.audit.model_copy(update={"file": file})})


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


def command_environment(
    environ: Mapping[str, str], config: Config, place: ClientPlacement, files: TrustFiles
) -> dict[str, str]:
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
    leading = {**base_urls(place, len(config.accounts) > 1), **credentials(environ, place, _CREDENTIAL_PREFIXES)}
    return {**kept, **leading, **interception_variables(kept, place, files)}
