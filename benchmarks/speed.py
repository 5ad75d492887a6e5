"""CPU per request, throughput and latency of each contender in every scenario, interleaved round by round."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from benchmarks.contenders import Contender
from benchmarks.measure import Sample
from benchmarks.progress import Progress
from benchmarks.scenarios import ONE_CONNECTION, Scenario

UPSTREAM = "upstream itself"
Samples = dict[tuple[str, str], list[Sample]]
"""(scenario, contender) -> a sample a round."""


class Measuring(Protocol):
    """What `contenders.Fleet` does: a stretch of load on one contender's worker, or on the bare upstream (None)."""

    def measure(self, contender: Contender | None, scenario: Scenario, seconds: int) -> Sample: ...


def measure_speed(
    fleet: Measuring,
    pairs: list[tuple[Scenario, tuple[Contender, ...]]],
    extent: tuple[int, int],
    progress: Progress,
) -> Samples:
    """All of a round before the next one begins; the order within a scenario moves on by one each round.

    Who fails in a scenario takes no more part in it, and leaves no samples of it.
    """
    rounds, seconds = extent
    found: Samples = {}
    broken: set[tuple[str, str]] = set()
    for number in range(-1, rounds):  # the one before the first warms up, and does not count
        progress.say(f"round {number + 1} of {rounds}" if number >= 0 else "warming up")
        for scenario, those in pairs:
            turn = number % len(those)
            bare = (None,) if scenario is ONE_CONNECTION else ()
            for contender in (*those[turn:], *those[:turn], *bare):
                key = (scenario.name, contender.name if contender else UPSTREAM)
                if key in broken:
                    continue
                measuring = partial(fleet.measure, contender, scenario, seconds if number >= 0 else 1)
                sample = progress.tried(f"{key[1]} in {scenario.name!r}", measuring)
                if sample is None:
                    broken.add(key)
                    found.pop(key, None)
                elif number >= 0:
                    found.setdefault(key, []).append(sample)
    return found
