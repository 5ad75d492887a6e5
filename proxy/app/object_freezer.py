"""Keeps Python's garbage collector away from objects that stay.

A full collection looks at every object that the collector knows. With 10,000 accounts it held up requests for up to
1.5 s (`python -m benchmarks accounts`). `gc.freeze` hides all present objects from it. A hidden object is still freed
when its last reference goes, but no longer if it is part of a cycle. Requests, connections and reloads leave no cycles
behind (`tests/forwarding/test_cycles.py`), so hiding them costs no memory.
"""

from __future__ import annotations

import gc
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW: Final = 0.005
"""Seconds of a full collection after which its survivors are counted."""
MANY: Final = 20_000
"""Survivors of a full collection that are frozen."""
THRESHOLDS: Final = (10_000, 1, 1)
"""The thresholds of garbage collection. So many new objects that are still there begin a collection, not Python's 700
or 2,000: with 10,000 accounts, one looked at thousands of objects of the admin's answers, for 5 ms, every two seconds.
A full collection still comes once in about 90,000 objects, so that none finds very many."""


class ObjectFreezer:
    """Freezes what is there at the start, and later the survivors of each full collection that has many."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._began = 0.0

    def __repr__(self) -> str:
        return f"<ObjectFreezer: {gc.get_freeze_count()} frozen>"

    def begin(self) -> None:
        """The program serves from now on."""
        gc.freeze()
        gc.callbacks.append(self.collected)
        gc.set_threshold(*THRESHOLDS)
        gc.enable()

    def collected(self, phase: str, info: dict[str, Any]) -> None:
        """Called by the collector before (`start`) and after (`stop`) each collection."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = self._clock()
        elif self._clock() - self._began > SLOW and len(gc.get_objects(generation=2)) > MANY:
            gc.freeze()
