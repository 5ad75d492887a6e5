"""When a document of the store is written: a moment after a change, and at the end. What is written is the owner's.

A crash loses the last changes. Where that would do harm, the owner writes at once, and later here only what failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from proxy.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SAVE_DELAY: Final = 2.0
"""Seconds from a change until it is written."""
RETRY_DELAY: Final = 60.0
"""Seconds from a write that failed until the next one."""
_SAVE_SHARE: Final = 0.05
"""The share of the time that is spent on writing at most: lists of many accounts change all the time after a start."""


class DelayedWriter:
    """Calls `write` a moment after `changed`, and again where it raises `StateError`. `begin` and `stop` are called one
    after the other."""

    def __init__(
        self,
        write: Callable[[], Awaitable[None]],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write_out, self._pause, self._clock = write, pause, clock
        self._changed = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<DelayedWriter: {'unsaved' if self.unsaved else 'saved'}>"

    @property
    def unsaved(self) -> bool:
        """Whether there are changes that are not written yet."""
        return self._changed.is_set()

    def changed(self) -> None:
        """Note that there is something to write."""
        self._changed.set()

    def begin(self) -> None:
        """Write what changes from now on."""
        self._writing = asyncio.create_task(self._keep_writing())

    async def stop(self) -> None:
        """Write what is not written yet."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait((self._writing,))
        if self.unsaved:
            await self._write()

    async def _keep_writing(self) -> None:
        delay = SAVE_DELAY
        while True:
            await self._changed.wait()
            await self._pause(delay)
            began = self._clock()
            least = SAVE_DELAY if await self._write() else RETRY_DELAY
            delay = max(least, (self._clock() - began) / _SAVE_SHARE)

    async def _write(self) -> bool:
        """Returns whether it succeeded; if not, also where it was cut off by the end, it is to be written still."""
        self._changed.clear()
        is_written = False
        try:
            with contextlib.suppress(StateError):
                await self._write_out()
                is_written = True
        finally:
            if not is_written:
                self._changed.set()
        return is_written
