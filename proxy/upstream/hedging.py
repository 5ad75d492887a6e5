"""A connection that was idle, and may have died meanwhile without a sign.

If the answer is later than usual, the request is sent once more on a second connection. The first answer is taken, the
other connection released. Towards its sink it is one connection. Only for requests that may be sent twice; whether one
is sent twice is asked of its owner.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from proxy.errors import Refused
from proxy.net.deadlines import NEVER
from proxy.net.turn import TURN

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.net.deadlines import Deadlines
    from proxy.upstream.connection import ResponseSink, Timeouts, UpstreamConnection

RESTED = 1.0
"""Seconds without use after which a connection may have died unnoticed."""
SHORTEST = 1.0
"""Seconds that an answer may always take, before it is later than usual."""
TIMES_USUAL = 4.0
_MAX_KEPT = 262144
"""Bytes of a request that is kept for asking again."""


def hedge_delay(rested: float, recent: Sequence[float]) -> float | None:
    """Seconds until an answer is later than usual on a connection that has `rested` for so long; None for no doubt.

    `recent` are the seconds that answers of the same host took lately.
    """
    if rested < RESTED:
        return None
    return max(SHORTEST, TIMES_USUAL * median(recent)) if recent else SHORTEST


class ConnectionSource(Protocol):
    """Where a new connection comes from: the hedged one's pool."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    @property
    def deadlines(self) -> Deadlines: ...

    async def acquire(self, *, fresh: bool, patience: float, client: str, family: str) -> UpstreamConnection: ...


class HedgeOwner(Protocol):
    """Who decides whether a request is sent a second time."""

    @property
    def client(self) -> str:
        """The name of the client that sent it."""
        ...

    def may_hedge(self) -> bool:
        """Called once, when the answer is late. After True, `settle_hedge` follows."""
        ...

    def settle_hedge(self, *, sent: bool) -> None:
        """The request is sent a second time; or that is over without it, `sent` is False then."""


class HedgedConnection:
    """A connection to its sink, and two of them where the answer is later than `after` seconds."""

    def __init__(self, pool: ConnectionSource, first: UpstreamConnection, after: float, owner: HedgeOwner) -> None:
        self._pool = pool
        self._first = first
        self._family = ""
        self._after = after
        self._owner = owner
        self._sink: ResponseSink | None = None
        """Who hears of the exchange; None once a response was chosen, or none can come."""
        self._timeouts: Timeouts
        self._to_head = False
        self._connections: list[UpstreamConnection] = []
        """The connections that may still answer. Each knows its `_Attempt`, and forgets it at the end of the exchange.
        Known here too, it would wait for the garbage collector."""
        self._kept: list[Buffer] = []
        self._size = 0
        self._whole = False
        self._asking: asyncio.Task[None] | None = None
        self._error: Refused | None = None
        self.deadline = NEVER

    def __repr__(self) -> str:
        asked = ", another one asked" if self._asking is not None or len(self._connections) > 1 else ""
        return f"<HedgedConnection: {self._first!r}{asked}>"

    # --- as a connection

    @property
    def writable(self) -> bool:
        return self._first.writable

    @property
    def lost(self) -> bool:
        return self._first.lost

    @property
    def head_began(self) -> bool:
        return self._first.head_began

    def send(self, sink: ResponseSink, data: list[Buffer], *, to_head: bool, timeouts: Timeouts) -> None:
        """Begin an exchange, as a connection does."""
        self._sink, self._timeouts, self._to_head = sink, timeouts, to_head
        self._family = self._first.family or ""
        self._keep(data)
        self._connections.append(self._first)
        self.deadline = self._pool.loop.time() + self._after
        self._pool.deadlines.add(self)
        self._first.send(_Attempt(self, self._first, sink), data, to_head=to_head, timeouts=timeouts)

    def send_body(self, data: list[Buffer]) -> None:
        self._keep(data)
        for connection in self._connections:
            connection.send_body(data)

    def request_sent(self) -> None:
        """The whole request has been written."""
        self._whole = True
        for connection in self._connections:
            connection.request_sent()

    def pause(self) -> None:
        for connection in self._connections:
            connection.pause()

    def resume(self) -> None:
        for connection in self._connections:
            connection.resume()

    def abandon(self) -> None:
        """Forget the exchange; its connections are of no more use."""
        self._settle()
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.abandon()

    # --- doubt

    def expire(self, now: float) -> None:
        """The answer is later than usual."""
        self._stop_waiting()
        if self._whole and self._size <= _MAX_KEPT and self._owner.may_hedge():
            self._asking = self._pool.loop.create_task(self._ask())
            self._asking.add_done_callback(self._asked)

    async def _ask(self) -> None:
        try:
            patience, client = self._timeouts.response, self._owner.client
            connection = await self._pool.acquire(fresh=True, patience=patience, client=client, family=self._family)
        except Refused as error:
            self._stop_asking(sent=False)
            self._failed(self._error or error)
            return
        self._stop_asking(sent=True)
        assert self._sink is not None
        attempt = _Attempt(self, connection, self._sink)
        self._connections.append(connection)
        connection.send(attempt, self._kept, to_head=self._to_head, timeouts=self._timeouts)
        connection.request_sent()

    def _asked(self, task: asyncio.Task[None]) -> None:
        """A defect must not leave the sink waiting for ever."""
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            sink = self._sink
            assert sink is not None
            self.abandon()
            sink.defect(error)

    def _failed(self, error: Refused) -> None:
        """Nothing can come any more, where no attempt is left."""
        if not self._connections and self._asking is None:
            sink = self._sink
            assert sink is not None
            self._settle()
            TURN.began = perf_counter()
            sink.upstream_failed(error)
            sink.flush()

    def _keep(self, data: list[Buffer]) -> None:
        self._size += sum(map(len, data))
        if self._size <= _MAX_KEPT:
            self._kept += data
        else:
            self._kept = []

    def _stop_asking(self, *, sent: bool) -> None:
        self._asking = None
        self._owner.settle_hedge(sent=sent)

    def _stop_waiting(self) -> None:
        self.deadline = NEVER
        self._pool.deadlines.discard(self)

    def _settle(self) -> None:
        """No other connection is asked from here on."""
        self._stop_waiting()
        self._kept, self._sink = [], None
        if self._asking is not None:
            self._asking.cancel()
            self._stop_asking(sent=False)

    # --- what the attempts tell

    def chosen(self, connection: UpstreamConnection) -> None:
        """Its answer is the first."""
        self._settle()
        others = [other for other in self._connections if other is not connection]
        self._connections = [connection]
        for other in others:
            other.abandon()

    def ended(self, connection: UpstreamConnection, error: Refused) -> bool:
        """One of them broke; gives whether that was the last hope."""
        self._connections.remove(connection)
        self._error = error
        if self._connections or self._asking is not None:
            return False
        self._settle()
        return True

    def is_single(self, connection: UpstreamConnection) -> bool:
        """No other connection may still answer."""
        return self._asking is None and self._connections == [connection]


class _Attempt:
    """One of the two connections, and what it tells: a `ResponseSink`."""

    def __init__(self, owner: HedgedConnection, connection: UpstreamConnection, sink: ResponseSink) -> None:
        self._owner = owner
        self._sink = sink
        self._connection = connection

    def interim(self, response: Response) -> None:
        """Reported while no other connection may answer: a client hears of one attempt."""
        if self._owner.is_single(self._connection):
            self._sink.interim(response)

    def response_began(self, response: Response) -> None:
        self._owner.chosen(self._connection)
        self._sink.response_began(response)

    def response_data(self, pieces: list[Buffer]) -> None:
        self._sink.response_data(pieces)

    def response_ended(self, trailers: bytes) -> None:
        self._sink.response_ended(trailers)

    def upstream_failed(self, error: Refused) -> None:
        if self._owner.ended(self._connection, error):
            self._sink.upstream_failed(error)

    def upstream_writable(self, writable: bool) -> None:
        if self._owner.is_single(self._connection):
            self._sink.upstream_writable(writable)

    def defect(self, error: Exception) -> None:
        self._owner.chosen(self._connection)
        self._sink.defect(error)

    def flush(self) -> None:
        self._sink.flush()
