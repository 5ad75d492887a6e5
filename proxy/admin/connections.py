"""The admin listener's door: how many connections may stand in it, and for how long. What they ask is not looked at.

The server behind it waits for a request for ever, so silent connections could use up the files that tools' connections
need. Whoever asks in time is let through unchanged; a newcomer beyond the limit takes the place of the oldest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 128
"""Connections at a time."""
FIRST_REQUEST = 10.0
"""Seconds until the first head must be complete."""
LONGEST = 900.0
"""Seconds that a connection lives at all; browsers and Prometheus connect anew without a word."""
_LONGEST_END = len(b"\r\n\r\n") - 1


class Door:
    """Makes the protocols of all connections; `inner` makes those that they lead to."""

    def __init__(self, inner: Callable[[], asyncio.Protocol], most: int = MOST, first: float = FIRST_REQUEST) -> None:
        self.inner = inner
        self.most = most
        self.first = first
        self.standing: dict[Visitor, None] = {}

    def protocol(self) -> Visitor:
        """A new connection's protocol: the factory for `create_server`."""
        return Visitor(self)

    def enter(self, visitor: Visitor) -> None:
        self.standing[visitor] = None
        if len(self.standing) > self.most:
            next(iter(self.standing)).leave()


class Visitor(asyncio.Protocol):
    """One connection, handed on to its inner protocol."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._inner = door.inner()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._end = b""
        self._asked = False

    def leave(self) -> None:
        """End the connection now."""
        self._door.standing.pop(self, None)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._door.first, self.leave)
        self._inner.connection_made(transport)
        self._door.enter(self)

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self._look_for_a_head(data)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.standing.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _look_for_a_head(self, data: bytes) -> None:
        tail = self._end + data
        self._asked, self._end = b"\r\n\r\n" in tail, tail[-_LONGEST_END:]
        if self._asked and self._timer is not None:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(LONGEST, self.leave)
