"""`reports`: List the named reports and what became of them.

It reads the folder `reports.keep.dir` of the configuration. Stale profiles are those whose last order failed: their
rows are older. The exit code is 1 if a report has no result.

Example: ads-proxy reports --config proxy.yaml
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.consoles import answers, plain_table
from proxy.commands.kept_reports import configured_reports
from proxy.commands.status import span
from proxy.commands.terminal import FAILED, OK, printable, say
from proxy.reports.overview import ShownState, look_at_all
from proxy.reports.responses import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.reports.overview import ReportOverview

COLUMNS = ("report", "account", "state", "age", "rows", "next run", "stale profiles")
_STYLES = {ShownState.IDLE: "green", ShownState.NEW: "red"}
_MAX_STALE = 5


def reports(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    _, named = configured_reports(config, env_file)
    now = time.time()
    found = look_at_all(named, named.accounts, now)
    if as_json:
        say(json.dumps([describe(each) for each in found], indent=2))
    else:
        print_table(found, now)
    return OK if all(each.result is not None for each in found) else FAILED


def print_table(found: Sequence[ReportOverview], now: float) -> None:
    """One row for each report, and below the table what those without a result wait for."""
    table = plain_table(*COLUMNS, unbroken=("report",))
    for each in found:
        more = f" and {len(each.stale) - _MAX_STALE} more" if len(each.stale) > _MAX_STALE else ""
        table.add_row(
            each.name,
            each.account,
            Text(each.state.value, _STYLES.get(each.state, "yellow")),
            span(each.age),
            "-" if each.rows is None else str(each.rows),
            "-" if each.next_run is None else f"in {span(each.next_run - now)}" if each.next_run > now else "now",
            ", ".join(each.stale[:_MAX_STALE]) + more or "-",
        )
    console = answers()
    console.print(table)
    for each in found:
        if each.waits_for:
            console.print(Text(f"{each.name}: {printable(each.waits_for)}"))
