"""What becomes of each named report, for those who look: the list for clients, the console and `ads-proxy reports`.

Reads the folder, and so blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.reports.store import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.reports.store import ReportFolder, Result, Run, RunnerStatus


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


def look_at(folder: ReportFolder, name: str, account: str, now: float) -> ReportOverview:
    """A report of this account; `now` is wall-clock time. A result of another account is none of its."""
    status, result = folder.status(name), folder.result(name)
    if result is not None and result.account != account:
        result = None
    age = None if result is None else max(0.0, now - result.completed_at)
    return ReportOverview(name, account, _state(folder, name, status), result, status, age)


def look_at_all(folder: ReportFolder, accounts: Mapping[str, str], now: float) -> tuple[ReportOverview, ...]:
    """The reports of `accounts`, which leads from a report's name to its account, by name."""
    return tuple(look_at(folder, name, accounts[name], now) for name in sorted(accounts))


def _state(folder: ReportFolder, name: str, status: RunnerStatus | None) -> ShownState:
    if status is not None and status.state is State.RUNNING:
        return ShownState.RUNNING
    if folder.run_is_asked_for(name):
        return ShownState.ASKED
    return ShownState.NEW if status is None else ShownState.IDLE
