"""The session for Login with Amazon and the lists: shared names, watched sockets, no connection kept."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from proxy.net.names import AddressInfo, Names, numeric_address
from proxy.net.session import make_session
from proxy.net.sockets import UNACKNOWLEDGED
from tests.support.wire import HELLO, RawUpstream, answering

pytestmark = pytest.mark.usefixtures("every_loop")


def resolve(host: str) -> Sequence[AddressInfo]:
    """Resolve every name to this machine, over IPv6 and IPv4, except one unknown name."""
    if host == "nobody.example":
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return [address for ip in ("::1", "127.0.0.1") if (address := numeric_address(ip, 0))]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """With its names stopped at the end."""
    names = Names(ask=resolve)
    async with make_session(names) as made:
        yield made
    names.stop()


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    """Say hello to every client."""
    made = RawUpstream(answering(HELLO))
    await made.start()
    yield made
    await made.stop()


async def test_names_are_the_given_ones_and_both_families_are_tried(
    session: aiohttp.ClientSession, upstream: RawUpstream
) -> None:
    """The upstream listens on IPv4 alone."""
    async with session.get(f"http://lwa.example:{upstream.port}/") as answer:
        assert await answer.read() == b"hello"


async def test_no_connection_is_kept(session: aiohttp.ClientSession, upstream: RawUpstream) -> None:
    """The next request has its own, so that none goes out on one that died meanwhile."""
    for _ in range(2):
        async with session.get(f"http://lwa.example:{upstream.port}/") as answer:
            await answer.read()
    assert len(upstream.wires) == 2


async def test_a_name_without_address_is_told_as_such(session: aiohttp.ClientSession) -> None:
    """The error is aiohttp's own."""
    with pytest.raises(aiohttp.ClientConnectorDNSError):
        await session.get("http://nobody.example/")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has none")
async def test_its_sockets_are_watched(session: aiohttp.ClientSession) -> None:
    """The sockets are watched as those of traffic are."""
    upstream = RawUpstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"))
    await upstream.start()
    async with session.get(f"http://lwa.example:{upstream.port}/") as answer:
        assert answer.connection is not None
        assert answer.connection.transport is not None
        made = answer.connection.transport.get_extra_info("socket")
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED * 1000
    await upstream.stop()
