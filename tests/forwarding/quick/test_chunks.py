"""Bodies in chunks that are here whole go the quick way, either direction, byte for byte as the ordinary exchange has
them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.http1.framing import ChunkedBody, whole_chunked, whole_chunks
from tests.forwarding.quick.test_exchange import HELLO, outcomes
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import Running
from tests.support.wire import Wire, answering

HEAD = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nx-amz-rid: R1\r\n\r\n"
BODIES = (
    *(b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    *(b"00A\r\n0123456789\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"5\r\nhello\r\n0;x\r\n\r\n"),
    *(b"5\r\nhello\r\n", b"6\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"),
    *(b"5\nhello\r\n0\r\n\r\n", b"x\r\n0\r\n\r\n", b"1\r\na\r\n" * 600 + b"0\r\n\r\n"),
    *(b"2000\r\n" + b"y" * 8192 + b"\r\n0\r\n\r\n", b"3000\r\n" + b"y" * 12288 + b"\r\n0\r\n\r\n"),
)
PARTS = st.lists(st.sampled_from((b"5", b"\r\n", b"hello", b"0", b";")), max_size=9)
BYTES = st.sampled_from(BODIES) | PARTS.map(b"".join)
CUTS = st.sampled_from((0, 0, 0, -1, -3, -5, 20))


def cut(data: bytes, at: int) -> list[bytes]:
    """In one piece, or in two."""
    return [data] if not at else [data[:at], data[at:]]


async def seen(
    requests: list[tuple[bytes, int]], answers: list[tuple[bytes, int]], fast: bool, limit: int
) -> tuple[Any, ...]:
    """Every byte that left on either side, and what was told; each request is sent four times on a new connection."""
    bench = MemoryBench(fast_path=fast, max_body_bytes=limit)
    numbers, sent = count(), b""
    bench.forwarder.new_request_id = lambda: f"id-{next(numbers)}"  # type: ignore[method-assign]  # one of ours
    for (request, at), (answer, broken) in zip(requests, answers, strict=True):
        pieces: list[bytes | None] = [*cut(ANSWER + answer, broken)]
        bench.answer = lambda message: pieces  # noqa: B023 - asked in this turn
        for _ in range(4):
            tool = bench.tool()
            tool.send(*cut(HEAD + request, at))
            await bench.rest(tool)
            sent += re.sub(rb"Date: [^\r]*", b"", bytes(tool.pipe.written)) + b"|"
            tool.leave()
            await bench.rest()
    told = [replace(event, duration=0.0, upstream=0.0, overhead=0.0) for event in bench.events.finished]
    written = [bytes(upstream.pipe.written) for upstream in bench.upstreams]
    bench.upstreams.clear()
    bench.pools.close()
    bench.deadlines.stop()
    assert not bench.events.defects
    assert bench.accounting.in_flight == 0
    return sent, written, told


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(BYTES, CUTS, BYTES, CUTS), min_size=1, max_size=4), st.sampled_from((0, 0, 7)))
@example([(BODIES[1], 0, BODIES[2], 0), (BODIES[2], 0, BODIES[0], 0), (BODIES[13], 0, BODIES[13], 0)], 0)
@example([(BODIES[1], 0, BODIES[1], 0), (BODIES[11], 0, BODIES[4], 0), (BODIES[8], 0, BODIES[8], 0)], 0)
@example([(BODIES[1], 0, BODIES[1], 0), (BODIES[3], 0, BODIES[1], 0)], 7)
def test_no_byte_differs(turns: list[tuple[bytes, int, bytes, int]], limit: int) -> None:
    """Whatever comes in the place of chunks, in however many reads."""
    requests, answers = [turn[:2] for turn in turns], [turn[2:] for turn in turns]
    slow = asyncio.run(seen(requests, answers, False, limit))
    assert asyncio.run(seen(requests, answers, True, limit)) == slow


async def test_chunks_are_taken_both_ways(running: Running) -> None:
    """What leaves is one chunk, and what comes back is."""
    request, answer = HEAD + BODIES[2], ANSWER + BODIES[2]
    got: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            got.append(head + await wire.take(len(BODIES[1])))
            wire.send(answer)

    async with running(script) as bench:
        tool = await bench.tool()
        for _ in range(5):
            tool.send(request)
            head = await tool.head()
            assert b"\r\nTransfer-Encoding: chunked\r\n" in head
            assert await tool.take(len(BODIES[1])) == BODIES[1]
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 3}
        assert {each.partition(b"Authorization")[2][-len(BODIES[1]) :] for each in got} == {BODIES[1]}
        assert {event.bytes_in for event in bench.events.finished} == {5}
        assert {event.bytes_out for event in bench.events.finished} == {5}


@pytest.mark.parametrize("body", [BODIES[4], BODIES[11][:-5] + b"0\r\nA: b\r\n\r\n", BODIES[1] + b"0\r\n\r\n"])
async def test_what_is_not_whole_and_plain_is_declined(running: Running, body: bytes) -> None:
    """Trailers, and more behind the end: nothing is decided about them here."""
    async with running(answering(HELLO)) as bench:
        for _ in range(3):
            await bench.ask(HEAD + BODIES[1])
        taken = outcomes(bench).get("taken", 0)
        tool = await bench.tool(HEAD + body)
        assert (await tool.answer()).status in (200, 400)
        assert outcomes(bench)["taken"] == taken
        assert outcomes(bench)["incomplete"] >= 1


async def test_a_response_that_breaks_off_is_ordinary_with_its_request(running: Running) -> None:
    """What was sent in chunks is sent again in chunks."""
    got: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            got.append((await wire.request())[1])
            if len(got) == 4:
                return
            wire.send(HELLO)

    async with running(script) as bench:
        tool = await bench.tool()
        for _ in range(4):
            tool.send(HEAD + BODIES[2])
            assert (await tool.answer()).status == 200
        assert got == [b"hello"] * 5
        assert outcomes(bench)["failed"] == 1


@given(BYTES, st.booleans())
def test_what_is_whole_is_what_reading_finds(data: bytes, thrifty: bool) -> None:
    """The payload, or nothing, or the very same refusal."""

    def read() -> object:
        body = ChunkedBody(ValueError, thrifty=thrifty)
        pieces, rest = body.feed(data)
        whole = body.finished and not rest and not body.trailers and data.endswith(b"0\r\n\r\n")
        return b"".join(pieces) if whole else None

    try:
        expected = read() if data.endswith(b"0\r\n\r\n") else None
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            whole_chunked(data, ValueError, thrifty=thrifty)
    else:
        assert whole_chunked(data, ValueError, thrifty=thrifty) == expected


@pytest.mark.parametrize("payload", [b"", b"a", b"x" * 300])
def test_whole_chunks_are_read_as_their_payload(payload: bytes) -> None:
    """An empty one is the last chunk alone."""
    assert whole_chunked(whole_chunks(payload), ValueError) == payload
