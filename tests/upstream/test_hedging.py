"""A connection that rested is hedged if its answer is late: another one is asked, and the first answer counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.errors import Refused
from proxy.http1.framing import Buffer
from proxy.http1.message import Response
from proxy.upstream.connection import Timeouts
from proxy.upstream.hedging import HedgedConnection, hedge_delay
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Wire

REQUEST: list[Buffer] = [b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
AFTER = 30.0
"""Seconds: a test moves the timers by them, and none takes so long."""


@pytest.mark.parametrize(
    ("rested", "recent", "after"),
    [
        (0.9, [0.1], None),
        (1.0, [0.1], 1.0),
        (1.0, [], 1.0),
        (1.0, [0.5, 0.1, 0.6], 2.0),
        (1.0, [0.25], 1.0),
        (1.0, [0.26], 1.04),
        (40.0, [0.1] * 16 + [30.0] * 15, 1.0),
    ],
)
def test_an_answer_is_late_by_what_is_usual(rested: float, recent: list[float], after: float | None) -> None:
    """Four times the median, and a second at least; a connection that was just used is not hedged."""
    assert hedge_delay(rested, recent) == after


class Sink:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.ended = asyncio.Event()

    def interim(self, response: Response) -> None:
        self.told.append(response.status)

    def response_began(self, response: Response) -> None:
        self.told.append(response.status)

    def response_data(self, pieces: list[Buffer]) -> None:
        self.told.append(b"".join(pieces))

    def response_ended(self, trailers: bytes) -> None:
        self.told.append("ended")
        self.ended.set()

    def upstream_failed(self, error: Refused) -> None:
        self.told.append(type(error).__name__)
        self.ended.set()

    def upstream_writable(self, writable: bool) -> None:
        self.told.append(writable)

    def defect(self, error: Exception) -> None:
        self.told.append(error)
        self.ended.set()

    def flush(self) -> None:
        """Nothing is gathered."""


class Hedging:
    """An exchange on a connection that has served before: `wires` has its first connection, and the second where one is
    made; `heard` counts the whole requests that came."""

    client = "reporting"

    def __init__(self, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self.asked = 0
        self.sent: list[bool] = []
        self.heard = 0
        self.sink = Sink()
        self.bench: ProxyBench
        self.connection: HedgedConnection

    def may_hedge(self) -> bool:
        self.asked += 1
        return self.allowed

    def settle_hedge(self, *, sent: bool) -> None:
        self.sent.append(sent)

    async def script(self, wire: Wire) -> None:
        await wire.request()
        if wire is self.wires[0]:
            wire.send(HELLO)
            await wire.request()
        self.heard += 1
        await wire.end()

    @property
    def wires(self) -> list[Wire]:
        return self.bench.upstream.wires

    def send(self, data: list[Buffer] = REQUEST, *, whole: bool = True) -> None:
        pool = self.bench.pools.find("api", "na")
        first = pool.take("sp/campaigns:read")
        assert first is not None
        self.connection = HedgedConnection(pool, first, AFTER, self)
        self.connection.send(self.sink, data, to_head=False, timeouts=Timeouts(60, 60))
        if whole:
            self.connection.request_sent()

    async def heard_by(self, number: int) -> None:
        await self.bench.settled(lambda: self.heard == number)

    async def hedged(self) -> None:
        """Both connections have the request."""
        await self.heard_by(1)
        self.bench.sweep(AFTER + 0.1)
        await self.heard_by(2)


@contextlib.asynccontextmanager
async def hedging(running: Running, **given: Any) -> AsyncIterator[Hedging]:
    """With a connection in the pool; nothing is left over at the end."""
    hedge = Hedging(**given)

    async def script(wire: Wire) -> None:
        await hedge.script(wire)

    async with running(script) as bench:
        hedge.bench = bench
        assert (await bench.ask()).body == b"hello"
        yield hedge
        hedge.connection.abandon()
        await bench.settled(lambda: bench.pools.find("api", "na").sizes == (0, 0))
        assert hedge.connection not in bench.deadlines._items


async def test_a_dead_connection_costs_no_answer(running: Running) -> None:
    """The second connection answers; the first is let go."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.hedged()
        hedge.wires[1].send(HELLO)
        await hedge.sink.ended.wait()
        assert hedge.sink.told == [200, b"hello", "ended"]
        await hedge.wires[0].end()


async def test_the_second_connection_counts_as_its_familys(running: Running) -> None:
    """So one that hangs gets no more of the pool by being asked twice; in the end it holds nothing."""
    async with hedging(running) as hedge:
        pool = hedge.bench.pools.find("api", "na")
        hedge.send()
        await hedge.hedged()
        assert pool.held_by("sp/campaigns:read") == 2
        hedge.wires[1].send(HELLO)
        await hedge.sink.ended.wait()
        await hedge.bench.settled(lambda: pool.held_by("sp/campaigns:read") == 0)


async def test_the_second_connection_is_waited_for_as_its_clients(running: Running) -> None:
    """With all connections in use, in its client's turn and behind its client's other requests."""
    async with hedging(running) as hedge:
        pool = hedge.bench.pools.find("api", "na")
        hedge.send()
        await hedge.heard_by(1)
        taken, pool.free = pool.free, 0
        hedge.bench.sweep(AFTER + 0.1)
        await hedge.bench.settled(lambda: bool(pool._waiting.queues))
        assert [*pool._waiting.queues] == ["reporting"]
        pool.free += taken
        hedge.wires[0].send(HELLO)
        await hedge.sink.ended.wait()


async def test_a_slow_answer_that_comes_first_is_taken(running: Running) -> None:
    """The second connection is let go, and what it would say is not heard."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.hedged()
        hedge.wires[0].send(HELLO[:-1])
        await hedge.bench.settled(lambda: len(hedge.sink.told) == 2)
        hedge.wires[1].send(b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n")
        await hedge.wires[1].end()
        hedge.wires[0].send(HELLO[-1:])
        await hedge.sink.ended.wait()
        assert hedge.sink.told == [200, b"hell", b"o", "ended"]


async def test_an_answer_in_time_is_not_doubted(running: Running) -> None:
    """Nobody is asked whether it may be."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        hedge.wires[0].send(HELLO)
        await hedge.sink.ended.wait()
        hedge.bench.sweep(AFTER + 0.1)
        assert (hedge.asked, len(hedge.wires)) == (0, 1)


@pytest.mark.parametrize(("allowed", "whole"), [(False, True), (True, False)])
async def test_nothing_is_asked_twice_that_may_not_or_is_not_whole(
    running: Running, allowed: bool, whole: bool
) -> None:
    """A budget that is spent, and a body that is still to come; the answer on the first is waited for."""
    async with hedging(running, allowed=allowed) as hedge:
        hedge.send(whole=whole)
        await hedge.heard_by(1)
        hedge.bench.sweep(AFTER + 0.1)
        assert repr(hedge.connection).endswith("busy, served 1>>")
        hedge.wires[0].send(HELLO)
        await hedge.sink.ended.wait()
        assert (hedge.asked, len(hedge.wires)) == (int(whole), 1)


async def test_a_body_that_came_in_pieces_is_sent_again_whole(running: Running) -> None:
    """As it left the first time."""
    async with hedging(running) as hedge:
        hedge.send([b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"], whole=False)
        for piece in (b"bo", b"dy"):
            hedge.connection.send_body([piece])
        hedge.connection.request_sent()
        await hedge.hedged()
        assert hedge.wires[1].received == hedge.wires[0].received[-len(hedge.wires[1].received) :]
        assert hedge.wires[1].received.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("broken", [0, 1])
async def test_one_that_breaks_leaves_the_other(running: Running, broken: int) -> None:
    """Its failure is not told."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.hedged()
        hedge.wires[broken].drop()
        await hedge.bench.settled(lambda: hedge.bench.pools.find("api", "na").sizes[0] == 1)
        hedge.wires[1 - broken].send(HELLO)
        await hedge.sink.ended.wait()
        assert hedge.sink.told == [200, b"hello", "ended"]


async def test_where_both_break_it_is_told_once(running: Running) -> None:
    """And where the only one breaks, before any doubt."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.hedged()
        for wire in hedge.wires:
            wire.drop()
        await hedge.sink.ended.wait()
        await hedge.bench.settled(lambda: hedge.bench.pools.find("api", "na").sizes[0] == 0)
        assert hedge.sink.told == ["UpstreamClosed"]


async def test_one_that_breaks_before_any_doubt_is_told(running: Running) -> None:
    """What follows is decided elsewhere."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        hedge.wires[0].drop()
        await hedge.sink.ended.wait()
        hedge.bench.sweep(AFTER + 0.1)
        assert (hedge.sink.told, hedge.asked) == (["UpstreamClosed"], 0)


async def test_where_no_second_can_be_made_the_first_is_waited_for(running: Running) -> None:
    """And what happened to the first is told, if anything."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        failed = asyncio.Event()

        async def acquire(**_: Any) -> Any:
            await failed.wait()
            raise Refused("no connection")

        hedge.connection._pool.acquire = acquire  # type: ignore[method-assign]  # of this one object alone
        hedge.bench.sweep(AFTER + 0.1)
        assert repr(hedge.connection).endswith(", another one asked>")
        hedge.wires[0].drop()
        await hedge.bench.settled(lambda: not hedge.connection._connections)
        assert not hedge.sink.told
        failed.set()
        await hedge.sink.ended.wait()
        assert (hedge.sink.told, hedge.sent) == (["UpstreamClosed"], [False])


async def test_a_defect_while_asking_leaves_nobody_waiting(running: Running) -> None:
    """It is told as one."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        defect = ValueError("a defect")

        async def acquire(**_: Any) -> Any:
            raise defect

        hedge.connection._pool.acquire = acquire  # type: ignore[method-assign]  # of this one object alone
        hedge.bench.sweep(AFTER + 0.1)
        await hedge.sink.ended.wait()
        assert (hedge.sink.told, hedge.sent) == ([defect], [False])


async def test_who_leaves_leaves_nothing_behind(running: Running) -> None:
    """Also while the second connection is being made."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        hedge.bench.sweep(AFTER + 0.1)
        hedge.connection.abandon()
        await hedge.bench.settled(lambda: hedge.bench.pools.find("api", "na").sizes == (0, 0))
        assert (hedge.sink.told, hedge.sent) == ([], [False])
        pool = hedge.bench.pools.find("api", "na")
        assert pool.free == pool.limit


async def test_interim_answers_pass_while_only_one_can_answer(running: Running) -> None:
    """With two of them, a client would be told of either."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.heard_by(1)
        hedge.wires[0].send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await hedge.bench.settled(lambda: hedge.sink.told == [103])
        hedge.bench.sweep(AFTER + 0.1)
        await hedge.heard_by(2)
        hedge.wires[1].send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO)
        await hedge.sink.ended.wait()
        assert hedge.sink.told == [103, 200, b"hello", "ended"]


async def test_a_tool_that_stops_reading_stops_both(running: Running) -> None:
    """And goes on with both."""
    async with hedging(running) as hedge:
        hedge.send()
        await hedge.hedged()
        hedge.connection.pause()
        assert [each._reads.paused for each in hedge.connection._connections] == [True, True]
        hedge.connection.resume()
        hedge.wires[1].send(HELLO)
        await hedge.sink.ended.wait()
        assert hedge.sink.told == [200, b"hello", "ended"]
