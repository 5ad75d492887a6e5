"""Changes in directories as the system reports them, awaited in a thread of its own.

watchfiles' own way to wait in an event loop loads a second library for event loops, during the program's first
requests.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from watchfiles import watch

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from pathlib import Path

    from watchfiles import Change


class Settable(Protocol):
    """An event of `asyncio` or `threading`."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Milliseconds: `step` without a change ends a group of them, `group` ends it at the latest, and `silence` without
    any gives an empty one (0: never). `counts` says which changes count; None for all."""

    step: int
    group: int = 1600
    silence: int = 0
    counts: Callable[[Change, str], bool] | None = None


class _EitherEvent:
    """Set where one of two is; asked in the thread that waits."""

    def __init__(self, first: Settable, second: Settable | None) -> None:
        self._first, self._second = first, second

    def is_set(self) -> bool:
        return self._first.is_set() or (self._second is not None and self._second.is_set())


async def changes_in(
    directories: Iterable[Path], settings: WatchSettings, stop: Settable | None = None
) -> AsyncGenerator[int, None]:
    """How many changes came, for each group of them, until `stop` is set. What lies in directories below is not looked
    at. Raises `OSError` or `RuntimeError` where nothing can be watched."""
    left = threading.Event()
    groups = watch(
        *directories,
        watch_filter=settings.counts,
        debounce=settings.group,
        step=settings.step,
        stop_event=_EitherEvent(left, stop),
        rust_timeout=settings.silence or _ANY_TIME,
        yield_on_timeout=settings.silence > 0,
        recursive=False,
    )
    waiting = ThreadPoolExecutor(1, "directory-watch")
    try:
        while (group := await asyncio.get_running_loop().run_in_executor(waiting, next, groups, None)) is not None:
            yield len(group)
    finally:
        left.set()  # the thread sees it within a step
        waiting.shutdown(wait=False)


_ANY_TIME: Final = 5000
"""Milliseconds after which watchfiles looks around and goes on."""
