"""Clients that reach the proxy by one of Amazon's names, without CONNECT: the name in the TLS handshake tells the
host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from proxy.app.request_path import RequestPath
from proxy.config import Address
from proxy.downstream.listener import Acceptor, bind
from proxy.errors import UpstreamNameUnresolved
from proxy.intercept.contexts import Contexts
from proxy.net.dialing import Dialer, Origin
from proxy.net.names import Names
from tests.intercept.conftest import KEYS, NA, configured, get
from tests.intercept.test_tunnel import EU, TOKEN, slug, token_request
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Answer, Wire, answering


@contextlib.asynccontextmanager
async def listening(path: RequestPath) -> AsyncIterator[tuple[int, Acceptor]]:
    """The port of a listener for clients with Amazon's names, and what accepts from it."""
    [bound] = bind("intercept.listen", Address("127.0.0.1", 0))
    port = int(bound.getsockname()[1])
    [acceptor] = path.accept_by_name([bound])
    try:
        yield port, acceptor
    finally:
        acceptor.close()


async def shake_hands(bench: ProxyBench, port: int, context: ssl.SSLContext, name: str | None) -> Wire:
    """A client that connects, and names this host in its handshake."""
    wire = Wire()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire, "127.0.0.1", port, ssl=context, server_hostname=name or "")
    bench.clients.append(wire)
    return wire


async def ask(wire: Wire, request: bytes) -> Answer:
    """One request on a connection, and its answer."""
    wire.send(request)
    return await wire.answer()


async def test_the_name_in_the_handshake_is_the_host(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext
) -> None:
    """The certificate is that host's, and the requests leave with the account's token to the host's region."""
    heads: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            heads.append((await wire.request())[0])
            wire.send(HELLO)

    async with running(script, contexts=contexts) as bench, listening(bench.path) as (port, _):
        wire = await shake_hands(bench, port, trusting, NA.upper())
        for _ in range(3):
            assert (await ask(wire, get(lines=b"Authorization: Bearer Atza|old\r\n"))).body == b"hello"
        assert [b"Authorization: Bearer Atza|0\r\n" in head for head in heads] == [True] * 3
        assert len(bench.server) == 1


async def test_logins_are_answered_here(running: Running, contexts: Contexts, trusting: ssl.SSLContext) -> None:
    """Where the name is that of Login with Amazon."""
    async with running(answering(HELLO), contexts=contexts) as bench, listening(bench.path) as (port, _):
        wire = await shake_hands(bench, port, trusting, TOKEN)
        answer = await ask(wire, token_request(client_id="x", client_secret="y", refresh_token="default"))
        assert answer.status == 200
        assert json.loads(answer.body)["token_type"] == "bearer"


async def test_the_host_of_a_request_agrees_with_the_handshake(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext
) -> None:
    """A connection that was kept for another of Amazon's hosts is no way there (RFC 9110, 15.5.20)."""
    async with running(answering(HELLO), contexts=contexts) as bench, listening(bench.path) as (port, _):
        wire = await shake_hands(bench, port, trusting, NA)
        answer = await ask(wire, get(host=EU))
        assert (answer.status, slug(answer)) == (421, "misdirected-host")


async def test_each_request_needs_a_key_where_clients_are_configured(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext
) -> None:
    """No CONNECT identified a client."""
    parts = running(answering(HELLO), contexts=contexts, clients=configured("agent"))
    async with parts as bench, listening(bench.path) as (port, _):
        wire = await shake_hands(bench, port, trusting, NA)
        for _ in range(3):
            key = f"X-Ads-Proxy-Key: {KEYS['agent']}\r\n".encode()
            assert (await ask(wire, get(lines=key))).body == b"hello"
            assert (await ask(wire, get())).status == 401


@pytest.mark.parametrize("name", [None, "example.com", "amazon.com", f"{NA}.example.com", "www.amazon.com"])
async def test_a_handshake_for_no_host_of_amazons_fails(running: Running, contexts: Contexts, name: str | None) -> None:
    """Also without a name, unlike in a tunnel, which has its host from CONNECT. No connection is left."""
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    async with running(answering(HELLO), contexts=contexts) as bench, listening(bench.path) as (port, _):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shake_hands(bench, port, careless, name)
        await bench.settled(lambda: len(bench.server) == 0)


async def test_its_connections_count_among_those_of_all_clients(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext
) -> None:
    """One table, and so one limit, which a reload changes for the next connection."""
    parts = running(answering(HELLO), contexts=contexts, max_connections=1)
    async with parts as bench, listening(bench.path) as (port, _):
        wire = await shake_hands(bench, port, trusting, NA)
        assert (await ask(wire, get())).body == b"hello"
        assert (await bench.ask()).status == 503
        bench.apply(max_connections=10)
        assert (await bench.ask()).status == 200


async def test_a_client_that_does_not_shake_hands_is_cut(running: Running, contexts: Contexts) -> None:
    """After `limits.header_timeout`, as on a listener with TLS for all."""
    parts = running(answering(HELLO), contexts=contexts, header_timeout=0.05)
    async with parts as bench, listening(bench.path) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await bench.settled(lambda: len(bench.server) == 0)


async def test_without_interception_there_is_no_such_listener(running: Running) -> None:
    """Nothing is accepted without an authority."""
    async with running(answering(HELLO)) as bench:
        assert bench.path.accept_by_name([]) == []


async def test_a_connection_of_the_proxy_that_ends_here_is_refused(
    running: Running, contexts: Contexts, trusting: ssl.SSLContext
) -> None:
    """Something between may lead it here, such as a Service, and its authority may be trusted, as where the system's
    authorities have it: then each request would come back without end."""
    here = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 0))
    names = Names(ask=lambda _host: [here])
    async with running(answering(HELLO), contexts=contexts) as bench, listening(bench.path) as (port, _):
        dialer = Dialer(names, connect_timeout=PATIENCE, context=trusting)
        with pytest.raises(UpstreamNameUnresolved, match=f"The name {re.escape(NA)} leads back to the proxy"):
            await dialer.dial(Origin("https", NA, port), asyncio.Protocol)
    names.stop()
