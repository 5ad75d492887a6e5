"""`env`: Print the variables for clients of the running proxy.

Clients with Amazon's own addresses then need no change. The variables are those of `ads-proxy run`, as lines for a
shell: eval "$(ads-proxy env)". The files of authorities that they name are written again.

Example: ads-proxy env --config proxy.yaml --client reporting --key-file reporting.key
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.addresses import at_addresses
from proxy.commands.cli_options import ConfigOption, EnvFileOption, ListenOption
from proxy.commands.client_variables import ClientPlacement, base_urls, credentials, interception_variables, losses
from proxy.commands.completion import client_names
from proxy.commands.keys import find_client
from proxy.commands.run import AccountOption, chosen_account
from proxy.commands.terminal import OK, say, tell
from proxy.commands.trust_files import write_trust_files
from proxy.config import environment, load
from proxy.errors import ConfigurationError, StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config import Config
    from proxy.intercept.authority import Authority

_CREDENTIAL_PREFIXES = ("AMAZON_AD_API_",)
"""Without AMAZON_ADS_: the proxy's own commands, in the same shell, would take those for an account."""


def env(  # noqa: PLR0913 - each is an option of the command
    client: Annotated[
        str, typer.Option(metavar="NAME", help="The client that calls.", autocompletion=client_names)
    ] = "",
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The client's key.")] = None,
    account: AccountOption = "",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where the files of authorities go. Default: intercept.ca_dir."),
    ] = None,
    listen: ListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    try:
        environ = environment(env_file)
        loaded = load(config, at_addresses(environ, listen=listen))
        ca_dir = authority_folder(loaded)
        place = find_placement(loaded, account, client, read_key(client, key_file))
        for note in notes_on(loaded, client):
            tell(f"ads-proxy: env: {note}")
        files = write_trust_files((folder or ca_dir).absolute(), read_authority(ca_dir), environ)
        variables = {
            **base_urls(place, len(loaded.accounts) > 1),
            **credentials(environ, place, _CREDENTIAL_PREFIXES),
            **interception_variables(environ, place, files),
        }
        for note in losses(environ, variables):
            tell(f"ads-proxy: env: {note}")
        say("\n".join(export_lines(variables)))
    except StartupError:
        say("false")  # `eval` of nothing succeeds, and a script would go on without the proxy
        raise
    return OK


def export_lines(variables: Mapping[str, str]) -> list[str]:
    """The variables as lines of a POSIX shell. Pure."""
    return [f"export {name}={_quoted(value)}" for name, value in variables.items()]


def _quoted(value: str) -> str:
    """A value between single quotes, in which a shell changes nothing."""
    return "'" + value.replace("'", "'\\''") + "'"


def authority_folder(config: Config) -> Path:
    """The directory of the running proxy's authority. Raises `ConfigurationError` without interception. Pure."""
    if not config.intercept.enabled or config.authority_folder is None:
        raise ConfigurationError(
            (
                "intercept.enabled: is false, so clients cannot call Amazon's own addresses through the proxy; add "
                "`intercept: {enabled: true}` to the configuration and restart the proxy",
            )
        )
    return config.authority_folder


def notes_on(config: Config, client: str) -> list[str]:
    """What some clients cannot do with the variables, in sentences. Pure."""
    found = []
    if config.clients and not client:
        found.append("the proxy asks its clients for a key; add --client NAME and --key-file FILE.")
    if config.tls is not None:
        found.append(
            "the client listener has TLS, and aiohttp, urllib, Java and others cannot use TLS to a proxy; "
            "docs/reference/client-variables.md says which clients can."
        )
    return found


def read_key(client: str, file: Path | None) -> str:
    """The key in a file, without spaces around it; empty without a file. Raises `ConfigurationError`."""
    if client and file is None:
        raise ConfigurationError(("--client: the proxy identifies a client by its key; add --key-file FILE",))
    if file is None:
        return ""
    if not client:
        raise ConfigurationError(("--key-file: whose key is it? Add --client NAME",))
    return read_key_file(file)


def read_key_file(file: Path) -> str:
    """The key in a file, without spaces around it. Raises `ConfigurationError`."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not a text in UTF-8"
        raise ConfigurationError((f"--key-file: {file}: {why}",)) from None


def find_placement(config: Config, account: str, client: str, key: str) -> ClientPlacement:
    """Where the running proxy is for its clients, and as whom they call. Raises `ConfigurationError`. Pure."""
    if client:
        known = config.clients[find_client("--client", config, client)]
        if hashlib.sha256(key.encode()).hexdigest() not in [each.sha256 for each in known.all_keys]:
            raise ConfigurationError((f"--key-file: holds no key of client {client}; see `ads-proxy keys list`",))
    address = config.listen.reachable
    if not address.port:
        raise ConfigurationError(("listen: the system chose the port; add --listen HOST:PORT",))
    url = f"{'https' if config.tls else 'http'}://{address}"
    return ClientPlacement(url, chosen_account(config, account), client, key)


def read_authority(folder: Path) -> Authority:
    """The running proxy's authority. Raises `StartupError` where it was not made yet, or cannot be used."""
    from proxy.intercept.authority import CERTIFICATE_FILE, Authority

    try:
        found = Authority.read(folder)
    except OSError as error:
        raise StartupError(f"env: {error.filename or folder}: {error.strerror}; run this as the proxy's user") from None
    if found is None:
        raise StartupError(f"env: {folder / CERTIFICATE_FILE} is missing; start or restart the proxy, which makes it")
    return found
