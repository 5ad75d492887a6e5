"""Timers for thousands of connections at the price of one: each has a moment, one sweep looks at all of them.

Setting a deadline is an assignment, so the request path can move it with every byte. A deadline is kept to within
one interval (0.25 s). What expiry means is the connection's own business.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from proxy.net.turn import TURN

if TYPE_CHECKING:
    import asyncio

NEVER = float("inf")
INTERVAL = 0.25


class Timed(Protocol):
    """Something with a moment (on the event loop's clock) after which `expire` is called, once per sweep."""

    deadline: float

    def expire(self, now: float) -> None: ...


class Deadlines:
    """The sweep over everything that has a deadline."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: Timed) -> None:
        self._items.add(item)
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._tick)

    def discard(self, item: Timed) -> None:
        self._items.discard(item)

    def sweep(self, now: float) -> None:
        """Expire what is due at `now`."""
        for item in [item for item in self._items if item.deadline <= now]:
            if item.deadline <= now:
                TURN.began = perf_counter()
                item.expire(now)

    def stop(self) -> None:
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        try:
            self.sweep(self._loop.time())
        finally:
            if self._items and self._timer is None:
                self._timer = self._loop.call_later(INTERVAL, self._tick)
