"""The command line of those who begin: names, options and help of `init`, `config-reference` and `run`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.errors import ConfigurationError

account_app = typer.Typer(no_args_is_help=True, help="Accounts of a configuration file.")
AFTER_DASHES = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class HomeRegion(StrEnum):
    """Amazon's regions."""

    na = "na"
    eu = "eu"
    fe = "fe"


def run(  # noqa: PLR0913 - each is an option of the command
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND [ARGUMENTS]", help="The command.", show_default=False)
    ] = None,
    account: Annotated[str, typer.Option(metavar="NAME", help="The account or route, where there are several.")] = "",
    client: Annotated[
        str, typer.Option(metavar="NAME", help="The client that the command is, with what that may do.")
    ] = "",
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the command connects. Default: any free port.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the log goes. Default: warnings, on standard error.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds within which an account must be able to serve.")] = 30,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Run a command with the proxy beside it, for as long as it takes; the exit code is the command's.

    The command finds the proxy by AMAZON_ADS_API_URL, AMAZON_ADS_TOKEN_URL and AMAZON_ADS_MCP_URL. It gets placeholders
    for the credentials that tools insist on, and none of Amazon's.
    """
    from proxy.commands.run import RunRequest
    from proxy.commands.run import run as begin
    from proxy.config import environment

    asked = RunRequest(tuple(command or ()), config, listen, client, account, log, timeout)
    raise typer.Exit(begin(asked, environment(env_file)))


def init(  # noqa: PLR0913 - each is an option of the command
    directory: Annotated[
        Path, typer.Argument(metavar="[DIRECTORY]", help="Where proxy.yaml and secrets/ are written.")
    ] = Path(),
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the account is called. Default: main.")
    ] = None,
    region: Annotated[HomeRegion | None, typer.Option(help="Its home region. Default: na.")] = None,
    client_id: Annotated[str | None, typer.Option(metavar="ID", help="The application's client id.")] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the application's client secret.")
    ] = None,
    refresh_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds a refresh token, where there is one.")
    ] = None,
    client: Annotated[str | None, typer.Option(metavar="NAME", help="Make a key for a client of this name.")] = None,
    profiles: Annotated[
        str | None, typer.Option(metavar="IDS", help="With --client: the only profiles that it may use, with commas.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for what is not given; on a terminal alone.")] = True,
) -> None:
    """Write a commented configuration, and files for the secrets that only you can read. Nothing is overwritten.

    Asks for what is not given. In a script: --client-id and --client-secret-file are enough.
    """
    from proxy.commands.init import CONFIG, SECRETS, refuse_used
    from proxy.commands.init import init as write
    from proxy.commands.questions import Given, answer_all

    refuse_used(directory, CONFIG, f"{SECRETS}/admin-key")
    home = region and region.value
    given = Given(client_id, account, home, client, client_secret_file, refresh_token_file, profiles)
    raise typer.Exit(write(directory, answer_all(given, asks=ask and sys.stdin.isatty())))


@account_app.command("add")
def account_add(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the account is called.")],
    region: Annotated[HomeRegion | None, typer.Option(help="Its home region. Default: that of the others.")] = None,
    client_id: Annotated[str | None, typer.Option(metavar="ID", help="The application's client id.")] = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file that holds its client secret, for an application that is new here."),
    ] = None,
    refresh_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds a refresh token, where there is one.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for what is not given; on a terminal alone.")] = True,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Add an account to the configuration file, with files for its secrets. Nothing else in the file changes.

    Asks for what is not given. An application that another account uses needs no secret a second time.
    """
    from proxy.commands.account_add import add_account
    from proxy.commands.questions import Given
    from proxy.config import config_path, environment

    environ = environment(env_file)
    path = config_path(config, environ)
    if path is None:
        raise ConfigurationError(
            ("account add: name the configuration with --config FILE; `ads-proxy init` writes a first one",)
        )
    home = region and region.value
    given = Given(client_id, name, home, None, client_secret_file, refresh_token_file)
    raise typer.Exit(add_account(path, environ, given, asks=ask and sys.stdin.isatty()))


def config_reference() -> None:
    """Print every key of the configuration as commented YAML, each with its meaning and its default."""
    from proxy.commands.config_reference import print_reference

    raise typer.Exit(print_reference())
