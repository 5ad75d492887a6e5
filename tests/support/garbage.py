"""What only the garbage collector can free: objects of the program that refer to each other."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What the collector finds, kept instead of freed."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.garbage.clear()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    if enabled:
        gc.enable()


def in_cycles(garbage: list[object]) -> Counter[str]:
    """Objects of the program that the collector finds, by class."""
    gc.collect()
    return Counter(type(each).__qualname__ for each in garbage if type(each).__module__.startswith("proxy."))
