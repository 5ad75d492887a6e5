"""What the system takes is written at once, the rest by the transport, in order; a failure ends the writing alone."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from proxy.net.socket_writer import SocketWriter
from tests.support.wire import Wire

pytestmark = pytest.mark.usefixtures("every_loop")

LARGE = bytes(range(256)) * 16_000
"""More than a socket holds."""
Write = Callable[[SocketWriter, bytes], None]


@dataclass
class Ends:
    """Ours with its writer, and the raw other end."""

    wire: Wire
    writer: SocketWriter
    peer: socket.socket


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with peer:
        wire = Wire()
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
        yield Ends(wire, SocketWriter(wire.transport), peer)
        wire.abort()
        await wire.end()


def at_once(writer: SocketWriter, data: bytes) -> None:
    writer.write(data)


def in_pieces(writer: SocketWriter, data: bytes) -> None:
    third = len(data) // 3
    writer.writelines([data[:third], data[third : third * 2], data[third * 2 :]])


EITHER = pytest.mark.parametrize("write", [at_once, in_pieces])


@EITHER
async def test_what_fits_is_there_at_once(ends: Ends, write: Write) -> None:
    """No turn of the event loop is needed."""
    write(ends.writer, b"answer")
    assert ends.peer.recv(100) == b"answer"
    assert repr(ends.writer) == "<SocketWriter: writing>"


@EITHER
async def test_what_does_not_fit_follows_in_order(ends: Ends, write: Write) -> None:
    """Twice, so that the second finds the first still waiting."""
    write(ends.writer, LARGE)
    assert 0 < ends.wire.transport.get_write_buffer_size() < len(LARGE)
    write(ends.writer, LARGE[::-1])
    got = bytearray()
    while len(got) < 2 * len(LARGE):
        got += await asyncio.get_running_loop().sock_recv(ends.peer, 1_000_000)
    assert got == LARGE + LARGE[::-1]


@EITHER
async def test_a_failure_ends_the_writing_alone(ends: Ends, write: Write) -> None:
    """What had come is read all the same, and nothing more is written."""
    ends.peer.send(b"answer")
    ends.peer.close()
    write(ends.writer, b"request")
    assert ends.writer.failed
    write(ends.writer, b"more")
    assert not ends.wire.transport.is_closing()
    await ends.wire.until(lambda: ends.wire.received == b"answer")
    assert repr(ends.writer) == "<SocketWriter: failed>"


@EITHER
async def test_nothing_is_written_to_a_connection_that_closes(ends: Ends, write: Write) -> None:
    """Its descriptor may be somebody else's soon."""
    ends.wire.transport.abort()
    write(ends.writer, b"late")
    with pytest.raises(BlockingIOError):
        ends.peer.recv(100)


async def test_news_are_bytes_or_the_end(ends: Ends) -> None:
    """As the system tells."""
    assert not ends.writer.has_news()
    ends.wire.transport.pause_reading()
    ends.peer.send(b"x")
    assert ends.writer.has_news()


async def test_what_is_unread_is_never_another_sockets(ends: Ends) -> None:
    """Where the socket was closed under its transport, and its number was given to somebody else."""
    raw = ends.wire.transport.get_extra_info("socket")
    number = raw.fileno()
    ends.wire.transport.abort()
    await ends.wire.end()
    await asyncio.sleep(0)
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    other = os.dup2(reader, number) if reader != number else reader
    try:
        assert ends.writer.unread() == b""
    finally:
        for descriptor in {reader, writer, other}:
            os.close(descriptor)
