"""Requests that ended well, told to metrics and log without an event: prepared for a kind of request, noted for each.

Code that serves many requests of one kind asks for its `JournalEntry` once. An event is made only for those who hear of
every request. Entries and texts hold until the configuration changes. What ends within one turn of the event loop is
noted at its end, before any other task can ask: one after the other costs less than each between reading and writing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Protocol

from proxy.bounded_cache import BoundedCache
from proxy.events import ItemCounts, Outcome, RequestFinished, may_change
from proxy.observability.recent_requests import MAX_PATH, RecentRequests
from proxy.observability.request_metrics import RequestLabels, RequestMetrics

if TYPE_CHECKING:
    from proxy.events import Event, Observer, RequestKind
    from proxy.observability.deprecated_calls import DeprecatedCalls
    from proxy.observability.instruments import Cell
    from proxy.observability.request_metrics import RequestNumbers
    from proxy.observability.request_record import LineWriter, RequestRecord

MAX_ENTRIES = 4096
_MAX_CACHE_BYTES = 6 << 20
_ENTRY_BYTES = 2000
"""About how much memory an entry takes in addition to the texts of its kind: its line's format, and its cells."""


CountWrite = Callable[[str, str, str], None]
"""Counts a write by client, account and outcome: `proxy.observability.metrics.Metrics.count_write`."""
NO_ITEMS = ItemCounts(0, 0)
_SUCCESS = Outcome.SUCCESS.value
_NOTHING_ELSE = ("", "", "", "")
"""The fields of a `RecentRequest` between its attempts and its outcome."""


def _count_nothing(client: str, account: str, outcome: str) -> None:
    """Writes are not counted."""


class RequestLog(Protocol):
    """Where the lines of requests go: `proxy.observability.logs.Logs`."""

    def request_writer(self, kind: RequestKind, status: int, *, is_write: bool) -> LineWriter | None: ...

    def request_text(self, path: str, user_agent: str) -> str: ...

    def observe(self, event: Event) -> None: ...


class RequestBatch:
    """Requests that ended in this turn of the event loop, each with its entry.

    `later` calls what it is given at the end of the turn; without it there are no turns, and each is noted at once.
    Where the numbers are `shared`, they are written for another process to read.
    """

    __slots__ = ("_ended", "_shared", "later")

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._ended: list[tuple[JournalEntry, RequestRecord]] = []
        self.later: Callable[[Callable[[], None]], object] | None = None

    def __repr__(self) -> str:
        return f"<RequestBatch of {len(self._ended)} requests>"

    def add(self, entry: JournalEntry, record: RequestRecord) -> None:
        ended = self._ended
        if not ended and self.later is not None:
            self.later(self.note_all)
        ended.append((entry, record))
        if self.later is None:
            self.note_all()

    def note_all(self) -> None:
        """The turn is over; what ended in it was over at this moment (wall-clock time)."""
        ended, self._ended = self._ended, []
        now = time()
        try:
            for entry, record in ended:
                entry.note_at(now, record)
        finally:
            if self._shared:
                for entry in dict(ended):
                    entry.write()


@dataclass(frozen=True, slots=True)
class JournalOutputs:
    """Who learns of a request: the log, those who hear of it by an event, and what keeps the last ones; and when."""

    logs: RequestLog | None
    listeners: tuple[Observer, ...]
    recent: RecentRequests
    batch: RequestBatch
    count_write: CountWrite


class JournalEntry:
    """What is kept for requests of one kind that were answered with one status. `note` is called for each; `write`
    puts down, for another process, what they were counted in."""

    __slots__ = ("_batch", "_keep", "_kind", "_listeners", "_logs", "_numbers", "_status", "_write", "write")

    is_write = False

    def __init__(self, kind: RequestKind, status: int, numbers: RequestNumbers, outputs: JournalOutputs) -> None:
        self._kind = kind
        self._status = status
        self._numbers = numbers
        self.write = numbers.write
        self._logs = logs = outputs.logs
        self._write = logs.request_writer(kind, status, is_write=self.is_write) if logs is not None else None
        self._listeners = outputs.listeners
        self._keep = outputs.recent.keeper(kind, status)
        self._batch = outputs.batch

    def __repr__(self) -> str:
        return f"<JournalEntry of {self._kind} with {self._status}>"

    def note(self, record: RequestRecord) -> None:
        """A request was forwarded, answered whole, and is over; the record does not change any more."""
        self._batch.add(self, record)

    def note_at(self, now: float, record: RequestRecord) -> None:
        """Note a request's record now, when its batch is due; `now` is when the request was over."""
        numbers, duration = self._numbers, record.duration
        numbers.note_forwarded(duration, record.upstream, record.overhead)
        numbers.seen = now
        self._keep(
            (
                now,
                self._kind,
                self._status,
                record.path[:MAX_PATH],
                record.request_id,
                record.amazon_request_id,
                duration,
                record.attempts,
            )
        )
        self._tell(now, record)

    def _tell(self, now: float, record: RequestRecord) -> None:
        if self._write is not None and not self._write(record, now) and self._logs is not None:
            self._logs.observe(self._event(record))
        for listener in self._listeners:
            listener.observe(self._event(record))

    def _event(self, record: RequestRecord) -> RequestFinished:
        kind = self._kind
        return RequestFinished(
            request_id=record.request_id,
            client=kind.client,
            account=kind.account,
            region=kind.region,
            method=kind.method,
            path=record.path,
            status=self._status,
            amazon_request_id=record.amazon_request_id,
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            duration=record.duration,
            upstream=record.upstream,
            overhead=record.overhead,
            attempts=record.attempts,
            refusal="",
            detail="",
            fault="",
            profile=kind.profile,
            ads_account=kind.ads_account,
            operation=kind.operation,
            operation_class=kind.operation_class,
            user_agent=record.user_agent,
            upstream_status=self._status,
            write=record.write,
        )


class WriteJournalEntry(JournalEntry):
    """The journal entry of writes whose responses report success."""

    __slots__ = ("_count_write",)
    is_write = True

    def __init__(self, kind: RequestKind, status: int, numbers: RequestNumbers, outputs: JournalOutputs) -> None:
        super().__init__(kind, status, numbers, outputs)
        self._count_write = outputs.count_write

    def note_at(self, now: float, record: RequestRecord) -> None:
        numbers, kind, duration, write = self._numbers, self._kind, record.duration, record.write
        assert write is not None
        numbers.note_forwarded(duration, record.upstream, record.overhead)
        numbers.seen = now
        self._count_write(kind.client, kind.account, _SUCCESS)
        items = write.items or NO_ITEMS
        whose = now, kind, self._status, record.path[:MAX_PATH], record.request_id, record.amazon_request_id
        self._keep((*whose, duration, record.attempts, *_NOTHING_ELSE, _SUCCESS, *items))
        self._tell(now, record)


class Journal:
    """`listeners` hear of every request by an event, `auditors` of those that may change something at Amazon, and
    `deprecated`, if it is set, of those of its operations; metrics and logs need none. `count_write`, if it is set,
    counts writes that succeeded. Without `logs` no line is
    written. `recent` keeps the last requests."""

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
        self._entries: BoundedCache[tuple[RequestKind, int, bool], JournalEntry]
        self._entries = BoundedCache(MAX_ENTRIES, _MAX_CACHE_BYTES)
        self.listeners = listeners
        self._auditors = auditors
        self.deprecated: DeprecatedCalls | None = None
        self.count_write: CountWrite = _count_nothing
        self._recent = recent if recent is not None else RecentRequests()
        self._batch = RequestBatch(shared=self._metrics.shared)

    def __repr__(self) -> str:
        return f"<Journal: {len(self._entries)} entries, {len(self.listeners)} listeners>"

    @property
    def in_flight(self) -> Cell:
        """The number of requests in flight; the code that serves them adds to it."""
        return self._metrics.in_flight

    def gather(self, later: Callable[[Callable[[], None]], object]) -> None:
        """Note requests, from now on, when `later`, such as the event loop's `call_soon`, calls what it is given."""
        self._batch.later = later

    def entry(self, kind: RequestKind, status: int, *, is_write: bool = False) -> JournalEntry:
        """The journal entry of requests of a kind with a status; `is_write` for writes that succeeded."""
        found = self._entries.get((kind, status, is_write))
        if found is None:
            who = kind.client, kind.account, kind.region
            labels = RequestLabels(*who, kind.method, kind.operation_class, status)
            outputs = JournalOutputs(self._logs, self._hearing(kind), self._recent, self._batch, self.count_write)
            make = WriteJournalEntry if is_write else JournalEntry
            found = make(kind, status, self._metrics.numbers(labels), outputs)
            self._entries.keep((kind, status, is_write), found, _ENTRY_BYTES + sum(map(len, kind)))
        return found

    def _hearing(self, kind: RequestKind) -> tuple[Observer, ...]:
        """Who hears of requests of this kind."""
        auditors = self._auditors if may_change(kind.operation_class) else ()
        deprecated = self.deprecated
        counting = (deprecated,) if deprecated is not None and kind.operation in deprecated.operations else ()
        return (*self.listeners, *auditors, *counting)

    def text(self, path: str, user_agent: str) -> str:
        """The part of a line that these make, cleaned of secrets."""
        return self._logs.request_text(path, user_agent) if self._logs is not None else ""

    def forget(self) -> None:
        """The configuration changed."""
        self._entries.clear()
