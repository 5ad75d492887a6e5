"""A connection to Amazon is used again only if its last exchange ended exactly as it should."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.errors import Refused, UpstreamClosed, UpstreamMalformed
from proxy.upstream.connection import RequestWriter, cut, late
from tests.support.certificates import Authority
from tests.support.proxy_bench import Running
from tests.support.tls_peer import answer_and_reset, blocking_peer
from tests.support.wire import GET, HELLO, Wire, answering

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (HELLO, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na", False),
        (HELLO + b"HTTP/1.1 200 OK\r\n", False),
        (HELLO + b"\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nextra", False),
    ],
)
async def test_a_connection_is_used_again_only_if_all_is_well(answer: bytes, again: bool, running: Running) -> None:
    """Nobody asked to close, and nothing came behind the answer, which is delivered all the same."""
    async with running(answering(answer)) as bench:
        client = await bench.client(GET)
        first = await client.answer()
        client.send(GET)
        second = await client.answer()
        assert (first.status, first.body) == (second.status, second.body)
        assert len(bench.upstream.wires) == (1 if again else 2)
        if not again:
            await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"HEAD /first", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"),
        (b"GET /first", b"HTTP/1.1 204 No Content\r\nContent-Length: 200\r\n\r\n"),
        (b"GET /first", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n"),
    ],
)
async def test_a_body_behind_an_answer_without_one_is_nobodys_answer(
    request_line: bytes, answer: bytes, running: Running
) -> None:
    """A body that is itself an answer: the request that waits for the connection gets its own, 100 of 100."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        if b"/first" in head:
            await bench.settled(lambda: bool(bench.pools.find("api", "na")._waiting))
            wire.send(answer)
            await bench.events.until(lambda: bench.events.started == len(bench.events.finished) + 1)
            wire.send(POISON)
        else:
            wire.send(HELLO)

    async with running(script, pool_limit=1) as bench:
        got = []
        for _ in range(100):
            first = await bench.client(request_line + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await bench.settled(lambda: bench.accounting.in_flight == 1)
            second = await bench.client(GET)
            await first.answer(to_head=True)
            got.append((await second.answer()).body)
            first.close()
            second.close()
            await bench.settled(lambda: bench.accounting.in_flight == 0)
        assert set(got) == {b"hello"}


async def test_an_answer_whose_head_began_early_ends_its_connection(running: Running) -> None:
    """Its first bytes came before the request was sent, and the rest of its head afterwards."""
    upload = b"POST /v2/stores HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300002\r\n\r\n"

    async def script(wire: Wire) -> None:
        if len(bench.upstream.wires) == 1:
            await wire.until(lambda: b"\r\n\r\n" in wire.received)
            wire.send(HELLO[:9])
            await wire.request()
            wire.send(HELLO[9:])
        while True:
            await wire.request()
            wire.send(HELLO)

    async with running(script) as bench:
        client = await bench.client(upload + b"x" * 300_000)
        await bench.settled(lambda: bool(bench.upstream.wires) and bench.upstream.wires[0].received != b"")
        (connection,) = bench.pools.find("api", "na")._all
        await bench.settled(lambda: connection.head_began)
        client.send(b"ok")
        assert (await client.answer()).body == b"hello"
        assert (await bench.ask()).body == b"hello"
        assert len(bench.upstream.wires) == 2


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(running: Running) -> None:
    """They could be taken for the next answer."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(HELLO)

    async with running(script) as bench:
        await bench.ask()
        first = bench.upstream.wires[0]
        first.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await first.until(lambda: first.ended)
        assert (await bench.ask()).body == b"hello"
        assert len(bench.upstream.wires) == 2


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_amazon_closes_while_idle_is_not_used(
    tls: bool, running: Running, tmp_path: Path
) -> None:
    """Its end is seen before anything is sent on it."""
    authority = Authority(tmp_path)
    context = authority.context("localhost") if tls else None

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)

    async with running(script, tls=context, ca_file=str(authority.ca_file)) as bench:
        await bench.ask()
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
        assert (await bench.ask(b"POST" + GET[3:])).body == b"hello"
        assert bench.events.replays == []


async def test_a_connection_that_dies_before_it_is_used_is_a_502(running: Running) -> None:
    """Between its making and its first request; the client does not wait for nothing."""
    async with running(answering(HELLO)) as bench:
        pool = bench.pools.find("api", "na")
        acquire = pool.acquire

        async def acquire_dead(*, fresh: bool, patience: float, client: str, family: str) -> object:
            connection = await acquire(fresh=fresh, patience=patience, client=client, family=family)
            connection.close()
            await bench.settled(lambda: connection.lost)
            return connection

        pool.acquire = acquire_dead  # type: ignore[method-assign,assignment]  # of this one object alone
        got = await bench.ask()
        assert got.status == 502
        assert b"upstream-closed" in got.body


async def test_a_head_may_come_byte_by_byte(running: Running) -> None:
    """So may everything else."""

    async def script(wire: Wire) -> None:
        await wire.request()
        answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer += b"2\r\nab\r\n0\r\nT: v\r\n\r\n"
        for at in range(len(answer)):
            wire.send(answer[at : at + 1])
            for _ in range(3):
                await bench.settled(lambda: True)

    async with running(script) as bench:
        client = await bench.client(GET)
        assert (await client.answer()).status == 100
        got = await client.answer()
        assert (got.body, got.trailers) == (b"ab", ((b"T", b"v"),))


async def test_a_connection_says_what_it_does(running: Running) -> None:
    """Host, phase and how much it has served; nothing of a request."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires and bench.upstream.wires[0].received))
        (connection,) = bench.pools.find("api", "na")._all
        name = f"<UpstreamConnection to 127.0.0.1:{bench.upstream.port}"
        assert repr(connection) == f"{name}: busy, served 0>"
        go.set()
        await client.answer()
        assert repr(connection) == f"{name}: idle, served 1>"
        connection.close()
        assert repr(connection) == f"{name}: closing, served 1>"
        await bench.upstream.wires[0].end()
        await bench.settled(lambda: not bench.pools.find("api", "na")._all)
        assert repr(connection) == f"{name}: lost, served 1>"


@pytest.mark.parametrize(
    ("head", "told", "words"),
    [
        (b"", UpstreamClosed, "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nDate", UpstreamClosed, "within the head"),
        (b"HTTP/1.1 200 OK\n\n", UpstreamMalformed, "ends without a CR"),
        (b"HTTP/1.1 200 OK\r\nA: b\n", UpstreamMalformed, "ends without a CR"),
    ],
)
def test_an_end_is_told_by_what_had_come(head: bytes, told: type[Refused], words: str) -> None:
    """Nothing, a part of a head, or lines of which none will end one."""
    ending = cut(head)
    assert type(ending) is told
    assert words in str(ending)


def test_a_time_out_says_what_did_not_happen_and_for_how_long() -> None:
    """In seconds, as they are configured."""
    assert "did not begin to answer within 2.5 s" in str(late("begin to answer", 2.5))


PIECE = b"b" * 40_000


@asynccontextmanager
async def answered_early() -> AsyncIterator[tuple[RequestWriter, socket.socket]]:
    """A writer whose peer has answered already, and that answer is not read yet."""
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()
    peer.send(b"HTTP/1.1 413")
    yield RequestWriter(transport, loop), peer
    transport.abort()
    peer.close()


async def test_what_is_put_off_leaves_at_once_when_it_grows() -> None:
    """Within one turn of the event loop, in which one upload may be read many times, no more than 64 KiB is held."""
    async with answered_early() as (writer, peer):
        writer.more([PIECE], reading=True)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        writer.more([PIECE], reading=True)
        assert peer.recv(100_000) == PIECE + PIECE


async def test_what_is_put_off_leaves_after_two_turns_of_the_loop() -> None:
    """Although an answer that was not read yet is still there."""
    async with answered_early() as (writer, peer):
        writer.more([b"body"], reading=True)
        for _ in range(3):
            await asyncio.sleep(0)
        assert peer.recv(100) == b"body"


@pytest.mark.usefixtures("every_loop")
async def test_a_request_whose_write_failed_is_refused_and_never_complete(tmp_path: Path) -> None:
    """Through TLS, too, where the failure is met below: its connection is not used again."""
    async with blocking_peer(Authority(tmp_path)) as (peer, spoken):
        writer = RequestWriter(spoken.transport, asyncio.get_running_loop())
        answer_and_reset(peer)
        writer.begin([b"head"])
        writer.begin([b"head", b"body"])
        writer.end()
        assert writer.refused
        assert not writer.complete
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"413"
        assert writer.unread() == b""
