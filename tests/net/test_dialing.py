"""Hosts are reached over TLS, by name, through an outbound proxy; each way to fail has its own words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import UpstreamNameUnresolved
from proxy.net.dialing import Dialer, Origin, client_context, origin_of
from tests.support.certificates import Authority
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering


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
    """And the second connection resumes the first one's session."""
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
    """As a plain one is; a large body passes both ways."""
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
            await bench.tools[0].until(lambda: b"abcd" in bench.tools[0].received)
            wire.drop()

    async with running(script, tls=authority.context("localhost"), ca_file=str(authority.ca_file)) as bench:
        tool = await bench.tool(GET)
        await tool.until(lambda: tool.ended or tool.received.endswith(b"0\r\n\r\n"))
        assert tool.received.endswith(b"0\r\n\r\n") is ended


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_certificate_that_does_not_fit_is_a_502(tmp_path: Path, trusted: bool, running: Running) -> None:
    """Signed by nobody who is trusted, or for another name: it is never passed over, and the words say what to do."""
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
    """Plain HTTP where TLS was to be."""

    async def script(wire: Wire) -> None:
        await wire.until(lambda: bool(wire.received))
        wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with running(script) as bench:
        url = f"https://127.0.0.1:{bench.upstream.port}"
        bench.apply(api_urls={"na": url, "eu": url, "fe": url})
        got = await bench.ask()
        assert got.status == 502
        assert b"upstream-unreachable" in got.body


async def test_a_host_that_refuses_is_a_502(running: Running) -> None:
    """Nobody listens there."""
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


async def test_a_host_that_does_not_accept_is_a_504(running: Running) -> None:
    """Its queue is full: after connect_timeout the tool is told."""
    with socket.socket() as deaf, contextlib.ExitStack() as fillers:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        urls = {"na": url, "eu": url, "fe": url}
        async with running(answering(HELLO), api_urls=urls, connect_timeout=0.05) as bench:
            got = await bench.ask()
            assert got.status == 504
            assert b"upstream-connect-timeout" in got.body


@pytest.mark.usefixtures("every_loop")
async def test_a_name_is_looked_up_again_later_and_kept_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 30 s it is not asked for; after that the last answer serves if there is none."""
    loop = asyncio.get_running_loop()
    dialer = Dialer(connect_timeout=1)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]
    answers: list[Any] = [found, socket.gaierror("nobody"), socket.gaierror("nobody")]
    asked: list[str] = []

    async def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Loop(loop, getaddrinfo))
    assert await dialer._addresses("a.example", 1) == found
    assert await dialer._addresses("a.example", 1) == found
    assert len(asked) == 1
    dialer._fresh.clear()
    assert await dialer._addresses("a.example", 1) == found
    assert len(asked) == 2
    with pytest.raises(UpstreamNameUnresolved):
        await dialer._addresses("b.example", 1)


class _Loop:
    """A loop whose name resolution is another's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, getaddrinfo: Any) -> None:
        self._loop = loop
        self.getaddrinfo = getaddrinfo

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


# --- the outbound proxy


class Tunnel:
    """An outbound proxy: keeps what it was asked, answers, and joins the two ends if it agreed."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        writer.write(self.answer)
        if b" 200" in self.answer[:13] or b" 204" in self.answer[:13]:
            host, _, port = head.split(b" ")[1].rpartition(b":")
            there, back = await asyncio.open_connection(host.decode().strip("[]"), int(port))
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 204 X\r\n\r\n"]
)
async def test_an_outbound_proxy_is_asked_for_a_tunnel(tmp_path: Path, answer: bytes, running: Running) -> None:
    """TLS goes through it to the host itself; any 2xx opens it (RFC 9110, 9.3.6)."""
    authority = Authority(tmp_path)
    async with Tunnel(answer) as tunnel:
        changed = {"ca_file": str(authority.ca_file), "outbound_proxy": f"http://127.0.0.1:{tunnel.port}"}
        async with running(answering(HELLO), tls=authority.context("localhost"), **changed) as bench:
            assert (await bench.ask()).body == b"hello"
            name = b"localhost:%d" % bench.upstream.port
            assert tunnel.asked == [b"CONNECT " + name + b" HTTP/1.1\r\nHost: " + name + b"\r\n\r\n"]


async def test_an_outbound_proxy_is_given_its_credentials(running: Running) -> None:
    """Percent-decoded, as Basic."""
    async with Tunnel() as tunnel:
        url = f"http://us%40er:p%3Ass@127.0.0.1:{tunnel.port}"
        async with running(answering(HELLO), outbound_proxy=url) as bench:
            assert (await bench.ask()).body == b"hello"
            login = base64.b64encode(b"us@er:p:ss")
            assert b"\r\nProxy-Authorization: Basic " + login + b"\r\n" in tunnel.asked[0]
            assert b"Proxy-Authorization" not in bytes(bench.upstream.wires[0].received)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"answered 407"),
        (b"SSH-2.0-x\r\n\r\n", b"did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nbytes of somebody", b"did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000, b"without end"),
        (b"", b"closed the connection"),
    ],
)
async def test_an_outbound_proxy_that_refuses_is_a_502(answer: bytes, says: bytes, running: Running) -> None:
    """With what it said, and where to look."""
    async with (
        Tunnel(answer) as tunnel,
        running(answering(HELLO), outbound_proxy=f"http://127.0.0.1:{tunnel.port}") as bench,
    ):
        got = await bench.ask()
        assert got.status == 502
        assert says in got.body


async def test_an_outbound_proxy_without_address_is_named(running: Running) -> None:
    """Its name is what could not be resolved, not Amazon's."""
    async with running(answering(HELLO), outbound_proxy="http://proxy.invalid:3128") as bench:
        got = await bench.ask()
        assert got.status == 502
        assert b"proxy.invalid" in got.body


def test_a_context_verifies_and_speaks_http_1_1_alone(tmp_path: Path) -> None:
    """TLS 1.2 and up; a private authority stands instead of the system's."""
    authority = Authority(tmp_path)
    context = client_context(str(authority.ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
