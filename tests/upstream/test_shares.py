"""What of a response takes much time for few bytes is read in shares, between which others have their turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.http1.framing import CHUNKS_AT_ONCE
from proxy.upstream.connection import EVENT_BYTES_AT_ONCE
from tests.support.certificates import Authority
from tests.support.memory_bench import End, MemoryBench
from tests.support.proxy_bench import Running
from tests.support.shares import counted_shares
from tests.support.wire import GET, HELLO, Script, Wire

COUNT = 200_000
TINY = b"1\r\n~\r\n"
EVENT = b"data: 0123456\n\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
LAST = b"0\r\n\r\n"
LARGE = GET.replace(b"/v2/profiles", b"/large")


def with_large(*answer: bytes, end: bool = False) -> Script:
    """An upstream that answers `/large` with this, and all other requests at once."""

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if head.startswith(b"GET /large"):
                wire.send(*answer)
                if end:
                    return
            else:
                wire.send(HELLO)

    return script


def as_one_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("answer", "body", "most"),
    [
        (CHUNKED + TINY * COUNT + LAST, b"~" * COUNT, 2 * CHUNKS_AT_ONCE * len(TINY)),
        (
            STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + as_one_chunk(EVENT * COUNT) + LAST,
            EVENT * COUNT,
            2 * EVENT_BYTES_AT_ONCE,
        ),
    ],
    ids=["tiny chunks", "small events"],
)
async def test_others_are_served_while_it_is_read(answer: bytes, body: bytes, most: int, running: Running) -> None:
    """Each turn of the event loop reads a share of it, or two, and serves another client in between."""
    async with running(with_large(answer)) as bench:
        other = await bench.client(GET)
        assert (await other.answer()).status == 200
        with counted_shares() as shares:
            large = await bench.client(LARGE)
            assert b" 200 " in await large.head()
            answered = 0
            while not large.received.endswith(LAST):
                other.send(GET)
                assert (await other.answer()).body == b"hello"
                answered += 1
            assert (await large.chunked()).content == body
        assert shares.largest <= most
        assert answered >= 10
        large.send(GET)
        assert (await large.answer()).body == b"hello"


@pytest.mark.long
async def test_two_megabytes_in_chunks_of_one_byte_stop_nobody(running: Running) -> None:
    """Hundreds of another client's requests are answered meanwhile."""
    count = 2 << 20
    async with running(with_large(CHUNKED + TINY * count + LAST)) as bench:
        other = await bench.client(GET)
        assert (await other.answer()).status == 200
        with counted_shares() as shares:
            large = await bench.client(LARGE)
            answered = 0
            while not large.received.endswith(LAST):
                other.send(GET)
                assert (await other.answer()).body == b"hello"
                answered += 1
        assert large.received.count(b"~") == count
        assert shares.total == count * len(TINY) + len(LAST)
        assert shares.largest <= 2 * CHUNKS_AT_ONCE * len(TINY)
        assert answered >= 100


async def test_a_response_without_a_length_is_read_to_its_end(running: Running, tmp_path: Path) -> None:
    """Over TLS the end comes at once behind what was read; it counts once the rest is read."""
    authority = Authority(tmp_path)
    answer = STREAM + b"\r\n" + EVENT * 20_000
    async with running(
        with_large(answer, end=True), tls=authority.context("localhost"), ca_file=str(authority.ca_file)
    ) as bench:
        client = await bench.client(LARGE)
        assert (await client.answer()).body == EVENT * 20_000


@pytest.mark.parametrize("complete", [True, False])
async def test_what_came_before_a_loss_is_passed_on(complete: bool, running: Running) -> None:
    """All of it, and then the end of the response or the break."""
    answer = CHUNKED + TINY * 30_000 + (LAST if complete else b"")
    async with running(with_large(answer, end=True)) as bench:
        client = await bench.client(LARGE)
        await client.head()
        await client.until(lambda: client.ended or client.received.endswith(LAST))
        assert client.received.count(b"~") >= 30_000
        assert client.received.endswith(LAST) is complete
        client.close()


class Reading:
    """A response in tiny chunks, of which a share was read, in memory."""

    def __init__(self) -> None:
        self.bench = MemoryBench()
        self.bench.answer = lambda message: [CHUNKED + TINY * 10_000 + LAST]
        self.client: End = self.bench.client()

    async def begin(self) -> None:
        self.client.send(GET)
        while not (self.bench.upstreams and self.bench.upstreams[0].pending):
            await asyncio.sleep(0)
        self.upstream = self.bench.upstreams[0]
        self.upstream.push()
        assert self.read == CHUNKS_AT_ONCE
        assert self.upstream.pipe.paused

    @property
    def read(self) -> int:
        """Bytes of the response's payload that the client got."""
        return self.client.pipe.written.count(b"~")


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_is_read_on_in_each_turn() -> None:
    """The transport reads again once all is read."""
    reading = Reading()
    await reading.begin()
    for share in range(2, 11):
        await turns(1)
        assert reading.read == share * CHUNKS_AT_ONCE
    await turns(1)
    assert reading.client.pipe.written.endswith(LAST)
    assert not reading.upstream.pipe.paused
    await reading.bench.stop(reading.client)


async def test_a_client_that_takes_nothing_stops_it() -> None:
    """However often it stops and goes on within one turn, the next one reads one share."""
    reading = Reading()
    await reading.begin()
    client = reading.client.pipe.protocol
    client.pause_writing()
    await turns(5)
    assert reading.read == CHUNKS_AT_ONCE
    for _ in range(3):
        client.resume_writing()
        client.pause_writing()
    client.resume_writing()
    await turns(1)
    assert reading.read == 2 * CHUNKS_AT_ONCE
    assert reading.upstream.pipe.paused
    await turns(20)
    assert reading.client.pipe.written.endswith(LAST)
    await reading.bench.stop(reading.client)


async def test_a_client_that_leaves_ends_it() -> None:
    """Nothing more is read, and the connection is closed."""
    reading = Reading()
    await reading.begin()
    reading.client.leave()
    await turns(5)
    assert reading.read == CHUNKS_AT_ONCE
    assert reading.upstream.pipe.aborted
    await reading.bench.stop()
