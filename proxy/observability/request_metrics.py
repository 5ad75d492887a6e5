"""The numbers of requests: how many, how long, how many are under way. Cells that are added to in place.

Code that serves requests of one kind keeps its `RequestNumbers`, and a request costs a few additions; the collector of
`metrics` reads the cells at a scrape. Label sets stay bounded whatever a request holds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from copy import copy
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.events import declines_stream
from proxy.observability.instruments import (
    Buckets,
    Cell,
    Instrument,
    InstrumentKind,
    SummedDistribution,
    Table,
    present,
)
from proxy.observability.number_memory import SharedBuckets, buckets_of
from proxy.regions import REGION_NAMES
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

    from proxy.events import RequestFinished
    from proxy.observability.exposition import ExpositionFormat
    from proxy.observability.instruments import Labels
    from proxy.observability.number_memory import NumberMemory, Numbers


OVERHEAD_BUCKETS: Final = (
    *(0.00005, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075),
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


# --- The numbers of requests -----------------------------------------------------------------------------

REQUESTS: Final = Instrument(
    InstrumentKind.COUNTER,
    "requests_total",
    "Requests of clients by the status of the response, also if it broke off; code 0: the client "
    "disconnected before it. Open tunnels (CONNECT) do not count, the requests inside do.",
    ("client", "account", "region", "method", "operation_class", "code"),
)
DURATIONS: Final = Instrument(
    InstrumentKind.HISTOGRAM,
    "request_duration_seconds",
    "From the head of a request to the end of its response.",
    ("region",),
    REQUEST_BUCKETS,
)
UPSTREAMS: Final = Instrument(
    InstrumentKind.HISTOGRAM,
    "upstream_duration_seconds",
    "The part of it that the proxy waited for Amazon.",
    ("region",),
    REQUEST_BUCKETS,
)
OVERHEADS: Final = Instrument(
    InstrumentKind.HISTOGRAM,
    "overhead_seconds",
    "The time that the proxy itself added to a forwarded request.",
    (),
    OVERHEAD_BUCKETS,
)
_BOUNDS: Final = {UPSTREAMS.name: REQUEST_BUCKETS, OVERHEADS.name: OVERHEAD_BUCKETS}
_PLAIN_WIDTH: Final = 2
MOMENTS: Final = {REQUESTS.name: 1}
"""Which number of a block in shared memory is the moment of the last request."""
IN_FLIGHT: Final = Instrument(InstrumentKind.GAUGE, "requests_in_flight", "Requests being served.")

_NO_DURATIONS: Final = Buckets(REQUEST_BUCKETS)
CONSOLE_AGE: Final = 0.5
"""Seconds: how old the console's numbers may be that another process counted. One page asks for them several times."""


class RequestLabels(NamedTuple):
    """What requests are counted by."""

    client: str
    account: str
    region: str
    method: str
    operation_class: str
    status: int

    @property
    def refused(self) -> bool:
        """Whether the response is a 4xx other than 429 that an operator may ask about."""
        is_refusal = 400 <= self.status < 500 and self.status != 429
        return is_refusal and not declines_stream(self.method, self.operation_class, self.status)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all requests since the start, for the console's chart: `errors` are 5xx, `throttled` 429, `refused` the
    other 4xx. `overhead_seconds` belongs to `forwarded`."""

    requests: int = 0
    errors: int = 0
    throttled: int = 0
    refused: int = 0
    forwarded: int = 0
    overhead_seconds: float = 0.0


class StatusSums:
    """Requests by what their status says: `errors` are 5xx, `throttled` 429, `refused` the other 4xx."""

    __slots__ = ("errors", "refused", "requests", "throttled")

    def __init__(self) -> None:
        self.requests = self.errors = self.throttled = self.refused = 0

    def __repr__(self) -> str:
        return f"<StatusSums: {self.requests} requests>"

    def add(self, labels: RequestLabels, count: int) -> None:
        """Add `count` requests with these labels."""
        self.requests += count
        if labels.status >= 500:
            self.errors += count
        elif labels.status == 429:
            self.throttled += count
        elif labels.refused:
            self.refused += count


class RequestNumbers:
    """The numbers of requests that are counted alike: `seen` is when the last one was over, as wall-clock time, 0
    before the first. `durations` are theirs alone; the other two histograms are shared with others of their region.

    Where another process reads what is added, it is there once it is written."""

    __slots__ = ("count", "durations", "overheads", "seen", "upstreams")

    def __init__(self, durations: Buckets | None, upstreams: Buckets | None, overheads: Buckets) -> None:
        self.count = 0
        self.seen = 0.0
        self.durations = durations
        self.upstreams = upstreams
        self.overheads = overheads

    def __repr__(self) -> str:
        return f"<RequestNumbers: {self.count} requests>"

    def add_forwarded(self, duration: float, upstream: float, overhead: float) -> None:
        """A request that was sent to Amazon is over; `upstream` is a part of `duration`. The journal adds those that
        ended well in place, and writes them a turn at a time."""
        self.count += 1
        if self.durations is not None and self.upstreams is not None:
            self.durations.add(duration)
            self.upstreams.add(upstream)
            self.overheads.add(overhead)
        self.write()

    def add_answered(self, duration: float) -> None:
        """A request that the proxy answered itself is over; one that was never served took no time."""
        self.count += 1
        if self.durations is not None and duration:
            self.durations.add(duration)
        self.write()

    def write(self) -> None:
        """No other process reads these."""


class SharedRequestNumbers(RequestNumbers):
    """Request numbers in memory that another process reads: the count, when the last request was over, the durations.

    Reading and writing a number there takes ten times as long as here: this process alone counts in it, so it is
    written only, and for many requests at once."""

    __slots__ = ("_numbers",)
    durations: SharedBuckets | None
    upstreams: SharedBuckets | None
    overheads: SharedBuckets

    def __init__(self, numbers: memoryview[float], upstreams: SharedBuckets | None, overheads: SharedBuckets) -> None:
        durations = SharedBuckets(REQUEST_BUCKETS, numbers[_PLAIN_WIDTH:]) if len(numbers) > _PLAIN_WIDTH else None
        super().__init__(durations, upstreams, overheads)
        self._numbers = numbers

    def write(self) -> None:
        """Write the numbers for the other process, before any of these requests' responses has left whole."""
        self._numbers[0], self._numbers[1] = self.count, self.seen
        if self.durations is not None and self.upstreams is not None:
            self.durations.write()
            self.upstreams.write()
            self.overheads.write()


class RequestMetrics:
    """The metrics of all requests. The code that serves requests adds to `in_flight`. With `memory` the numbers are
    kept there, for another process to show."""

    def __init__(self, memory: NumberMemory | None = None) -> None:
        self.in_flight = Cell()
        self._memory = memory
        self._changes: Callable[[], Iterable[tuple[str, Labels, Numbers]]] = tuple
        self._elsewhere: dict[RequestLabels, RequestNumbers] = {}
        """The cells of other processes' requests, as they were at the last look."""
        self._sums_elsewhere = StatusSums()
        self._counts_elsewhere: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._buckets_elsewhere: defaultdict[str, dict[Labels, Buckets]] = defaultdict(dict)
        self._looked = -math.inf
        self._others_in_flight: Callable[[], int] = int
        self._numbers: dict[RequestLabels, RequestNumbers] = {}
        self._written: dict[tuple[str, Labels], SharedBuckets] = {}
        self._gone: set[str] = set()
        self._table = Table(REQUESTS)
        self._shown: dict[RequestLabels, int] = {}
        """The counts that the table has."""
        self._changed: dict[RequestLabels, None] = {}
        """What other processes counted that the table may not have."""
        self._has_returned = False
        """Whether an account is there again, whose counts the table does not have."""
        self._durations = SummedDistribution(DURATIONS, self._parts)
        self._upstreams = SummedDistribution(UPSTREAMS, lambda: self._parts_elsewhere(UPSTREAMS))
        self._overhead = SummedDistribution(OVERHEADS, lambda: self._parts_elsewhere(OVERHEADS))
        self.distributions = (self._durations, self._upstreams, self._overhead)
        self._overheads = self._overhead.buckets()
        for region in REGION_NAMES:
            self._durations.buckets(region)
            self._upstreams.buckets(region)

    def __repr__(self) -> str:
        return f"<RequestMetrics: {len(self._numbers)} series, {self.in_flight.value} requests in flight>"

    def numbers(self, labels: RequestLabels) -> RequestNumbers:
        """The cells for these labels, held as long as the account is there."""
        found = self._numbers.get(labels)
        return found if found is not None else self._make(labels)

    def _make(self, labels: RequestLabels) -> RequestNumbers:
        """Cells for labels that are new, or bounded first. Late news of a removed account is not shown."""
        client, account, region, method, operation_class, status = labels
        if method not in METHODS:
            return self.numbers(RequestLabels(client, account, region, "other", operation_class, status))
        gone = account in self._gone
        if self._memory is not None:
            return self._share(labels, self._memory)
        durations = (self._durations.buckets(region) if gone else Buckets(REQUEST_BUCKETS)) if region else None
        upstreams = self._upstreams.buckets(region) if region else None
        numbers = RequestNumbers(durations, upstreams, self._overheads)
        if not gone:
            self._numbers[labels] = numbers
        return numbers

    def _share(self, labels: RequestLabels, memory: NumberMemory) -> RequestNumbers:
        """Cells that the other process shows, also of an account that is gone here: that is decided there."""
        width = _PLAIN_WIDTH + 1 + len(REQUEST_BUCKETS) + 1 if labels.region else _PLAIN_WIDTH
        block = memory.block(REQUESTS.name, (*labels[:-1], str(labels.status)), width)
        upstreams = self._shared_buckets(memory, UPSTREAMS, (labels.region,)) if labels.region else None
        overheads = self._shared_buckets(memory, OVERHEADS, ())
        numbers = self._numbers[labels] = SharedRequestNumbers(block, upstreams, overheads)
        return numbers

    def _shared_buckets(self, memory: NumberMemory, instrument: Instrument, labels: Labels) -> SharedBuckets:
        """A series of a histogram, in memory that another process reads. There is one of each: it is only written."""
        found = self._written.get((instrument.name, labels))
        if found is None:
            block = memory.block(instrument.name, labels, len(instrument.bounds) + 2)
            found = self._written[instrument.name, labels] = SharedBuckets(instrument.bounds, block)
        return found

    def add_elsewhere(
        self, changes: Callable[[], Iterable[tuple[str, Labels, Numbers]]], in_flight: Callable[[], int]
    ) -> None:
        """Shows, too, what other processes counted. `changes` gives the blocks that changed since the last
        call."""
        self._changes, self._others_in_flight = changes, in_flight

    def look(self, max_age: float = 0.0) -> None:
        """Reads what other processes have counted by now, unless that was read within the last `max_age` seconds."""
        now = monotonic()
        if now - self._looked >= max_age:
            self._looked = now
            for name, labels, numbers in self._changes():
                self._take(name, labels, numbers)

    def _take(self, name: str, labels: Labels, numbers: Numbers) -> None:
        """What other processes counted by now in a block."""
        if name == REQUESTS.name:
            *names, status = labels
            self._take_requests(RequestLabels._make((*names, int(status))), numbers)
        elif name in _BOUNDS:
            self._buckets_elsewhere[name][labels] = buckets_of(_BOUNDS[name], numbers)
        else:
            self._counts_elsewhere[name][labels] = numbers[0]

    def _take_requests(self, labels: RequestLabels, numbers: Numbers) -> None:
        cells = self._elsewhere.get(labels)
        if cells is None:
            cells = self._elsewhere[labels] = RequestNumbers(None, None, self._overheads)
        self._changed[labels] = None
        count = int(numbers[0])
        self._sums_elsewhere.add(labels, count - cells.count)
        cells.count, cells.seen = count, numbers[1]
        if len(numbers) > _PLAIN_WIDTH:
            newest = buckets_of(REQUEST_BUCKETS, numbers[_PLAIN_WIDTH:])
            whole = self._buckets_elsewhere[DURATIONS.name].setdefault((labels.region,), Buckets(REQUEST_BUCKETS))
            whole.add_growth(cells.durations or _NO_DURATIONS, newest)
            cells.durations = newest

    def elsewhere(self, instrument: Instrument) -> dict[Labels, float]:
        """What other processes counted of a counter, as it was at the last look."""
        return self._counts_elsewhere[instrument.name].copy()

    def exemplify(self, event: RequestFinished, now: float) -> None:
        """A request is counted; where its trace is kept, it stands for its buckets until the next one. `now` is
        wall-clock time."""
        span = event.span
        if span is None or not span.sampled or not event.region or not event.duration:
            return
        names = {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        region = (event.region,)
        self._durations.exemplify(region, names, event.duration, now)
        if event.attempts:
            self._upstreams.exemplify(region, names, event.upstream, now)
            self._overhead.exemplify((), names, event.overhead, now)

    def _parts(self) -> Iterator[tuple[Labels, Buckets]]:
        """The durations that every series has now, by region, and the sums of other processes."""
        for labels, numbers in present(self._numbers):
            if numbers.durations is not None:
                yield (labels.region,), numbers.durations
        yield from self._parts_elsewhere(DURATIONS)

    def _parts_elsewhere(self, instrument: Instrument) -> Iterator[tuple[Labels, Buckets]]:
        return present(self._buckets_elsewhere[instrument.name])

    def series(self) -> Iterator[tuple[RequestLabels, RequestNumbers]]:
        """Every series with its cells, as the console shows them. Several processes may have one of the same labels."""
        self.look(CONSOLE_AGE)
        every = chain(present(self._numbers), present(self._elsewhere))
        return ((labels, numbers) for labels, numbers in every if labels.account not in self._gone)

    @property
    def shared(self) -> bool:
        """Whether another process reads what is written."""
        return self._memory is not None

    def begin(self, account: str) -> None:
        """The account is there."""
        if account in self._gone:
            self._gone.remove(account)
            self._has_returned = True

    def end(self, accounts: Collection[str]) -> None:
        """Remove the series of accounts that left the configuration. What their requests took stays in their regions'
        sums. Who reads what is counted here decides what is shown of it."""
        self._gone.update(accounts)
        if self._memory is not None:
            return
        self._table.end(accounts)
        self._durations.moves += 1
        self._shown = {labels: count for labels, count in self._shown.items() if labels.account not in accounts}
        for labels in [labels for labels in self._numbers if labels.account in accounts]:
            numbers = self._numbers.pop(labels)
            if numbers.durations is not None:
                left = self._durations.buckets(labels.region)
                left.add_all((numbers.durations,))
                numbers.durations = left

    async def totals(self, pause: Callable[[], Awaitable[None]]) -> Totals:
        """Sums over all series, and over all that other processes counted; `pause` after each lets others take a
        turn."""
        self.look(CONSOLE_AGE)
        sums = copy(self._sums_elsewhere)
        for labels, numbers in present(self._numbers):
            sums.add(labels, numbers.count)
            await pause()
        whole = Buckets(OVERHEAD_BUCKETS)
        whole.add_all((self._overheads, *(buckets for _, buckets in self._parts_elsewhere(OVERHEADS))))
        counts = sums.requests, sums.errors, sums.throttled, sums.refused
        return Totals(*counts, sum(whole.counts), whole.total)

    def text(self, form: ExpositionFormat) -> Iterator[bytes]:
        """The counter and the gauge as a scraper gets them, in small pieces; the histograms stand among the others'."""
        for _ in self._count():
            yield b""
        yield form.text_of(REQUESTS.family())
        yield from self._table.lines()
        in_flight = IN_FLIGHT.family()
        in_flight.add_metric((), self.in_flight.value + self._others_in_flight())
        yield form.text_of(in_flight)

    def _count(self) -> Iterator[None]:
        """Puts into the table what has changed: of other processes what they told, here whatever is another number.
        Several processes may have a series of the same labels; and another scrape may have counted it meanwhile."""
        if self._has_returned:
            self._has_returned = False
            self._changed |= dict.fromkeys(self._elsewhere)
        here, elsewhere = self._numbers, self._elsewhere
        for labels in tuple(here | self._changed):
            self._changed.pop(labels, None)
            count = sum(cells[labels].count for cells in (here, elsewhere) if labels in cells)
            if count > self._shown.get(labels, 0) and labels.account not in self._gone:
                self._shown[labels] = count
                self._table.put(*labels[:-1], str(labels.status), value=count)
            yield


# --- The values of labels that are known before anything happens, so that their series begin at zero -----

OPERATION_CLASSES: Final = ("read", "report", "write", "unknown")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"})
REFRESH_RESULTS: Final = (
    ("success", "ok"),
    ("permanent_error", "invalid_grant"),
    ("permanent_error", "invalid_client"),
    ("permanent_error", "rejected"),
    ("transient_error", "throttled"),
    ("transient_error", "server_error"),
    ("transient_error", "network"),
    ("transient_error", "timeout"),
    ("transient_error", "malformed"),
)
REPLAY_REASONS: Final = ("unauthorized", "connection", "throttled", "silence")
REPLAY_OUTCOMES: Final = ("recovered", "failed", "impossible")
RELOAD_RESULTS: Final = ("success", "failure")
