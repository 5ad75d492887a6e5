"""The command line of those who watch a running program: names, options and help of `status`, `logs` and `notify`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.addresses import at_addresses
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption


class LogLevel(StrEnum):
    """How loud a line of the log is."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print what the admin listener answers, as JSON.")] = False,
    account: Annotated[str, typer.Option(metavar="NAME", help="Show this account alone.")] = "",
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Show how the running proxy is: accounts, tokens, consents, profiles, what Amazon limits, the last refusals.

    It asks the admin listener. Exit code 1 where that does not answer, or an account cannot serve.
    """
    from proxy.commands.status import print_status
    from proxy.config import admin_address, admin_key, environment

    environ = at_addresses(environment(env_file), admin_listen=admin_listen)
    admin, key = admin_address(config, environ), admin_key(config, environ)
    raise typer.Exit(print_status(admin, key, as_json=as_json, account=account))


def logs(  # noqa: PLR0913 - each is an option of the command
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The log. Default: standard input.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    last: Annotated[
        int | None,
        typer.Option("--last", "-n", min=1, metavar="LINES", help="Begin so many lines before the end of FILE."),
    ] = None,
    client: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this client's.")] = None,
    account: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only what is about this account.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="Only requests answered so: 404, 4xx or 500-504.")
    ] = None,
    operation: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only these operations, such as '*Campaigns'.")
    ] = None,
    level: Annotated[LogLevel, typer.Option(help="Only what is at least so loud.")] = LogLevel.debug,
    day: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="Only this day's, in UTC: 2026-11-24, today or yesterday."),
    ] = None,
) -> None:
    """Show the proxy's log, written as JSON, so that people can read it; FILE may be followed, also across rotation.

    Filters of one kind add up, those of several kinds narrow down. They may be given several times.
    """
    from proxy.commands.logs import LogFilter, parse_all, parse_day, print_logs

    if follow and file is None:
        raise typer.BadParameter("needs FILE; standard input is followed anyway", param_hint="--follow")
    try:
        statuses = parse_all(status or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--status") from None
    try:
        days = tuple(parse_day(text, datetime.now(UTC).date()) for text in day or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--day") from None
    wanted = LogFilter(tuple(client or ()), tuple(account or ()), statuses, tuple(operation or ()), level.value, days)
    raise typer.Exit(print_logs(file, wanted, follow=follow, last=last))


def notify(config: ConfigOption = None, env_file: EnvFileOption = None) -> None:
    """Send a test notice to the webhook and the command of `notify`, and say whether it arrived."""
    from proxy.commands.notify import send_test
    from proxy.config import environment, load

    raise typer.Exit(send_test(load(config, environment(env_file))))
