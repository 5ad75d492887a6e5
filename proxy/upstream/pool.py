"""The connections to one host: which is used next, how many there may be, and who waits for one. Sends nothing.

The connection used last is used next, so that those not needed grow old and go. Those who wait get connections
in turns by client, and within one client in the order in which they came; how many one family of operations may hold
is for `bulkheads`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Protocol

from proxy.errors import UpstreamTimeout
from proxy.http1.response_reader import ResponseReader
from proxy.upstream.bulkheads import may_hold_another, unreserved
from proxy.upstream.connection import MAX_IDLE, REQUEST_IDS, UpstreamConnection
from proxy.upstream.doubted import RESTED
from proxy.upstream.turns import Turns

if TYPE_CHECKING:
    from proxy.net.deadlines import Deadlines
    from proxy.net.dialing import Dialer, Origin


class Waiting(Protocol):
    """Somebody who waits. `gone` tells that nobody is there any more to be given anything.

    Who `begins_anew` is given None where there is room for another connection, and asks for it like a newcomer.
    """

    @property
    def client(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def fresh(self) -> bool: ...

    @property
    def gone(self) -> bool: ...

    @property
    def begins_anew(self) -> bool: ...

    def give(self, connection: UpstreamConnection | None) -> None: ...


class Waiter:
    """A task that waits. What comes is a connection, or None for leave to make one."""

    begins_anew = False
    __slots__ = ("client", "family", "fresh", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop, client: str, family: str, *, fresh: bool) -> None:
        self.client = client
        self.family = family
        self.fresh = fresh
        self.given: asyncio.Future[UpstreamConnection | None] = loop.create_future()

    def __repr__(self) -> str:
        return f"<Waiter for a connection for {self.family}>"

    @property
    def gone(self) -> bool:
        return self.given.done()

    def give(self, connection: UpstreamConnection | None) -> None:
        self.given.set_result(connection)


class Pool:
    """See the module's docstring. `limit` counts connections that are being made, too.

    `recent` holds the seconds that the last answers took to begin.
    """

    def __init__(self, origin: Origin, dialer: Dialer, deadlines: Deadlines, limit: int) -> None:
        self.origin = origin
        self.name = f"{origin.host}:{origin.port}"
        self.host_line = origin.host_line
        self.limit = limit
        self._unreserved = unreserved(limit)
        self.deadlines = deadlines
        self.loop = asyncio.get_running_loop()
        self.reader = ResponseReader(REQUEST_IDS)
        self._dialer = dialer
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._dialling = 0
        self._used = 0
        self._held: defaultdict[str, int] = defaultdict(int)
        """There are no more families than the table of operations has, and few others."""
        self._waiting: Turns[Waiting] = Turns()
        self._closed = False
        self.recent: deque[float] = deque(maxlen=32)
        self.answered = self.recent.append

    def __repr__(self) -> str:
        total, idle = self.sizes
        state = ", closed" if self._closed else ""
        return f"<Pool {self.name}: {total} connections, {idle} idle, {len(self._waiting)} waiting{state}>"

    def take(self, family: str = "") -> UpstreamConnection | None:
        """An idle connection that still looks good, for an operation of this family, or None. Never waits."""
        while self._idle and self._may_hold(family):
            connection = self._idle.pop()
            if connection.usable:
                self._hold(connection, family)
                return connection
            connection.close()
        return None

    def take_warm(self, family: str) -> UpstreamConnection | None:
        """The connection used last, if that was so shortly ago that it needs no doubt; else None, and it stays."""
        idle, used = self._idle, self._used
        if not idle or not idle[-1].was_used_within(RESTED):
            return None
        if used >= self._unreserved and not self._may_hold(family):
            return None
        self._used = used + 1
        self._held[family] += 1
        connection = idle.pop()
        connection.family = family
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Nothing was sent on it after all."""
        self._let_go(connection)
        self._idle.append(connection)

    def holds_back(self, family: str) -> bool:
        """Whether there is a connection for others, and none for this family: it holds its share."""
        return self._used < self.limit and not self._may_hold(family)

    def held_by(self, family: str) -> int:
        """How many connections serve operations of this family, or are made for one."""
        return self._held.get(family, 0)

    def is_awaited_by(self, family: str) -> bool:
        """Whether somebody waits already for a connection for an operation of this family."""
        return self._waiting.holds(family)

    async def acquire(self, *, fresh: bool, patience: float, client: str = "", family: str = "") -> UpstreamConnection:
        """A connection: an idle one (unless `fresh`), or a new one as soon as the limit allows, and the share of the
        operation's `family`; in turns by `client`.

        Raises `Refused` where none can be made, or where none became free within `patience` seconds.
        """
        if not fresh and (connection := self.take(family)) is not None:
            return connection
        if self._may_hold(family):
            if self._has_room:
                self._begin_dial(family)
                return await self._dial(family)
            if fresh and self._idle:
                self._idle.pop(0).close()
        try:
            async with asyncio.timeout(patience):
                while True:
                    given = await self._wait(client, family, fresh=fresh)
                    if given is None or given.usable:
                        break
                    given.close()
        except TimeoutError:
            raise self.none_became_free(family, patience) from None
        return given if given is not None else await self._dial(family)

    def none_became_free(self, family: str, patience: float) -> UpstreamTimeout:
        """What is told to somebody of this family who waited for so many seconds."""
        return UpstreamTimeout(
            f"None of the {self.limit} connections to {self.origin.host} became free for {family or 'this'} within "
            f"{patience:g} s, while {self.held_by(family)} of them served others of its kind; "
            "raise upstream.max_connections, or send less at once."
        )

    def is_full(self, family: str) -> bool:
        """Whether somebody of this family has to wait: none is idle, or free for it, and none may be made."""
        return not self._may_hold(family) or not (self._idle or self._has_room)

    def join(self, waiter: Waiting) -> None:
        """Give the waiter a connection when its turn has come."""
        self._waiting.join(waiter.client, waiter, waiter.family)

    def leave(self, waiter: Waiting) -> None:
        """It waits no longer."""
        self._waiting.leave(waiter.client, waiter, waiter.family)

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange ended well."""
        if connection.served == 1:
            self._dialer.remember_session(self.origin, connection.transport)
        if (family := connection.family) is not None:
            connection.family = None
            self._used -= 1
            self._held[family] -= 1
        if self._closed:
            connection.close()
            return
        connection.deadline = self.loop.time() + MAX_IDLE
        self._idle.append(connection)
        if self._waiting.queues:
            self._grant()

    def opened(self, connection: UpstreamConnection) -> None:
        self._all.add(connection)
        self.deadlines.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self.deadlines.discard(connection)
        self._let_go(connection)
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

    # --- who holds what

    @property
    def _has_room(self) -> bool:
        return len(self._all) + self._dialling < self.limit

    def _may_hold(self, family: str) -> bool:
        return may_hold_another(self._held.get(family, 0), self._used, self.limit)

    def _hold(self, connection: UpstreamConnection, family: str) -> None:
        connection.family = family
        self._count(family)

    def _let_go(self, connection: UpstreamConnection) -> None:
        """The connection serves nobody any longer; it may not have before."""
        family, connection.family = connection.family, None
        if family is not None:
            self._forget(family)

    def _count(self, family: str) -> None:
        self._used += 1
        self._held[family] += 1

    def _forget(self, family: str) -> None:
        self._used -= 1
        self._held[family] -= 1

    # --- making one, and waiting for one

    def _begin_dial(self, family: str) -> None:
        """A connection will be made: its place is taken from now on."""
        self._dialling += 1
        self._count(family)

    def _end_dial(self, family: str) -> None:
        """It was made, and counts itself, or it was not."""
        self._dialling -= 1
        self._forget(family)

    async def _dial(self, family: str) -> UpstreamConnection:
        """Make a connection, whose place has been taken."""
        try:
            connection = await self._dialer.dial(self.origin, lambda: UpstreamConnection(self))
            if not connection.lost:
                self._hold(connection, family)
            return connection
        finally:
            self._end_dial(family)
            self._grant()

    async def _wait(self, client: str, family: str, *, fresh: bool) -> UpstreamConnection | None:
        waiter = Waiter(self.loop, client, family, fresh=fresh)
        self._waiting.join(client, waiter, family)
        try:
            return await waiter.given
        except asyncio.CancelledError:
            if waiter.given.cancelled():
                self._waiting.leave(client, waiter, family)
            else:
                self._pass_on(waiter, waiter.given.result())
            raise

    def _pass_on(self, waiter: Waiter, given: UpstreamConnection | None) -> None:
        """Whoever it was given to has left."""
        if given is None:
            self._end_dial(waiter.family)
            self._grant()
        elif given.usable:
            self.release(given)
        else:
            given.close()

    def _grant(self) -> None:
        """Give those first in line what there is: idle connections, and leave to make new ones."""
        while (waiter := self._next()) is not None:
            connection = None if waiter.fresh else self.take(waiter.family)
            if connection is None and not self._has_room:
                self._waiting.put_back(waiter.client, waiter, waiter.family)
                if waiter.fresh and self._idle:
                    self._idle.pop(0).close()
                return
            if connection is None and waiter.begins_anew:
                waiter.give(None)
                self.loop.call_soon(self._grant)  # the next one's turn, once this one has taken its place
                return
            if connection is None:
                self._begin_dial(waiter.family)
            waiter.give(connection)

    def _next(self) -> Waiting | None:
        """The first that still waits, and whose family may hold another connection."""
        while (waiter := self._waiting.next(self._may_hold)) is not None and waiter.gone:
            pass
        return waiter
