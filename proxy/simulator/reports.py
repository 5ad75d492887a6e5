"""Reports, snapshots and exports as things that take a while: asked for, in progress, done. No HTTP here."""

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

STAGES = ("PENDING", "PROCESSING", "COMPLETED")


@dataclass(slots=True)
class Report:
    """One order. `polls_left` is how often it is still asked for before it is done; `owner` is its owner.

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


class ReportStore:
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
        """An order of long ago, for unknown ids."""
        return Report(report_id, kind, "campaigns", b"", 0, 0, 0.0)

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        if kind in ("v2", "snapshot"):
            return f"amzn1.clicksAPI.v1.p1.{self._numbers:08X}.{uuid.uuid4()}"
        return str(uuid.uuid4())


# --- The rows of a report --------------------------------------------------------------------------------

COUNT = 50
USUAL = ("campaignId", "impressions", "clicks", "cost")
"""The columns of a report without a list of columns."""

FIRST_DAY = date(2025, 1, 1)


def columns_of(order: dict[str, Any]) -> tuple[str, ...]:
    """What an order asks for: v3 `configuration.columns`, v2 `metrics` by commas, v1 `query.fields`, DSP lists."""
    configuration, query = order.get("configuration"), order.get("query")
    found: list[Any] = []
    if isinstance(configuration, dict):
        found = configuration.get("columns") or []
    elif isinstance(query, dict):
        found = query.get("fields") or []
    else:
        for name in ("dimensions", "metrics"):
            given = order.get(name) or []
            found += given.split(",") if isinstance(given, str) else given
    return tuple(dict.fromkeys(str(column).strip() for column in found)) or USUAL


def cell(column: str, number: int) -> Any:
    """The value of a column in a row; the kind of value follows from the column's name."""
    name = column.rpartition(".")[2].lower()
    if name.endswith("id"):
        return str(10_000 + number)
    if "date" in name:
        return (FIRST_DAY + timedelta(days=number)).isoformat()
    if name.endswith(("name", "status", "type", "code", "term", "keyword", "sku", "asin", "unit")):
        return f"{column} {number}"
    if name == "impressions":
        return 1000 + 7 * number
    if name == "clicks" or name.startswith(("purchases", "units", "orders")):
        return 10 + number
    return round(1.5 * number, 2)


def table(columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """All rows."""
    return [{column: cell(column, number) for column in columns} for number in range(COUNT)]


def as_gzip_json(columns: tuple[str, ...]) -> bytes:
    """A gzip file of a JSON array."""
    return gzip.compress(json.dumps(table(columns)).encode(), mtime=0)


def as_csv(columns: tuple[str, ...]) -> bytes:
    """Lines with commas between the cells, the columns' names first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(table(columns))
    return text.getvalue().encode()
