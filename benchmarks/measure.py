"""One measurement: a stretch of load on one worker, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import Worker
from benchmarks.load import Load, send


@dataclass(frozen=True, slots=True)
class Sample:
    """`cpu` is seconds per request, `rate` requests per second, `busy` the part of the time that the worker ran."""

    cpu: float
    rate: float
    busy: float
    p50: float
    p99: float


def measure(worker: Worker, load: Load, seconds: int, work: Path) -> Sample:
    """Send for this long; the log that came of it is dropped, so that no disk fills."""
    before = worker.process.cpu()
    outcome = send(load, worker.port, seconds, work, worker.authorization)
    spent = worker.process.cpu() - before
    worker.process.empty_log()
    return Sample(spent / outcome.requests, outcome.rate, spent / outcome.seconds, outcome.p50, outcome.p99)
