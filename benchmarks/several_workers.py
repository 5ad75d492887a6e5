"""What a request costs with several workers, the supervisor included, to one process that serves alone.

All of them share one core, as load and upstream have the other: no machine with a core for each is needed, and what
shows is what workers add. Processes that take turns on a core find its caches cold; with a core each they do not.
"""

from __future__ import annotations

import contextlib
import tempfile
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
        started = {}
        for count in costs:
            started[count] = this_checkout().start(upstream, Setting(workers=count), work / str(count))
            stack.enter_context(stopped_at_end(started[count].process))
            measure(started[count], ONE_TARGET.load, 1, work)
        for _ in range(rounds):
            for count, cost in costs.items():
                cost.append(measure(started[count], ONE_TARGET.load, seconds, work).cpu)
    return {count: paired(costs[count], costs[1]) for count in COUNTS}
