"""What a number is called and how it is kept: counters, gauges and histograms, with labels, as plain dictionaries.

Which instruments there are, and what fills them, is for `metrics`; docs/reference/metrics.md lists them. They become
Prometheus' families only at a scrape.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_left
from collections import defaultdict
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from proxy.observability.exposition import SampleLine
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from proxy.observability.exposition import ExpositionFormat

PREFIX: Final = "ads_proxy_"
Labels = tuple[str, ...]
_ADDED: Final = 256
"""Series of a histogram that are added up at a time."""
_BLOCK: Final = 32
"""Series whose text is kept together: enough that a scrape has few pieces, few enough that a change costs little."""


class InstrumentKind(StrEnum):
    """What a scraper may do with a number: rates of counters, levels of gauges, quantiles of histograms."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@functools.lru_cache(maxsize=1)
def _families() -> dict[InstrumentKind, Any]:
    """The library's class for each kind. Each has its own signature; the stubs know their common base alone, and it has
    none of them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    return {
        InstrumentKind.COUNTER: CounterMetricFamily,
        InstrumentKind.GAUGE: GaugeMetricFamily,
        InstrumentKind.HISTOGRAM: HistogramMetricFamily,
    }


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric as it is announced: `name` without the prefix, `bounds` of a histogram's buckets."""

    kind: InstrumentKind
    name: str
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()

    def family(self) -> Any:
        """Prometheus' family of this name, without any number yet."""
        return _families()[self.kind](PREFIX + self.name, self.help, labels=self.labels)


class Table:
    """One counter or gauge: a number for each combination of labels.

    What a scraper gets is kept as text, a block of series at a time, and rewritten if a number of the block has
    changed: with ten thousand accounts a scrape has 400,000 lines, of which few differ from those of the one before.
    """

    __slots__ = ("_at", "_labels", "_line", "_numbers", "_texts", "instrument")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._line = SampleLine(PREFIX + instrument.name, instrument.labels)
        self._clear()

    def _clear(self) -> None:
        """New lists: a scrape that is under way keeps those that it reads."""
        self._at: dict[Labels, int] = {}
        self._labels: list[Labels] = []
        self._numbers = array("d")
        self._texts: list[bytes | None] = []

    def add(self, *labels: str, amount: float = 1.0) -> None:
        at = self._at.get(labels)
        if at is None:
            at = self._place(labels)
        self._texts[at // _BLOCK] = None
        self._numbers[at] += amount

    def put(self, *labels: str, value: float) -> None:
        known = self._at.get(labels)
        if known is None or self._numbers[known] != value:
            self._numbers[self._place(labels)] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Replace all series of the metric with these."""
        self._clear()
        for labels, value in values.items():
            self.put(*labels, value=value)

    def _place(self, labels: Labels) -> int:
        """Where a series' number is, which is about to change."""
        at = self._at.get(labels)
        if at is None:
            at = self._at[labels] = len(self._labels)
            self._labels.append(labels)
            self._numbers.append(0.0)
            if at % _BLOCK == 0:
                self._texts.append(None)
        self._texts[at // _BLOCK] = None
        return at

    def end(self, accounts: Collection[str]) -> None:
        """Ends the series of accounts."""
        if "account" in self.instrument.labels:
            at = self.instrument.labels.index("account")
            left = {
                labels: number
                for labels, number in zip(self._labels, self._numbers, strict=True)
                if labels[at] not in accounts
            }
            if len(left) < len(self._labels):
                self.replace(left)

    def family(self) -> Metric:
        """All series, as the library has them."""
        family = self.instrument.family()
        for labels, number in zip(self._labels, self._numbers, strict=True):
            family.add_metric(labels, number)
        return family  # type: ignore[no-any-return]  # prometheus_client says Any

    def lines(self) -> Iterator[bytes]:
        """The samples of `family`, a block at a time; what changes meanwhile may be among them or not."""
        known, numbers, texts, line = self._labels, self._numbers, self._texts, self._line
        for block in range(len(texts)):
            text = texts[block]
            if text is None:
                places = range(block * _BLOCK, min((block + 1) * _BLOCK, len(known)))
                text = texts[block] = "".join([line(known[at], numbers[at]) for at in places]).encode()
            yield text


_Labels = TypeVar("_Labels")
_Value = TypeVar("_Value")


def present(series: Mapping[_Labels, _Value]) -> Iterator[tuple[_Labels, _Value]]:
    """Every series that is there now: who iterates may pause in between. Two tuples cost a tenth of a tuple for each
    series."""
    return zip(tuple(series), tuple(series.values()), strict=True)


class Cell:
    """A whole number that the counting code adds to in place: `cell.value += 1`. It is read at a scrape."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def __repr__(self) -> str:
        return f"<Cell: {self.value}>"


class Buckets:
    """One series of a histogram, added to in place: `counts` holds one number more than there are bounds, not yet
    cumulative, `total` the sum of what was seen."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Buckets: {sum(self.counts)} seen, {self.total:g} in all>"

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, others: Collection[Buckets]) -> None:
        """What other series of the same bounds have seen."""
        self.counts = list(map(sum, zip(self.counts, *[other.counts for other in others], strict=True)))
        self.total = sum((other.total for other in others), self.total)


class Distribution:
    """One histogram: buckets for each combination of labels. `exemplars` holds the last one of each bucket, by the
    number of the bucket; there is none without traces."""

    __slots__ = ("exemplars", "instrument", "series")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.series: dict[Labels, Buckets] = {}
        self.exemplars: dict[Labels, dict[int, tuple[dict[str, str], float, float]]] = {}

    def buckets(self, *labels: str) -> Buckets:
        found = self.series.get(labels)
        if found is None:
            found = self.series[labels] = Buckets(self.instrument.bounds)
        return found

    def exemplify(self, labels: Labels, names: dict[str, str], value: float, now: float) -> None:
        """What was just added to these buckets, with the names of its trace."""
        number = bisect_left(self.instrument.bounds, value)
        self.exemplars.setdefault(labels, {})[number] = (names, value, now)

    def family(self) -> Metric:
        from prometheus_client.samples import Exemplar

        family = self.instrument.family()
        names = [*map(repr, self.instrument.bounds), "+Inf"]
        for labels, seen in self.series.items():
            running, buckets = 0, []
            exemplars = self.exemplars.get(labels, {})
            for number, (name, count) in enumerate(zip(names, seen.counts, strict=True)):
                running += count
                exemplar = Exemplar(*exemplars[number]) if number in exemplars else None
                buckets.append((name, float(running), exemplar))
            family.add_metric(labels, buckets, seen.total)
        return family  # type: ignore[no-any-return]  # prometheus_client says Any

    def text(self, form: ExpositionFormat) -> Iterator[bytes]:
        """The family as a scraper gets it."""
        yield form.text_of(self.family())


class WrittenDistribution(Distribution):
    """A histogram of many series, most of which do not change from one scrape to the next: their text is kept."""

    __slots__ = ("_bucket", "_count", "_sum", "_texts")

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        name, labels = instrument.name, instrument.labels
        self._texts: dict[Labels, bytes] = {}
        self._bucket = SampleLine(f"{PREFIX}{name}_bucket", (*labels, "le"))
        self._count, self._sum = (SampleLine(f"{PREFIX}{name}_{part}", labels) for part in ("count", "sum"))

    def buckets(self, *labels: str) -> Buckets:
        """The counting code asks for these to add to them."""
        self._texts.pop(labels, None)
        return super().buckets(*labels)

    def end(self, accounts: Collection[str]) -> None:
        """Ends the series of accounts, which are all that these are by."""
        for account in accounts:
            self.series.pop((account,), None)
            self._texts.pop((account,), None)

    def lines(self) -> Iterator[bytes]:
        """The samples of `family`, one series at a time."""
        for labels, seen in present(self.series):
            text = self._texts.get(labels)
            if text is None:
                text = self._texts[labels] = self._written(labels, seen)
            yield text

    def _written(self, labels: Labels, seen: Buckets) -> bytes:
        running, lines = 0, []
        for name, count in zip((*map(repr, self.instrument.bounds), "+Inf"), seen.counts, strict=True):
            running += count
            lines.append(self._bucket((*labels, name), running))
        lines += (self._count(labels, running), self._sum(labels, seen.total))
        return "".join(lines).encode()


class SummedDistribution(Distribution):
    """A histogram whose series are sums: of its own buckets, and of `parts` that are kept more finely elsewhere.

    `moves` counts how often a part was put into the own buckets.
    """

    __slots__ = ("_parts", "moves")

    def __init__(self, instrument: Instrument, parts: Callable[[], Iterable[tuple[Labels, Buckets]]]) -> None:
        super().__init__(instrument)
        self._parts = parts
        self.moves = 0

    def text(self, form: ExpositionFormat) -> Iterator[bytes]:
        """The family as a scraper gets it; nothing after each part that was added, so that others can take a turn. What
        moves meanwhile would be counted twice, so it begins again."""
        moves = None
        while moves != self.moves:
            moves, whole = self.moves, Distribution(self.instrument)
            whole.exemplars = self.exemplars
            for _ in self._add_up(whole):
                yield b""
        yield form.text_of(whole.family())

    def _add_up(self, whole: Distribution) -> Iterator[None]:
        waiting: defaultdict[Labels, list[Buckets]] = defaultdict(list)
        for labels, buckets in chain(present(self.series), self._parts()):
            some = waiting[labels]
            some.append(buckets)
            if len(some) == _ADDED:
                whole.buckets(*labels).add_all(some)
                some.clear()
                yield
        for labels, some in waiting.items():
            whole.buckets(*labels).add_all(some)
            yield
