"""Requests that ended well, told to metrics and log without an event: prepared for a kind of request, noted for each.

Code that serves many requests of one kind asks for its `JournalEntry` once, and adds a record of each to the journal.
An event is made only for those who hear of every request. Entries hold until the configuration changes. What ends
within one turn of the event loop is noted at its end, before any other task can ask: in one pass over the records,
without a call for each number, and with one hand-over of all lines.
"""

from __future__ import annotations

from bisect import bisect_left
from time import time
from typing import TYPE_CHECKING, Any, Protocol

from proxy.bounded_cache import BoundedCache
from proxy.events import ItemCounts, RequestFinished, may_change
from proxy.observability.recent_requests import MAX_PATH, RecentRequests
from proxy.observability.request_metrics import RequestLabels, RequestMetrics
from proxy.observability.request_record import RECORD_FIELDS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.events import Event, Observer, RequestKind, SpendJudgement, WriteOutcome
    from proxy.observability.deprecated_calls import DeprecatedCalls
    from proxy.observability.instruments import Cell
    from proxy.observability.recent_requests import RequestEntry
    from proxy.observability.request_metrics import RequestNumbers
    from proxy.observability.request_record import LineRenderer, RequestRecord
    from proxy.observability.sink import Sink

MAX_ENTRIES = 4096
_MAX_CACHE_BYTES = 6 << 20
_ENTRY_BYTES = 2000
"""About how much memory an entry takes in addition to the texts of its kind: its line's format, and its numbers."""

_NO_ITEMS = ItemCounts(0, 0)
_NOTHING_ELSE = ("", "", "", "")
"""The fields of a `RecentRequest` between its attempts and its outcome."""


def _count_nothing(client: str, account: str, outcome: str) -> None:
    """Writes are not counted."""


class RequestLog(Protocol):
    """Where the lines of requests go: `proxy.observability.logs.Logs`."""

    @property
    def sink(self) -> Sink: ...
    def tells_requests(self, status: int) -> bool: ...
    def request_line(self, kind: RequestKind, status: int) -> LineRenderer | None: ...
    def stamp(self, now: float, /) -> str: ...
    def observe(self, event: Event) -> None: ...


class NotesJudged(Protocol):
    """Who hears of judged writes that are noted without an event."""

    def note_judged(self, kind: RequestKind, path: str, judged: SpendJudgement) -> None:
        """A write of this kind to this path was sent, and is within the limits of its client."""


@dataclass(frozen=True, slots=True, eq=False)
class JournalEntry:
    """What is kept for requests of one kind that were answered with one status: where they are counted, what makes
    their lines (None: nothing, or the log is a listener), what keeps the last ones, and who hears of each by an event.
    """

    kind: RequestKind
    status: int
    numbers: RequestNumbers
    render: LineRenderer | None
    keep: Callable[[RequestEntry], None]
    listeners: tuple[Observer, ...]


def event_of(record: RequestRecord[JournalEntry]) -> RequestFinished:
    """The event for those who want one of a request that ended well."""
    own: dict[str, Any] = dict(zip(RECORD_FIELDS, record[1:], strict=True))
    kind, status = record[0].kind, record[0].status
    return RequestFinished(
        client=kind.client,
        account=kind.account,
        region=kind.region,
        profile=kind.profile,
        ads_account=kind.ads_account,
        method=kind.method,
        operation=kind.operation,
        operation_class=kind.operation_class,
        subject=kind.subject,
        ends=kind.ends,
        status=status,
        upstream_status=status,
        refusal="",
        detail="",
        fault="",
        **own,
    )


class Journal:
    """Where requests that ended well are noted.

    `listeners` hear of every request by an event, `auditors` of those that may change something at Amazon, and
    `deprecated`, if it is set, of those of its operations; metrics and logs need none. `count_write`, if it is set,
    counts by client, account and outcome the writes that succeeded, and each of `judged` notes those that are within
    the limits of their client. Without `logs` no line is written. `recent` keeps the last requests.
    """

    def __init__(
        self,
        metrics: RequestMetrics | None = None,
        logs: RequestLog | None = None,
        listeners: tuple[Observer, ...] = (),
        auditors: tuple[Observer, ...] = (),
        recent: RecentRequests | None = None,
    ) -> None:
        self._metrics = metrics if metrics is not None else RequestMetrics()
        self._logs = logs
        self._entries: BoundedCache[tuple[RequestKind, int], JournalEntry]
        self._entries = BoundedCache(MAX_ENTRIES, _MAX_CACHE_BYTES)
        self.listeners = listeners
        self._auditors = auditors
        self.deprecated: DeprecatedCalls | None = None
        self.count_write: Callable[[str, str, str], None] = _count_nothing
        self.judged: tuple[NotesJudged, ...] = ()
        self._recent = recent if recent is not None else RecentRequests()
        self._ended: list[RequestRecord[JournalEntry]] = []
        self._later: Callable[[Callable[[], None]], object] | None = None

    def __repr__(self) -> str:
        return f"<Journal: {len(self._entries)} entries, {len(self.listeners)} listeners>"

    @property
    def in_flight(self) -> Cell:
        """The number of requests in flight; the code that serves them adds to it."""
        return self._metrics.in_flight

    def gather(self, later: Callable[[Callable[[], None]], object]) -> None:
        """Note requests, from now on, when `later`, such as the event loop's `call_soon`, calls what it is given."""
        self._later = later

    def entry(self, kind: RequestKind, status: int) -> JournalEntry:
        """The journal entry of requests of a kind with a status."""
        found = self._entries.get((kind, status))
        if found is None:
            logs, hearing = self._logs, self._hearing(kind)
            render = None
            if logs is not None and logs.tells_requests(status):
                render = logs.request_line(kind, status)
                hearing = hearing if render is not None else (logs, *hearing)
            who = kind.client, kind.account, kind.region
            numbers = self._metrics.numbers(RequestLabels(*who, kind.method, kind.operation_class, status))
            found = JournalEntry(kind, status, numbers, render, self._recent.keeper(kind, status), hearing)
            self._entries.keep((kind, status), found, _ENTRY_BYTES + sum(map(len, kind)))
        return found

    def _hearing(self, kind: RequestKind) -> tuple[Observer, ...]:
        """Who hears of requests of this kind."""
        auditors = self._auditors if may_change(kind.operation_class) else ()
        deprecated = self.deprecated
        counting = (deprecated,) if deprecated is not None and kind.ends else ()
        return (*self.listeners, *auditors, *counting)

    def add(self, record: RequestRecord[JournalEntry]) -> None:
        """A request was forwarded, answered whole, and is over. It is noted at the end of the turn; at once where there
        are no turns."""
        ended = self._ended
        ended.append(record)
        if len(ended) == 1:
            later = self._later
            if later is not None:
                later(self.note_all)
            else:
                self.note_all()

    def note_all(self) -> None:
        """The turn is over; what ended in it was over at this moment (wall-clock time).

        A defect in noting one request leaves the others noted, and is raised at the end."""
        ended, self._ended = self._ended, []
        logs, now, stamp, defect = self._logs, time(), "", None
        lines: list[str] = []
        for record in ended:
            try:
                entry, own_id, amazon_id, path, _, _, _, duration, upstream, overhead, attempts, write, spend = record
                numbers, hearing = entry.numbers, entry.listeners
                numbers.count += 1
                numbers.seen = now
                durations, upstreams, overheads = numbers.durations, numbers.upstreams, numbers.overheads
                if durations is not None and upstreams is not None:  # as `Buckets.add`, without a call for each
                    durations.counts[bisect_left(durations.bounds, duration)] += 1
                    durations.total += duration
                    upstreams.counts[bisect_left(upstreams.bounds, upstream)] += 1
                    upstreams.total += upstream
                    overheads.counts[bisect_left(overheads.bounds, overhead)] += 1
                    overheads.total += overhead
                path = path if len(path) <= MAX_PATH else path[:MAX_PATH]  # a slice of all costs more than the look
                kept = now, entry.kind, entry.status, path, own_id, amazon_id, duration, attempts
                keep = entry.keep
                keep(kept if write is None else (*kept, *self._written(entry.kind, write)))
                if spend is not None:
                    for each in self.judged:
                        each.note_judged(entry.kind, record[3], spend)
                if (render := entry.render) is not None:
                    assert logs is not None
                    stamp = stamp or logs.stamp(now)
                    if line := render(record, stamp):
                        lines.append(line)
                    else:
                        hearing = (logs, *hearing)
                if hearing:
                    if lines and logs is not None:  # what is written of an event comes behind them
                        logs.sink.put_all(lines)
                        lines = []
                    event = event_of(record)
                    for listener in hearing:
                        listener.observe(event)
            except Exception as error:  # noqa: BLE001 - raised below
                defect = defect or error
        if lines and logs is not None:
            logs.sink.put_all(lines)
        if defect is not None:
            raise defect

    def _written(self, kind: RequestKind, write: WriteOutcome) -> tuple[str | int, ...]:
        """A write succeeded: count it. Returns what a `RecentRequest` has of it."""
        outcome = write.outcome.value
        self.count_write(kind.client, kind.account, outcome)
        return (*_NOTHING_ELSE, outcome, *(write.items or _NO_ITEMS))

    def forget(self) -> None:
        """The configuration changed."""
        self._entries.clear()
