"""How the admin listener limits its connections, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import web

from proxy.admin import AdminListener
from proxy.admin.connections import ConnectionLimiter


class Echo(asyncio.Protocol):
    """Gives back what comes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@asynccontextmanager
async def limited(
    max_connections: int = 10, head_timeout: float = 30.0
) -> AsyncIterator[tuple[ConnectionLimiter, int]]:
    """A limiter in front of an echo, and its port."""
    limiter = ConnectionLimiter(Echo, max_connections, head_timeout)
    server = await asyncio.get_running_loop().create_server(limiter.protocol, "127.0.0.1", 0)
    try:
        yield limiter, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end, also where that is a reset."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b"reset"


async def test_who_asks_in_time_is_let_through_unchanged() -> None:
    """Bytes pass both ways, and the end of one side reaches the other."""
    async with limited(head_timeout=0.05) as (limiter, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in (b"GET / HTTP/1.1\r\n", b"Host: x\r", b"\n\r", b"\nbody"):
            writer.write(piece)
            assert await reader.readexactly(len(piece)) == piece
        slow_reader, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(b"GET / HTTP/1.1\r\n")
        await end_of(slow_reader)  # by now the first one's time would be over, too
        writer.write(b"more")
        assert await reader.readexactly(4) == b"more"
        for each in (writer, slow_writer):
            each.close()
        async with asyncio.timeout(5):
            while limiter.connections:
                await asyncio.sleep(0)


async def test_half_a_head_is_not_waited_for() -> None:
    """After the time is over the connection ends, whatever trickles in."""
    async with limited(head_timeout=0.1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        assert await end_of(reader) in (b"GET / HTTP/1.1\r\nX: ", b"reset")
        writer.close()


async def test_a_newcomer_takes_the_place_of_the_oldest() -> None:
    """With two places, the third comer ends the first, and is served."""
    async with limited(max_connections=2) as (limiter, port):
        comers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await end_of(comers[0][0]) in (b"", b"reset")
        for reader, writer in comers[1:]:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert len(limiter.connections) == 2
        for _, writer in comers:
            writer.close()
        for reader, _ in comers[1:]:
            await end_of(reader)


async def test_the_listener_limits_its_connections_and_lets_go_of_them() -> None:
    """What it serves goes through its limiter, and after its stop nobody is served."""
    listener = AdminListener(web.Application())
    assert repr(listener) == "<AdminListener not started>"
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    await listener.start([bound])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    assert repr(listener) == "<AdminListener <ConnectionLimiter 1 of 128 connections>>"
    await listener.stop()
    await end_of(reader)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_what_is_logged_of_a_limiter_and_a_connection_says_how_they_are() -> None:
    """How many there are, and whether one has asked: never what it asked."""
    async with limited(max_connections=2) as (limiter, port):
        assert repr(limiter) == "<ConnectionLimiter 0 of 2 connections>"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /canary HTTP/1.1\r\nHost: x\r\n\r")
        await reader.readexactly(5)
        (connection,) = limiter.connections
        assert repr(connection) == "<LimitedConnection without a whole head>"
        writer.write(b"\n")
        await reader.readuntil(b"\r\n\r\n")
        assert repr(connection) == "<LimitedConnection with a whole head>"
        assert repr(limiter) == "<ConnectionLimiter 1 of 2 connections>"
        writer.close()
