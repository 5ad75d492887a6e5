"""A test that leaves a socket open fails itself, and not whichever test runs when the garbage collector finds it."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator

import pytest

NEVER = 1_000_000


class _Opened:
    """Whether there was a new socket since the last collection; every event loop makes one."""

    any = False

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event == "socket.__new__":
            self.any = True


_opened = _Opened()
sys.addaudithook(_opened)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage during the collection of tests: thousands of objects stay, and each full scan takes longer."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave the objects of a test in the two young generations until `collect` looks at these."""
    youngest, *_ = gc.get_threshold()
    gc.set_threshold(youngest, NEVER)
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """After its fixtures, fail a test that left something open."""
    try:
        return (yield)
    finally:
        left = collect(generation=1) if _opened.any else []
        _opened.any = False
        if nextitem is None or nextitem.path != item.path:
            left += collect(generation=2)
            gc.freeze()
        if left:
            pytest.fail("left behind: " + "; ".join(left), pytrace=False)


def collect(generation: int) -> list[str]:
    """Collect the garbage of these generations, and return what it warned of.

    The young ones hold one test's objects; to look at all objects takes milliseconds. Python keeps the traceback of a
    failed test for debuggers, and with it all that the test had.
    """
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        gc.collect(generation)
    return [str(each.message) for each in found]
