"""When a worker is given up, and how soon another takes its place."""

from __future__ import annotations

import pytest

from proxy.app.workers.supervision import (
    HANG_SECONDS,
    START_SECONDS,
    STEADY_SECONDS,
    WorkerEnd,
    WorkerHealth,
    WorkerPhase,
    assess,
    failures_after,
    wait_before,
)

NOW = 1000.0


@pytest.mark.parametrize(
    ("phase", "since", "beat", "looked_at", "verdict"),
    [
        (WorkerPhase.SERVING, 0.0, NOW, NOW - 0.5, None),
        (WorkerPhase.SERVING, 0.0, NOW - HANG_SECONDS, NOW - 0.5, None),
        (WorkerPhase.SERVING, 0.0, NOW - HANG_SECONDS - 0.1, NOW - 0.5, WorkerEnd.HUNG),
        (WorkerPhase.SERVING, NOW - 1, 0.0, NOW - 0.5, None),
        (WorkerPhase.SERVING, 0.0, NOW - 60, NOW - 10, None),
        (WorkerPhase.STARTING, NOW - START_SECONDS, 0.0, NOW - 0.5, None),
        (WorkerPhase.STARTING, NOW - START_SECONDS - 0.1, 0.0, NOW - 0.5, WorkerEnd.NOT_READY),
        (WorkerPhase.STARTING, NOW - 2 * START_SECONDS, 0.0, NOW - 10, None),
    ],
    ids=["well", "at-the-bound", "hung", "just-serving", "late-look", "starting", "not-ready", "late-look-at-start"],
)
def test_a_worker_is_given_up_where_it_hangs(
    phase: WorkerPhase, since: float, beat: float, looked_at: float, verdict: WorkerEnd | None
) -> None:
    """A late beat or a long start decides, unless the watching process was held up, too."""
    assert assess(WorkerHealth(phase, since, beat), NOW, looked_at) == verdict


def test_another_comes_at_once_and_then_less_and_less_soon() -> None:
    """The wait doubles up to five seconds while workers end soon, and is none again after one that served."""
    assert [wait_before(failures) for failures in range(1, 10)] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert failures_after(4, STEADY_SECONDS - 0.1) == 5
    assert failures_after(4, STEADY_SECONDS) == 0
    assert wait_before(10_000) == 5.0
