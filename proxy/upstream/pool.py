"""The connections to one host: which is used next, how many there may be, and who waits for one. Sends nothing.

Each connection has a slot, from the moment at which the pool begins to make it until it is lost. A request that needs a
connection gets an idle one, or a slot in which it makes one (`dial`). If there is neither, the request waits, as a
`ConnectionWaiter`.

- The connection used last is used next, so that those not needed grow old and go.
- Waiting requests get connections in turns by client, and within one client in the order in which they came.
- A family of operations may use a part of the slots only (`may_hold_another`), so that slow operations leave some to
  the others. A connection that serves a request, or is made for one, is counted for the family (`held_by`).

`Pools` has the pools of all hosts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from dataclasses import field
from itertools import repeat
from operator import contains
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from proxy.errors import UpstreamTimeout
from proxy.net.dialing import Dialer, Origin, origin_of
from proxy.upstream.connection import MAX_IDLE, UpstreamConnection
from proxy.upstream.hedging import RESTED
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from proxy.net.deadlines import Deadlines
    from proxy.net.names import Names


class ConnectionWaiter(Protocol):
    """A request that waits for a connection. `gone` tells that it no longer waits.

    `give` is called within the pool's turns and must not raise. None stands for a slot that was taken for the waiter:
    it makes a connection with `Pool.dial`, or returns the slot with `Pool.decline`.
    """

    @property
    def client(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def fresh(self) -> bool: ...

    @property
    def gone(self) -> bool: ...

    def give(self, connection: UpstreamConnection | None) -> None: ...


class TaskWaiter:
    """A task that waits. What comes is a connection, or None for leave to make one."""

    __slots__ = ("client", "family", "fresh", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop, client: str, family: str, *, fresh: bool) -> None:
        self.client = client
        self.family = family
        self.fresh = fresh
        self.given: asyncio.Future[UpstreamConnection | None] = loop.create_future()

    def __repr__(self) -> str:
        return f"<TaskWaiter for a connection for {self.family}>"

    @property
    def gone(self) -> bool:
        return self.given.done()

    def give(self, connection: UpstreamConnection | None) -> None:
        self.given.set_result(connection)


class Pool:
    """The connections to one host, `limit` at most, and the requests that wait for one.

    `free` is the number of slots in which a connection may be made, `used` that of connections that serve requests, or
    are made for one. `recent` holds the seconds that the last answers took to begin.
    """

    def __init__(self, origin: Origin, dialer: Dialer, deadlines: Deadlines, limit: int) -> None:
        self.origin = origin
        self.name = f"{origin.host}:{origin.port}"
        self.host_line = origin.host_line
        self.limit = self.free = limit
        self.used = 0
        self._unreserved = unreserved(limit)
        self.deadlines = deadlines
        self.loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._held: defaultdict[str, int] = defaultdict(int)
        """There are no more families than the table of operations has, and few others."""
        self._waiting: FairQueue[ConnectionWaiter] = FairQueue()
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
                connection.family = family
                self._count(family)
                return connection
            connection.close()
        return None

    def take_warm(self, family: str) -> UpstreamConnection | None:
        """The connection used last, if that was so shortly ago that it needs no doubt; else None, and it stays."""
        idle, used = self._idle, self.used
        if not idle or not idle[-1].was_used_within(RESTED):
            return None
        if used >= self._unreserved and not self._may_hold(family):
            return None
        self.used = used + 1
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
        return self.used < self.limit and not self._may_hold(family)

    def held_by(self, family: str) -> int:
        """How many connections serve operations of this family, or are made for one."""
        return self._held.get(family, 0)

    def is_awaited_by(self, family: str) -> bool:
        """Whether a request of this family already waits for a connection."""
        return self._waiting.holds(family)

    async def acquire(self, *, fresh: bool, patience: float, client: str = "", family: str = "") -> UpstreamConnection:
        """A connection: an idle one (unless `fresh`), or a new one as soon as the limit allows, and the share of the
        operation's `family`; in turns by `client`.

        Raises `Refused` where none can be made, or where none became free within `patience` seconds.
        """
        if not fresh and (connection := self.take(family)) is not None:
            return connection
        if self._may_hold(family):
            if self._begin_dial(family):
                return await self.dial(family)
            if fresh:
                self._make_room()
        try:
            async with asyncio.timeout(patience):
                while True:
                    given = await self._wait(client, family, fresh=fresh)
                    if given is None or given.usable:
                        break
                    given.close()
        except TimeoutError:
            raise self.none_became_free(family, patience) from None
        return given if given is not None else await self.dial(family)

    def none_became_free(self, family: str, patience: float) -> UpstreamTimeout:
        """The error for a request of this family that waited for so many seconds."""
        return UpstreamTimeout(
            f"None of the {self.limit} connections to {self.origin.host} became free for {family or 'this'} within "
            f"{patience:g} s, while {self.held_by(family)} of them served others of its kind; "
            "raise upstream.max_connections, or send less at once."
        )

    def is_full(self, family: str) -> bool:
        """Whether a request of this family has to wait: none is idle, or free for it, and none may be made."""
        return not self._may_hold(family) or not (self._idle or self.free > 0)

    def join(self, waiter: ConnectionWaiter) -> None:
        """Give the waiter a connection when its turn has come."""
        self._waiting.join(waiter.client, waiter, waiter.family)

    def leave(self, waiter: ConnectionWaiter) -> None:
        """A request waits no longer."""
        self._waiting.leave(waiter.client, waiter, waiter.family)

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange ended well."""
        if connection.served == 1:
            self._dialer.remember_session(self.origin, connection.transport)
        if (family := connection.family) is not None:
            connection.family = None
            self.used -= 1
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
        if connection in self._all:
            self._all.remove(connection)
            self.free += 1
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

    def _may_hold(self, family: str) -> bool:
        """Whether a family may hold one more connection."""
        return may_hold_another(self._held.get(family, 0), self.used, self.limit)

    def _let_go(self, connection: UpstreamConnection) -> None:
        """The connection serves no request any longer; it may not have before."""
        family, connection.family = connection.family, None
        if family is not None:
            self._count(family, -1)

    def _count(self, family: str, change: int = 1) -> None:
        """A connection serves an operation of this family, or is made for one; or, with -1, no longer."""
        self.used += change
        self._held[family] += change

    # --- making one, and waiting for one

    def _begin_dial(self, family: str) -> bool:
        """Take the place of a connection that will be made; False where none is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        self._count(family)
        return True

    async def dial(self, family: str) -> UpstreamConnection:
        """Make a connection, whose slot has been taken and counted. Raises `Refused` where that fails."""
        connection: UpstreamConnection | None = None
        made: list[UpstreamConnection] = []

        def make() -> UpstreamConnection:
            made.append(UpstreamConnection(self))
            return made[-1]

        try:
            connection = await self._dialer.dial(self.origin, make)
            return connection
        finally:
            if connection is not None and not connection.lost:
                connection.family = family
            else:
                self._count(family, -1)
            if not any(each.born for each in made):  # one that was set up keeps its slot until it is lost
                self.free += 1
            self._grant()

    def decline(self, family: str) -> None:
        """The slot that was taken for a waiter of this family is not needed: the next waiter gets it."""
        self._count(family, -1)
        self.free += 1
        self.loop.call_soon(self._grant)  # not at once: this may be within a turn

    async def _wait(self, client: str, family: str, *, fresh: bool) -> UpstreamConnection | None:
        waiter = TaskWaiter(self.loop, client, family, fresh=fresh)
        self.join(waiter)
        try:
            return await waiter.given
        except asyncio.CancelledError:
            if waiter.given.cancelled():
                self.leave(waiter)
            elif (given := waiter.given.result()) is None:
                self.decline(family)
            elif given.usable:
                self.release(given)
            else:
                given.close()
            raise

    def _grant(self) -> None:
        """Give those first in line what there is: idle connections, and leave to make new ones."""
        while (waiter := self._waiting.next(self._may_hold)) is not None:
            if waiter.gone:
                continue
            connection = None if waiter.fresh else self.take(waiter.family)
            if connection is None and not self._begin_dial(waiter.family):
                self._waiting.put_back(waiter.client, waiter, waiter.family)
                if waiter.fresh:
                    self._make_room()
                break
            waiter.give(connection)

    def _make_room(self) -> None:
        """Close an idle connection for a new one, unless the place of another that was closed comes back anyway."""
        if self._idle and not any(connection.failed for connection in self._all):
            self._idle.pop(0).close()


# --- How much of a pool one family of operations may use ------------------------------------------------------

_RESERVED = 4
"""One of so many connections is left to those who hold few; a pool of fewer is shared to the last."""


def unreserved(limit: int) -> int:
    """The number of used connections below which every client may have one more."""
    return limit - limit // _RESERVED


def may_hold_another(held: int, used: int, limit: int) -> bool:
    """Whether a family that holds `held` of a pool's `used` connections may have one more. There may be `limit`."""
    free = limit - used
    return free > limit // _RESERVED or held < free


# --- Who waits for a connection, in turns by client ------------------------------------------------------

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue for each client, and a round of those that have one. Within a client, first come, first served.

    A client's queue is kept by family, each waiter with its number, so that those who may not go on cost nothing.
    `queues` is empty if no request waits; it is looked at for each request.
    """

    def __init__(self) -> None:
        self.queues: OrderedDict[str, dict[str, deque[tuple[int, T]]]] = OrderedDict()
        self._last = self._first = 0

    def __len__(self) -> int:
        return sum(len(queue) for queues in self.queues.values() for queue in queues.values())

    def __repr__(self) -> str:
        return f"<FairQueue of {len(self.queues)} clients, {len(self)} waiting>"

    def join(self, client: str, waiter: T, family: str = "") -> None:
        """Wait behind one's own, and, as a client that did not wait yet, behind all others."""
        self._last += 1
        self._queue(client, family).append((self._last, waiter))

    def holds(self, family: str) -> bool:
        """Whether a request of this family waits."""
        return any(map(contains, self.queues.values(), repeat(family)))

    def next(self, may: Callable[[str], bool] = lambda _family: True) -> T | None:
        """Take out whose turn it is, of those whose family `may` go on; the next turn is another client's."""
        for client, queues in self.queues.items():
            family, least = None, 0
            for each, queue in queues.items():
                if may(each) and (family is None or queue[0][0] < least):
                    family, least = each, queue[0][0]
            if family is not None:
                _, waiter = queues[family].popleft()
                self.queues.move_to_end(client)
                self._tidy(client, family)
                return waiter
        return None

    def put_back(self, client: str, waiter: T, family: str = "") -> None:
        """A request could not use its turn: the next turn is its own again."""
        self._first -= 1
        self._queue(client, family).appendleft((self._first, waiter))
        self.queues.move_to_end(client, last=False)

    def leave(self, client: str, waiter: T, family: str = "") -> None:
        """Wait no longer. Has no effect for a request that does not wait."""
        queue = self.queues.get(client, {}).get(family, deque())
        entry = next((each for each in queue if each[1] is waiter), None)
        if entry is not None:
            queue.remove(entry)
            self._tidy(client, family)

    def _queue(self, client: str, family: str) -> deque[tuple[int, T]]:
        return self.queues.setdefault(client, {}).setdefault(family, deque())

    def _tidy(self, client: str, family: str) -> None:
        """Keep no queue that is empty."""
        queues = self.queues[client]
        if not queues[family]:
            del queues[family]
        if not queues:
            del self.queues[client]


# --- The pools of all hosts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How hosts are reached, and how many connections each may have; a change replaces all pools.

    `connect_timeout` is in seconds. `context` is TLS's, None to believe the system's authorities; another `ca_digest`
    tells that it believes others.
    """

    connect_timeout: float
    max_connections: int
    proxy: str | None = None
    context: ssl.SSLContext | None = field(default=None, compare=False)
    ca_digest: str = ""


class Pools:
    """A pool for each host of the configuration."""

    def __init__(self, deadlines: Deadlines, names: Names) -> None:
        self._deadlines = deadlines
        self._names = names
        self._settings: PoolSettings | None = None
        self._dialer: Dialer
        self._by_origin: dict[Origin, Pool] = {}
        self._by_endpoint: dict[tuple[str, str], Pool] = {}

    def __repr__(self) -> str:
        return f"<Pools of {', '.join(sorted(pool.name for pool in self._by_origin.values())) or 'no host'}>"

    def apply(self, settings: PoolSettings, endpoints: Mapping[tuple[str, str], str]) -> None:
        """Follow a configuration; `endpoints` is (endpoint, region) -> URL. What is not needed any longer is closed."""
        old = self._by_origin
        if settings != self._settings:
            old = {}
            self._settings = settings
            self._dialer = Dialer(
                self._names, connect_timeout=settings.connect_timeout, context=settings.context, proxy=settings.proxy
            )
        origins = {key: origin_of(url) for key, url in endpoints.items()}
        pools = {origin: old.get(origin) or self._make(origin, settings) for origin in set(origins.values())}
        for origin, pool in self._by_origin.items():
            if pools.get(origin) is not pool:
                pool.close()
        self._by_origin = pools
        self._by_endpoint = {key: pools[origin] for key, origin in origins.items()}

    def find(self, endpoint: str, region: str) -> Pool:
        """The pool of an endpoint (`api` or `mcp`) in a region."""
        return self._by_endpoint[endpoint, region]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """`HOST:PORT` -> connections, and how many of them are idle."""
        return {pool.name: pool.sizes for pool in self._by_origin.values()}

    def close(self) -> None:
        """Close idle connections now, and busy ones when their exchange ends."""
        for pool in self._by_origin.values():
            pool.close()

    def _make(self, origin: Origin, settings: PoolSettings) -> Pool:
        return Pool(origin, self._dialer, self._deadlines, settings.max_connections)
