"""When a worker is given up, and how soon another takes its place: decisions. Pure; times are arguments."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from proxy.backoff import backoff
from proxy.value_classes import dataclass

HANG_SECONDS: Final = 5.0
"""Seconds without a turn of its event loop after which a worker hangs."""
START_SECONDS: Final = 120.0
"""Seconds within which a worker must begin to serve. With 10,000 stored accounts and a busy machine it took 35."""
STEADY_SECONDS: Final = 1.0
"""A worker that served for so long did not end because of how it began."""
LOOK_SECONDS: Final = 0.5
_LATE_LOOK: Final = 2.0
"""Seconds between two looks that show that the whole machine, or the supervisor, was suspended."""
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0


class WorkerPhase(StrEnum):
    """What a worker does."""

    STARTING = "starting"
    SERVING = "serving"
    WAITING = "waiting"
    """The worker's process has ended, and another replaces it after a pause."""


class WorkerEnd(StrEnum):
    """Why a worker is there no more."""

    CRASHED = "crashed"
    """The worker's process ended, or was killed."""
    HUNG = "hung"
    """The worker's event loop hung, so it was killed."""
    NOT_READY = "not-ready"
    """The worker did not begin to serve in time, so it was killed."""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """A worker as the supervisor sees it. `since` is when its phase began, `beat` when its event loop last turned, 0
    before the first time; all times are of the one monotonic clock."""

    phase: WorkerPhase
    since: float
    beat: float


def assess(health: WorkerHealth, now: float, looked_at: float) -> WorkerEnd | None:
    """Why a worker is to be killed, if it is. `looked_at` is when this was asked last."""
    if now - looked_at > _LATE_LOOK:
        return None  # who looks so late was held up, and the worker may have been so by the same
    if health.phase is WorkerPhase.STARTING and now - health.since > START_SECONDS:
        return WorkerEnd.NOT_READY
    if health.phase is WorkerPhase.SERVING and now - max(health.beat, health.since) > HANG_SECONDS:
        return WorkerEnd.HUNG
    return None


def failures_after(failures: int, served: float) -> int:
    """How many workers in a row ended soon, after one that served for so many seconds."""
    return 0 if served >= STEADY_SECONDS else failures + 1


def wait_before(failures: int) -> float:
    """Seconds until another takes its place: none after one that served, and after the first that did not; then more
    and more."""
    return 0.0 if failures <= 1 else backoff(failures - 1, first=_FIRST_WAIT, limit=_LONGEST_WAIT)
