"""Bodies of quick answers that come in more than one read, and what happens in between."""

from __future__ import annotations

import asyncio

import pytest

from proxy.downstream.ports import Availability
from tests.forwarding.quick.test_exchange import DATED, outcomes
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, Wire


class Halves:
    """An upstream whose answers come in two halves: the second one when it is let out."""

    def __init__(self) -> None:
        self.let_out = asyncio.Event()
        self.let_out.set()
        self.second = b"world"

    async def script(self, wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\n" + DATED + b"Content-Length: 10\r\n\r\nhello")
            await self.let_out.wait()
            wire.send(self.second)

    async def begun(self, bench: ProxyBench) -> Wire:
        """A tool that has the first half of a quick answer, and waits for the second."""
        tool = await bench.tool()
        for _ in range(3):
            tool.send(GET)
            assert (await tool.answer()).body == b"helloworld"
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 1}
        self.let_out.clear()
        tool.send(GET)
        await tool.take_until(b"\r\n\r\nhello")
        return tool


async def test_a_body_in_several_reads_is_handed_on_as_it_comes(running: Running) -> None:
    """And its exchange stays quick."""
    halves = Halves()
    async with running(halves.script) as bench:
        tool = await halves.begun(bench)
        halves.let_out.set()
        assert await tool.take(5) == b"world"
        event = await bench.events.last(4)
        assert (event.status, event.bytes_out, event.fault) == (200, 10, "")
        assert outcomes(bench)["taken"] == 2


async def test_a_tool_that_leaves_amid_a_body_is_accounted_for(running: Running) -> None:
    """As one that left an ordinary exchange then."""
    halves = Halves()
    async with running(halves.script) as bench:
        tool = await halves.begun(bench)
        tool.abort()
        event = await bench.events.last(4)
        assert (event.status, event.bytes_out, event.fault) == (200, 5, "client-gone")


async def test_a_body_that_stops_is_timed_out(running: Running) -> None:
    """The tool sees that its response is cut."""
    halves = Halves()
    async with running(halves.script, idle_timeout=5.0) as bench:
        tool = await halves.begun(bench)
        bench.sweep(6.0)
        assert await tool.end() == b""
        event = await bench.events.last(4)
        assert (event.status, event.fault) == (200, "upstream-timeout")


async def test_more_than_the_length_says_is_not_handed_on(running: Running) -> None:
    """What comes behind a body belongs to nobody, and its connection is not used again."""
    halves = Halves()
    async with running(halves.script) as bench:
        tool = await halves.begun(bench)
        halves.second = b"worldHTTP/1.1 200 OK"
        halves.let_out.set()
        assert await tool.take(5) == b"world"
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
        assert (await bench.events.last(4)).bytes_out == 10


async def test_a_tool_that_is_slow_amid_a_body_holds_it_up(running: Running) -> None:
    """Amazon's connection is read no further, and all of the body arrives in the end."""
    size = 24_000_000

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\n" + DATED + b"Content-Length: %d\r\n\r\n" % size, b"x" * size)

    async with running(script) as bench:
        tool = await bench.tool()
        for _ in range(2):
            tool.send(GET)
            assert len((await tool.answer()).body) == size
        tool.transport.pause_reading()
        tool.send(GET)
        await bench.settled(lambda: not bench.connection().writable)
        tool.transport.resume_reading()
        assert len((await tool.answer()).body) == size
        assert (await bench.events.last(3)).bytes_out == size
        assert outcomes(bench)["failed"] == 1


async def test_closing_amid_a_body_closes_behind_it(running: Running) -> None:
    """The tool was told nothing of it: its connection just ends."""
    halves = Halves()
    async with running(halves.script) as bench:
        tool = await halves.begun(bench)
        bench.forwarder.availability = Availability.CLOSING
        halves.let_out.set()
        assert await tool.end() == b"world"


@pytest.mark.parametrize("size", [10, 20000])
async def test_a_last_write_that_the_wire_does_not_take_holds_nothing_up(size: int) -> None:
    """The response is over then: the connection to Amazon is another request's."""
    bench = MemoryBench()
    bench.answer = lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size]
    tool = bench.tool()

    def full(_: bytes) -> None:
        tool.pipe.protocol.pause_writing()

    for number in range(1, 8):
        tool.pipe.heard = full if number > 3 else lambda _: None
        tool.send(GET)
        await bench.rest(tool)
        assert len(tool.pipe.written) > number * size
        assert not bench.upstreams[0].pipe.paused
        tool.pipe.protocol.resume_writing()
    assert len(bench.upstreams) == 1
    await bench.stop(tool)
