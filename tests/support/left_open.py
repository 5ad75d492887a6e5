"""A test that leaves a socket open fails itself, and not whichever test runs when the collector of garbage finds it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest


class _Opened:
    """Whether there was a new socket since the last look; every event loop makes one."""

    any = False

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event == "socket.__new__":
            self.any = True


_opened = _Opened()
sys.addaudithook(_opened)


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_looked_at() -> None:
    """What is there before a module's first test stays: a look for garbage after each test takes milliseconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_open(nothing_old_is_looked_at: None) -> Iterator[None]:
    """Collect what a test with sockets left, after its other fixtures; pytest makes errors of the warnings.

    What a failed test left is held by the traceback that Python keeps for debuggers.
    """
    yield
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    if _opened.any:
        gc.collect()
        _opened.any = False
