"""The connections to one host: which is used next, how many there may be, and who waits for one. Sends nothing.

The connection used last is used next, so that those not needed grow old and go. Those who wait get connections
in turns by client, and within one client in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import UpstreamTimeout
from proxy.upstream.connection import MAX_IDLE, UpstreamConnection
from proxy.upstream.doubted import RESTED
from proxy.upstream.turns import Turns

if TYPE_CHECKING:
    from proxy.net.deadlines import Deadlines
    from proxy.net.dialing import Dialer, Origin


class Waiter:
    """Somebody who waits. What comes is a connection, or None for leave to make one."""

    __slots__ = ("client", "fresh", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop, client: str, *, fresh: bool) -> None:
        self.client = client
        self.fresh = fresh
        self.given: asyncio.Future[UpstreamConnection | None] = loop.create_future()


class Pool:
    """See the module's docstring. `limit` counts connections that are being made, too.

    `recent` holds the seconds that the last answers took to begin.
    """

    def __init__(self, origin: Origin, dialer: Dialer, deadlines: Deadlines, limit: int) -> None:
        self.origin = origin
        self.host_line = origin.host_line
        self.limit = limit
        self.deadlines = deadlines
        self.loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._dialling = 0
        self._waiting: Turns[Waiter] = Turns()
        self._closed = False
        self.recent: deque[float] = deque(maxlen=32)

    def __repr__(self) -> str:
        total, idle = self.sizes
        state = ", closed" if self._closed else ""
        return f"<Pool {self.name}: {total} connections, {idle} idle, {len(self._waiting)} waiting{state}>"

    @property
    def name(self) -> str:
        return f"{self.origin.host}:{self.origin.port}"

    def take(self) -> UpstreamConnection | None:
        """An idle connection that still looks good, or None. Never waits."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    def take_warm(self) -> UpstreamConnection | None:
        """The connection used last, if that was so shortly ago that it needs no doubt; else None, and it stays."""
        return self._idle.pop() if self._idle and self._idle[-1].was_used_within(RESTED) else None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Nothing was sent on it after all."""
        self._idle.append(connection)

    async def acquire(self, *, fresh: bool, patience: float, client: str = "") -> UpstreamConnection:
        """A connection: an idle one (unless `fresh`), or a new one as soon as the limit allows, in turns by `client`.

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
                    given = await self._wait(client, fresh=fresh)
                    if given is None or given.usable:
                        break
                    given.close()
        except TimeoutError:
            raise UpstreamTimeout(
                f"None of the {self.limit} connections to {self.origin.host} became free within {patience:g} s; "
                "raise upstream.max_connections, or send less at once."
            ) from None
        return given if given is not None else await self._dial()

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange ended well."""
        if connection.served == 1:
            self._dialer.remember_session(self.origin, connection.transport)
        if self._closed:
            connection.close()
            return
        waiter = self._next()
        if waiter is None:
            connection.deadline = self.loop.time() + MAX_IDLE
            self._idle.append(connection)
        elif waiter.fresh:
            self._waiting.put_back(waiter.client, waiter)
            connection.close()
        else:
            waiter.given.set_result(connection)

    def opened(self, connection: UpstreamConnection) -> None:
        self._all.add(connection)
        self.deadlines.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self.deadlines.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._grant()

    def answered(self, seconds: float) -> None:
        self.recent.append(seconds)

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

    async def _dial(self) -> UpstreamConnection:
        """Make a connection. Its place has been counted in `_dialling`."""
        try:
            return await self._dialer.dial(self.origin, lambda: UpstreamConnection(self))
        finally:
            self._dialling -= 1
            self._grant()

    async def _wait(self, client: str, *, fresh: bool) -> UpstreamConnection | None:
        waiter = Waiter(self.loop, client, fresh=fresh)
        self._waiting.join(client, waiter)
        try:
            return await waiter.given
        except asyncio.CancelledError:
            if waiter.given.cancelled():
                self._waiting.leave(client, waiter)
            else:
                self._pass_on(waiter.given.result())
            raise

    def _pass_on(self, given: UpstreamConnection | None) -> None:
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
        while self._has_room and (waiter := self._next()) is not None:
            self._dialling += 1
            waiter.given.set_result(None)

    def _next(self) -> Waiter | None:
        while (waiter := self._waiting.next()) is not None and waiter.given.done():
            pass
        return waiter
