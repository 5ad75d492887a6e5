"""What a burden costs: CPU per request of the program with much to know or to hold, to the same without."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.checkout import Setting, Worker, this_checkout
from benchmarks.clients import idle_connections
from benchmarks.measure import measure
from benchmarks.processes import BenchmarkError, stopped_at_end
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import ONE_TARGET
from benchmarks.upstream import Upstream

_QUIET_WITHIN = 240.0
_QUIET = 0.02
_QUIET_TIMES = 4
"""In a row: a worker that waits for an answer, or for its core, is quiet once."""


@dataclass(frozen=True, slots=True)
class Burden:
    """A name, the setting, and connections that are open all the while."""

    name: str
    setting: Setting = field(default_factory=Setting)
    idle: int = 0


PROFILES, ACCOUNTS, IDLE_CONNECTIONS = "10,000 profiles known", "1,000 accounts", "2,000 idle connections"
BURDENS = (
    Burden(PROFILES, Setting(profiles=10_000)),
    Burden(ACCOUNTS, Setting(accounts=1_000)),
    Burden(IDLE_CONNECTIONS, idle=2_000),
)


def measure_burdens(upstream: Upstream, work: Path, extent: tuple[int, int]) -> dict[str, Ratio]:
    """By name, in paired rounds with an unburdened worker."""
    rounds, seconds = extent
    this = this_checkout()
    with contextlib.ExitStack() as stack:
        workers = []
        for number, burden in enumerate((Burden("none"), *BURDENS)):
            worker = this.start(upstream, burden.setting, work / f"burden-{number}")
            stack.enter_context(stopped_at_end(worker.process))
            _wait_quiet(worker)
            if burden.idle:
                stack.enter_context(idle_connections(worker, burden.idle))
            workers.append(worker)
        costs: list[list[float]] = [[] for _ in workers]
        for number in range(-1, rounds):
            for worker, cost in zip(workers, costs, strict=True):
                sample = measure(worker, ONE_TARGET.load, seconds if number >= 0 else 1, work)
                if number >= 0:
                    cost.append(sample.cpu)
    return {burden.name: paired(cost, costs[0]) for burden, cost in zip(BURDENS, costs[1:], strict=True)}


def _wait_quiet(worker: Worker) -> None:
    """Wait until everything that the start set off, tokens and lists of profiles, is done."""
    end = time.monotonic() + _QUIET_WITHIN
    quiet = 0
    while time.monotonic() < end:
        before = worker.process.cpu()
        time.sleep(0.5)
        quiet = quiet + 1 if (worker.process.cpu() - before) / 0.5 < _QUIET else 0
        if quiet == _QUIET_TIMES:
            return
    raise BenchmarkError(f"{worker.process!r} does not come to rest")
