"""CPU per request, throughput and latency of everybody in every scenario, interleaved round by round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.checkout import Worker
from benchmarks.contenders import Contender, Fleet
from benchmarks.measure import Sample, measure
from benchmarks.processes import BenchmarkError
from benchmarks.scenarios import ONE_CONNECTION, Scenario
from benchmarks.upstream import Upstream

UPSTREAM = "upstream itself"
Samples = dict[tuple[str, str], list[Sample]]
"""(scenario, contender) -> a sample a round."""


def measure_speed(
    fleet: Fleet,
    upstream: Upstream,
    pairs: list[tuple[Scenario, tuple[Contender, ...]]],
    extent: tuple[int, int],
    say: Callable[[str], None],
) -> Samples:
    """All of a round before the next one begins; the order within a scenario moves on by one each round."""
    rounds, seconds = extent
    found: Samples = {}
    for number in range(-1, rounds):  # the one before the first warms up, and does not count
        say(f"round {number + 1} of {rounds}" if number >= 0 else "warming up")
        for scenario, those in pairs:
            turn = number % len(those)
            for contender in those[turn:] + those[:turn]:
                worker = fleet.worker(contender, scenario.setting)
                sample = _sample(worker, contender.name, scenario, seconds if number >= 0 else 1)
                if number >= 0:
                    found.setdefault((scenario.name, contender.name), []).append(sample)
            if scenario is ONE_CONNECTION and number >= 0:
                bare = _sample(Worker(upstream.process, upstream.plain), UPSTREAM, scenario, seconds)
                found.setdefault((scenario.name, UPSTREAM), []).append(bare)
    return found


def _sample(worker: Worker, name: str, scenario: Scenario, seconds: int) -> Sample:
    try:
        return measure(worker, scenario.load, seconds, Path(worker.process.log).parent)
    except BenchmarkError as error:
        raise BenchmarkError(f"{name}, {scenario.name}: {error}\n{worker.process.last_words()}") from error
