"""The last minutes of traffic, for the console: sums for each ten seconds, and the last requests.

The request path pays nothing for the chart: it is made of differences between the sums that the metrics hold anyway.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, Final, Protocol

from proxy.admin.pauses import Pauses
from proxy.events import Event, RequestFinished
from proxy.observability.recent_requests import RecentRequest, RecentRequests
from proxy.observability.request_metrics import REQUEST_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from proxy.observability.request_metrics import RequestLabels, RequestNumbers


STEP_SECONDS: Final = 10
STEPS: Final = 90
MAX_REFUSED: Final = 50


class Counted(Protocol):
    """What counts requests: `proxy.observability.metrics.Metrics`."""

    def totals(self) -> Sums: ...
    def series(self) -> Iterable[tuple[RequestLabels, RequestNumbers]]: ...


class Sums(Protocol):
    """Sums over all requests since the start."""

    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def throttled(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def forwarded(self) -> int: ...
    @property
    def overhead_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in the ten seconds that ended at `at` (wall-clock time): `errors` are 5xx, `throttled` 429, and
    `refused` the other 4xx. `overhead_ms` is the mean that the proxy itself added, None without any."""

    at: float
    requests: int
    errors: int
    throttled: int
    refused: int
    overhead_ms: float | None


class RequestHistory:
    """Observes requests that the journal does not note, and takes the sums whenever `sample` is called.

    `recent` is where the journal keeps the others. `clean` takes secrets out of a text.
    """

    def __init__(
        self,
        counted: Counted,
        recent: RecentRequests | None = None,
        clean: Callable[[str], str] = str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sums, self._clean, self._wall = counted.totals, clean, wall
        self._traffic = Traffic(counted.series)
        self.recent = recent if recent is not None else RecentRequests()
        self._last = self._sums()
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._refused: deque[RecentRequest] = deque(maxlen=MAX_REFUSED)

    def __repr__(self) -> str:
        return f"<RequestHistory {len(self._steps)} steps, {len(self._refused)} refused>"

    def observe(self, event: Event) -> None:
        if event.__class__ is RequestFinished:
            self._note_refusal(self.recent.keep(event, self._wall()))

    async def sample(self) -> None:
        """Ends a step: what was added to the sums since the last one."""
        now = self._sums()
        self._steps.append(difference(self._last, now, self._wall()))
        self._last = now
        await self._traffic.sample()

    async def tallies(self) -> Tallies:
        """Who asked how much in the last minutes."""
        return await self._traffic.now()

    def steps(self) -> tuple[Step, ...]:
        """The ended steps, oldest first, and the one that runs."""
        return (*self._steps, difference(self._last, self._sums(), self._wall()))

    def refused(self) -> tuple[RecentRequest, ...]:
        """The last that the proxy itself answered, or that Amazon refused for a known reason; the newest first."""
        return tuple(reversed(self._refused))

    def requests(self) -> tuple[RecentRequest, ...]:
        """The last ones, and the failures before them that are still known; the newest first, and not yet cleaned."""
        return self.recent.requests()

    def failures(self) -> tuple[RecentRequest, ...]:
        """The newest first, and not yet cleaned."""
        return self.recent.failures()

    def cleaned(self, request: RecentRequest) -> RecentRequest:
        """Without secrets, as it may be shown. It costs more than to find the request."""
        return request.cleaned(self._clean)

    def take(self, request: RecentRequest) -> None:
        """One that another process served."""
        self.recent.take(request)
        self._note_refusal(request)

    def _note_refusal(self, request: RecentRequest) -> None:
        if request.refusal or request.detail:
            self._refused.append(request)


def difference(before: Sums, after: Sums, at: float) -> Step:
    """The step between two sums; an account that was removed meanwhile never makes it negative."""
    forwarded = after.forwarded - before.forwarded
    overhead = (after.overhead_seconds - before.overhead_seconds) * 1000 / forwarded if forwarded > 0 else None
    return Step(
        at=at,
        requests=max(0, after.requests - before.requests),
        errors=max(0, after.errors - before.errors),
        throttled=max(0, after.throttled - before.throttled),
        refused=max(0, after.refused - before.refused),
        overhead_ms=overhead,
    )


# --- Who asks how much, and how it goes ------------------------------------------------------------------

MINUTES: Final = 15
STEPS_A_MINUTE: Final = 6
_QUANTILE: Final = 0.99
_NO_DURATIONS: Final = (0,) * (len(REQUEST_BUCKETS) + 1)


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one client or account: `refused` are 4xx other than 429, `throttled` 429, `errors` 5xx, and
    `unanswered` those whose tool left first. `seen` is when the last one was over, as wall-clock time, 0 for never.
    `durations` are counts by the buckets of the metrics."""

    requests: int = 0
    refused: int = 0
    throttled: int = 0
    errors: int = 0
    unanswered: int = 0
    seen: float = 0.0
    durations: tuple[int, ...] = _NO_DURATIONS

    def since(self, before: Tally) -> Tally:
        """What was added since then; where series have ended meanwhile, nothing is negative."""
        return Tally(
            requests=max(0, self.requests - before.requests),
            refused=max(0, self.refused - before.refused),
            throttled=max(0, self.throttled - before.throttled),
            errors=max(0, self.errors - before.errors),
            unanswered=max(0, self.unanswered - before.unanswered),
            seen=self.seen,
            durations=tuple(max(0, now - then) for now, then in zip(self.durations, before.durations, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Tallies:
    """By client and by account; empty names are those of requests that ended before they were known."""

    clients: Mapping[str, Tally]
    accounts: Mapping[str, Tally]


class Traffic:
    """Reads the series whenever it is asked; `sample` is called every ten seconds."""

    def __init__(self, series: Callable[[], Iterable[tuple[RequestLabels, RequestNumbers]]]) -> None:
        self._series = series
        self._samples = 0
        self._kept: deque[Tallies] = deque((Tallies({}, {}),), maxlen=MINUTES)

    def __repr__(self) -> str:
        return f"<Traffic: {len(self._kept)} minutes kept>"

    async def sample(self) -> None:
        """Keeps a copy of the sums once a minute."""
        self._samples += 1
        if self._samples % STEPS_A_MINUTE == 0:
            self._kept.append(await tally(self._series()))

    async def now(self) -> Tallies:
        """The last quarter of an hour, or what there is since the start."""
        total, before = await tally(self._series()), self._kept[0]
        return Tallies(await _since(total.clients, before.clients), await _since(total.accounts, before.accounts))


class _Sums:
    """Series added up in place: a tally of each would be made and thrown away for every one."""

    __slots__ = ("counts", "durations", "seen")

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0, 0]
        self.seen = 0.0
        self.durations: list[int] | None = None

    def add(self, status: int, numbers: RequestNumbers) -> None:
        counts, count = self.counts, numbers.count.value
        counts[0] += count
        if status >= 500:
            counts[3] += count
        elif status == 429:
            counts[2] += count
        elif status >= 400:
            counts[1] += count
        elif not status:
            counts[4] += count
        self.seen = max(self.seen, numbers.seen)
        if numbers.durations is not None:
            more = numbers.durations.counts
            self.durations = list(map(add, self.durations, more)) if self.durations is not None else list(more)

    def tally(self) -> Tally:
        requests, refused, throttled, errors, unanswered = self.counts
        durations = _NO_DURATIONS if self.durations is None else tuple(self.durations)
        return Tally(requests, refused, throttled, errors, unanswered, self.seen, durations)


async def tally(series: Iterable[tuple[RequestLabels, RequestNumbers]]) -> Tallies:
    """All series by whose they are."""
    pause = Pauses()
    clients: dict[str, _Sums] = {}
    accounts: dict[str, _Sums] = {}
    for labels, numbers in tuple(series):
        for table, name in ((clients, labels.client), (accounts, labels.account)):
            sums = table.get(name)
            if sums is None:
                sums = table[name] = _Sums()
            sums.add(labels.status, numbers)
        await pause()
    return Tallies(await _tallies(clients), await _tallies(accounts))


async def _tallies(sums: Mapping[str, _Sums]) -> dict[str, Tally]:
    pause, found = Pauses(), {}
    for name, each in sums.items():
        found[name] = each.tally()
        await pause()
    return found


def quantile(durations: Sequence[int]) -> float | None:
    """The duration that 99 of 100 stay under, in seconds: even within its bucket, as Prometheus has it, and the last
    bound for all beyond. None without any. Pure."""
    rank, below, lower = _QUANTILE * sum(durations), 0, 0.0
    if not rank:
        return None
    for bound, count in zip(REQUEST_BUCKETS, durations, strict=False):
        if below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return lower


async def _since(now: Mapping[str, Tally], before: Mapping[str, Tally]) -> dict[str, Tally]:
    pause, found = Pauses(), {}
    for name, total in now.items():
        then = before.get(name)
        found[name] = total if then is None else total.since(then)
        await pause()
    return found
