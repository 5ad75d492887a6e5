"""A connection that rested is doubted where its answer is late: asked again beside it, the first answer is taken."""

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
from proxy.upstream.doubted import DoubtedConnection, doubted_after
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Wire

REQUEST: list[Buffer] = [b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
AFTER = 1.0


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
    """Four times the median, and a second at least; a connection that was just used is not doubted."""
    assert doubted_after(rested, recent) == after


class Sink:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.entered = 0.0
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


class Doubt:
    """An exchange on a connection that has served before: `wires` has its first connection, and the second where one is
    made; `heard` counts the whole requests that came."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self.asked = 0
        self.heard = 0
        self.sink = Sink()
        self.bench: ProxyBench
        self.connection: DoubtedConnection

    def may_ask(self) -> bool:
        self.asked += 1
        return self.allowed

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
        self.connection = DoubtedConnection(pool, first, AFTER, self.may_ask)
        self.connection.send(self.sink, data, to_head=False, timeouts=Timeouts(60, 60))
        if whole:
            self.connection.request_sent()

    async def heard_by(self, number: int) -> None:
        await self.bench.settled(lambda: self.heard == number)

    async def doubted(self) -> None:
        """Both connections have the request."""
        await self.heard_by(1)
        self.bench.sweep(AFTER + 0.1)
        await self.heard_by(2)


@contextlib.asynccontextmanager
async def doubting(running: Running, **given: Any) -> AsyncIterator[Doubt]:
    """With a connection in the pool; nothing is left over at the end."""
    doubt = Doubt(**given)

    async def script(wire: Wire) -> None:
        await doubt.script(wire)

    async with running(script) as bench:
        doubt.bench = bench
        assert (await bench.ask()).body == b"hello"
        yield doubt
        doubt.connection.abandon()
        await bench.settled(lambda: bench.pools.find("api", "na").sizes == (0, 0))
        assert doubt.connection not in bench.deadlines._items


async def test_a_dead_connection_costs_no_answer(running: Running) -> None:
    """The second connection answers; the first is let go."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.doubted()
        doubt.wires[1].send(HELLO)
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [200, b"hello", "ended"]
        await doubt.wires[0].end()


async def test_the_second_connection_counts_as_its_familys(running: Running) -> None:
    """So one that hangs gets no more of the pool by being asked twice; in the end it holds nothing."""
    async with doubting(running) as doubt:
        pool = doubt.bench.pools.find("api", "na")
        doubt.send()
        await doubt.doubted()
        assert pool.held_by("sp/campaigns:read") == 2
        doubt.wires[1].send(HELLO)
        await doubt.sink.ended.wait()
        await doubt.bench.settled(lambda: pool.held_by("sp/campaigns:read") == 0)


async def test_a_slow_answer_that_comes_first_is_taken(running: Running) -> None:
    """The second connection is let go, and what it would say is not heard."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.doubted()
        doubt.wires[0].send(HELLO[:-1])
        await doubt.bench.settled(lambda: len(doubt.sink.told) == 2)
        doubt.wires[1].send(b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n")
        await doubt.wires[1].end()
        doubt.wires[0].send(HELLO[-1:])
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [200, b"hell", b"o", "ended"]


async def test_an_answer_in_time_is_not_doubted(running: Running) -> None:
    """Nobody is asked whether it may be."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        doubt.wires[0].send(HELLO)
        await doubt.sink.ended.wait()
        doubt.bench.sweep(AFTER + 0.1)
        assert (doubt.asked, len(doubt.wires)) == (0, 1)


@pytest.mark.parametrize(("allowed", "whole"), [(False, True), (True, False)])
async def test_nothing_is_asked_twice_that_may_not_or_is_not_whole(
    running: Running, allowed: bool, whole: bool
) -> None:
    """A budget that is spent, and a body that is still to come; the answer on the first is waited for."""
    async with doubting(running, allowed=allowed) as doubt:
        doubt.send(whole=whole)
        await doubt.heard_by(1)
        doubt.bench.sweep(AFTER + 0.1)
        assert repr(doubt.connection).endswith("busy, served 1>>")
        doubt.wires[0].send(HELLO)
        await doubt.sink.ended.wait()
        assert (doubt.asked, len(doubt.wires)) == (int(whole), 1)


async def test_a_body_that_came_in_pieces_is_sent_again_whole(running: Running) -> None:
    """As it left the first time."""
    async with doubting(running) as doubt:
        doubt.send([b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"], whole=False)
        for piece in (b"bo", b"dy"):
            doubt.connection.send_body([piece])
        doubt.connection.request_sent()
        await doubt.doubted()
        assert doubt.wires[1].received == doubt.wires[0].received[-len(doubt.wires[1].received) :]
        assert doubt.wires[1].received.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("broken", [0, 1])
async def test_one_that_breaks_leaves_the_other(running: Running, broken: int) -> None:
    """Its failure is not told."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.doubted()
        doubt.wires[broken].drop()
        await doubt.bench.settled(lambda: doubt.bench.pools.find("api", "na").sizes[0] == 1)
        doubt.wires[1 - broken].send(HELLO)
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [200, b"hello", "ended"]


async def test_where_both_break_it_is_told_once(running: Running) -> None:
    """And where the only one breaks, before any doubt."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.doubted()
        for wire in doubt.wires:
            wire.drop()
        await doubt.sink.ended.wait()
        await doubt.bench.settled(lambda: doubt.bench.pools.find("api", "na").sizes[0] == 0)
        assert doubt.sink.told == ["UpstreamClosed"]


async def test_one_that_breaks_before_any_doubt_is_told(running: Running) -> None:
    """What follows is decided elsewhere."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        doubt.wires[0].drop()
        await doubt.sink.ended.wait()
        doubt.bench.sweep(AFTER + 0.1)
        assert (doubt.sink.told, doubt.asked) == (["UpstreamClosed"], 0)


async def test_where_no_second_can_be_made_the_first_is_waited_for(running: Running) -> None:
    """And what happened to the first is told, if anything."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        failed = asyncio.Event()

        async def acquire(**_: Any) -> Any:
            await failed.wait()
            raise Refused("no connection")

        doubt.connection._pool.acquire = acquire  # type: ignore[method-assign]  # of this one object alone
        doubt.bench.sweep(AFTER + 0.1)
        assert repr(doubt.connection).endswith(", asked beside it>")
        doubt.wires[0].drop()
        await doubt.bench.settled(lambda: not doubt.connection._lanes)
        assert not doubt.sink.told
        failed.set()
        await doubt.sink.ended.wait()
        assert doubt.sink.told == ["UpstreamClosed"]


async def test_a_defect_while_asking_leaves_nobody_waiting(running: Running) -> None:
    """It is told as one."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        defect = ValueError("a defect")

        async def acquire(**_: Any) -> Any:
            raise defect

        doubt.connection._pool.acquire = acquire  # type: ignore[method-assign]  # of this one object alone
        doubt.bench.sweep(AFTER + 0.1)
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [defect]


async def test_who_leaves_leaves_nothing_behind(running: Running) -> None:
    """Also while the second connection is being made."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        doubt.bench.sweep(AFTER + 0.1)
        doubt.connection.abandon()
        await doubt.bench.settled(lambda: doubt.bench.pools.find("api", "na").sizes == (0, 0))
        assert not doubt.sink.told
        pool = doubt.bench.pools.find("api", "na")
        assert pool.slots.free == pool.limit


async def test_interim_answers_pass_while_only_one_can_answer(running: Running) -> None:
    """With two of them, a tool would be told of either."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.heard_by(1)
        doubt.wires[0].send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await doubt.bench.settled(lambda: doubt.sink.told == [103])
        doubt.bench.sweep(AFTER + 0.1)
        await doubt.heard_by(2)
        doubt.wires[1].send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO)
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [103, 200, b"hello", "ended"]


async def test_a_tool_that_stops_reading_stops_both(running: Running) -> None:
    """And goes on with both."""
    async with doubting(running) as doubt:
        doubt.send()
        await doubt.doubted()
        doubt.connection.pause()
        assert [lane.connection._paused for lane in doubt.connection._lanes] == [True, True]
        doubt.connection.resume()
        doubt.wires[1].send(HELLO)
        await doubt.sink.ended.wait()
        assert doubt.sink.told == [200, b"hello", "ended"]
