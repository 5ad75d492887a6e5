"""Large bodies stream both ways at the pace of the slower side, and never pile up in between."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import tracemalloc

import pytest

from proxy.downstream.connection import ClientConnection, ReadingState
from proxy.downstream.ports import ConnectionLimits
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phases import Phase
from proxy.net.deadlines import NEVER
from proxy.net.sockets import queued
from proxy.upstream.connection import UpstreamConnection
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

SIZE = 20_000_000
PIECE = bytes(range(256)) * 250
POST = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MOST_HELD = 3_000_000


class Scale:
    """Measures what the process allocates beyond where it began, in Python's own memory."""

    def __init__(self) -> None:
        tracemalloc.start(1)
        tracemalloc.reset_peak()
        self._before = tracemalloc.get_traced_memory()[0]

    def weigh(self) -> int:
        grown = tracemalloc.get_traced_memory()[1] - self._before
        tracemalloc.stop()
        return grown


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the body while it comes."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
    left = SIZE
    while left:
        data = await reader.read(65536)
        left -= len(data)
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_20_mb_up_and_down_at_once_in_little_memory(running: Running) -> None:
    """An echo through a client that reads only after it has sent: what waits is bounded by the transports' buffers."""

    async def script(wire: Wire) -> None:
        wire.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(script, api_urls={"na": url, "eu": url, "fe": url}) as bench:
        scale = Scale()
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, limit=65536)
        sent, got = hashlib.sha256(), hashlib.sha256()

        async def upload() -> None:
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % SIZE)
            left = SIZE
            while left:
                piece = PIECE[:left]
                left -= len(piece)
                sent.update(piece)
                writer.write(piece)
                await writer.drain()

        uploading = asyncio.create_task(upload())
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        left = SIZE
        while left:
            data = await reader.read(8192)
            left -= len(data)
            got.update(data)
        await uploading
        assert scale.weigh() < MOST_HELD
        assert got.digest() == sent.digest()
        writer.close()
    server.close()


async def test_an_upload_waits_for_an_upstream_that_does_not_read(running: Running) -> None:
    """The client is no longer read once the transport to Amazon is full; it goes on when there is room."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        wire.transport.pause_reading()
        await go.wait()
        wire.transport.resume_reading()
        await wire.request()
        wire.send(HELLO)

    async with running(script, replay_bytes=0) as bench:
        client = await bench.client(POST, b"Content-Length: %d\r\n\r\n" % SIZE)
        await bench.settled(lambda: bool(bench.upstream.wires))
        client.send(bytes(SIZE))
        connection = bench.connection()
        await bench.settled(lambda: isinstance(connection._handler, Exchange) and bool(connection._handler._attempt))
        await bench.settled(lambda: connection._reads.paused)
        bench.sweep(40)
        assert isinstance(connection._handler, Exchange) and connection._handler._attempt is not None
        assert isinstance(connection._handler._attempt._connection, UpstreamConnection)
        assert connection._handler._attempt._connection.transport.get_write_buffer_size() < MOST_HELD
        go.set()
        assert (await client.answer()).body == b"hello"
        assert (await bench.events.last()).bytes_in == SIZE


@pytest.mark.parametrize("renews", [True, False])
async def test_an_upload_waits_while_its_early_answer_is_held_back(
    renews: bool, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Amazon has room for more of it meanwhile or not: what is read then is kept here."""
    monkeypatch.setattr("proxy.forwarding.unauthorized.PATIENCE", 0.0)
    words, rest = (b"" if renews else b"Scope header is missing"), asyncio.Event()
    held_back = b"HTTP/1.1 401 X\r\nContent-Length: 50\r\n\r\n%b" % words

    async def script(wire: Wire) -> None:
        await wire.head()
        if len(bench.upstream.wires) == 1:
            await rest.wait()
            wire.send(held_back)
            await wire.end()
            return
        await wire.take(2000)
        wire.send(HELLO)

    async with running(script, replay_bytes=1000) as bench:
        bench.tokens.gate.clear()
        client = await bench.client(POST, b"Content-Length: 2000\r\n\r\n", bytes(1000))
        await bench.settled(lambda: bool(bench.upstream.wires))
        connection = bench.connection()
        exchange = connection._handler
        assert isinstance(exchange, Exchange)
        await bench.settled(lambda: exchange.phase is Phase.SENT)
        assert exchange._attempt is not None
        to_amazon = exchange._attempt._connection
        assert isinstance(to_amazon, UpstreamConnection)
        to_amazon.pause_writing()
        rest.set()
        if renews:
            await bench.settled(lambda: bench.tokens.renewals == 1)
            to_amazon.resume_writing()
            assert connection._reads.paused
            bench.tokens.gate.set()
            client.send(bytes(1000))
            assert (await client.answer()).body == b"hello"
        else:
            await bench.settled(lambda: exchange.phase is Phase.RELAYING)
            assert connection._reads.paused
            to_amazon.resume_writing()
            await bench.settled(lambda: not connection._reads.paused)
            client.abort()


async def test_a_download_waits_for_a_tool_that_does_not_read(running: Running) -> None:
    """Amazon is no longer read once the transport to the client is full; nothing is lost."""
    body = PIECE * (SIZE // len(PIECE))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with running(answering(head + body), min_body_rate=0) as bench:
        client = await bench.client()
        client.transport.pause_reading()
        client.send(GET)
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: not connection.writable)
        assert connection._transport.get_write_buffer_size() < MOST_HELD
        bench.sweep(30)
        client.transport.resume_reading()
        assert (await client.answer()).body == body
        assert (await bench.events.last()).bytes_out == len(body)


async def test_a_tool_that_stops_reading_is_cut_off(running: Running) -> None:
    """After send_timeout without a byte taken: Amazon's connection is not held for ever."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(head, bytes(SIZE))
        await wire.end()

    async with running(script, send_timeout=60.0, min_body_rate=0) as bench:
        client = await bench.client()
        client.transport.pause_reading()
        client.send(GET)
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: not connection.writable)
        bench.sweep(40)
        assert not bench.events.finished
        bench.sweep(61)
        assert (await bench.events.last()).fault == "client-stalled"
        bench.sweep(70)
        bench.sweep(200)
        await bench.settled(lambda: not bench.server.connections)


async def test_a_tool_is_not_slow_because_the_system_holds_much_for_it(running: Running) -> None:
    """The transport has room only once a third of the system's queue is free, over a megabyte on one machine."""
    loop = asyncio.get_running_loop()
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE))) as bench:
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", bench.port))
            await loop.sock_sendall(client, GET)
            await bench.settled(lambda: bool(bench.server.connections) and not bench.connection().writable)
            connection = bench.connection()
            rate = connection._download

            def taken() -> int:
                """Since the proxy looked last: at the pause, or at the sweep."""
                return rate.sent - connection.unsent - queued(connection._transport) - rate._taken

            for seconds in (11, 22, 33):
                while connection.writable or taken() < 20_000:
                    assert await loop.sock_recv(client, 10_000)
                bench.sweep(seconds)
            assert not bench.events.finished
        assert (await bench.events.last()).fault == "client-gone"


async def test_a_tool_that_stops_reading_amid_its_upload_is_cut_off(running: Running) -> None:
    """Also where Amazon reads no more of the body, so that the timer of the upload rests."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", bytes(SIZE))
        await wire.end()

    async with running(script, send_timeout=60.0, replay_bytes=0) as bench:
        client = await bench.client(POST, b"Content-Length: 9\r\n\r\nab")
        client.transport.pause_reading()
        await bench.settled(lambda: bool(bench.upstream.wires) and b"ab" in bench.upstream.wires[0].received)
        connection = bench.connection()
        connection.pause_reading()
        connection.expire(asyncio.get_running_loop().time() + 40)
        assert connection.deadline == NEVER
        go.set()
        await bench.settled(lambda: not connection.writable)
        for seconds in (61, 130):
            bench.sweep(seconds)
        assert (await bench.events.last()).fault == "client-stalled"
        bench.sweep(200)
        await bench.settled(lambda: not bench.server.connections)


async def narrow(bench: ProxyBench) -> tuple[Wire, ClientConnection]:
    """A client that reads nothing for now, on a connection whose buffers in the system are small."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", bench.port))
    _, client = await asyncio.get_running_loop().create_connection(Wire, sock=raw)
    bench.clients.append(client)
    client.transport.pause_reading()
    await bench.settled(lambda: bool(bench.server.connections))
    connection = bench.connection()
    connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return client, connection


@pytest.mark.parametrize("closing", [True, False])
async def test_the_last_of_an_answer_is_not_torn_from_a_slow_tool(closing: bool, running: Running) -> None:
    """A client that is slower than any timer gets its answer, as long as it takes bytes of it."""
    size = 60_000
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as bench:
        client, connection = await narrow(bench)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if closing else GET)
        await bench.events.last()
        assert connection._transport.get_write_buffer_size() > 10_000
        seconds = 3 if closing else 76
        bench.sweep(seconds)
        assert connection.deadline > asyncio.get_running_loop().time() + seconds
        client.transport.resume_reading()
        answer = await client.answer()
        assert len(answer.body) == size
        assert not client.reset


async def test_no_request_begins_behind_a_body_before_its_answer_is_taken(running: Running) -> None:
    """What is left of a body may end in the same read in which the next request begins."""
    sizes = iter((60_000, SIZE))

    async def script(wire: Wire) -> None:
        size = next(sizes)
        await wire.head()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, bytes(size))
        await wire.end()

    async with running(script, replay_bytes=0) as bench:
        client, connection = await narrow(bench)
        connection._transport.set_write_buffer_limits(10_000)
        client.send(POST, b"Content-Length: 3\r\n\r\nab")
        await bench.events.last()
        assert not connection.writable
        client.send(b"c", GET)
        await bench.settled(lambda: connection._reading is not ReadingState.SKIPPED_BODY)
        assert (connection._reading, connection._buffer) == (ReadingState.NOTHING, GET)
        client.transport.resume_reading()
        assert [len((await client.answer()).body) for _ in range(2)] == [60_000, SIZE]


async def test_a_slow_tool_has_its_whole_time_for_the_last_of_an_answer(running: Running) -> None:
    """Also if it took nothing between the pause and the end of the response."""
    size = 60_000
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as bench:
        client, connection = await narrow(bench)
        connection._transport.set_write_buffer_limits(10_000)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await bench.events.last()
        assert not connection.writable
        bench.sweep(59)
        client.transport.resume_reading()
        assert (await client.answer()).body == bytes(size)


async def test_the_last_of_an_answer_makes_no_room_for_others(running: Running) -> None:
    """Whoever comes beyond the limit is told so; nothing is torn away for it."""
    size = 60_000
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as bench:
        client, connection = await narrow(bench)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await bench.events.last()
        assert connection.unsent
        assert bench.server.take_slot(ConnectionLimits(max_connections=1))
        client.transport.resume_reading()
        assert (await client.answer()).body == bytes(size)
        bench.server.give_slot()


@pytest.mark.parametrize("closing", [True, False])
async def test_a_tool_that_does_not_take_the_last_of_its_answer_goes(closing: bool, running: Running) -> None:
    """It got its time; a connection with bytes that nobody takes does not stay for ever."""
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + bytes(60_000))) as bench:
        client, connection = await narrow(bench)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if closing else GET)
        await bench.events.last()
        for seconds in (80, 200, 300):
            bench.sweep(seconds)
        await bench.settled(lambda: not bench.server.connections)
        assert connection._reading is ReadingState.CLOSED
