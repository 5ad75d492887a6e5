"""The cost of a request with several workers, the supervisor included, compared with one process that serves alone.

All of them share one core, as load and upstream have the other: no machine with a core for each is needed, and what
shows is what workers add. Each has as many connections as the one process alone, so that it finds as much to do in one
turn of its event loop. Processes that take turns on a core find its caches cold; with a core each they do not: so each
worker of four is measured by itself, too, one a round, while the other three are stopped.

Or nobody is bound to a core, load and upstream included, and all have the same connections: what somebody finds who
sets `workers` and looks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.checkout import Setting, Worker, this_checkout
from benchmarks.measure import Sample, measure
from benchmarks.processes import BenchmarkError, Process, stopped_at_end
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import ONE_TARGET
from benchmarks.upstream import start_upstream

COUNTS = (2, 4)
MOST_SECONDS = 3
"""A worker that is stopped for five is taken for one that hangs, and replaced."""


@dataclass(frozen=True, slots=True)
class WorkerCosts:
    """CPU per request in parts of that of one process, in paired rounds: by the count of `workers`; of `one` worker
    of four with their supervisor, and of that `supervisor` by itself."""

    workers: dict[int, Ratio]
    one: Ratio
    supervisor: Ratio


def measure_workers(rounds: int, seconds: int) -> WorkerCosts:
    """With one process, one worker, and so many workers."""
    if seconds > MOST_SECONDS:
        raise BenchmarkError(f"a worker can be stopped for at most {MOST_SECONDS} seconds: --seconds {MOST_SECONDS}")
    costs: dict[int, list[float]] = {count: [] for count in (1, *COUNTS)}
    ones: list[float] = []
    supervisors: list[float] = []
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        started: dict[int, Worker] = {}
        loads = {}
        for count in costs:
            loads[count] = replace(ONE_TARGET.load, connections=ONE_TARGET.load.connections * count)
            started[count] = this_checkout().start(upstream, Setting(workers=count), work / str(count))
            stack.enter_context(stopped_at_end(started[count].process))
            measure(started[count], loads[count], 1, work)
        most = started[max(COUNTS)]
        for number in range(rounds):
            for count, cost in costs.items():
                cost.append(measure(started[count], loads[count], seconds, work).cpu)
            with _one_serves(most.process, number) as supervisor:
                own, whole = supervisor.own_cpu(), supervisor.cpu()
                ones.append(measure(most, loads[1], seconds, work).cpu)
                supervisors.append(ones[-1] * (supervisor.own_cpu() - own) / (supervisor.cpu() - whole))
    by_count = {count: paired(costs[count], costs[1]) for count in COUNTS}
    return WorkerCosts(by_count, paired(ones, costs[1]), paired(supervisors, costs[1]))


def measure_free(rounds: int, seconds: int) -> dict[int, tuple[Ratio, Ratio]]:
    """CPU per request and throughput by the count of workers, to one process, where all may use all cores."""
    cores = set(range(os.cpu_count() or 1))
    os.sched_setaffinity(0, cores)
    load = replace(ONE_TARGET.load, connections=ONE_TARGET.load.connections * 2)
    samples: dict[int, list[Sample]] = {count: [] for count in (1, *COUNTS)}
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        upstream.process.use(cores)
        started: dict[int, Worker] = {}
        for count in samples:
            started[count] = this_checkout().start(upstream, Setting(workers=count), work / str(count))
            stack.enter_context(stopped_at_end(started[count].process))
            started[count].process.use(cores)
            measure(started[count], load, 1, work)
        for _ in range(rounds):
            for count, found in samples.items():
                found.append(measure(started[count], load, seconds, work))
    one = samples[1]
    return {
        count: (
            paired([each.cpu for each in samples[count]], [each.cpu for each in one]),
            paired([each.rate for each in samples[count]], [each.rate for each in one]),
        )
        for count in COUNTS
    }


@contextlib.contextmanager
def _one_serves(process: Process, number: int) -> Iterator[Process]:
    """Stop all workers but one, in turn: the stopped ones accept no connection, and cost nothing."""
    _, *workers = process.pids()
    others = [pid for at, pid in enumerate(workers) if at != number % len(workers)]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield process
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
