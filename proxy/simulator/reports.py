"""Reports, snapshots and exports as things that take a while: ordered, in a queue, done. No HTTP here."""

from __future__ import annotations

import json
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, get_args

from proxy.simulator.limits import Caller
from proxy.simulator.report_orders import day_of
from proxy.simulator.report_rows import JoinedRows, RowPlan, Rows, as_csv, as_json, columns_of, gzipped, is_daily

if TYPE_CHECKING:
    from proxy.simulator.settings import SimulatorSettings

Clock = Callable[[], float]
Result = Literal["created", "duplicate", "throttled", "refused"]
Outcome = Literal["failed", "stalled", "truncated", "damaged"]

QUEUED = ("v3", "unified")
"""The kinds of reports that share Amazon's queue."""

EXACT_ROWS = 20_000
"""Up to so many rows, the size of a file is told; a larger one is made while it is fetched."""

LONGEST_WINDOW = 731
FAILURE = "Report generation failed."


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered: a report of a `kind` (v3, unified, v2, snapshot, dsp, export, amc) by whom and where.

    `subject` is the report type, or what else it is about. With `text` it is CSV, not a gzip file. `countries` are the
    countries and advertisers of a unified report, which has rows of each.
    """

    kind: str
    subject: str
    request: dict[str, Any]
    caller: Caller
    region: str
    text: bool = False
    parts: int = 1
    countries: tuple[tuple[str, str], ...] | None = None

    @property
    def advertiser(self) -> str:
        """The profile or ads account; of a unified report, those that its body names, which `request` then has."""
        named = self.request.get("accounts")
        return self.caller.account or self.caller.scope or (",".join(named) if isinstance(named, list) else "")

    @property
    def queue(self) -> tuple[str, str]:
        """Which queue it joins."""
        return self.region, self.caller.client_id

    def identity(self, *, units_collide: bool) -> bytes:
        """What makes another order a duplicate: all but the name; with `units_collide` the time unit does not count."""
        wanted = {name: value for name, value in self.request.items() if name != "name"}
        ignored = OF_UNITS if units_collide else ()
        if isinstance(wanted.get("configuration"), dict):
            members = wanted["configuration"].items()
            wanted["configuration"] = {
                name: _compared(value, ignored) for name, value in members if name not in ignored
            }
        who = (self.kind, self.region, self.caller.user, self.caller.client_id, self.caller.scope, self.caller.account)
        return json.dumps([who, wanted], sort_keys=True).encode()


OF_UNITS = ("timeUnit", "date", "startDate", "endDate")
"""The member and the columns in which orders with another time unit differ."""


def _compared(value: Any, ignored: tuple[str, ...]) -> Any:
    """A list of texts in any order, and without those that do not count."""
    texts = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    return sorted(entry for entry in value if entry not in ignored) if texts else value


@dataclass(slots=True)
class PlannedOutcome:
    """What becomes of the next `left` reports (None: of all) whose `type`, `name` and `profile` meet these patterns."""

    outcome: Outcome
    patterns: dict[str, str] = field(default_factory=dict)
    reason: str = FAILURE
    left: int | None = 1
    happened: int = 0

    def meets(self, order: Order) -> bool:
        """Whether it is for this order."""
        name = str(order.request.get("name") or "")
        values = {"type": order.subject, "name": name, "profile": order.advertiser}
        return self.left != 0 and all(fnmatchcase(values[name], pattern) for name, pattern in self.patterns.items())


@dataclass(slots=True)
class Report:
    """One report. `ordered_at` is a time of `clock`, `ordered_on` one of the calendar, in seconds.

    It is PENDING for `pending` seconds, then PROCESSING for `processing`; if both are 0, each of `polls` polls brings
    it on by one step. `entities` is how many campaigns (or keywords, products) it has.
    """

    report_id: str
    order: Order
    clock: Clock
    ordered_at: float
    ordered_on: float
    polls: int = 0
    polls_left: int = 0
    pending: float = 0
    processing: float = 0
    entities: int = 50
    currency: str = "USD"
    fate: PlannedOutcome | None = None
    polled_done_at: float = 0
    _small: bytes | None = field(default=None, repr=False)

    @property
    def outcome(self) -> Outcome | None:
        """What was planned for it."""
        return self.fate.outcome if self.fate else None

    @property
    def finished_at(self) -> float | None:
        """When it was completed or failed, None if it is unfinished."""
        if self.outcome == "stalled":
            return None
        if not self.pending and not self.processing:
            return None if self.polls_left > 0 else self.polled_done_at
        end = self.ordered_at + self.pending + self.processing
        return end if self.clock() >= end else None

    @property
    def stage(self) -> str:
        """PENDING, PROCESSING, then COMPLETED or FAILED."""
        if self.finished_at is not None:
            return "FAILED" if self.outcome == "failed" else "COMPLETED"
        timed = self.pending or self.processing
        begun = self.clock() >= self.ordered_at + self.pending if timed else self.polls_left < self.polls
        return "PROCESSING" if begun and self.outcome != "stalled" else "PENDING"

    @property
    def done(self) -> bool:
        """Whether its rows can be fetched."""
        return self.stage == "COMPLETED"

    @property
    def failure_reason(self) -> str | None:
        """Why it failed, if it did."""
        return self.fate.reason if self.fate and self.stage == "FAILED" else None

    @property
    def changed_on(self) -> float:
        """When its stage changed last, by the calendar."""
        if self.finished_at is not None:
            return self.ordered_on + self.finished_at - self.ordered_at
        return self.ordered_on + (self.pending if self.stage == "PROCESSING" else 0)

    def plan(self) -> Rows:
        """What its rows are made from."""
        plan = RowPlan(
            columns=columns_of(self.order.request),
            days=_days_of(self.order.request, self.ordered_on),
            daily=is_daily(self.order.request),
            entities=self.entities,
            advertiser=self.order.advertiser,
            ordered_at=self.ordered_on,
            currency=self.currency,
            text_ids=self.order.kind != "v3",
        )
        if self.order.countries is None:
            return plan
        found = (replace(plan, country=country, advertiser=who) for country, who in self.order.countries)
        return JoinedRows(plan.columns, tuple(found))

    def pieces(self, part: int = 0) -> Iterator[bytes]:
        """The bytes of one of its files, made while they are read."""
        plan = self.plan()
        size = -(-plan.rows // self.order.parts)
        first, last = part * size, min(plan.rows, (part + 1) * size)
        if self.order.text:
            return as_csv(plan, first, last)
        if self.outcome == "truncated":
            return _half(gzipped(as_json(plan, first, last)), plan.rows)
        return gzipped(as_json(plan, first, last), good=self.outcome != "damaged")

    def file(self, part: int = 0) -> bytes | None:
        """One of its files whole, None if it is too large for that."""
        if self.plan().rows > EXACT_ROWS:
            return None
        if self.order.parts > 1:
            return b"".join(self.pieces(part))
        if self._small is None:
            self._small = b"".join(self.pieces())
        return self._small

    def size(self, part: int = 0) -> int | None:
        """The bytes of a file, None if it is too large to know."""
        whole = self.file(part)
        return None if whole is None else len(whole)


def _half(pieces: Iterator[bytes], rows: int) -> Iterator[bytes]:
    """About the first half of a file."""
    if rows <= EXACT_ROWS:
        whole = b"".join(pieces)
        yield whole[: len(whole) // 2]
        return
    for number, piece in enumerate(pieces):
        yield piece
        if number == 1:
            return


def _days_of(request: dict[str, Any], ordered_on: float) -> tuple[date, ...]:
    """The days of an order: v3 from its members, v1 from its period; the day before it if it has none."""
    period = request
    if isinstance(request.get("periods"), list) and request["periods"] and isinstance(request["periods"][0], dict):
        period = request["periods"][0].get("datePeriod") or {}
    start, end = day_of(period.get("startDate")), day_of(period.get("endDate"))
    if start is None or end is None or end < start:
        return (datetime.fromtimestamp(ordered_on, UTC).date() - timedelta(days=1),)
    return tuple(start + timedelta(days=day) for day in range(min((end - start).days + 1, LONGEST_WINDOW)))


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an order, and the report that was made, or that it is a duplicate of."""

    result: Result
    report: Report | None = None


WHO = ("user", "client_id", "region", "profile", "account", "kind")
"""The values by which orders are counted."""


@dataclass(slots=True)
class OrderBook:
    """Every order that arrived: how many by who ordered and with which result, and the newest."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    newest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))

    def note(self, order: Order, result: Result, report_id: str | None, at: float) -> None:
        """Remembers an order."""
        caller = order.caller
        who = (caller.user, caller.client_id, order.region, caller.scope or "", caller.account or "", order.kind)
        self.counts[(*who, result)] += 1
        what = {"type": order.subject, "name": order.request.get("name"), "result": result}
        self.newest.append({**dict(zip(WHO, who, strict=True)), **what, "report_id": report_id, "at": at})

    def totals(self) -> dict[str, int]:
        """The orders by result."""
        return {
            result: sum(count for key, count in self.counts.items() if key[-1] == result) for result in get_args(Result)
        }

    def by_profile(self) -> list[dict[str, Any]]:
        """The orders by result, for each login, region, profile or account, and kind."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for (*who, result), count in self.counts.items():
            found.setdefault(tuple(who), dict(zip(WHO, who, strict=True)))[result] = count
        return list(found.values())


class ReportStore:
    """All reports, of every kind, by id; the queue of versions 3 and 1."""

    def __init__(self, now: Clock, today: Clock) -> None:
        self.reports: dict[str, Report] = {}
        self.deleted: set[str] = set()
        self.planned: list[PlannedOutcome] = []
        self.book = OrderBook()
        self._now, self._today = now, today
        self._latest: dict[bytes, Report] = {}
        self._queues: dict[tuple[str, str], list[Report]] = {}
        self._last_orders: dict[tuple[str, str], float] = {}
        self._numbers = 0

    def place(self, order: Order, settings: SimulatorSettings, currency: str = "USD") -> Placed:
        """Takes an order of a queued report, unless it is a duplicate (version 3 only) or one too many."""
        identity = order.identity(units_collide=settings.report_units_collide)
        earlier = self._duplicate_of(order, identity, settings)
        if earlier is not None:
            return self._note(order, Placed("duplicate", earlier))
        throttled = self._is_throttled(order, settings)
        if throttled and not settings.report_throttled_but_made:
            return self._note(order, Placed("throttled"))
        report = self.make(order, settings, currency)
        self._latest[identity] = report
        self._queues.setdefault(order.queue, []).append(report)
        self._last_orders[order.queue] = self._now()
        return self._note(order, Placed("throttled" if throttled else "created", report))

    def refuse(self, order: Order) -> None:
        """Notes an order that Amazon would not take."""
        self._note(order, Placed("refused"))

    def make(self, order: Order, settings: SimulatorSettings, currency: str = "USD") -> Report:
        """A report, whatever else is ordered."""
        queued = order.kind in QUEUED
        report = Report(
            report_id=self._new_id(order.kind),
            order=order,
            clock=self._now,
            ordered_at=self._now(),
            ordered_on=self._today(),
            polls=settings.report_polls,
            polls_left=settings.report_polls,
            polled_done_at=self._now(),
            pending=settings.report_pending if queued else 0,
            processing=settings.report_processing if queued else 0,
            entities=settings.report_rows,
            currency=currency,
            fate=self._fate(order) if queued else None,
        )
        self.reports[report.report_id] = report
        return report

    def ask(self, report_id: str) -> Report | None:
        """One look at a report, which brings it on by one step unless it advances with the time."""
        report = self.reports.get(report_id)
        if report is not None and report.polls_left > 0:
            report.polls_left -= 1
            if report.polls_left == 0:
                report.polled_done_at = self._now()
        return report

    def delete(self, report_id: str) -> None:
        """Forgets a report: it is no longer there, and the same order makes a new one."""
        report = self.reports.pop(report_id, None)
        self.deleted.add(report_id)
        self._latest = {identity: each for identity, each in self._latest.items() if each is not report}
        for queue in self._queues.values():
            queue[:] = [each for each in queue if each is not report]

    def finished(self, kind: str, report_id: str) -> Report:
        """A report of long ago, for unknown ids."""
        order = Order(kind, "campaigns", {}, Caller("", "", None), "")
        now = self._now()
        return Report(report_id, order, self._now, now, self._today(), polled_done_at=now)

    def _duplicate_of(self, order: Order, identity: bytes, settings: SimulatorSettings) -> Report | None:
        earlier = self._latest.get(identity)
        if order.kind != "v3" or settings.report_duplicates == "accept" or earlier is None:
            return None
        ended = earlier.finished_at
        recent = ended is None or self._now() < ended + settings.report_duplicate_window
        return earlier if recent else None

    def _is_throttled(self, order: Order, settings: SimulatorSettings) -> bool:
        """Whether the queue is full, or the last order was too short a time ago."""
        unfinished = [report for report in self._queues.get(order.queue, ()) if report.finished_at is None]
        self._queues[order.queue] = unfinished
        last = self._last_orders.get(order.queue)
        too_soon = last is not None and self._now() < last + settings.report_spacing
        return too_soon or 0 < settings.report_queue <= len(unfinished)

    def _fate(self, order: Order) -> PlannedOutcome | None:
        """The outcome that is planned for an order, now used."""
        found = next((planned for planned in self.planned if planned.meets(order)), None)
        if found is not None:
            found.happened += 1
            found.left = None if found.left is None else found.left - 1
        return found

    def _note(self, order: Order, placed: Placed) -> Placed:
        self.book.note(order, placed.result, placed.report.report_id if placed.report else None, self._today())
        return placed

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        if kind in ("v2", "snapshot"):
            return f"amzn1.clicksAPI.v1.p1.{self._numbers:08X}.{uuid.uuid4()}"
        return str(uuid.uuid4())
