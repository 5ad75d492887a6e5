"""What a number is called and how it is kept: counters, gauges and histograms, with labels, as plain dictionaries.

Which instruments there are, and what fills them, is for `metrics`; docs/metrics.md lists them. They become Prometheus'
families only when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Exemplar

PREFIX: Final = "ads_proxy_"
Labels = tuple[str, ...]
NOTHING: Final[Mapping[Labels, float]] = MappingProxyType({})


class InstrumentKind(StrEnum):
    """What a scraper may do with a number: rates of counters, levels of gauges, quantiles of histograms."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


FAMILIES: Final[dict[InstrumentKind, Any]] = {
    InstrumentKind.COUNTER: CounterMetricFamily,
    InstrumentKind.GAUGE: GaugeMetricFamily,
    InstrumentKind.HISTOGRAM: HistogramMetricFamily,
}
"""Each family has its own signature; the stubs know their common base alone, and it has none of them."""


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
        return FAMILIES[self.kind](PREFIX + self.name, self.help, labels=self.labels)


class Table:
    """One counter or gauge: a number for each combination of labels."""

    __slots__ = ("instrument", "values")

    def __init__(self, kind: InstrumentKind, name: str, help_text: str, labels: Labels = ()) -> None:
        self.instrument = Instrument(kind, name, help_text, labels)
        self.values: dict[Labels, float] = {}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def put(self, *labels: str, value: float) -> None:
        self.values[labels] = value

    def end(self, account: str) -> None:
        """Ends the series of an account."""
        if "account" in self.instrument.labels:
            at = self.instrument.labels.index("account")
            for labels in [labels for labels in self.values if labels[at] == account]:
                del self.values[labels]

    def family(self, counted_elsewhere: Mapping[Labels, float] = NOTHING) -> Metric:
        """What is here, and what others counted of it."""
        family = self.instrument.family()
        for labels in dict.fromkeys((*self.values, *counted_elsewhere)):
            family.add_metric(labels, self.values.get(labels, 0.0) + counted_elsewhere.get(labels, 0.0))
        return family  # type: ignore[no-any-return]  # prometheus_client says Any


class Cell:
    """A whole number that whoever counts adds to in place: `cell.value += 1`. It is read when somebody scrapes."""

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

    def add_all(self, other: Buckets) -> None:
        """What another series of the same bounds has seen."""
        self.counts = [mine + others for mine, others in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Distribution:
    """One histogram: buckets for each combination of labels. `exemplars` holds the last one of each bucket, by the
    number of the bucket; there is none unless somebody traces."""

    __slots__ = ("exemplars", "instrument", "series")

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...], labels: Labels = ()) -> None:
        self.instrument = Instrument(InstrumentKind.HISTOGRAM, name, help_text, labels, bounds)
        self.series: dict[Labels, Buckets] = {}
        self.exemplars: dict[Labels, dict[int, Exemplar]] = {}

    def buckets(self, *labels: str) -> Buckets:
        found = self.series.get(labels)
        if found is None:
            found = self.series[labels] = Buckets(self.instrument.bounds)
        return found

    def exemplify(self, labels: Labels, exemplar: Exemplar) -> None:
        """What was just added to these buckets, with the name under which somebody can look at it."""
        number = bisect_left(self.instrument.bounds, exemplar.value)
        self.exemplars.setdefault(labels, {})[number] = exemplar

    def family(self) -> Metric:
        family = self.instrument.family()
        names = [*map(repr, self.instrument.bounds), "+Inf"]
        for labels, seen in self.series.items():
            running, buckets = 0, []
            exemplars = self.exemplars.get(labels, {})
            for number, (name, count) in enumerate(zip(names, seen.counts, strict=True)):
                running += count
                buckets.append((name, float(running), exemplars.get(number)))
            family.add_metric(labels, buckets, seen.total)
        return family  # type: ignore[no-any-return]  # prometheus_client says Any


class SummedDistribution(Distribution):
    """A histogram whose series are sums: of its own buckets, and of `parts` that are kept more finely elsewhere."""

    __slots__ = ("_parts",)

    def __init__(self, instrument: Instrument, parts: Callable[[], Iterable[tuple[Labels, Buckets]]]) -> None:
        super().__init__(instrument.name, instrument.help, instrument.bounds, instrument.labels)
        self._parts = parts

    def family(self) -> Metric:
        known = self.instrument
        whole = Distribution(known.name, known.help, known.bounds, known.labels)
        for labels, buckets in (*self.series.items(), *self._parts()):
            whole.buckets(*labels).add_all(buckets)
        whole.exemplars = self.exemplars
        return whole.family()
