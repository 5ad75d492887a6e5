"""What a request costs with several workers, the supervisor included, to one process that serves alone.

All of them share one core, as load and upstream have the other: no machine with a core for each is needed, and what
shows is what workers add. Each has as many connections as the one process alone, so that it finds as much to do in one
turn of its event loop. Processes that take turns on a core find its caches cold; with a core each they do not.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.checkout import Setting, this_checkout
from benchmarks.measure import measure
from benchmarks.processes import stopped_at_end
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import ONE_TARGET
from benchmarks.upstream import start_upstream

COUNTS = (2, 4)


def measure_workers(rounds: int, seconds: int) -> dict[int, Ratio]:
    """CPU per request by the count of workers, to one process, in paired rounds."""
    costs: dict[int, list[float]] = {count: [] for count in (1, *COUNTS)}
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        started, loads = {}, {}
        for count in costs:
            loads[count] = replace(ONE_TARGET.load, connections=ONE_TARGET.load.connections * count)
            started[count] = this_checkout().start(upstream, Setting(workers=count), work / str(count))
            stack.enter_context(stopped_at_end(started[count].process))
            measure(started[count], loads[count], 1, work)
        for _ in range(rounds):
            for count, cost in costs.items():
                cost.append(measure(started[count], loads[count], seconds, work).cpu)
    return {count: paired(costs[count], costs[1]) for count in COUNTS}
