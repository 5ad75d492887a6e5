"""`report`: Print a named report; add one to the file, or remove it.

`report NAME` is short for `report show NAME`.

Example: ads-proxy report add spCampaigns --at 06:00 --config proxy.yaml
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from proxy.commands.cli_options import ConfigOption, DryRunOption, EnvFileOption
from proxy.commands.completion import account_names, preset_names, report_names
from proxy.commands.consoles import progress_line
from proxy.commands.kept_reports import check_name, configured_reports
from proxy.commands.terminal import FAILED, OK, complain, tell
from proxy.config import environment
from proxy.errors import ConfigurationError
from proxy.reports.overview import ShownState, look_at
from proxy.reports.requested import ReadForm
from proxy.reports.responses import content_of
from proxy.reports.store import ReportFolderError, RunResult
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.reports.overview import NamedReports, ReportOverview
    from proxy.reports.store import OpenResult

INTERVAL = 1.0
"""Seconds between two looks at the folder."""
TAKEN_WITHIN = 30.0
"""Seconds after which a proxy that runs has taken a request for a run, or goes on with one that a stop cut off."""


class ReportCommands(TyperGroup):
    """Takes what is no command as the name of a report to show."""

    default_command = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        name = self.commands[self.default_command].params[0]
        return [*super().shell_complete(ctx, incomplete), *name.shell_complete(ctx, incomplete)]


app = typer.Typer(cls=ReportCommands, no_args_is_help=True, add_completion=False)


@app.command("add")
def add(  # noqa: PLR0913 - each is an option of the command
    preset: Annotated[
        str,
        typer.Argument(metavar="PRESET", help="A report type, such as spCampaigns.", autocompletion=preset_names),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="The report's name. Default: from PRESET.")] = "",
    account: Annotated[
        str, typer.Option(metavar="NAME", help="Its account. Default: the only one.", autocompletion=account_names)
    ] = "",
    profile: Annotated[list[str] | None, typer.Option(metavar="ID", help="A profile. Default: all.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column. Default: the preset's usual ones.")
    ] = None,
    time_unit: Annotated[
        Literal["daily", "summary"] | None,
        typer.Option(help="A row for each day, or one for the whole time. Default: daily."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=95, help="How many days it covers, up to yesterday.")] = 30,
    at: Annotated[
        str, typer.Option(metavar="HH:MM", help="When it runs, in each profile's time zone. Default: 06:00.")
    ] = "",
    every: Annotated[str, typer.Option(metavar="INTERVAL", help="How often it runs instead, such as 6h.")] = "",
    keep_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Where results are kept, if the file has no reports.keep.")
    ] = "",
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Add a named report to the configuration file.

    A running proxy orders it within seconds, and then on its schedule. Nothing else in the file changes. --dry-run
    prints the difference and writes nothing.

    Example: ads-proxy report add spCampaigns --name sp-daily --days 30 --at 06:00 --config proxy.yaml
    """
    from proxy.commands.configuration_file import ConfigurationFile
    from proxy.commands.new_report import NewReport, add_report

    file = ConfigurationFile.open("report add", config, environment(env_file))
    wanted = NewReport(
        preset,
        name=name,
        account=account,
        profiles=tuple(profile or ()),
        columns=tuple(column or ()),
        time_unit=time_unit or "",
        days=days,
        at=at,
        every=every,
        keep=keep_dir,
    )
    return add_report(file, wanted, dry_run)


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The report's name.", autocompletion=report_names)],
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Remove a named report from the configuration file.

    The comment lines directly above it go, too. Nothing else in the file changes. A running proxy removes its results.

    Example: ads-proxy report remove sp-daily --config proxy.yaml
    """
    from proxy.commands.configuration_file import ConfigurationFile
    from proxy.commands.new_report import remove_report

    return remove_report(ConfigurationFile.open("report remove", config, environment(env_file)), name, dry_run)


@app.command("show")
def show(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="The report.", autocompletion=report_names)],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Ask for a run, and wait for its result.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the orders of a run; send none.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Print a named report.

    It prints the newest complete result as CSV, from the folder `reports.keep.dir` of the configuration. With --wait it
    asks the running proxy for a run, unless one is under way, and prints the result of that. With --dry-run it lists
    the profiles at Amazon and prints the orders of a run, one JSON object a line, without sending them.

    Example: ads-proxy report show sp-daily --json --config proxy.yaml
    """
    if as_csv and as_json:
        raise ConfigurationError(("--csv and --json: give one of them",))
    if dry_run and (wait or as_csv or as_json):
        raise ConfigurationError(("--dry-run: prints orders; leave out --wait, --csv and --json",))
    loaded, named = configured_reports(config, env_file)
    check_name(named, name)
    if dry_run:
        from proxy.commands.planned_orders import print_orders

        return print_orders(loaded, name)
    try:
        if wait:
            problem = NextResult(named, name).wait()
            if problem:
                complain(problem)
                return FAILED
        return print_report(named, name, ReadForm.JSON if as_json else ReadForm.CSV)
    except ReportFolderError as error:
        complain(str(error))
        return FAILED


def print_report(reports: NamedReports, name: str, form: ReadForm) -> int:
    """Print the newest complete result; 1 without one. Raises `ReportFolderError`."""
    opened = reports.open(name, form.stored)
    if opened is None:
        waits_for = look_at(reports, name, time.time()).waits_for
        complain(f"{name}: no complete result yet. {waits_for}".rstrip())
        return FAILED
    with opened.file:
        _print(opened, form)
    if opened.result.stale:
        stale = ", ".join(opened.result.stale)
        tell(f"note: rows of these profiles are older, because their last order failed: {stale}")
    return OK


def _print(opened: OpenResult, form: ReadForm) -> None:
    """Onto standard output; a reader such as `head` may stop reading."""
    try:
        for piece in content_of(opened, form):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (EOFError, OSError, zlib.error) as error:
        raise ReportFolderError(f"{opened.file.name} cannot be read: {error}; run the report again.") from None


@dataclass(slots=True)
class NextResult:
    """Waits for a result that is newer than the present one. `clock` is wall-clock time."""

    reports: NamedReports
    name: str
    clock: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep
    _had_at: float = field(default=0.0, init=False)
    """When a proxy was seen to have the run, or the wait began."""

    def wait(self) -> str:
        """The problem, if there is none to be had; else empty. Raises `ReportFolderError`."""
        self._had_at = self.clock()
        overview = self._look()
        if not overview.is_under_way:
            self.reports.folder.ask_for_run(self.name)
        last = _last_run(overview)
        with progress_line() as show:
            while _last_run(overview := self._look()) in ("", last):
                if problem := self._problem(overview):
                    return problem
                show(f"{self.name}: {step_of(overview)}")
                self.pause(INTERVAL)
        if overview.history[0].result is RunResult.FAILURE:
            return f"{self.name}: the run failed. {' '.join(overview.history[0].errors)}".rstrip()
        return ""

    def _look(self) -> ReportOverview:
        return look_at(self.reports, self.name, self.clock())

    def _problem(self, overview: ReportOverview) -> str:
        """Why no run will end."""
        if overview.is_running and self.reports.folder.is_kept(self.name):
            self._had_at = self.clock()
        if self.clock() - self._had_at <= TAKEN_WITHIN:
            return ""
        if overview.state is not ShownState.ASKED:
            return (
                f"{self.name}: the run was cut off, and no proxy continued it within {TAKEN_WITHIN:g} s; "
                "start one with this configuration, or ask again if one runs."
            )
        why = overview.status.waits_for if overview.status is not None else ""
        what = (
            f"no run began within {TAKEN_WITHIN:g} s. {why} If no proxy runs,"
            if why
            else f"no running proxy took the request within {TAKEN_WITHIN:g} s;"
        )
        return f"{self.name}: {what} start one with this configuration. It will begin the run then."


def step_of(overview: ReportOverview) -> str:
    """How far the run is, as Amazon calls it: orders that it has taken, then reports that are here. Pure."""
    counts = overview.status.progress if overview.status is not None else None
    if not overview.is_running or counts is None or not counts.orders:
        return overview.state.value.upper()
    if counts.ordered < counts.orders:
        return f"ORDERING, {counts.ordered} of {counts.orders}"
    return f"PROCESSING, {counts.downloaded} of {counts.orders}"


def _last_run(overview: ReportOverview) -> str:
    return overview.history[0].run if overview.history else ""
