"""Hosts are reached through an outbound proxy: what it is asked, and each way in which it refuses."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from proxy.net.dialing import RedialBackoff
from proxy.net.names import Names
from proxy.net.session import make_session, proxy_url
from proxy.secret import Secret
from tests.support.certificates import Authority
from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, answering

pytestmark = pytest.mark.usefixtures("every_loop")


OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Tunnel:
    """An outbound proxy: keeps what it was asked, answers, and joins the two ends if it agreed."""

    def __init__(self, answer: bytes = OPENED) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every relay that still runs: a forgotten one would show in a later test."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.closing(writer):
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        writer.write(self.answer)
        if b" 200" in self.answer[:13] or b" 204" in self.answer[:13]:
            host, _, port = head.split(b" ")[1].rpartition(b":")
            there, back = await asyncio.open_connection(host.decode().strip("[]"), int(port))
            with contextlib.closing(back):
                await asyncio.gather(_pump(reader, back), _pump(there, writer))


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


@pytest.mark.parametrize(
    ("user", "login"),
    [
        ("us%40er:p%3Ass", b"us@er:p:ss"),
        (":token", b":token"),
        ("j%C3%BCrgen:\u20ac", "j\u00fcrgen:\u20ac".encode()),
    ],
    ids=["both", "password alone", "not ASCII"],
)
async def test_an_outbound_proxy_is_given_its_credentials(user: str, login: bytes, running: Running) -> None:
    """Percent-decoded, as Basic, in UTF-8; by the session of tokens and lists, too."""
    async with Tunnel() as tunnel:
        url = f"http://{user}@127.0.0.1:{tunnel.port}"
        async with running(answering(HELLO), outbound_proxy=url) as bench:
            assert (await bench.ask()).body == b"hello"
            assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(login) + b"\r\n" in tunnel.asked[0]
            assert b"Proxy-Authorization" not in bytes(bench.upstream.wires[0].received)
            tunnel.answer = b"HTTP/1.1 407 Enough\r\n\r\n"
            async with make_session(Names()) as session:
                with pytest.raises(aiohttp.ClientHttpProxyError):
                    await session.get("https://lwa.example/", proxy=proxy_url(Secret(url)))
            assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(login) + b"\r\n" in tunnel.asked[1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"answered 407"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 6\r\n\r\n<html>", b"answered 407"),
        (b"SSH-2.0-x\r\n\r\n", b"did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nbytes of somebody", b"did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000, b"endless answer"),
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


@pytest.mark.parametrize("page", [b"", b"<html>"])
async def test_a_busy_outbound_proxy_is_asked_again(
    page: bytes, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its answer has a page for people or not."""
    async with Tunnel(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)) as tunnel:

        async def pause(_seconds: float) -> None:
            tunnel.answer = OPENED

        monkeypatch.setattr("proxy.net.dialing.RedialBackoff", partial(RedialBackoff, pause))
        async with running(answering(HELLO), outbound_proxy=f"http://127.0.0.1:{tunnel.port}") as bench:
            assert (await bench.ask()).body == b"hello"
        assert len(tunnel.asked) == 2


async def test_an_outbound_proxy_without_address_is_named(running: Running) -> None:
    """The proxy's name could not be resolved, not Amazon's."""
    async with running(answering(HELLO), outbound_proxy="http://proxy.invalid:3128") as bench:
        got = await bench.ask()
        assert got.status == 502
        assert b"proxy.invalid" in got.body


async def test_an_outbound_proxy_that_is_away_is_named(running: Running) -> None:
    """The outbound proxy refused the connection, not Amazon."""
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{away.getsockname()[1]}"
        async with running(answering(HELLO), outbound_proxy=f"http://{address}") as bench:
            got = await bench.ask()
    assert got.status == 502
    assert f"the outbound proxy {address} did not accept a connection".encode() in got.body
    assert b"Connection refused" in got.body
