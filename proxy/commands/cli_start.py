"""The command line of those who begin: names, options and help of `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption

AFTER_DASHES = {"ignore_unknown_options": True, "allow_interspersed_args": False}


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

    The command finds the proxy by AMAZON_ADS_API_URL, AMAZON_ADS_TOKEN_URL and AMAZON_ADS_MCP_URL. It gets stand-ins
    for the credentials that tools insist on, and none of Amazon's.
    """
    from proxy.commands.run import RunRequest
    from proxy.commands.run import run as begin
    from proxy.config import environment

    asked = RunRequest(tuple(command or ()), config, listen, client, account, log, timeout)
    raise typer.Exit(begin(asked, environment(env_file)))
