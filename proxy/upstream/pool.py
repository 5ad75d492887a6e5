"""The connections to one host: which is used next, how many there may be, and who waits for one. Sends nothing.

The connection used last is used next, so that those not needed grow old and go. Those who wait get connections in the
order in which they came.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import UpstreamTimeout
from proxy.upstream.connection import Connection

if TYPE_CHECKING:
    from proxy.net.deadlines import Deadlines
    from proxy.net.dialing import Dialer, Origin

IDLE = 50.0
"""Seconds that an unused connection is kept; Amazon's load balancers close theirs after 60."""


class Turn:
    """Somebody who waits. What comes is a connection, or None for leave to make one."""

    __slots__ = ("fresh", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, fresh: bool) -> None:
        self.fresh = fresh
        self.given: asyncio.Future[Connection | None] = loop.create_future()


class Pool:
    """See the module's docstring. `limit` counts connections that are being made, too."""

    def __init__(self, origin: Origin, dialer: Dialer, deadlines: Deadlines, limit: int) -> None:
        self.origin = origin
        self.host_line = origin.host_line
        self.limit = limit
        self.deadlines = deadlines
        self.loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._dialling = 0
        self._waiting: deque[Turn] = deque()
        self._closed = False

    def take(self) -> Connection | None:
        """An idle connection that still looks good, or None. Never waits."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def acquire(self, *, fresh: bool, patience: float) -> Connection:
        """A connection: an idle one (unless `fresh`), or a new one as soon as the limit allows.

        Raises `Refused` where none can be made, or where none became free within `patience` seconds.
        """
        if not fresh and (connection := self.take()) is not None:
            return connection
        if self._has_room:
            self._dialling += 1
            return await self._dial()
        if fresh and self._idle:
            self._idle.pop(0).close()
        try:
            async with asyncio.timeout(patience):
                while True:
                    given = await self._wait(fresh=fresh)
                    if given is None or given.usable:
                        break
                    given.close()
        except TimeoutError:
            raise UpstreamTimeout(
                f"None of the {self.limit} connections to {self.origin.host} became free within {patience:g} s; "
                "raise upstream.max_connections, or send less at once."
            ) from None
        return given if given is not None else await self._dial()

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange ended well."""
        if connection.served == 1:
            connection.remember_session(self._dialer)
        if self._closed:
            connection.close()
            return
        turn = self._next()
        if turn is None:
            connection.deadline = self.loop.time() + IDLE
            self._idle.append(connection)
        elif turn.fresh:
            self._waiting.appendleft(turn)
            connection.close()
        else:
            turn.given.set_result(connection)

    def opened(self, connection: Connection) -> None:
        self._all.add(connection)
        self.deadlines.add(connection)

    def lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        self.deadlines.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._grant()

    def close(self) -> None:
        """Close the idle connections, and busy ones when their exchange ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @property
    def sizes(self) -> tuple[int, int]:
        """How many connections there are, and how many of them are idle."""
        return len(self._all), len(self._idle)

    @property
    def _has_room(self) -> bool:
        return len(self._all) + self._dialling < self.limit

    async def _dial(self) -> Connection:
        """Make a connection. Its place has been counted in `_dialling`."""
        try:
            return await self._dialer.dial(self.origin, lambda: Connection(self))
        finally:
            self._dialling -= 1
            self._grant()

    async def _wait(self, *, fresh: bool) -> Connection | None:
        turn = Turn(self.loop, fresh=fresh)
        self._waiting.append(turn)
        try:
            return await turn.given
        except asyncio.CancelledError:
            if turn.given.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            else:
                self._pass_on(turn.given.result())
            raise

    def _pass_on(self, given: Connection | None) -> None:
        """Whoever it was given to has left."""
        if given is None:
            self._dialling -= 1
            self._grant()
        elif given.usable:
            self.release(given)
        else:
            given.close()

    def _grant(self) -> None:
        """Let those first in line make connections, as far as there is room."""
        while self._has_room and (turn := self._next()) is not None:
            self._dialling += 1
            turn.given.set_result(None)

    def _next(self) -> Turn | None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.given.done():
                return turn
        return None
