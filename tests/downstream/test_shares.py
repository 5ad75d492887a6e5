"""Many small chunks of a request's body are read in shares, between which others have their turn."""

from __future__ import annotations

import asyncio

from proxy.downstream.connection import ClientConnection
from proxy.forwarding.exchange import Exchange
from proxy.http1.framing import CHUNKS_AT_ONCE
from tests.support.memory_bench import End, MemoryBench
from tests.support.proxy_bench import Running
from tests.support.shares import counted_shares
from tests.support.wire import GET, HELLO, Wire

COUNT = 100_000
PIECE = b"sixteen bytes ~~"
SMALL = b"10\r\n%b\r\n" % PIECE
"""A chunk of the smallest size of which there may be many."""
POST = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


async def echo_size(wire: Wire) -> None:
    """An upstream that answers with the size of the body, or else `hello`."""
    while True:
        head, body = await wire.request()
        said = b"%d" % len(body)
        wire.send(
            HELLO if head.startswith(b"GET") else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said
        )


async def test_others_are_served_while_a_body_is_read(running: Running) -> None:
    """Each turn of the event loop reads a share of it, or two, and serves another client in between."""
    async with running(echo_size) as bench:
        other = await bench.client(GET)
        assert (await other.answer()).status == 200
        with counted_shares() as shares:
            uploader = await bench.client(POST + SMALL * COUNT + LAST + GET)
            answered = 0
            while b"200 OK" not in uploader.received:
                other.send(GET)
                assert (await other.answer()).body == b"hello"
                answered += 1
        assert (await uploader.answer()).body == b"%d" % (COUNT * len(PIECE))
        assert (await uploader.answer()).body == b"hello"
        assert shares.total == len(SMALL) * COUNT + len(LAST)
        assert shares.largest <= 2 * CHUNKS_AT_ONCE * len(SMALL)
        assert answered >= 10


class Upload:
    """A body in small chunks, of which a share was read, in memory."""

    def __init__(self, body: bytes = SMALL * 5000 + LAST) -> None:
        self.bench = MemoryBench()
        self.client: End = self.bench.client()
        connection = self.client.pipe.protocol
        assert isinstance(connection, ClientConnection)
        self.connection = connection
        self.client.send(POST + body)
        assert self.read == CHUNKS_AT_ONCE
        assert self.client.pipe.paused

    @property
    def read(self) -> int:
        """Pieces of the body that were read."""
        exchange = self.connection._handler
        assert isinstance(exchange, Exchange)
        return exchange._body.size // len(PIECE)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def is_answered(self) -> bool:
        await self.bench.rest(self.client)
        return self.client.pipe.written.endswith(b"\r\n\r\nok")


async def test_a_body_is_read_on_in_each_turn() -> None:
    """Amazon gets all of it, and the transport reads again."""
    upload = Upload()
    for share in range(2, 6):
        await upload.turns(1)
        assert upload.read == share * CHUNKS_AT_ONCE
    assert await upload.is_answered()
    assert not upload.client.pipe.paused
    assert upload.bench.messages[0].body == PIECE * 5000
    await upload.bench.stop(upload.client)


async def test_a_handler_that_takes_nothing_stops_it() -> None:
    """However often it stops and goes on within one turn, the next one reads one share."""
    upload = Upload()
    connection = upload.connection
    connection.pause_reading()
    await upload.turns(5)
    assert upload.read == CHUNKS_AT_ONCE
    for _ in range(3):
        connection.resume_reading()
        connection.pause_reading()
    connection.resume_reading()
    await upload.turns(1)
    assert upload.read == 2 * CHUNKS_AT_ONCE
    assert upload.client.pipe.paused
    assert await upload.is_answered()
    await upload.bench.stop(upload.client)


async def test_a_client_that_leaves_during_its_body_is_read_no_more() -> None:
    """The share that was planned before is the last."""
    upload = Upload()
    upload.client.leave()
    with counted_shares() as shares:
        await upload.turns(5)
    assert shares.total <= CHUNKS_AT_ONCE * len(SMALL)
    await upload.bench.stop()


async def test_a_body_that_is_not_valid_in_a_later_share_is_refused() -> None:
    """A fault in a later share is refused as in the first; nothing more is read, and the connection ends."""
    upload = Upload(SMALL * 1500 + b"xyz\r\n" + SMALL * 5000)
    await upload.turns(3)
    assert upload.client.pipe.written.startswith(b"HTTP/1.1 400 ")
    assert upload.client.pipe.ended and not upload.client.pipe.paused
    await upload.bench.stop(upload.client)


async def test_an_early_answer_ends_a_body_that_is_read_in_shares(running: Running) -> None:
    """The answer is passed on, and the rest of the body is read over."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(HELLO)
        await wire.end()

    async with running(script, replay_bytes=0) as bench:
        client = await bench.client(POST + SMALL * COUNT)
        assert (await client.answer()).body == b"hello"
        client.finish()
        await client.end()
