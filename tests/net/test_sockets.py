"""Sockets are connected without the event loop's lookups, families are raced, and the kernel watches the other end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from proxy.net import sockets
from proxy.net.names import numeric_address
from proxy.net.sockets import QUIET, UNACKNOWLEDGED, connect, connect_to_any, make_socket
from tests.support.front import deaf_listener

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
    """Neither for the socket nor for the transport on it."""

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


async def test_the_other_family_is_tried_beside_an_address_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And wins, its rival's socket being closed (RFC 8305, 5)."""
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
