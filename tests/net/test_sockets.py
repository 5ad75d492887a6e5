"""Sockets are connected without the event loop's lookups, families are raced, and the kernel watches the other end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio
import uvloop

from proxy.net import sockets
from proxy.net.names import numeric_address
from proxy.net.sockets import QUIET, UNACKNOWLEDGED, SocketWriter, connect, connect_to_any, make_socket, queued
from tests.support.front import deaf_listener
from tests.support.wire import Wire

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


async def test_what_the_system_holds_is_counted(ends: Ends) -> None:
    """The count lasts until the other end takes the bytes. A closed socket has none to count."""
    ends.writer.write(b"answer")
    assert queued(ends.wire.transport) >= len(b"answer")
    assert ends.peer.recv(100) == b"answer"
    assert queued(ends.wire.transport) == 0
    ends.wire.abort()
    await ends.wire.end()
    assert queued(ends.wire.transport) == 0


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
    """Bytes that had arrived are still read, and nothing more is written."""
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
    """The descriptor may soon be another socket's."""
    ends.wire.transport.abort()
    write(ends.writer, b"late")
    with pytest.raises(BlockingIOError):
        ends.peer.recv(100)


async def test_news_are_bytes_or_the_end(ends: Ends) -> None:
    """The news are what the system reports."""
    assert not ends.writer.has_news()
    ends.wire.transport.pause_reading()
    ends.peer.send(b"x")
    assert ends.writer.has_news()


async def test_what_is_unread_is_never_another_sockets(ends: Ends) -> None:
    """The socket may be closed under its transport, and its number in use by another socket."""
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


pytestmark = pytest.mark.usefixtures("every_loop")


class WithoutLookups:
    """An event loop on which nothing may be looked up: all its threads could hang in lookups."""

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("an address was looked up")


def without_lookups(kind: Any) -> Callable[[], asyncio.AbstractEventLoop]:
    """A factory of such loops, of uvloop's or asyncio's own kind."""
    return type("LoopWithoutLookups", (WithoutLookups, kind), {})


def found(port: int, *hosts: str) -> list[Any]:
    """What a name that has these addresses is resolved to."""
    return [numeric_address(host, port) for host in hosts]


@pytest.mark.parametrize("kind", [uvloop.Loop, asyncio.SelectorEventLoop])
def test_an_address_is_connected_to_without_any_lookup(kind: Any) -> None:
    """Neither the socket nor the transport on it looks a name up."""

    async def reach(listening: socket.socket) -> tuple[Any, ...]:
        connected = await connect_to_any(found(listening.getsockname()[1], "127.0.0.1"))
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=connected)
        peer = transport.get_extra_info("peername")
        transport.close()
        return cast("tuple[Any, ...]", peer)

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        asyncio.Runner(loop_factory=without_lookups(kind)) as runner,
    ):
        assert runner.run(reach(listening)) == listening.getsockname()


async def test_the_kernel_is_told_when_to_give_a_silent_end_up() -> None:
    """What was sent is to be acknowledged, and silence is looked into, as far as this system can."""
    with make_socket(found(1, "127.0.0.1")[0]) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in (("TCP_KEEPIDLE", QUIET), ("TCP_USER_TIMEOUT", UNACKNOWLEDGED * 1000)):
            if hasattr(socket, name):
                assert made.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
        assert not made.getblocking()


async def test_who_is_refused_hears_it() -> None:
    """With the system's own error."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as refused:
            await connect_to_any(found(unused.getsockname()[1], "127.0.0.1"))
    assert refused.value.errno == errno.ECONNREFUSED


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    """At once."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
        with await connect_to_any(found(port, "::1", "127.0.0.1", "127.0.0.2")) as connected:
            assert connected.getpeername() == ("127.0.0.2", port)


async def test_the_other_family_is_tried_next_to_an_address_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other family wins, and its rival's socket is closed (RFC 8305, 5)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        made: list[tuple[int, socket.socket]] = []
        monkeypatch.setattr(sockets, "STAGGER", 0.001)

        async def connect_to_ipv4(socket_: socket.socket, address: tuple[Any, ...]) -> None:
            made.append((socket_.family, socket_))
            if socket_.family == socket.AF_INET6:
                await asyncio.get_running_loop().create_future()
            await connect(socket_, address)

        monkeypatch.setattr(sockets, "connect", connect_to_ipv4)
        with await connect_to_any(found(port, "2001:db8::1", "2001:db8::2", "127.0.0.1")) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
            assert [family for family, _ in made[:2]] == [socket.AF_INET6, socket.AF_INET]
            assert [rival.fileno() for _, rival in made if rival is not connected] == [-1] * (len(made) - 1)


async def test_who_leaves_while_connecting_leaves_nothing_behind() -> None:
    """The listener's queue is full, so the connection hangs; its socket is closed."""
    with deaf_listener() as address, make_socket(found(1, "127.0.0.1")[0]) as made:
        connecting = asyncio.ensure_future(connect(made, address))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not asyncio.get_running_loop().remove_writer(made)
