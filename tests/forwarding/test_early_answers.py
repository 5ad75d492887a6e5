"""Answers that come before the request was read: they reach the client, and its next request is answered, too."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.upstream.connection import RequestWriter
from tests.downstream.test_listener import accepting
from tests.support.certificates import Authority
from tests.support.early_answers import answering_peer, lost_of
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running, started
from tests.support.rules import rules_for
from tests.support.wire import GET, HELLO, RawUpstream, Wire

POST = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MANY_ROUNDS = pytest.mark.parametrize("rounds", [15, pytest.param(60, marks=pytest.mark.long)])
PIECE = 3000
PLACES = 20
"""In an upload, a piece apart."""
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno"


async def answering_early(wire: Wire) -> None:
    """An upstream that answers each POST at its head and reads over the body; a GET gets its greeting."""
    while True:
        head = await wire.head()
        wire.send(BUSY if head.startswith(b"POST") else HELLO)
        await wire.body(head)


@MANY_ROUNDS
async def test_the_next_request_behind_an_early_answer_is_served(running: Running, rounds: int) -> None:
    """Where the rest of the body comes a moment after the answer, every time."""
    async with running(answering_early, replay_bytes=400) as bench:
        for _ in range(rounds):
            client = await bench.client(POST, b"Content-Length: 1000\r\n\r\n", bytes(400))
            assert (await client.answer()).status == 429
            client.send(bytes(600), GET)
            assert (await client.answer()).body == b"hello"
            client.close()


@pytest.mark.parametrize("lines", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_an_early_answer_says_that_the_connection_ends_where_much_may_be_left(
    lines: bytes, running: Running
) -> None:
    """A client that is told so sends its next request elsewhere."""
    async with running(answering_early, replay_bytes=2) as bench:
        client = await bench.client(POST, lines, b"\r\n\r\n2\r\nab\r\n")
        got = await client.answer()
        assert (got.status, got.value(b"connection")) == (429, b"close")
        assert await client.end() == b""
        assert not client.reset


async def test_a_connection_whose_request_was_not_whole_at_the_answer_is_not_used_again(running: Running) -> None:
    """Though both were whole in the end: nobody knows what of the body the peer has read."""
    async with running(answering_early, replay_bytes=1) as bench:
        client = await bench.client(POST, b"Content-Length: 2\r\n\r\na")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 429 ")
        client.send(b"b")
        assert await client.take(2) == b"no"
        client.send(GET)
        assert (await client.answer()).body == b"hello"
        assert len(bench.upstream.wires) == 2


@pytest.mark.parametrize("status", [b"413 Content Too Large", b"408 Request Timeout"])
async def test_a_connection_whose_request_was_given_up_is_not_used_again(status: bytes, running: Running) -> None:
    """Such a peer ends it, whether it says so or not."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
        await wire.end()

    async with running(script) as bench:
        assert (await bench.ask(POST + b"Content-Length: 1\r\n\r\na")).body == b"no"
        assert (await bench.ask(POST + b"Content-Length: 1\r\n\r\na")).body == b"no"
        assert len(bench.upstream.wires) == 2


async def test_a_408_on_a_connection_that_was_idle_is_no_answer(running: Running) -> None:
    """It crossed the request; the request is read on a fresh connection."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)
        await wire.request()
        wire.send(
            HELLO
            if len(bench.upstream.wires) > 1
            else b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        await wire.end()

    async with running(script) as bench:
        assert (await bench.ask()).status == 200
        assert (await bench.ask()).body == b"hello"
        assert bench.events.replays == [("connection", "recovered")]


async def test_a_408_to_the_first_request_of_a_connection_is_amazons_answer(running: Running) -> None:
    """Nothing was idle there."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nno")
        await wire.end()

    async with running(script) as bench:
        assert (await bench.ask()).status == 408


class AnsweringAndResetting:
    """An upstream of threads and blocking sockets, which answers a request's head and is gone: what was not read makes
    the system send a reset behind the answer, while the proxy still writes.
    """

    linger = 1

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            with self.secured(accepted) as connection:
                seen = b""
                while not self.is_enough(*seen.partition(b"\r\n\r\n")[1:]):
                    seen += connection.recv(65536)
                self.about_to_answer()
                connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, self.linger))
            self.gone()

    def secured(self, accepted: socket.socket) -> socket.socket:
        return accepted

    def is_enough(self, end_of_head: bytes, body: bytes) -> bool:
        """Whether it answers when it has read this."""
        return bool(end_of_head)

    def about_to_answer(self) -> None:
        """It answers at once."""

    def gone(self) -> None:
        """Nobody is told."""

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


class AnsweringWhenTold(AnsweringAndResetting):
    """One that speaks TLS, reads `wanted` bytes of the body first, all that the proxy has of it, and waits to be told.

    Without TCP_NODELAY its system would keep an answer back until a TLS session ticket before it is acknowledged, and
    the reset would drop what never left.
    """

    linger = 0

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.wanted = 0
        self.has_them, self._told, self._gone = threading.Event(), threading.Event(), threading.Event()
        super().__init__()

    def secured(self, accepted: socket.socket) -> socket.socket:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(accepted, server_side=True)

    def is_enough(self, end_of_head: bytes, body: bytes) -> bool:
        return bool(end_of_head) and len(body) >= self.wanted

    def about_to_answer(self) -> None:
        self.has_them.set()
        self._told.wait(PATIENCE)
        self._told.clear()

    def gone(self) -> None:
        self._gone.set()

    def answer_and_reset(self) -> None:
        """Nothing else happens in the caller's thread meanwhile."""
        self.has_them.clear()
        self._gone.clear()
        self._told.set()
        assert self._gone.wait(PATIENCE)


@pytest.mark.usefixtures("every_loop")
async def test_an_answer_is_read_though_a_write_has_failed() -> None:
    """Where asyncio's transport met the failure before we could look: what had come is still in the socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        wire = Wire()
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
        writer = RequestWriter(wire.transport, asyncio.get_running_loop())
        assert writer.unread() == b""
        theirs.sendall(b"answer")
        expected = b"answer" if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop) else b""
        assert writer.unread() == expected
        wire.abort()


@pytest.mark.usefixtures("every_loop")
async def test_what_was_put_off_leaves_with_the_requests_end() -> None:
    """Else an answer that ends meanwhile would cut off a request whose last byte is here."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        wire = Wire()
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
        writer = RequestWriter(wire.transport, asyncio.get_running_loop())
        theirs.sendall(b"answer")
        writer.more([b"two"], reading=True)
        writer.more([b"end"], reading=True)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        writer.end()
        assert theirs.recv(100) == b"twoend"
        assert writer.complete
        wire.abort()


@asynccontextmanager
async def in_front_of(
    upstream: AnsweringAndResetting, url: str, ca_file: str | None = None
) -> AsyncIterator[ProxyBench]:
    """The proxy; the bench's own upstream is not asked."""
    rules = rules_for(url, replay_bytes=10, ca_file=ca_file)
    try:
        async with started(ProxyBench(RawUpstream(answering_early), rules)) as bench:
            yield bench
    finally:
        upstream.stop()


@MANY_ROUNDS
@pytest.mark.usefixtures("every_loop")
async def test_an_answer_that_a_reset_follows_reaches_the_tool(rounds: int) -> None:
    """Every time, however large the upload is that still runs, and whenever the reset comes."""
    upstream = AnsweringAndResetting()
    async with in_front_of(upstream, f"http://127.0.0.1:{upstream.port}") as bench:
        for number in range(rounds):
            assert await uploaded(bench, (9_000, 300_000, 3_000_000)[number % 3]) == 413


@pytest.mark.usefixtures("every_loop")
async def test_an_answer_that_a_reset_follows_reaches_the_tool_through_tls(tmp_path: Path) -> None:
    """At each place of an upload, where both come between two writes."""
    authority = Authority(tmp_path)
    upstream = AnsweringWhenTold(authority.context("localhost"))
    async with in_front_of(upstream, f"https://localhost:{upstream.port}", str(authority.ca_file)) as bench:
        for place in range(1, PLACES + 1):
            upstream.wanted = PIECE * place
            client = await bench.client(POST, b"Content-Length: 3000000\r\n\r\n", bytes(upstream.wanted))
            await bench.settled(upstream.has_them.is_set)
            client.send(bytes(PIECE))
            upstream.answer_and_reset()
            assert (await client.answer()).status == 413
            client.abort()


@pytest.mark.long
@pytest.mark.usefixtures("every_loop")
async def test_hardly_an_answer_is_lost_where_a_reset_may_come_at_any_moment(tmp_path: Path) -> None:
    """Within a write, too, as the peer is a process of its own; docs/explanation/reliability.md has the numbers, to
    which a busy machine adds some."""
    authority = Authority(tmp_path)
    authority.context("localhost")
    with answering_peer(tmp_path / "localhost.pem") as port:
        assert await lost_of(90, f"https://localhost:{port}", authority.ca_file) <= 5


@pytest.mark.parametrize("lines", [b"", b"Connection: close\r\n"])
async def test_a_tool_that_sends_through_tls_reads_an_early_answer(
    lines: bytes, tmp_path: Path, running: Running
) -> None:
    """One that sends its whole body before it reads; the proxy closes only once no more of it comes."""

    async def script(wire: Wire) -> None:
        while True:  # the connection is used again where all of the body had left before the answer was read
            head = await wire.head()
            wire.send(b"HTTP/1.1 400 Bad Request\r\n" + lines + b"Content-Length: 2\r\n\r\nno")
            await wire.body(head)

    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    async with running(script, replay_bytes=10) as bench, accepting(bench, authority.context("localhost")):
        for _ in range(20):
            got = await asyncio.to_thread(uploaded_through_tls, bench.port, trusting, 3_000_000)
            assert got == b"HTTP/1.1 400 Bad Request\r\nno"


async def test_a_tool_that_is_refused_through_tls_reads_why(tmp_path: Path, running: Running) -> None:
    """Also where the proxy itself refuses it at its head, and reads no body."""
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    async with running(answering_early, max_body_bytes=1000) as bench, accepting(bench, authority.context("localhost")):
        for _ in range(20):
            got = await asyncio.to_thread(uploaded_through_tls, bench.port, trusting, 3_000_000)
            assert got.startswith(b"HTTP/1.1 413 ") and b"content-too-large" in got


async def test_a_tool_that_sends_nothing_more_through_tls_is_told_the_end(tmp_path: Path, running: Running) -> None:
    """It may wait for it, as one that speaks HTTP/1.0 does; it comes when the time for reading over is out."""
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    async with running(answering_early, max_body_bytes=1000) as bench, accepting(bench, authority.context("localhost")):
        wire = Wire()
        await asyncio.get_running_loop().create_connection(
            lambda: wire, "127.0.0.1", bench.port, ssl=trusting, server_hostname="localhost"
        )
        wire.send(POST, b"Content-Length: 3000\r\n\r\n", bytes(10))
        assert (await wire.answer()).status == 413
        bench.sweep(3)
        assert await wire.end() == b""
        assert not wire.reset


def uploaded_through_tls(port: int, context: ssl.SSLContext, size: int) -> bytes:
    """What a client reads that sends all of its body first, and waits for the end only where it has to."""
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost") as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return b"HTTP/1.1 %d %s\r\n" % (answer.status, answer.reason.encode()) + answer.read()


async def uploaded(bench: ProxyBench, size: int) -> int:
    """The status of the answer to an upload that goes on until the answer is there."""
    client = await bench.client(POST, b"Content-Length: %d\r\n\r\n" % size)
    for _ in range(size // PIECE):
        client.send(bytes(PIECE))
        await asyncio.sleep(0)
    answer = await client.answer()
    assert not client.reset
    client.abort()
    return answer.status
