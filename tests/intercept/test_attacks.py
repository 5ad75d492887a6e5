"""Attacks on tunnels: what comes in pieces, in the wrong place or from somebody else, and clients that vanish."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.intercept.contexts import Contexts
from proxy.routing.operations import Access
from tests.intercept.conftest import KEYS, NA, OpenTunnel, configured, connect, digest, get, login, shake_hands
from tests.intercept.test_relay import BUCKET, PassThrough, passing
from tests.intercept.test_tunnel import EU, ask
from tests.support.certificates import Authority as OtherAuthority
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Wire, answering

__all__ = ["passing"]

POST = b"POST /v2/things HTTP/1.1\r\nHost: %b\r\nContent-Length: 2\r\n\r\n{}" % NA.encode()


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the event loop reports as a defect, which nothing that a client sends may be."""
    found: list[dict[str, Any]] = []
    yield found
    assert not found, found


async def hear(told: list[dict[str, Any]]) -> None:
    """Have the event loop report its defects there."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))


async def send_whole(wire: Wire, data: bytes) -> None:
    """Send in one piece."""
    wire.send(data)


Send = Callable[[Wire, bytes], Awaitable[None]]


class ByHand:
    """A client's TLS whose bytes a test cuts and sends itself."""

    def __init__(self, trusting: ssl.SSLContext, server_name: str | None = NA) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.agreed = False
        if server_name is None:
            trusting.check_hostname = False
        self.tls = trusting.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def step(self, came: bytes = b"") -> bytes:
        """What TLS says to what came; `b""` where it needs more."""
        if came:
            self._incoming.write(came)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.agreed = True
        return self._outgoing.read()

    async def shake_hands(self, wire: Wire, send: Send = send_whole) -> bytes:
        """Shake hands up to the client's last flight, which is given instead of sent."""
        next_flight = self.step()
        while not self.agreed:
            await send(wire, next_flight)
            next_flight = self.step(await said(wire))
        return next_flight

    def seal(self, data: bytes) -> bytes:
        """Data as the records that carry it."""
        self.tls.write(data)
        return self._outgoing.read()

    def unseal(self, came: bytes) -> bytes:
        """The data in records; what has not come whole is kept."""
        self._incoming.write(came)
        found = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self.tls.read(65536):
                found += piece
        return found


async def said(wire: Wire) -> bytes:
    """What comes next. Raises `EOFError` where nothing more comes."""
    await wire.until(lambda: wire.ended or len(wire.received) > wire._taken)
    return await wire.take(max(1, len(wire.received) - wire._taken))


async def opened(bench: ProxyBench) -> Wire:
    """A tunnel in which nobody has shaken hands."""
    wire = await bench.client(connect())
    assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    return wire


async def gone(bench: ProxyBench) -> None:
    """Wait until the proxy has no connection of a client, and nothing in flight."""
    await bench.settled(lambda: not len(bench.server) and not bench.accounting.in_flight)
    assert not bench.events.defects


# --- cut anywhere


@pytest.mark.parametrize("size", [1, 5, 300])
async def test_the_way_in_may_come_in_pieces(
    size: int, running: Running, contexts: Contexts, trusting: ssl.SSLContext, told: list[dict[str, Any]]
) -> None:
    """CONNECT, handshake and request, so many bytes at a time."""

    async def trickle(wire: Wire, data: bytes) -> None:
        for at in range(0, len(data), size):
            wire.send(data[at : at + size])
            await asyncio.sleep(0)

    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire, tls = await bench.client(), ByHand(trusting)
        await trickle(wire, connect())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        last, answer = await tls.shake_hands(wire, trickle), b""
        await trickle(wire, last + tls.seal(get()))
        while not answer.endswith(b"hello"):
            answer += tls.unseal(await said(wire))
        wire.close()
        await gone(bench)


async def test_the_request_may_come_with_the_end_of_the_handshake(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext, told: list[dict[str, Any]]
) -> None:
    """In one segment, with another request, and with the end of TLS behind them: each is answered."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire, tls = await opened(bench), ByHand(trusting)
        last = await tls.shake_hands(wire)
        wire.send(last + tls.seal(get()) + tls.seal(get()))
        answers = b""
        while answers.count(b"hello") < 2:
            answers += tls.unseal(await said(wire))
        wire.close()
        await gone(bench)


# --- no TLS, or another one


def old_hello(version: bytes) -> bytes:
    """A ClientHello that offers this version alone, with two ciphers of its time."""
    body = version + bytes(32) + b"\0" + b"\0\4\xc0\x13\0\x2f" + b"\1\0"
    hello = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(hello).to_bytes(2, "big") + hello


GARBAGE: dict[str, bytes] = {
    "plain HTTP": get(),
    "another CONNECT": connect(EU),
    "zeros": bytes(5000),
    "every byte": bytes(range(256)) * 80,
    "TLS 1.0": old_hello(b"\3\1"),
    "TLS 1.1": old_hello(b"\3\2"),
    "SSL 3": old_hello(b"\3\0"),
    "an alert": b"\x15\3\3\0\2\2\x28",
    "data without a handshake": b"\x17\3\3\0\5hello",
    "a record that is too long": b"\x16\3\1\xff\xff" + bytes(70000),
    "SSL 2": b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + bytes(37),
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
async def test_what_is_no_handshake_ends_the_tunnel(
    sent: bytes, running: Running, contexts: Contexts, told: list[dict[str, Any]]
) -> None:
    """Nothing of it is read as a request, and it is no defect."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire = await opened(bench)
        wire.send(sent)
        assert b"HTTP" not in await wire.end()
        wire.abort()
        await gone(bench)
        assert not bench.upstream.wires


async def test_no_server_name_is_the_tunnels(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext, told: list[dict[str, Any]]
) -> None:
    """A client that sends no SNI gets the certificate of the host that it asked for."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire, tls = await opened(bench), ByHand(trusting, None)
        last = await tls.shake_hands(wire)
        wire.send(last + tls.seal(get()))
        answer = b""
        while not answer.endswith(b"hello"):
            answer += tls.unseal(await said(wire))
        certificate = cast(dict[str, Any], tls.tls.getpeercert())
        assert certificate["subjectAltName"] == (("DNS", NA),)
        wire.close()


@pytest.mark.parametrize("name", [b"\0", b" ", b"*", b"a"])
async def test_an_odd_server_name_ends_the_handshake(
    name: bytes,
    running: Running,
    contexts: Contexts,
    trusting: ssl.SSLContext,
    told: list[dict[str, Any]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The context is one of no host, and nothing of it is printed."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire = await opened(bench)
        wire.send(ByHand(trusting).step().replace(NA.encode(), name * len(NA)))
        await wire.end()
        wire.abort()
        await gone(bench)
    assert capfd.readouterr().err == ""


# --- clients that vanish


async def _at_once(bench: ProxyBench, _: ssl.SSLContext) -> Wire:
    return await bench.client(connect())


async def _behind_half_a_hello(bench: ProxyBench, trusting: ssl.SSLContext) -> Wire:
    wire = await opened(bench)
    wire.send(ByHand(trusting).step()[:100])
    await asyncio.sleep(0)
    return wire


async def _behind_the_hello(bench: ProxyBench, trusting: ssl.SSLContext) -> Wire:
    wire = await opened(bench)
    wire.send(ByHand(trusting).step())
    await said(wire)
    return wire


async def _behind_the_handshake(bench: ProxyBench, trusting: ssl.SSLContext) -> Wire:
    wire = await opened(bench)
    wire.transport = await shake_hands(wire, trusting, NA)
    return wire


async def _in_a_head(bench: ProxyBench, trusting: ssl.SSLContext) -> Wire:
    wire = await _behind_the_handshake(bench, trusting)
    wire.send(get()[:30])
    await asyncio.sleep(0)
    return wire


async def _in_a_body(bench: ProxyBench, trusting: ssl.SSLContext) -> Wire:
    wire = await _behind_the_handshake(bench, trusting)
    wire.send(POST[:-1])
    await bench.settled(lambda: bench.accounting.in_flight > 0)
    return wire


VANISHING = (
    *(_at_once, _behind_half_a_hello, _behind_the_hello, _behind_the_handshake),
    *(_in_a_head, _in_a_body),
)
Step = Callable[[ProxyBench, ssl.SSLContext], Any]


@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.parametrize("step", VANISHING)
async def test_a_client_may_vanish_at_each_step(
    step: Step,
    rudely: bool,
    running: Running,
    contexts: Contexts,
    trusting: ssl.SSLContext,
    told: list[dict[str, Any]],
) -> None:
    """With a reset or without; nothing of it stays, and it is no defect."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        wire = await step(bench, trusting)
        (wire.drop if rudely else wire.abort)()
        await gone(bench)
        assert bench.server.being_set_up == 0


# --- too many of them


async def test_half_open_tunnels_are_counted_and_end(
    running: Running, contexts: Contexts, told: list[dict[str, Any]]
) -> None:
    """Each is one connection under the limit of all, a few beyond it included as elsewhere, and has the time of a head
    for its handshake."""
    script = answering(HELLO)
    async with running(script, contexts=contexts, max_connections=20, header_timeout=1.0) as bench:
        await hear(told)
        opened = 0
        for _ in range(60):
            wire = await bench.client(connect())
            with contextlib.suppress(EOFError):
                opened += b" 200 " in await said(wire)
            assert len(bench.server) <= 20 + 16
        assert opened == 20 + 16
        for wire in bench.clients:
            await wire.end()
            wire.abort()
        await gone(bench)


async def test_a_silent_client_gets_no_memory_of_openssl(running: Running, contexts: Contexts) -> None:
    """What a handshake needs is made with its first byte: many tunnels may stay half open."""

    def made() -> int:
        return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())

    async with running(answering(HELLO), contexts=contexts) as bench:
        before = made()
        silent = [await opened(bench) for _ in range(5)]
        assert made() == before
        silent[0].send(b"\x16")
        await bench.settled(lambda: made() == before + 1)


# --- who it is


def limited(name: str, **limits: Any) -> Policy:
    """A client with a key of its own, and these limits."""
    return Policy(name=name, keys=(ClientKey(digest(KEYS[name]), None, ""),), **limits)


async def test_equal_bytes_keep_each_clients_limits(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """One client may write and the other may only read: in turns, in tunnels and without, with warm memories."""
    policies = limited("reports", access=Access.READ), limited("agent")
    clients = Clients(policies, Placeholders(b"key"), Budgets())
    async with running(answering(HELLO), contexts=contexts, clients=clients) as bench:
        tunnels = {name: await open_tunnel(bench, login=login(name)) for name in ("reports", "agent")}
        keyed = {
            name: POST.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: %b\r\n\r\n" % KEYS[name].encode())
            for name in tunnels
        }
        for _ in range(6):
            for name, status in (("reports", 403), ("agent", 200)):
                assert (await ask(tunnels[name], POST)).status == status
                assert (await bench.ask(keyed[name])).status == status
            assert (await bench.ask(POST)).status == 401
        assert {each.client for each in bench.events.finished if each.status == 403} == {"reports"}


async def test_the_bytes_under_which_a_head_is_remembered_are_none(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """What a tunnel remembers is found by nobody who sends the tunnel's mark as the beginning of a head."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports")) as bench:
        tunnel = await open_tunnel(bench, login=login("reports"))
        for _ in range(4):
            assert (await ask(tunnel, get())).status == 200
        for key in (b"", KEYS["reports"].encode()):
            marked = b"CONNECT %b\r\n%b\r\n%b" % (NA.encode(), key, get())
            assert (await bench.ask(marked)).status == 400
            assert (await ask(await open_tunnel(bench, login=login("reports")), marked)).status == 400


async def test_another_server_name_is_refused_also_with_warm_memories(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """A request that is served in one tunnel is 421 in another to the same host with another SNI."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        right, wrong = await open_tunnel(bench), await open_tunnel(bench, server_name=EU)
        for _ in range(4):
            assert (await ask(right, get())).status == 200
        assert (await ask(wrong, get())).status == 421


async def test_a_request_without_host_belongs_to_the_tunnels_region(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """HTTP/1.0 needs no Host: the tunnel leads to Europe, and not to the account's own region."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench, EU)
        tunnel.send(b"GET /v2/profiles HTTP/1.0\r\n\r\n")
        assert b" 200 " not in (await tunnel.end())[:20]
        assert not bench.upstream.wires


# --- TLS around the tunnel


@pytest.fixture
def outer(tmp_path: Path) -> OtherAuthority:
    """The authority of the listener's own certificate."""
    return OtherAuthority(tmp_path)


@contextlib.asynccontextmanager
async def listening_with_tls(bench: ProxyBench, outer: OtherAuthority) -> AsyncIterator[Wire]:
    """A client of a listener that has TLS itself."""
    context = outer.context("localhost")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(bench._connect, "127.0.0.1", 0, ssl=context)
    trusted = ssl.create_default_context(cafile=outer.ca_file)
    try:
        port = server.sockets[0].getsockname()[1]
        _, wire = await loop.create_connection(Wire, "127.0.0.1", port, ssl=trusted, server_hostname="localhost")
        bench.clients.append(wire)
        yield wire
    finally:
        server.close()


async def test_a_tunnel_may_begin_within_tls(
    running: Running,
    contexts: Contexts,
    trusting: ssl.SSLContext,
    outer: OtherAuthority,
    told: list[dict[str, Any]],
) -> None:
    """HTTPS_PROXY=https://...: the tunnel's TLS is inside that of the listener."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        await hear(told)
        async with listening_with_tls(bench, outer) as wire:
            wire.send(connect())
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
            tls = ByHand(trusting)
            last = await tls.shake_hands(wire)
            wire.send(last + tls.seal(get()))
            answer = b""
            while not answer.endswith(b"hello"):
                answer += tls.unseal(await said(wire))
            wire.abort()
            await gone(bench)


async def test_a_passed_tunnel_may_begin_within_tls(
    passing: PassThrough, outer: OtherAuthority, told: list[dict[str, Any]]
) -> None:
    """TLS cannot end one direction: once the far end has ended, so has the client's, behind the last byte."""

    async def say_and_end(wire: Wire) -> None:
        assert await wire.take(5) == b"hello"
        wire.send(b"goodbye")
        wire.finish()
        await wire.until(lambda: wire.ended)

    async with passing(say_and_end) as bench:
        await hear(told)
        async with listening_with_tls(bench, outer) as wire:
            wire.send(connect(BUCKET))
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
            wire.send(b"hello")
            assert await wire.end() == b"goodbye"
            await gone(bench)
