"""The garbage collector is kept away from many objects that stay, and from nothing else."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from proxy.app import object_freezer
from proxy.app.object_freezer import MANY, SLOW, THRESHOLDS, ObjectFreezer


class Clock:
    """A clock that does not move until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that objects are frozen."""
    found: list[None] = []
    monkeypatch.setattr(gc, "freeze", lambda: found.append(None))
    return found


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector's settings, restored afterwards."""
    before, enabled, threshold = list(gc.callbacks), gc.isenabled(), gc.get_threshold()
    yield
    gc.callbacks[:] = before
    gc.set_threshold(*threshold)
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize(
    ("generation", "seconds", "survivors", "frozen"),
    [
        (2, SLOW + 0.01, MANY + 1, 1),
        (2, SLOW + 0.01, MANY, 0),
        (2, SLOW, MANY + 1, 0),
        (1, SLOW + 0.01, MANY + 1, 0),
    ],
)
def test_a_slow_full_collection_with_many_survivors_is_their_last(
    freezes: list[None], monkeypatch: pytest.MonkeyPatch, generation: int, seconds: float, survivors: int, frozen: int
) -> None:
    """A quick one, few survivors or a partial collection change nothing."""
    monkeypatch.setattr(gc, "get_objects", lambda generation: range(survivors))
    clock = Clock()
    kept = ObjectFreezer(clock)
    kept.collected("start", {"generation": generation})
    clock.now = seconds
    kept.collected("stop", {"generation": generation})
    assert len(freezes) == frozen


def test_the_collector_begins_when_the_program_serves(freezes: list[None], collector: None) -> None:
    """With everything frozen that the start has made, and seldom."""
    gc.disable()
    kept = ObjectFreezer()
    kept.begin()
    assert gc.isenabled()
    assert gc.get_threshold() == THRESHOLDS
    assert kept.collected in gc.callbacks
    assert len(freezes) == 1
    assert repr(kept).startswith("<ObjectFreezer: ")


def test_many_objects_that_stay_are_frozen_by_a_real_collection(
    collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test thaws them again, as other tests follow."""
    monkeypatch.setattr(object_freezer, "SLOW", -1.0)
    monkeypatch.setattr(object_freezer, "MANY", 0)
    before = gc.get_freeze_count()
    gc.callbacks.append(ObjectFreezer().collected)
    try:
        gc.collect()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
