"""CPU per request of two checkouts of this program, in pairs, as ratios.

Both run at the same time on the same core, and only one of them has work: in each round one and then the other, the
next round the other way about. Whatever slows the machine down slows both sides of a pair.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.checkout import Checkout
from benchmarks.measure import measure
from benchmarks.processes import stopped_at_end
from benchmarks.progress import Progress
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import Scenario
from benchmarks.upstream import Upstream, start_upstream

NOISE = 0.03
"""A difference below this is none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of CPU per request of both, median of all rounds, and this one's to the other's."""

    scenario: Scenario
    this: float
    other: float
    ratio: Ratio

    def verdict(self) -> str:
        """Whether this one costs more, less, or what the other does, as far as the measurement can tell."""
        if self.ratio.low > 1 + NOISE:
            return "more"
        if self.ratio.high < 1 - NOISE:
            return "less"
        return "same" if abs(self.ratio.middle - 1) <= NOISE else "unclear: more rounds"


def compare(this: Checkout, other: Checkout, scenarios: tuple[Scenario, ...], rounds: int, seconds: int) -> list[str]:
    """Measure and print, a line as soon as it is known; gives what failed, which the others do not mind."""
    progress = Progress()
    for name, side in (("this", this), ("other", other)):
        print(f"{name:<6} {side.folder} with {side.python}")
    print(f"\n{'CPU per request':<30}{'this us':>9}{'other us':>10}   ratio, {rounds} paired rounds of {seconds} s")
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        for number, scenario in enumerate(scenarios):
            measuring = partial(_one, scenario, (this, other), upstream, work / str(number), (rounds, seconds))
            if row := progress.tried(scenario.name, measuring):
                _print(row)
    return progress.failures


def _print(row: Comparison) -> None:
    times = f"{row.this * 1e6:>9.1f}{row.other * 1e6:>10.1f}"
    print(f"{row.scenario.name:<30}{times}   {row.ratio:.3f}  {row.verdict()}")


def _one(
    scenario: Scenario, checkouts: tuple[Checkout, Checkout], upstream: Upstream, work: Path, extent: tuple[int, int]
) -> Comparison:
    rounds, seconds = extent
    spent: tuple[list[float], list[float]] = ([], [])
    # Where things lie in memory differs from process to process, and costs or saves a few per cent: two of each.
    for generation, count in enumerate((rounds - rounds // 2, rounds // 2)):
        if count:
            _take_turns(scenario, checkouts, upstream, work / str(generation), (count, seconds), spent)
    this, other = spent
    return Comparison(scenario, statistics.median(this), statistics.median(other), paired(this, other))


def _take_turns(
    scenario: Scenario,
    checkouts: tuple[Checkout, Checkout],
    upstream: Upstream,
    work: Path,
    extent: tuple[int, int],
    spent: tuple[list[float], list[float]],
) -> None:
    rounds, seconds = extent
    with contextlib.ExitStack() as stack:
        workers = []
        for side, checkout in enumerate(checkouts):
            worker = checkout.start(upstream, scenario.setting, work / str(side))
            stack.enter_context(stopped_at_end(worker.process))
            workers.append(worker)
            measure(worker, scenario.load, 1, work)
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                spent[side].append(measure(workers[side], scenario.load, seconds, work).cpu)
