"""Reports, snapshots and exports as things that take a while: asked for, in progress, done. No HTTP here."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from proxy.simulator.rows import as_csv, as_gzip_json, columns_of

STAGES = ("PENDING", "PROCESSING", "COMPLETED")


@dataclass(slots=True)
class Report:
    """One order. `polls_left` is how often it is still asked for before it is done; `owner` is whose it is.

    `request` is what was asked for, and decides on the columns; with `text` the rows are CSV and no gzip file.
    """

    report_id: str
    kind: str
    subject: str
    fingerprint: bytes
    polls: int
    polls_left: int
    created_at: float
    request: dict[str, Any] = field(default_factory=dict)
    owner: str = ""
    text: bool = False

    @property
    def done(self) -> bool:
        """Whether its rows can be fetched."""
        return self.polls_left <= 0

    @property
    def stage(self) -> str:
        """PENDING at first, COMPLETED at last, PROCESSING between."""
        if self.done:
            return STAGES[2]
        return STAGES[0] if self.polls_left == self.polls else STAGES[1]

    def rows(self) -> bytes:
        """The finished rows, the same each time."""
        return (as_csv if self.text else as_gzip_json)(columns_of(self.request))


class ReportDesk:
    """All orders, of every kind, by id."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self._numbers = 0

    def order(self, kind: str, subject: str, fingerprint: bytes, polls: int, now: float) -> Report:
        """Takes an order; `subject` is what it is about, such as a record type."""
        report = Report(self._new_id(kind), kind, subject, fingerprint, polls, polls, now)
        self.reports[report.report_id] = report
        return report

    def duplicate_of(self, kind: str, fingerprint: bytes) -> Report | None:
        """The unfinished order that asks for the very same."""
        same = (r for r in self.reports.values() if r.kind == kind and r.fingerprint == fingerprint and not r.done)
        return next(same, None)

    def ask(self, report_id: str) -> Report | None:
        """One look at an order, which brings it on by one step."""
        report = self.reports.get(report_id)
        if report is not None and report.polls_left > 0:
            report.polls_left -= 1
        return report

    def finished(self, kind: str, report_id: str) -> Report:
        """An order of long ago, for ids that nobody here ordered."""
        return Report(report_id, kind, "campaigns", b"", 0, 0, 0.0)

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        if kind in ("v2", "snapshot"):
            return f"amzn1.clicksAPI.v1.p1.{self._numbers:08X}.{uuid.uuid4()}"
        return str(uuid.uuid4())
