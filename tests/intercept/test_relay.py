"""Tunnels that pass: bytes go both ways as they come, and a tunnel ends when both ends have ended."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from proxy.forwarding import waiting_request
from proxy.intercept.connect_request import PassedTunnel
from proxy.intercept.contexts import Contexts
from proxy.intercept.relay import RelayEnd
from proxy.net.names import AddressInfo, Names
from tests.access.test_token_verification import ES, RS, Desk, keys_of
from tests.intercept.conftest import configured, connect, login
from tests.support.issuers import service_account
from tests.support.patience import PATIENCE, settled
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, RawUpstream, Script, Wire, answering

BUCKET = "bucket.s3.amazonaws.com"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n"

PassThrough = Callable[..., Any]


def known_as(address: str) -> Callable[[str], list[AddressInfo]]:
    """A name server that gives every name this address."""
    return lambda _host: [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))]


@pytest.fixture
def passing(running: Running, contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> PassThrough:
    """What opens the bench, and a far end to which every name leads, as if it were public."""

    @asynccontextmanager
    async def run(script: Script, *, public: bool = True, **changed: Any) -> AsyncIterator[ProxyBench]:
        far = RawUpstream(script)
        await far.start()
        monkeypatch.setattr("tests.support.proxy_bench.Names", partial(Names, ask=known_as("127.0.0.1")))
        monkeypatch.setattr("proxy.intercept.connect_request.PORT", far.port)
        if public:
            monkeypatch.setattr("proxy.intercept.public_names.is_public", lambda _address: True)
        settings = {"passed_hosts": ("*.s3.amazonaws.com",), "contexts": contexts, **changed}
        try:
            async with running(answering(HELLO), **settings) as bench:
                yield bench
        finally:
            await far.stop()

    return run


async def echo(wire: Wire) -> None:
    """Send back what comes, and end when the client has ended."""
    while not wire.ended:
        await wire.until(lambda: wire.ended or len(wire.received) > wire._taken)
        wire.send(await wire.take(len(wire.received) - wire._taken))


async def turns(count: int) -> None:
    """Let everything that can go on do so, for so many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def opened(bench: ProxyBench, login: str = "") -> Wire:
    """A tunnel to the far end, of the client with this name and key."""
    wire = await bench.client(connect(BUCKET, login))
    head = await wire.head()
    assert head.startswith(ESTABLISHED), head
    return wire


async def test_bytes_pass_as_they_come(passing: PassThrough) -> None:
    """Whatever they are, both ways; the account has their numbers and the client's name for the host."""
    async with passing(echo) as bench:
        wire = await opened(bench)
        for data in (b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 4096):
            wire.send(data)
            assert await wire.take(len(data)) == data
        assert len(bench.server) == 1
        wire.finish()
        assert await wire.end() == b""
        finished = await bench.events.last()
        size = 3 + 18 + (1 << 20)
        assert (finished.method, finished.path.partition(":")[0]) == ("CONNECT", BUCKET)
        assert (finished.status, finished.bytes_in, finished.bytes_out) == (200, size, size)


async def test_each_direction_ends_by_itself(passing: PassThrough) -> None:
    """A client that has sent all still gets the answer."""

    async def answer_at_the_end(wire: Wire) -> None:
        assert await wire.end() == b"all of it"
        wire.send(b"the answer")

    async with passing(answer_at_the_end) as bench:
        wire = await opened(bench)
        wire.send(b"all of it")
        wire.finish()
        assert await wire.end() == b"the answer"


async def test_a_slow_client_slows_the_far_end(passing: PassThrough) -> None:
    """What it does not take does not gather in the proxy."""
    size = 64 << 20
    sending: list[Wire] = []

    async def flood(wire: Wire) -> None:
        sending.append(wire)
        await wire.take(1)
        wire.send(bytes(size))
        await wire.until(lambda: wire.ended)

    async with passing(flood) as bench:
        wire = await opened(bench)
        wire.transport.pause_reading()
        wire.send(b"!")
        await bench.settled(lambda: bool(next(iter(bench.server.connections)).unsent))
        await bench.settled(lambda: sending[0].transport.get_write_buffer_size() > size // 2)
        assert next(iter(bench.server.connections)).unsent < size // 8
        wire.transport.resume_reading()
        assert len(await wire.take(size)) == size


async def test_a_far_end_that_floods_at_once_is_slowed(passing: PassThrough, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before the tunnel is open does not gather in the proxy, and does not open the sluice for the rest."""
    size = 64 << 20
    sending: list[Wire] = []
    dial = PassedTunnel._dial

    async def flood(wire: Wire) -> None:
        wire.send(bytes(size))
        sending.append(wire)
        await wire.until(lambda: wire.ended)

    async def dial_and_dawdle(tunnel: PassedTunnel, far: RelayEnd) -> None:
        await dial(tunnel, far)
        await settled(lambda: bool(sending))
        await turns(200)

    monkeypatch.setattr(PassedTunnel, "_dial", dial_and_dawdle)
    async with passing(flood) as bench:
        wire = await bench.client(connect(BUCKET))
        wire.transport.pause_reading()
        await bench.settled(lambda: bool(next(iter(bench.server.connections)).unsent))
        await turns(2000)
        assert sending[0].transport.get_write_buffer_size() > size // 2
        wire.transport.resume_reading()
        assert (await wire.head()).startswith(ESTABLISHED)
        assert len(await wire.take(size)) == size


async def test_a_silent_tunnel_is_closed(passing: PassThrough) -> None:
    """Once no byte passed either way for the time between bytes of a body."""
    async with passing(echo) as bench:
        wire = await opened(bench)
        wire.send(b"hello")
        assert await wire.take(5) == b"hello"
        bench.sweep(59)
        wire.send(b"again")
        assert await wire.take(5) == b"again"
        bench.sweep(61)
        await wire.end()


@pytest.mark.parametrize("end", ["the client", "the far end"])
async def test_an_end_that_is_gone_ends_the_other(end: str, passing: PassThrough) -> None:
    """With a reset, too."""
    far: list[Wire] = []

    async def script(wire: Wire) -> None:
        far.append(wire)
        await wire.until(lambda: wire.ended)

    async with passing(script) as bench:
        wire = await opened(bench)
        wire.send(b"x")
        await bench.settled(lambda: bool(far) and bool(far[0].received))
        gone, left = (wire, far[0]) if end == "the client" else (far[0], wire)
        gone.drop()
        await left.end()
        await bench.settled(lambda: not bench.server.connections)


async def test_a_far_end_that_speaks_first_is_heard(passing: PassThrough) -> None:
    """Its bytes come behind the 200."""

    async def greet(wire: Wire) -> None:
        wire.send(b"220 hello")
        await wire.until(lambda: wire.ended)

    async with passing(greet) as bench:
        wire = await opened(bench)
        assert await wire.take(9) == b"220 hello"


async def test_private_addresses_are_refused(passing: PassThrough) -> None:
    """Whatever the name is."""
    async with passing(echo, public=False) as bench:
        got = await bench.ask(connect(BUCKET))
        assert got.status == 403
        assert "no public address" in json.loads(got.body)["detail"]


async def test_a_far_end_that_is_away_is_502(passing: PassThrough, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets a problem document instead of a tunnel."""
    async with passing(echo, connect_timeout=0.01) as bench:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            monkeypatch.setattr("proxy.intercept.connect_request.PORT", bound.getsockname()[1])
            got = await bench.ask(connect(BUCKET))
        assert got.status in (502, 504)
        assert json.loads(got.body)["type"].startswith("urn:ads-proxy:error:upstream-")


@pytest.mark.parametrize("public", [True, False])
async def test_an_outbound_proxy_leads_to_the_far_end(public: bool, passing: PassThrough) -> None:
    """The outbound proxy is not asked for a name that is known to lead to a private address."""

    async def outbound(wire: Wire) -> None:
        assert (await wire.head()).startswith(b"CONNECT %b:" % BUCKET.encode())
        wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await wire.take(4)
        wire.send(b"pong")
        await wire.until(lambda: wire.ended)

    proxy = RawUpstream(outbound)
    await proxy.start()
    try:
        async with passing(echo, public=public, outbound_proxy=f"http://127.0.0.1:{proxy.port}") as bench:
            if public:
                wire = await opened(bench)
                wire.send(b"ping")
                assert await wire.take(4) == b"pong"
            else:
                assert (await bench.ask(connect(BUCKET))).status == 403
                assert not proxy.wires
    finally:
        await proxy.stop()


@pytest.mark.parametrize(
    ("reload", "stays"),
    [
        ({"passed_hosts": ("other.example",)}, False),
        ({"clients": configured("agent")}, False),
        ({"clients": configured("reports"), "passed_hosts": ("*",)}, True),
    ],
)
async def test_a_reload_ends_what_it_forbids(reload: dict[str, Any], stays: bool, passing: PassThrough) -> None:
    """A tunnel to a host that passes no more, or of a client whose key was removed."""
    async with passing(echo, clients=configured("reports", "agent")) as bench:
        wire = await opened(bench, login("reports"))
        bench.apply(**reload)
        if stays:
            wire.send(b"still")
            assert await wire.take(5) == b"still"
        else:
            await wire.end()


@pytest.mark.parametrize(("tried_ago", "status"), [(0.0, 407), (3600.0, 503)])
async def test_a_tunnel_ends_with_the_key_that_signed_its_token(
    tried_ago: float, status: int, passing: PassThrough, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody opens one with a remembered token either, and what cannot be checked now is no reason to let it go on."""
    monkeypatch.setattr(waiting_request, "KEYS_PATIENCE", 0.01)
    now = time.time()
    desk, shown = Desk(cluster=keys_of(RS, tried_at=now)), f"nightly:{RS.token(service_account(now))}"
    async with passing(echo, clients=desk.clients) as bench:
        wire = await opened(bench, shown)
        desk.checks.keys["cluster"] = keys_of(ES, tried_at=now - tried_ago)
        bench.path.forget_credentials()
        await wire.end()
        assert (await bench.ask(connect(BUCKET, shown))).status == status


async def test_a_reload_refuses_what_it_forbids_while_it_is_dialled(passing: PassThrough) -> None:
    """The tunnel is not opened under rules that are no longer in force."""
    asked = asyncio.Event()

    async def silent(wire: Wire) -> None:
        asked.set()
        await wire.until(lambda: wire.ended)

    outbound = RawUpstream(silent)
    await outbound.start()
    try:
        async with passing(echo, outbound_proxy=f"http://127.0.0.1:{outbound.port}") as bench:
            wire = await bench.client(connect(BUCKET))
            await asyncio.wait_for(asked.wait(), PATIENCE)
            bench.apply(passed_hosts=())
            assert (await wire.answer()).status == 403
    finally:
        await outbound.stop()


async def test_a_tunnel_ends_with_its_clients_key(passing: PassThrough) -> None:
    """At the moment at which the key expires."""
    async with passing(echo, clients=configured("reports", ends_at=time.time() + 0.2)) as bench:
        wire = await opened(bench, login("reports"))
        await wire.end()


async def test_a_budget_counts_tunnels_that_pass(passing: PassThrough) -> None:
    """The requests in them are not seen."""
    async with passing(echo, clients=configured("reports", requests_per_minute=1)) as bench:
        await opened(bench, login("reports"))
        got = await bench.ask(connect(BUCKET, login("reports")))
        assert (got.status, (await bench.events.last()).client) == (429, "reports")


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_program_that_stops_ends_tunnels(at_once: bool, passing: PassThrough) -> None:
    """A tunnel is a request under way, until the time to drain is over."""
    async with passing(echo) as bench:
        wire = await opened(bench)
        assert bench.accounting.in_flight == 1
        bench.server.close_idle()
        wire.send(b"still")
        assert await wire.take(5) == b"still"
        bench.server.end_all() if at_once else wire.finish()
        await wire.end()


async def test_a_client_that_leaves_while_it_is_dialled(passing: PassThrough) -> None:
    """Nothing is left open."""
    async with passing(echo) as bench:
        wire = await bench.client(connect(BUCKET))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        wire.drop()
        await bench.settled(lambda: not bench.server.connections and not bench.accounting.in_flight)


async def test_a_program_that_stops_does_not_wait_for_a_silent_tunnel(passing: PassThrough) -> None:
    """The tunnel ends five seconds after its last byte, not sixty."""
    async with passing(echo) as bench:
        wire = await opened(bench)
        (relay,) = bench.server.connections
        bench.server.wind_down()
        bench.sweep(4)
        wire.send(b"hello")
        assert await wire.take(5) == b"hello"
        bench.sweep(6)
        assert relay.near.transport.is_closing()
        await wire.end()
