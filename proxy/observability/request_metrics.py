"""The numbers of requests: how many, how long, how many are under way. Cells that are added to in place.

Code that serves requests of one kind keeps its `RequestNumbers`, and a request costs a few additions; the collector of
`metrics` reads the cells at a scrape. Label sets stay bounded whatever a request holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.events import declines_stream
from proxy.observability.instruments import (
    Buckets,
    Cell,
    Distribution,
    Instrument,
    InstrumentKind,
    SummedDistribution,
    Table,
    present,
)
from proxy.regions import REGION_NAMES
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from proxy.events import RequestFinished
    from proxy.observability.exposition import ExpositionFormat
    from proxy.observability.instruments import Labels


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
IN_FLIGHT: Final = Instrument(InstrumentKind.GAUGE, "requests_in_flight", "Requests being served.")


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
    before the first. `durations` are theirs alone; the other two histograms are shared with others of their region."""

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
        ended well in place."""
        self.count += 1
        if self.durations is not None and self.upstreams is not None:
            self.durations.add(duration)
            self.upstreams.add(upstream)
            self.overheads.add(overhead)

    def add_answered(self, duration: float) -> None:
        """A request that the proxy answered itself is over; one that was never served took no time."""
        self.count += 1
        if self.durations is not None and duration:
            self.durations.add(duration)


class RequestMetrics:
    """The metrics of all requests. The code that serves requests adds to `in_flight`."""

    def __init__(self) -> None:
        self.in_flight = Cell()
        self._numbers: dict[RequestLabels, RequestNumbers] = {}
        self._gone: set[str] = set()
        self._table = Table(REQUESTS)
        self._shown: dict[RequestLabels, int] = {}
        """The counts that the table has."""
        self._durations = SummedDistribution(DURATIONS, self._parts)
        self._upstreams, self._overhead = Distribution(UPSTREAMS), Distribution(OVERHEADS)
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
        durations = (self._durations.buckets(region) if gone else Buckets(REQUEST_BUCKETS)) if region else None
        upstreams = self._upstreams.buckets(region) if region else None
        numbers = RequestNumbers(durations, upstreams, self._overheads)
        if not gone:
            self._numbers[labels] = numbers
        return numbers

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
        """The durations that every series has now, by region."""
        for labels, numbers in present(self._numbers):
            if numbers.durations is not None:
                yield (labels.region,), numbers.durations

    def series(self) -> Iterator[tuple[RequestLabels, RequestNumbers]]:
        """Every series with its cells, as the console shows them."""
        return present(self._numbers)

    def begin(self, account: str) -> None:
        """The account is there."""
        self._gone.discard(account)

    def end(self, accounts: Collection[str]) -> None:
        """Remove the series of accounts that left the configuration. What their requests took stays in their regions'
        sums."""
        self._gone.update(accounts)
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
        """Sums over all series; `pause` after each lets others take a turn."""
        sums = StatusSums()
        for labels, numbers in present(self._numbers):
            sums.add(labels, numbers.count)
            await pause()
        counts = sums.requests, sums.errors, sums.throttled, sums.refused
        return Totals(*counts, sum(self._overheads.counts), self._overheads.total)

    def text(self, form: ExpositionFormat) -> Iterator[bytes]:
        """The counter and the gauge as a scraper gets them, in small pieces; the histograms stand among the others'."""
        for _ in self._count():
            yield b""
        yield form.text_of(REQUESTS.family())
        yield from self._table.lines()
        in_flight = IN_FLIGHT.family()
        in_flight.add_metric((), self.in_flight.value)
        yield form.text_of(in_flight)

    def _count(self) -> Iterator[None]:
        """Puts into the table what has changed; another scrape may have counted it meanwhile."""
        for labels, numbers in present(self._numbers):
            count = numbers.count
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
