"""The session for Login with Amazon and the lists: shared names, watched sockets, no connection kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from proxy.net.names import AddressInfo, Names, numeric_address
from proxy.net.session import DeferredSession, make_session, opened
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


async def test_requests_wait_until_a_deferred_session_is_opened(upstream: RawUpstream) -> None:
    """One that gives up takes nothing from the others, and closing closes the session."""
    deferred, names = DeferredSession(), Names(ask=resolve)

    async def ask() -> bytes:
        async with (await opened(deferred)).get(f"http://lwa.example:{upstream.port}/") as answer:
            return await answer.read()

    waiting, leaving = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert not waiting.done()
    deferred.open(session := make_session(names))
    assert await waiting == await ask() == b"hello"
    await deferred.close()
    assert session.closed
    names.stop()


async def test_a_deferred_session_that_was_never_opened_has_nothing_to_close() -> None:
    """A start that fails closes what it made."""
    deferred = DeferredSession()
    await deferred.close()
    assert repr(deferred) == "<DeferredSession not open yet>"


async def test_a_session_is_its_own_where_none_is_deferred(session: aiohttp.ClientSession) -> None:
    """Commands make theirs when they need it."""
    assert await opened(session) is session
