"""Connections that no longer meet what is demanded of clients end with their response, and begin no other request."""

from __future__ import annotations

import asyncio

import pytest

from tests.downstream.test_connection import POST, echo
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering


async def test_an_idle_connection_ends_at_once(running: Running) -> None:
    """One that never spoke, and one behind a response; new connections are served."""
    async with running(answering(HELLO)) as bench:
        silent, served = await bench.client(), await bench.client(GET)
        assert (await served.answer()).status == 200
        await bench.settled(lambda: len(bench.server.connections) == 2)
        bench.server.retire()
        assert await silent.end() == await served.end() == b""
        assert (await bench.ask()).status == 200


@pytest.mark.parametrize("ahead", [b"", GET])
async def test_a_response_under_way_is_the_last(running: Running, ahead: bytes) -> None:
    """The answer says why. What the client sent ahead is not begun."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        busy = await bench.client(GET + ahead)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        for _ in range(2):
            bench.server.retire()
        go.set()
        answer = await busy.answer()
        assert (answer.body, answer.value(b"connection")) == (b"hello", b"close")
        assert await busy.end() == b""
        assert len(bench.events.finished) == 1


async def test_a_response_that_has_begun_ends_its_connection(running: Running) -> None:
    """Although its head did not say so: it is whole, and nothing follows it."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO[:-3])
        await go.wait()
        wire.send(HELLO[-3:])
        await wire.end()

    async with running(script) as bench:
        busy = await bench.client(GET)
        await busy.until(lambda: busy.received.endswith(b"he"))
        bench.server.retire()
        go.set()
        assert (await busy.answer()).body == b"hello"
        assert await busy.end() == b""


async def test_a_request_whose_body_is_still_coming_is_served(running: Running) -> None:
    """Its response is the last."""
    async with running(echo) as bench:
        client = await bench.client(POST, b"Content-Length: 3\r\n\r\na")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.server.retire()
        client.send(b"bc")
        assert (await client.answer()).body == b"/x abc"
        assert await client.end() == b""


async def test_the_rest_of_a_body_is_not_waited_for(running: Running) -> None:
    """The response is out already: the connection ends."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(b"POST /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nab")
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (404, None)
        assert bench.connection().busy
        bench.server.retire()
        assert await client.end() == b""
