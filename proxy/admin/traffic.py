"""Who asks how much, and how it goes: the console's tables of clients and of accounts.

They are read from the cells that the metrics hold, when somebody looks; a request costs nothing more. What is shown
belongs to the last minutes: the difference to the oldest copy of the cells' sums, of which one a minute is kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, Final

from proxy.admin.pauses import Pauses
from proxy.observability.request_metrics import REQUEST_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from proxy.observability.request_metrics import RequestLabels, RequestNumbers

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
