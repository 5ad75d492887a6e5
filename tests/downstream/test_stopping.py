"""The end of connections as the program stops: one last answer each, and streams that end whole where they may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from proxy.downstream.ports import Availability
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"
FIRST = b"8\r\ndata: 1\n\r\n"


async def streaming(wire: Wire) -> None:
    """An upstream whose streams of events have no end."""
    await wire.request()
    wire.send(EVENTS)
    await wire.end()


@asynccontextmanager
async def in_front_of_streams(running: Running) -> AsyncIterator[ProxyBench]:
    async with running(streaming) as bench:
        url = f"http://127.0.0.1:{bench.upstream.port}/mcp"
        bench.forwarder.apply(replace(bench.rules, endpoints={**bench.rules.endpoints, ("mcp", "na"): url}))
        yield bench


def asks(method: bytes, path: bytes) -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def streamed(bench: ProxyBench, method: bytes, path: bytes) -> Wire:
    """A client whose stream has begun."""
    client = await bench.client(asks(method, path))
    assert b"200 OK" in await client.head()
    assert await client.take(len(FIRST)) == FIRST
    return client


async def test_a_listening_stream_of_mcp_ends_whole_when_the_program_stops(running: Running) -> None:
    """The server may end the stream at any time, and the client takes it up again elsewhere; a call's stream goes
    on."""
    async with in_front_of_streams(running) as bench:
        listening = await streamed(bench, b"GET", b"/mcp")
        called = await streamed(bench, b"POST", b"/mcp")
        bench.server.wind_down()
        assert await listening.end() == b"0\r\n\r\n"
        assert (await bench.events.last()).fault == "draining"
        assert bench.accounting.in_flight == 1
        bench.server.end_all()
        assert await called.end() == b"0\r\n\r\n"
        assert not (listening.reset or called.reset)


async def test_a_stream_that_is_not_mcps_is_broken_visibly(running: Running) -> None:
    """Nothing says that it may end anywhere: half of it must not look like all of it."""
    async with in_front_of_streams(running) as bench:
        client = await streamed(bench, b"GET", b"/stream")
        bench.server.wind_down()
        assert bench.accounting.in_flight == 1
        bench.server.end_all()
        assert await client.end() == b""
        assert (await bench.events.last()).fault == "draining"


async def test_an_idle_connection_gets_one_last_answer_while_the_program_drains(running: Running) -> None:
    """The response announces the end of the connection, which nothing before could have announced."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(GET)
        assert (await client.answer()).value(b"connection") is None
        bench.forwarder.availability = Availability.DRAINING
        client.send(GET)
        last = await client.answer()
        assert (last.status, last.value(b"connection")) == (200, b"close")
        assert await client.end() == b""


async def test_who_was_told_to_stay_before_the_drain_may_ask_once_more(running: Running) -> None:
    """The head of the answer had left when the program was told to stop."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO[:-1])
        await bench.events.until(lambda: bench.forwarder.availability is Availability.DRAINING)
        wire.send(HELLO[-1:])
        await wire.request()
        wire.send(HELLO)

    async with running(script) as bench:
        client = await bench.client(GET)
        assert b"\r\nConnection: " not in await client.head()
        bench.forwarder.availability = Availability.DRAINING
        bench.events._changed.set()
        assert await client.take(5) == b"hello"
        client.send(GET)
        last = await client.answer()
        assert (last.body, last.value(b"connection")) == (b"hello", b"close")
