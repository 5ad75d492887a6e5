"""Locks that processes have on single bytes of a file that they share.

A process that is killed lets go of its locks, and one that is stopped amid the few steps under one is not waited for.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

_ATTEMPTS: Final = 20_000
"""To get a lock that is held for a microsecond."""


def are_possible() -> bool:
    """Whether this system has them."""
    return fcntl is not None


@contextlib.contextmanager
def locked(descriptor: int, byte: int) -> Iterator[None]:
    """What this byte stands for is this process's alone."""
    held = False
    for _ in range(_ATTEMPTS):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except BlockingIOError:
            continue
        held = True
        break
    try:
        yield
    finally:
        if held:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)
