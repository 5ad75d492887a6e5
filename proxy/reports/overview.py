"""What becomes of each named report, for those who look: the list for clients, the console and `ads-proxy reports`.

Reads the folder, and so blocks.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.reports.store import RESULTS, OpenResult, State
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.reports.store import Form, ReportFolder, Result, Run, RunnerStatus


class ShownState(StrEnum):
    """What a report does now, in one word."""

    IDLE = "idle"
    ASKED = "asked"
    """A run was asked for, and has not begun."""
    RUNNING = "running"
    NEW = "new"
    """No proxy has begun to run it."""


@dataclass(frozen=True, slots=True)
class ReportOverview:
    """One report at a moment. `result` is None where there is none of the configured account; `age` is in seconds."""

    name: str
    account: str
    state: ShownState
    result: Result | None
    status: RunnerStatus | None
    age: float | None

    @property
    def rows(self) -> int | None:
        return self.result.rows if self.result is not None else None

    @property
    def stale(self) -> tuple[str, ...]:
        """The profiles whose last order failed."""
        return self.result.stale if self.result is not None else ()

    @property
    def next_run(self) -> float | None:
        return self.status.next_run if self.status is not None else None

    @property
    def history(self) -> tuple[Run, ...]:
        """The newest run first."""
        return self.status.history if self.status is not None else ()

    @property
    def is_running(self) -> bool:
        return self.state is ShownState.RUNNING

    @property
    def is_under_way(self) -> bool:
        """Whether a newer result is being made."""
        return self.state in (ShownState.ASKED, ShownState.RUNNING)

    @property
    def waits_for(self) -> str:
        """What comes before the next result, as a sentence."""
        if self.state is ShownState.NEW:
            return "No proxy with this configuration has begun it: start or reload one."
        said = self.status.waits_for if self.status is not None else ""
        if self.state is ShownState.RUNNING:
            progress = self.status.progress if self.status is not None else None
            count = f"{progress.downloaded} of {progress.orders} orders are here." if progress is not None else ""
            return " ".join(filter(None, (said, count)))
        return said or ("Its run begins within seconds." if self.state is ShownState.ASKED else "")


@dataclass(frozen=True, slots=True)
class NamedReports:
    """The named reports of a configuration. `accounts` leads from each name to its account; `reuse_for` is in
    seconds."""

    folder: ReportFolder
    accounts: Mapping[str, str]
    reuse_for: float
    _known: dict[str, tuple[tuple[int, int], Result]] = field(default_factory=dict, repr=False, compare=False)

    def newest(self, name: str) -> Result | None:
        """The newest result, None where it is of another account than the configured one. It is read again only when
        another one is published: with thousands of profiles that takes 20 ms."""
        version, known = self.folder.version(name), self._known.get(name)
        if version is None:
            return None
        if known is None or known[0] != version:
            result = self.folder.result(name)
            if result is None:
                return None  # not remembered: that it cannot be read may be over in a moment
            known = self._known[name] = version, result
        return known[1] if known[1].account == self.accounts[name] else None

    def open(self, name: str, form: Form) -> OpenResult | None:
        """The newest result with its rows, as `newest`. Raises `ReportFolderError` where they cannot be read."""
        result = self.newest(name)
        if result is None:
            return None
        try:
            return OpenResult(result, (self.folder.path(name) / RESULTS / result.files[form].name).open("rb"))
        except OSError:
            opened = self.folder.open(name, form)  # the next one was published meanwhile; or it says what is wrong
        if opened is not None and opened.result.account != self.accounts[name]:
            opened.file.close()
            return None
        return opened


def look_at(reports: NamedReports, name: str, now: float) -> ReportOverview:
    """A report; `now` is wall-clock time."""
    status, result = reports.folder.status(name), reports.newest(name)
    age = None if result is None else max(0.0, now - result.completed_at)
    return ReportOverview(name, reports.accounts[name], _state(reports.folder, name, status), result, status, age)


def look_at_all(reports: NamedReports, names: Iterable[str], now: float) -> tuple[ReportOverview, ...]:
    """Several reports, by name."""
    return tuple(look_at(reports, name, now) for name in sorted(names))


def _state(folder: ReportFolder, name: str, status: RunnerStatus | None) -> ShownState:
    if status is not None and status.state is State.RUNNING:
        return ShownState.RUNNING
    if folder.run_is_asked_for(name):
        return ShownState.ASKED
    return ShownState.NEW if status is None else ShownState.IDLE
