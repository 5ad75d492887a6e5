"""Hosts are reached over TLS and by name; each way to fail has its own words."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import UpstreamCertificateRejected, UpstreamNameUnresolved, UpstreamUnreachable
from proxy.net.dialing import (
    MAX_TRIES,
    Dialer,
    Origin,
    RedialBackoff,
    TunnelRefused,
    client_context,
    origin_of,
    pause_before_redial,
)
from proxy.net.names import AskAboutOthers, LookupProblem, NameLookupFailed, Names
from tests.support.certificates import Authority
from tests.support.front import deaf_listener
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering

pytestmark = pytest.mark.usefixtures("every_loop")


@pytest.mark.parametrize(
    ("url", "origin", "line"),
    [
        (
            "https://advertising-api.amazon.com",
            ("https", "advertising-api.amazon.com", 443),
            b"advertising-api.amazon.com",
        ),
        ("http://127.0.0.1:9001", ("http", "127.0.0.1", 9001), b"127.0.0.1:9001"),
        ("http://h:80/x", ("http", "h", 80), b"h"),
        ("https://[::1]:8443", ("https", "::1", 8443), b"[::1]:8443"),
    ],
)
def test_an_address_becomes_an_origin_and_a_host_line(url: str, origin: tuple[str, str, int], line: bytes) -> None:
    """The port is named where it is not the scheme's own."""
    assert origin_of(url) == Origin(*origin)
    assert origin_of(url).host_line == b"Host: " + line + b"\r\n"


async def test_tls_works_with_a_private_authority(tmp_path: Path, running: Running) -> None:
    """The second connection resumes the first one's session."""
    authority = Authority(tmp_path)
    reused: list[bool] = []

    async def script(wire: Wire) -> None:
        reused.append(wire.transport.get_extra_info("ssl_object").session_reused)
        await wire.request()
        wire.send(HELLO)

    async with running(script, tls=authority.context("localhost"), ca_file=str(authority.ca_file)) as bench:
        for _ in range(2):
            assert (await bench.ask()).body == b"hello"
            await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
        assert reused == [False, True]


async def test_a_tls_connection_is_used_again(tmp_path: Path, running: Running) -> None:
    """The connection is kept as a plain one is; a large body passes both ways."""
    authority = Authority(tmp_path)
    body = bytes(range(256)) * 8000

    async def script(wire: Wire) -> None:
        while True:
            _, got = await wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got), got)

    async with running(script, tls=authority.context("localhost"), ca_file=str(authority.ca_file)) as bench:
        post = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(2):
            assert (await bench.ask(post + body)).body == body
        assert len(bench.upstream.wires) == 1


@pytest.mark.parametrize("ended", [True, False])
async def test_a_close_delimited_answer_needs_the_end_of_tls(tmp_path: Path, ended: bool, running: Running) -> None:
    """An answer that the end of the connection ends is whole only if TLS itself was ended (RFC 9112, 9.8)."""
    authority = Authority(tmp_path)

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nabcd")
        if not ended:
            await bench.clients[0].until(lambda: b"abcd" in bench.clients[0].received)
            wire.drop()

    async with running(script, tls=authority.context("localhost"), ca_file=str(authority.ca_file)) as bench:
        client = await bench.client(GET)
        await client.until(lambda: client.ended or client.received.endswith(b"0\r\n\r\n"))
        assert client.received.endswith(b"0\r\n\r\n") is ended


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_certificate_that_does_not_fit_is_a_502(tmp_path: Path, trusted: bool, running: Running) -> None:
    """A certificate without a trusted signature or for another name is never accepted, and the error says what to
    do."""
    authority = Authority(tmp_path)
    context = authority.context("elsewhere" if trusted else "localhost")
    changed = {"ca_file": str(authority.ca_file)} if trusted else {}
    async with running(answering(HELLO), tls=context, **changed) as bench:
        got = await bench.ask()
        assert got.status == 502
        assert b"upstream-certificate-rejected" in got.body
        assert b"upstream.ca_file" in got.body
        assert got.value(b"proxy-status") == b"ads-proxy; error=tls_certificate_error"


async def test_a_host_that_speaks_no_tls_is_a_502(running: Running) -> None:
    """The peer speaks plain HTTP; the error explains it without OpenSSL terms."""

    async def script(wire: Wire) -> None:
        await wire.until(lambda: bool(wire.received))
        wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with running(script) as bench:
        url = f"https://127.0.0.1:{bench.upstream.port}"
        bench.apply(api_urls={"na": url, "eu": url, "fe": url})
        got = await bench.ask()
        assert got.status == 502
        assert b"upstream-unreachable" in got.body
        assert b"does not speak TLS on this port; write http:// in its address" in got.body
        assert b"SSL" not in got.body


async def test_a_host_that_refuses_is_a_502(running: Running) -> None:
    """The port has no listener."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with running(answering(HELLO), api_urls={"na": url, "eu": url, "fe": url}) as bench:
            got = await bench.ask()
            assert got.status == 502
            assert b"upstream-unreachable" in got.body
            assert b"refused" in got.body.lower() or b"connect" in got.body.lower()


async def test_a_name_without_address_is_a_502(running: Running) -> None:
    """The name is named."""
    url = "http://no-such-host.invalid"
    async with running(answering(HELLO), api_urls={"na": url, "eu": url, "fe": url}) as bench:
        got = await bench.ask()
        assert got.status == 502
        assert b"upstream-name-unresolved" in got.body
        assert b"no-such-host.invalid" in got.body


async def test_no_connection_leads_back_to_the_proxy() -> None:
    """Behind it, the proxy would ask itself; trying again would change nothing."""
    names = Names(ask=AskAboutOthers({"localhost"}))
    dialer = Dialer(names, connect_timeout=PATIENCE)
    with pytest.raises(UpstreamNameUnresolved, match="The name localhost leads back to the proxy, by a hosts file"):
        await dialer.dial(Origin("http", "localhost", 1), asyncio.Protocol)
    names.stop()


async def test_a_host_that_does_not_accept_is_a_504(running: Running) -> None:
    """The host's queue is full: after connect_timeout the client gets the error."""
    with deaf_listener() as (_, port):
        url = f"http://127.0.0.1:{port}"
        urls = {"na": url, "eu": url, "fe": url}
        async with running(answering(HELLO), api_urls=urls, connect_timeout=0.05) as bench:
            got = await bench.ask()
            assert got.status == 504
            assert b"upstream-connect-timeout" in got.body


async def test_a_host_that_never_shakes_hands_is_a_504(running: Running) -> None:
    """The host accepts, and is silent: the handshake counts for connect_timeout, and nothing is left of it."""

    async def script(wire: Wire) -> None:
        await wire.end()

    async with running(script) as bench:
        url = f"https://127.0.0.1:{bench.upstream.port}"
        bench.apply(api_urls={"na": url, "eu": url, "fe": url}, connect_timeout=0.05)
        got = await bench.ask()
        assert got.status == 504
        assert b"upstream-connect-timeout" in got.body
        await bench.upstream.wires[0].end()


# --- names and addresses next to each other


async def test_a_name_whose_lookup_hangs_is_nobody_elses_outage(
    monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    """Requests to one region wait for its name; other names and literal addresses are dialled meanwhile."""
    released, system = threading.Event(), socket.getaddrinfo
    monkeypatch.setattr("proxy.net.names.PATIENCE", 3600.0)

    def getaddrinfo(host: str, *args: Any, **changed: Any) -> Any:
        if host == "hanging.example":
            released.wait()
            host = "127.0.0.1"
        return system(host, *args, **changed)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        async with running(answering(HELLO)) as bench:
            port = bench.upstream.port
            hosts = {"na": "hanging.example", "eu": "127.0.0.1", "fe": "localhost"}
            bench.apply(api_urls={region: f"http://{host}:{port}" for region, host in hosts.items()})
            hanging = [await bench.client(GET) for _ in range(8)]
            pool = bench.pools.find("api", "na")
            await bench.settled(lambda: pool.free == pool.limit - 8)
            for region in (b"eu", b"fe"):
                assert (await bench.ask(GET.replace(b" /", b" /" + region + b"/"))).body == b"hello"
            assert not any(client.received for client in hanging)
            released.set()
            for client in hanging:
                assert (await client.answer()).body == b"hello"
    finally:
        released.set()


# --- what could not be made is tried again


class Patience:
    """Pauses between dials that take no time: `during` is what happens in them, one after another."""

    def __init__(self, *during: Callable[[], Awaitable[object]]) -> None:
        self.during = list(during)
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.during:
            await self.during.pop(0)()

    def dialer(self, **changed: Any) -> Dialer:
        return Dialer(Names(), connect_timeout=10, backoff=RedialBackoff(self.sleep, lambda: 0.5), **changed)


async def test_a_listener_that_was_away_is_met_again() -> None:
    """The listener is back before the last try."""
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        port = away.getsockname()[1]

        async def nothing() -> None:
            """Do nothing: the listener stays away."""

        async def listen() -> None:
            away.listen()

        patience = Patience(nothing, nothing, listen)
        protocol = await patience.dialer().dial(Origin("http", "127.0.0.1", port), Wire)
        assert patience.pauses == pytest.approx([0.1, 0.2, 0.4])
        protocol.close()


class Absence:
    """Pauses between dials on a clock of each dial's own: those that end after so many seconds wait for `over`."""

    def __init__(self, seconds: float, dials: int) -> None:
        self._seconds, self._dials = seconds, dials
        self._elapsed: defaultdict[asyncio.Task[Any] | None, float] = defaultdict(float)
        self._outlasting = 0
        self.outlasted, self.over = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        dial = asyncio.current_task()
        self._elapsed[dial] += seconds
        if self._elapsed[dial] > self._seconds:
            self._outlasting += 1
            if self._outlasting == self._dials:
                self.outlasted.set()
            await self.over.wait()


async def test_no_request_is_lost_while_a_listener_is_away_for_300_ms(
    monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    """Whatever its method and its body: none of them had left. The real pauses, on a clock of their own, and the real
    chance."""
    absence = Absence(0.3, dials=40)
    monkeypatch.setattr("proxy.net.dialing.RedialBackoff", partial(RedialBackoff, absence.sleep))
    async with running(answering(HELLO)) as bench:
        bench.upstream.go_away()
        heads = {
            method: method + b" /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody"
            for method in (b"POST", b"PUT", b"PATCH", b"DELETE")
        }
        clients = [await bench.client(request) for request in (GET, *heads.values()) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            await absence.outlasted.wait()
        await bench.upstream.start()
        absence.over.set()
        assert [(await client.answer()).status for client in clients] == [200] * 40
        assert len(bench.upstream.wires) == 40


async def test_a_listener_that_stays_away_is_given_up() -> None:
    """After four tries, with the system's words."""
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        patience = Patience()
        with pytest.raises(UpstreamUnreachable, match="refused"):
            await patience.dialer().dial(Origin("http", "127.0.0.1", away.getsockname()[1]), Wire)
        assert len(patience.pauses) == 3


async def test_a_host_that_refused_is_said_to_refuse_when_the_time_is_over() -> None:
    """The end of `connect_timeout` within a pause does not make a host that refuses one that is silent."""
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))

        async def without_end(_: float) -> None:
            await asyncio.Event().wait()

        dialer = Dialer(Names(), connect_timeout=0.2, backoff=RedialBackoff(without_end, lambda: 0.0))
        with pytest.raises(UpstreamUnreachable):
            await dialer.dial(Origin("http", "127.0.0.1", away.getsockname()[1]), Wire)


async def test_a_reset_in_the_handshake_is_dialled_again(tmp_path: Path) -> None:
    """Whether the end is abrupt or orderly; the third time there is TLS."""
    authority = Authority(tmp_path)
    context, met = authority.context("localhost"), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        if met == 1:
            writer.transport.abort()
        elif met == 2:
            await reader.read(1)
            writer.close()
        else:
            await writer.start_tls(context)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    patience = Patience()
    origin = Origin("https", "localhost", server.sockets[0].getsockname()[1])
    protocol = await patience.dialer(context=client_context(str(authority.ca_file))).dial(origin, Wire)
    assert (met, len(patience.pauses)) == (3, 2)
    protocol.close()
    server.close()


@pytest.mark.parametrize("untrusted", [False, True])
async def test_what_stays_wrong_is_not_dialled_again(tmp_path: Path, untrusted: bool) -> None:
    """A certificate that is not accepted, and plain text in the place of TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    context = Authority(tmp_path).context("localhost")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if untrusted else None)
    origin = Origin("https", "localhost", server.sockets[0].getsockname()[1])
    patience = Patience()
    with pytest.raises(UpstreamCertificateRejected if untrusted else UpstreamUnreachable):
        await patience.dialer().dial(origin, Wire)
    assert not patience.pauses
    server.close()


async def test_time_left_is_never_outlasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less than a pause left, the failure is told at once."""
    monkeypatch.setattr("proxy.net.dialing.FIRST_PAUSE", 3600.0)
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        patience = Patience()
        with pytest.raises(UpstreamUnreachable, match="refused"):
            await patience.dialer().dial(Origin("http", "127.0.0.1", away.getsockname()[1]), Wire)
        assert not patience.pauses


def test_a_context_verifies_and_speaks_http_1_1_alone(tmp_path: Path) -> None:
    """TLS 1.2 and up; a private authority stands instead of the system's."""
    authority = Authority(tmp_path)
    context = client_context(str(authority.ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")


@pytest.mark.parametrize(
    ("tries", "chance", "pause"),
    [(1, 0.0, 0.05), (1, 0.5, 0.1), (2, 0.0, 0.1), (2, 0.5, 0.2), (3, 0.0, 0.2), (3, 0.5, 0.4), (4, 0.0, None)],
)
def test_pauses_double_and_are_spread_by_chance(tries: int, chance: float, pause: float | None) -> None:
    """After the last try there is none."""
    assert pause_before_redial(REFUSED, tries=tries, left=10, chance=chance) == pytest.approx(pause)


def test_the_last_try_comes_after_300_ms_whatever_chance_says() -> None:
    """A listener that is away for that long is met again."""
    pauses = [pause_before_redial(REFUSED, tries=tries, left=10, chance=0.0) for tries in range(1, MAX_TRIES)]
    assert sum(pause or 0.0 for pause in pauses) > 0.3


@pytest.mark.parametrize(("left", "again"), [(0.1, False), (0.11, True)])
def test_no_pause_outlasts_the_time_left(left: float, again: bool) -> None:
    """What went wrong is said then, not that time was up."""
    assert (pause_before_redial(REFUSED, tries=1, left=left, chance=0.5) is not None) is again


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (REFUSED, True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (ConnectionResetError(), True),
        (ConnectionAbortedError("in the handshake"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (OSError(errno.EHOSTUNREACH, "no route"), True),
        (OSError(errno.ENETUNREACH, "no network"), True),
        (OSError(errno.EMFILE, "too many open files"), True),
        (OSError("several: refused, no route"), True),
        (PermissionError(errno.EACCES, "a firewall of this machine"), False),
        (OSError(errno.EAFNOSUPPORT, "no IPv6 here"), False),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True),
        (ssl.SSLZeroReturnError(6, "closed"), True),
        (ssl.SSLError(1, "wrong version number"), False),
        (ssl.SSLCertVerificationError(1, "self-signed"), False),
        (NameLookupFailed("a.example", LookupProblem.UNAVAILABLE), True),
        (NameLookupFailed("a.example", LookupProblem.UNKNOWN), False),
        (NameLookupFailed("a.example", LookupProblem.SILENT), False),
        (TunnelRefused("answered 503", 503), True),
        (TunnelRefused("answered 407", 407), False),
        (TunnelRefused("did not answer in HTTP"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: OSError, again: bool) -> None:
    """A certificate, a name that does not exist and a refusal do not change within a second."""
    assert (pause_before_redial(error, tries=1, left=10, chance=0.5) is not None) is again
