"""The command line of those who watch a running program: names, options and help of `status`."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.commands.cli_options import ConfigOption


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print what the admin listener answers, as JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show how the running proxy is: accounts, tokens, consents, profiles, what Amazon limits, the last refusals.

    It asks the admin listener. Exit code 1 where that does not answer, or an account cannot serve.
    """
    from proxy.commands.status import print_status
    from proxy.config import admin_address, admin_key, environment

    environ = environment()
    raise typer.Exit(print_status(admin_address(config, environ), admin_key(config, environ), as_json=as_json))
