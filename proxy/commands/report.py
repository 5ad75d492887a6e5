"""`report`: Print a named report.

It prints the newest complete result as CSV, from the folder `reports.keep.dir` of the configuration. With --wait it
asks the running proxy for a run, unless one is under way, and prints the result of that. With --dry-run it lists the
profiles at Amazon and prints the orders of a run, one JSON object a line, without sending them.

Example: ads-proxy report sp-daily --json --config proxy.yaml
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.completion import report_names
from proxy.commands.consoles import progress_line
from proxy.commands.kept_reports import check_name, configured_reports
from proxy.commands.terminal import FAILED, OK, complain, tell
from proxy.errors import ConfigurationError
from proxy.reports.overview import ShownState, look_at
from proxy.reports.requested import ReadForm
from proxy.reports.responses import content_of
from proxy.reports.store import ReportFolderError, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.reports.overview import NamedReports, ReportOverview
    from proxy.reports.store import OpenResult

INTERVAL = 1.0
"""Seconds between two looks at the folder."""
TAKEN_WITHIN = 30.0
"""Seconds after which a proxy that runs has taken a request for a run, or goes on with one that a stop cut off."""


def report(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="The report.", autocompletion=report_names)],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Ask for a run, and wait for its result.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the orders of a run; send none.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
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


@dataclass
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
