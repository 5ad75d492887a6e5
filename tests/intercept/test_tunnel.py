"""Requests inside a tunnel take the path of all others, as those of the tunnel's client to the tunnel's host."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from proxy.events import AuthorityDistrusted
from proxy.intercept.contexts import Contexts
from proxy.intercept.tunnel import TunnelServices
from tests.intercept.conftest import KEYS, NA, OpenTunnel, configured, connect, get, login
from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, Answer, Wire, answering

EU = "advertising-api-eu.amazon.com"
TOKEN = "api.amazon.com"
MCP = "advertising-ai.amazon.com"


def slug(answer: Answer) -> str:
    """The kind of a refusal."""
    return str(json.loads(answer.body)["type"]).rpartition(":")[2]


async def ask(wire: Wire, request: bytes) -> Answer:
    """One request on a connection, and its answer."""
    wire.send(request)
    return await wire.answer()


def token_request(**parameters: str) -> bytes:
    """A login with these parameters, as clients of Login with Amazon send it."""
    body = urlencode({"grant_type": "refresh_token", **parameters}).encode()
    lines = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(body)
    return b"POST /auth/o2/token HTTP/1.1\r\nHost: %b\r\n%b\r\n%b" % (TOKEN.encode(), lines, body)


async def test_requests_leave_as_those_to_the_proxy_itself(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """They get the account's token, and the Host of the region that the tunnel leads to; several share a tunnel."""
    heads: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            heads.append((await wire.request())[0])
            wire.send(HELLO)

    async with running(script, contexts=contexts) as bench:
        tunnel = await open_tunnel(bench)
        for _ in range(5):
            assert (await ask(tunnel, get(lines=b"Authorization: Bearer Atza|old\r\n"))).body == b"hello"
        assert len(heads) == 5
        assert all(b"Authorization: Bearer Atza|0\r\n" in head for head in heads)
        assert not any(b"old" in head for head in heads)
        await bench.settled(lambda: len(bench.events.finished) == 6)
        assert [(each.method, each.path, each.status) for each in bench.events.finished[:2]] == [
            ("CONNECT", f"{NA}:443", 200),
            ("GET", "/v2/profiles", 200),
        ]
        assert len(bench.server) == 1


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        (TOKEN, "/v2/profiles", 404),
        (TOKEN, "/user/profile", 404),
        (TOKEN, "/", 404),
        (TOKEN, "/%61uth/o2/token", 404),
        (MCP, "/v2/profiles", 404),
        (NA, "/auth/o2/tokeninfo", 404),
    ],
)
async def test_a_host_has_what_amazon_has_there(
    host: str, path: str, status: int, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Requests that belong to another host are refused, and Amazon hears nothing."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench, host)
        assert (await ask(tunnel, get(path, host))).status == status
        assert not bench.upstream.wires


@pytest.mark.parametrize(
    "request_",
    [
        get(host=EU),
        get(host=TOKEN),
        get(host="127.0.0.1"),
        get(host=f"{NA}:8443"),
        get(host=f"{NA}.example.com"),
    ],
)
async def test_host_is_that_of_the_tunnel(
    request_: bytes, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Another Host is 421, and Amazon hears nothing."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await ask(await open_tunnel(bench), request_)
        assert (got.status, slug(got)) == (421, "misdirected-host")
        assert not bench.upstream.wires


async def test_a_request_without_a_host_is_for_that_of_the_tunnel(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """HTTP/1.0 may leave it out: the tunnel names the region, and the request does not go to the account's own."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench, EU)
        tunnel.send(b"GET /v2/profiles HTTP/1.0\r\n\r\n")
        await bench.settled(lambda: len(bench.events.finished) == 2)
        assert bench.events.finished[-1].region == "eu"
        assert not bench.upstream.wires


@pytest.mark.parametrize("host", [NA.upper(), f"{NA}:443", f"{NA}."])
async def test_a_host_has_several_spellings(
    host: str, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Case, the port of https and a closing dot do not count."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        assert (await ask(await open_tunnel(bench), get(host=host))).body == b"hello"


async def test_the_server_name_is_that_of_the_tunnel(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """With another one of Amazon's hosts as SNI, every request is 421, whatever its Host, and however often the same
    bytes were served before."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        right = await open_tunnel(bench)
        for _ in range(4):
            assert (await ask(right, get())).status == 200
        for host in (NA, EU):
            tunnel = await open_tunnel(bench, NA, server_name=EU)
            assert (await ask(tunnel, get(host=host))).status == 421
        assert len(bench.upstream.wires) == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (connect(), 405),
        (connect(EU), 405),
        (b"GET https://%b/v2/profiles HTTP/1.1\r\nHost: %b\r\n\r\n" % (NA.encode(), NA.encode()), 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n\r\n" % NA.encode(), 400),
        (b"TRACE / HTTP/1.1\r\nHost: %b\r\n\r\n" % NA.encode(), 405),
        (get(lines=b"Origin: https://example.com\r\n"), 403),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
async def test_what_is_no_request_to_amazon_is_refused(
    request_: bytes, status: int, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """A tunnel in a tunnel, targets that are no path, web pages, and what is not HTTP."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        assert (await ask(await open_tunnel(bench), request_)).status == status
        assert not bench.upstream.wires


async def test_addresses_in_responses_stay_inside(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """A location at Amazon leads through the tunnel, by https."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://%b/v2/x\r\nContent-Length: 0\r\n\r\n" % NA.encode()
        )

    async with running(script, contexts=contexts) as bench:
        got = await ask(await open_tunnel(bench), get("/v2/reports/1"))
        assert got.value(b"location") == b"https://%b/v2/x" % NA.encode()


async def test_addresses_in_responses_to_https_targets_have_https(running: Running, contexts: Contexts) -> None:
    """A client that sends https:// targets instead of CONNECT does so with the location, too."""
    target = b"https://%b/v2/reports/1" % NA.encode()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % target)

    async with running(script, contexts=contexts) as bench:
        wire = await bench.client(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, NA.encode()))
        assert (await wire.answer()).value(b"location") == target


# --- logins


async def test_a_login_gets_a_placeholder(running: Running, contexts: Contexts, open_tunnel: OpenTunnel) -> None:
    """The client's own made-up credentials do; the placeholder is good in another tunnel."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await ask(
            await open_tunnel(bench, TOKEN), token_request(client_id="x", client_secret="y", refresh_token="z")
        )
        assert got.status == 200
        line = b"Authorization: Bearer %b\r\n" % json.loads(got.body)["access_token"].encode()
        assert (await ask(await open_tunnel(bench), get(lines=line))).body == b"hello"


# --- clients


async def test_a_tunnel_needs_a_key_where_clients_have_one(running: Running, contexts: Contexts) -> None:
    """Without one, or with another name's, it is 407, which says how to send it."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "agent")) as bench:
        for who in ("", "reports:", "reports:wrong", f"reports:{KEYS['agent']}", f":{KEYS['agent']}"):
            got = await bench.ask(connect(login=who))
            assert (got.status, slug(got)) == (407, "proxy-key-required")
            assert got.value(b"proxy-authenticate") == b'Basic realm="ads-proxy"'
            assert (await bench.events.last()).address == "127.0.0.1"


@pytest.mark.parametrize("target", ["example.com:443", f"{NA}:80", "127.0.0.1:443", "x" * 2000])
async def test_a_refused_tunnel_is_its_clients(target: str, running: Running, contexts: Contexts) -> None:
    """Log and metrics name the client, and the target without its end if it is long."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports")) as bench:
        login = connect(login=f"reports:{KEYS['reports']}").partition(b"Proxy-Authorization")[2]
        got = await bench.ask(b"CONNECT %b HTTP/1.0\r\nProxy-Authorization%b" % (target.encode(), login))
        assert (got.status, got.value(b"connection")) == (403, b"close")
        finished = await bench.events.last()
        assert (finished.client, finished.refusal, finished.path) == ("reports", "not-amazon", target[:512])


async def test_a_bearer_key_opens_a_tunnel(running: Running, contexts: Contexts) -> None:
    """The key alone, without the client's name."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports")) as bench:
        line = b"Proxy-Authorization: Bearer %b\r\n" % KEYS["reports"].encode()
        wire = await bench.client(connect()[:-2], line, b"\r\n")
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_requests_are_those_of_the_tunnels_client(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Equal bytes in two clients' tunnels are each client's own requests, however often they came before."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "agent")) as bench:
        tunnels = {name: await open_tunnel(bench, login=login(name)) for name in ("reports", "agent")}
        for _ in range(5):
            for name, tunnel in tunnels.items():
                assert (await ask(tunnel, get())).body == b"hello"
                await bench.settled(lambda: not bench.accounting.in_flight)
                assert bench.events.finished[-1].client == name
        assert (await bench.ask(get())).status == 401


async def test_no_head_outside_counts_as_one_inside(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Whatever lines come before it, also those that its tunnel is remembered by."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports")) as bench:
        tunnel = await open_tunnel(bench, login=login("reports"))
        for _ in range(5):
            assert (await ask(tunnel, get())).status == 200
        for line in (b"CONNECT %b\r\n" % NA.encode(), b"CONNECT %b:443\r\n" % NA.encode()):
            for end in (b"", b"\r\n"):
                got = await bench.ask(line + KEYS["reports"].encode() + b"\r\n" + end + get())
                assert got.status == 400


@pytest.mark.parametrize(
    ("who", "client"),
    [
        ("", "retired"),
        (login("agent"), "agent"),
        (f"x:{KEYS['agent']}", "retired"),
        ("any:thing", "retired"),
        (login("retired"), "retired"),
    ],
)
async def test_a_key_counts_where_none_is_needed(
    who: str, client: str, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """In a demo, a tunnel without a client's name and key belongs to its visitor."""
    clients = configured("reports", "agent", "retired", keyless="retired")
    async with running(answering(HELLO), contexts=contexts, clients=clients) as bench:
        assert (await ask(await open_tunnel(bench, login=who), get())).status == 200
        await bench.settled(lambda: len(bench.events.finished) == 2)
        assert bench.events.finished[-1].client == client


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (f"X-Ads-Proxy-Key: {KEYS['reports']}", 200),
        (f"Authorization: Bearer {KEYS['reports']}", 200),
        ("Authorization: Bearer Atza|of-amazon", 200),
        (f"X-Ads-Proxy-Key: {KEYS['agent']}", 403),
        (f"Authorization: Bearer {KEYS['agent']}", 403),
        (f"Authorization: {KEYS['agent']}", 403),
        ("X-Ads-Proxy-Key: nobodys", 401),
    ],
)
async def test_keys_inside_count(
    line: str, status: int, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Keys of the same client agree with the tunnel, those of another do not; Amazon's tokens are none of ours."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "agent")) as bench:
        for _ in range(4):
            tunnel = await open_tunnel(bench, login=login("reports"))
            got = await ask(tunnel, get(lines=line.encode() + b"\r\n"))
            assert got.status == status


async def test_a_placeholder_of_another_client_does_not_agree(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """A login in one client's tunnel is good in its tunnels alone."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "agent")) as bench:
        at_login = await open_tunnel(bench, TOKEN, login=login("reports"))
        got = await ask(at_login, token_request(client_id="x", client_secret="y", refresh_token="z"))
        assert got.status == 200
        line = b"Authorization: Bearer %b\r\n" % json.loads(got.body)["access_token"].encode()
        for name, status in (("reports", 200), ("agent", 403)):
            tunnel = await open_tunnel(bench, login=login(name))
            assert (await ask(tunnel, get(lines=line))).status == status


@pytest.mark.parametrize(("client", "status"), [("reports", 200), ("agent", 403)])
async def test_a_login_agrees_with_its_tunnel(
    client: str, status: int, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """Its own name and key are good, those of another client are refused."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "agent")) as bench:
        tunnel = await open_tunnel(bench, TOKEN, login=login("reports"))
        request = token_request(client_id=client, client_secret=KEYS[client], refresh_token="default")
        assert (await ask(tunnel, request)).status == status


async def test_a_login_where_no_key_is_needed_is_that_of_the_tunnels_client(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """What a demo makes of any name is not another client's."""
    clients = configured("reports", "retired", keyless="retired")
    async with running(answering(HELLO), contexts=contexts, clients=clients) as bench:
        at_login = await open_tunnel(bench, TOKEN, login=login("reports"))
        got = await ask(at_login, token_request(client_id="x", client_secret="y", refresh_token="z"))
        assert got.status == 200, got.body
        await bench.settled(lambda: len(bench.events.finished) == 2)
        assert bench.events.finished[-1].client == "reports"


async def test_a_key_that_is_removed_ends_with_the_reload(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """The tunnel stays, its requests are refused."""
    async with running(answering(HELLO), contexts=contexts, clients=configured("reports", "retired")) as bench:
        tunnel = await open_tunnel(bench, login=login("retired"))
        for _ in range(4):
            assert (await ask(tunnel, get())).status == 200
        bench.apply(clients=configured("reports"))
        assert (await ask(tunnel, get())).status == 401
        await bench.settled(lambda: bench.events.finished[-1].status == 401)
        assert bench.events.finished[-1].address == "127.0.0.1"


async def test_what_is_remembered_of_all_tunnels_is_bounded(running: Running) -> None:
    """Ever new header sections in tunnels of many clients take no more memory than in those of one."""
    async with running(answering(HELLO)) as bench:
        services = TunnelServices(lambda: bench.forwarder)
        tracemalloc.start()
        try:
            for client in range(64):
                service = services.find(NA, b"key %d" % client)
                for number in range(64):
                    line = b"X-Y: %b\r\n" % (b"%d " % (64 * client + number)).ljust(3900, b"y")
                    service.read(get(lines=line), str)
            assert tracemalloc.get_traced_memory()[0] < 12 << 20
        finally:
            tracemalloc.stop()


# --- the edge of the tunnel


@pytest.mark.parametrize("behind", [b"\x16\x03\x01\x00\x05hello", get()])
async def test_what_comes_before_the_tunnel_is_open_is_refused(
    behind: bytes, running: Running, contexts: Contexts
) -> None:
    """With the head or behind it, it could be read in two ways."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await bench.ask(connect() + behind)
        assert (got.status, slug(got)) == (400, "malformed-request")
        assert not bench.upstream.wires


async def test_plain_http_inside_is_the_end_of_the_tunnel(running: Running, contexts: Contexts) -> None:
    """Plain HTTP is no handshake of TLS."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        wire = await bench.client(connect())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        wire.send(get())
        assert b"HTTP" not in await wire.end()
        assert not bench.upstream.wires


async def test_a_client_that_does_not_trust_the_authority(running: Running, contexts: Contexts) -> None:
    """The client ends the handshake, and the log says what to give it."""

    def shake_hands_elsewhere() -> None:
        """The event loops drop the alert that tells the server why."""
        with socket.create_connection(("127.0.0.1", bench.port)) as plain:
            plain.sendall(connect())
            assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(plain, server_hostname=NA)

    async with running(answering(HELLO), contexts=contexts) as bench:
        await asyncio.to_thread(shake_hands_elsewhere)
        await bench.settled(lambda: not len(bench.server))
        [told] = [event for event in bench.events.events if isinstance(event, AuthorityDistrusted)]
        assert (told.host, "ca --bundle" in told.detail) == (NA, True)


async def test_a_tunnel_comes_behind_another_request(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """A connection may have served before."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        wire = await bench.client(get(host="127.0.0.1"), connect())
        assert (await wire.answer()).body == b"hello"
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_drained_tunnels_end(running: Running, contexts: Contexts, open_tunnel: OpenTunnel) -> None:
    """Idle ones are closed with the other idle connections."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench)
        assert (await ask(tunnel, get())).status == 200
        bench.server.close_idle()
        await tunnel.end()


TIMERS: list[tuple[str, Callable[[], bytes], float]] = [
    ("a client that sends nothing", lambda: b"", 80.0),
    ("a head that does not come whole", lambda: b"GET / HTTP/1.1\r\n", 11.0),
]


@pytest.mark.parametrize(("sent", "seconds"), [row[1:] for row in TIMERS], ids=[row[0] for row in TIMERS])
async def test_timers_hold_inside(
    sent: Callable[[], bytes], seconds: float, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """The end of the connection is the same as without a tunnel."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench)
        tunnel.send(get())
        assert (await tunnel.answer()).status == 200
        tunnel.send(sent())
        await bench.settled(lambda: bench.connection()._buffer == sent())
        bench.sweep(seconds)
        await tunnel.end()
