"""What one run measured, and its ratios between two contenders in a scenario. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.footprint import Footprint
from benchmarks.measure import Sample
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import ONE_CONNECTION
from benchmarks.speed import UPSTREAM, Samples


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one run. `circumstances` says on what, when and how, a sentence an entry; `failures` what went wrong."""

    circumstances: tuple[str, ...]
    samples: Samples
    footprints: Mapping[str, Sequence[Footprint]]
    burdens: Mapping[str, Ratio]
    failures: tuple[str, ...] = ()

    def ratio(self, scenario: str, these: str, those: str, value: Callable[[Sample], float]) -> Ratio | None:
        """The ratio of two contenders' numbers, round by round; None if one was not measured."""
        found, base = self.samples.get((scenario, these)), self.samples.get((scenario, those))
        return paired(list(map(value, found)), list(map(value, base))) if found and base else None

    def added(self, name: str, value: Callable[[Sample], float]) -> list[float]:
        """Seconds of latency added over the bare upstream in each round, with one connection; empty if not measured."""
        found = self.samples.get((ONE_CONNECTION.name, name))
        bare = self.samples.get((ONE_CONNECTION.name, UPSTREAM))
        return [value(this) - value(that) for this, that in zip(found, bare, strict=True)] if found and bare else []

    def added_ratio(self, these: str, those: str, value: Callable[[Sample], float]) -> Ratio | None:
        """The ratio of what two contenders add; None as well if noise left nothing to divide by."""
        found, base = self.added(these, value), self.added(those, value)
        return paired(found, base) if found and base and min(base) > 0 else None
