"""The admin listener's door, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from proxy.admin.connections import Door


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
async def standing(most: int = 10, first: float = 30.0) -> AsyncIterator[tuple[Door, int]]:
    """A door in front of an echo, and its port."""
    door = Door(Echo, most, first)
    server = await asyncio.get_running_loop().create_server(door.protocol, "127.0.0.1", 0)
    try:
        yield door, server.sockets[0].getsockname()[1]
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
    async with standing(first=0.05) as (door, port):
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
            while door.standing:
                await asyncio.sleep(0)


async def test_half_a_head_is_not_waited_for() -> None:
    """After the time is over the connection ends, whatever trickles in."""
    async with standing(first=0.1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        assert await end_of(reader) in (b"GET / HTTP/1.1\r\nX: ", b"reset")
        writer.close()


async def test_a_newcomer_takes_the_place_of_the_oldest() -> None:
    """With two places, the third comer ends the first, and is served."""
    async with standing(most=2) as (door, port):
        comers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await end_of(comers[0][0]) in (b"", b"reset")
        for reader, writer in comers[1:]:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert len(door.standing) == 2
        for _, writer in comers:
            writer.close()
        for reader, _ in comers[1:]:
            await end_of(reader)
