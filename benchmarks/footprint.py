"""Memory and start-up of each contender: a fresh process for each measurement."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.checkout import Setting, Worker
from benchmarks.clients import idle_connections, read_slowly
from benchmarks.contenders import Contender
from benchmarks.processes import Process, stopped_at_end
from benchmarks.progress import Progress
from benchmarks.upstream import HUGE_SIZE, Upstream

IDLE = 2000
IN_FLIGHT = 16
_SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resident bytes when fresh, and at most with downloads in flight; bytes per idle connection.

    `ready` is the seconds from the start until a request was answered 200.
    """

    fresh: float
    in_flight: float
    per_idle: float
    ready: float


def measure_footprints(
    contenders: tuple[Contender, ...], upstream: Upstream, work: Path, rounds: int, progress: Progress
) -> dict[str, list[Footprint]]:
    """Footprints by name, one a round; all contenders have their round before the next one begins. A failed one is left
    out."""
    found: dict[str, list[Footprint]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for place, contender in enumerate(contenders):
            if contender.name not in found:
                continue
            measuring = partial(_one, contender, upstream, work / f"footprint-{number}-{place}")
            row = progress.tried(f"{contender.name} in memory and start-up", measuring)
            if row is None:
                del found[contender.name]
            else:
                found[contender.name].append(row)
    return found


def _one(contender: Contender, upstream: Upstream, work: Path) -> Footprint:
    with _fresh(contender, upstream, work / "a") as worker:
        ready = worker.ready_after
        before = worker.process.memory()
        with idle_connections(worker, IDLE):
            time.sleep(_SETTLE)
            per_idle = (worker.process.memory().pss - before.pss) / IDLE
    with _fresh(contender, upstream, work / "b") as worker:
        _forget_peak(worker.process)
        read_slowly(worker, "/size/20m", HUGE_SIZE, IN_FLIGHT)
        return Footprint(before.rss, _peak(worker.process), per_idle, ready)


@contextlib.contextmanager
def _fresh(contender: Contender, upstream: Upstream, work: Path) -> Iterator[Worker]:
    worker = contender.start(upstream, Setting(), work)
    with stopped_at_end(worker.process):
        time.sleep(_SETTLE)
        yield worker


def _forget_peak(process: Process) -> None:
    for pid in process.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(process: Process) -> float:
    """Resident bytes at their most since then, summed over the processes."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in process.pids()]
    return sum(int(kilobytes) * 1024 for text in texts for kilobytes in re.findall(r"VmHWM:\s+(\d+)", text))
