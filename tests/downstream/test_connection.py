"""A client's connection: requests in their order, staying and closing, and limits."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from proxy.downstream.connection import (
    TRANSITIONS,
    ClientConnection,
    DiscardedBody,
    DownloadRate,
    ReadingState,
    UploadRate,
    WritingState,
    follow,
    least_taken,
)
from proxy.downstream.ports import ConnectionLimits
from proxy.errors import Refused
from proxy.http1.framing import Buffer
from proxy.net.deadlines import NEVER
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Wire, answering

POST = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def get(path: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    """A GET of this path."""
    return b"\r\n".join((b"GET " + path + b" HTTP/" + version, b"Host: 127.0.0.1", *lines, b"", b""))


async def echo(wire: Wire) -> None:
    """An upstream that answers with the target and the body it got."""
    while True:
        head, body = await wire.request()
        said = head.split(b" ")[1] + b" " + body
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


# --- order


async def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    """Requests behind a body are answered one at a time too: no second connection to Amazon is needed."""
    async with running(echo) as bench:
        client = await bench.client(
            get(b"/1"), POST, b"Content-Length: 3\r\n\r\nabc", get(b"/2"), POST,
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n", get(b"/3"),
        )  # fmt: skip
        bodies = [(await client.answer()).body for _ in range(5)]
        assert bodies == [b"/1 ", b"/x abc", b"/2 ", b"/x de", b"/3 "]
        assert len(bench.upstream.wires) == 1


@pytest.mark.parametrize("size", [1, 7, 60])
async def test_requests_are_the_same_however_they_are_cut(size: int, running: Running) -> None:
    """Byte by byte or in pieces, the same requests reach Amazon."""
    async with running(echo) as bench:
        client = await bench.client()
        data = get(b"/1") + POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n" + get(b"/2")
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
            await asyncio.sleep(0)
        assert [(await client.answer()).body for _ in range(3)] == [b"/1 ", b"/x de", b"/2 "]


async def test_what_is_sent_ahead_without_end_is_not_read_without_end(running: Running) -> None:
    """While one request is served, those behind it wait in the client's own buffers."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)
        await echo(wire)

    async with running(script) as bench:
        client = await bench.client(get(b"/0") + get(b"/1") * 100_000)
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: connection._reads.paused)
        assert len(connection._buffer) < 1_000_000
        go.set()
        assert (await client.answer()).body == b"hello"
        assert (await client.answer()).body == b"/1 "


async def test_an_answer_alone_lets_nothing_more_in() -> None:
    """What was sent ahead is used first: else each answer would let a whole read come on top of it."""
    bench = MemoryBench()
    client = bench.client()
    client.send(get(b"/1") * 4000)
    while not (bench.upstreams and bench.upstreams[0].pending):
        await asyncio.sleep(0)
    for _ in range(3):
        assert client.pipe.paused
        bench.upstreams[0].push()
        assert client.pipe.paused
        await asyncio.sleep(0)
    assert client.pipe.written.count(b"HTTP/1.1 200 OK") == 3
    await bench.stop(client)


async def test_a_request_sent_ahead_does_not_stop_the_reading(running: Running) -> None:
    """The request is kept, and the connection still reads what comes behind it: the client's close, for one."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)
        await echo(wire)

    async with running(script, max_pipelined_bytes=1000) as bench:
        client = await bench.client(get(b"/0") + get(b"/1"))
        await bench.settled(lambda: bool(bench.server.connections) and bench.accounting.in_flight == 1)
        connection = bench.connection()
        await bench.settled(lambda: connection._buffer == get(b"/1"))
        assert connection._transport.is_reading()
        go.set()
        assert [(await client.answer()).body for _ in range(2)] == [b"hello", b"/1 "]


REFUSED = get(b"/auth/other")


def buffer_is(connection: ClientConnection, expected: bytes) -> bool:
    return connection._buffer == expected


@pytest.mark.parametrize(
    "pieces", [[REFUSED * 3], [REFUSED, REFUSED, REFUSED[:9], REFUSED[9:]]], ids=["one", "several"]
)
async def test_no_request_begins_before_the_client_takes_its_answers(pieces: list[bytes], running: Running) -> None:
    """Responses of the proxy itself count as well: they would grow without limit."""
    async with running(echo) as bench:
        client = await bench.client(REFUSED)
        await client.answer()
        connection = bench.connection()
        connection.pause_writing()
        for count in range(len(pieces)):
            client.send(pieces[count])
            expected = b"".join(pieces[: count + 1])
            await bench.settled(partial(buffer_is, connection, expected))
        connection.resume_writing()
        assert [(await client.answer()).status for _ in range(3)] == [404, 404, 404]


async def test_a_client_that_takes_no_answers_is_left_in_the_end(running: Running) -> None:
    """Although it goes on asking."""
    async with running(echo) as bench:
        client = await bench.client(REFUSED)
        await client.answer()
        connection = bench.connection()
        connection.pause_writing()
        client.send(REFUSED * 2)
        await bench.settled(lambda: bool(connection._buffer))
        assert connection.deadline < NEVER
        connection.expire(connection.deadline)
        assert await client.end() == b""


async def test_a_large_body_behind_a_request_that_is_answered_here_is_read_to_its_end(running: Running) -> None:
    """What was held back meanwhile is more than may be held back, and the rest comes after it."""
    body = b"x" * 300_000
    async with running(echo, max_pipelined_bytes=1000) as bench:
        client = await bench.client(
            get(b"/auth/other"), POST, b"Content-Length: %d\r\n\r\n" % len(body), body, get(b"/1")
        )
        assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"/x " + body
        assert (await client.answer()).body == b"/1 "


async def test_empty_lines_before_a_request_are_read_over(running: Running) -> None:
    """RFC 9112, 2.2; also a great many of them, and one that is cut in two."""
    async with running(echo) as bench:
        client = await bench.client(b"\r\n" * 100_000 + b"\r")
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: connection._buffer == b"\r")
        client.send(b"\n\r\n" + get(b"/1"))
        assert (await client.answer()).body == b"/1 "


# --- staying and closing


async def test_a_connection_serves_many_requests(running: Running) -> None:
    """HTTP/1.1 stays open by itself."""
    async with running(echo) as bench:
        client = await bench.client()
        for number in range(5):
            client.send(get(b"/%d" % number))
            answer = await client.answer()
            assert answer.body == b"/%d " % number
            assert answer.value(b"connection") is None


@pytest.mark.parametrize(
    ("lines", "version", "stays"),
    [
        ([b"Connection: close"], b"1.1", False),
        ([b"Connection: keep-alive, Close"], b"1.1", False),
        ([], b"1.0", False),
        ([b"Connection: Keep-Alive"], b"1.0", True),
    ],
)
async def test_a_connection_closes_where_the_tool_wishes_it(
    lines: list[bytes], version: bytes, stays: bool, running: Running
) -> None:
    """The response announces the close; HTTP/1.0 stays only on request."""
    async with running(echo) as bench:
        client = await bench.client(get(b"/1", *lines, version=version))
        answer = await client.answer()
        assert answer.value(b"connection") == (b"keep-alive" if stays else b"close")
        if stays:
            client.send(get(b"/2"))
            assert (await client.answer()).body == b"/2 "
        else:
            assert await client.end() == b""
            assert not client.reset


@pytest.mark.parametrize("target", [b"/@nobody/x", b"/auth/o2/token"])
async def test_an_answer_of_the_proxys_own_tells_http_1_0_that_the_connection_stays(
    target: bytes, running: Running
) -> None:
    """A client that is not told reads until the connection ends."""
    async with running(echo) as bench:
        client = await bench.client(get(target, b"Connection: keep-alive", version=b"1.0"))
        assert (await client.answer()).value(b"connection") == b"keep-alive"
        client.send(get(b"/2"))
        assert (await client.answer()).body == b"/2 "


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amz-rid: R1\r\n\r\n"
KEEP = b"GET %b HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "body"),
    [(b"5\r\nhello\r\n0\r\n\r\n", b"hello"), (b"0\r\n\r\n", b""), (b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"ab")],
)
async def test_http_1_0_keeps_its_connection_where_amazon_sends_chunks(
    chunks: bytes, body: bytes, running: Running
) -> None:
    """An answer that came whole gets a length: HTTP/1.0 has no chunks (RFC 9112, 7.1), and without a length only the
    end of the connection ends a body. As `ab -k` asks, twice on one connection."""
    async with running(answering(CHUNKED + chunks)) as bench:
        client = await bench.client()
        for _ in range(3):
            client.send(KEEP % b"/v2/profiles")
            answer = await client.answer()
            assert (answer.value(b"connection"), answer.value(b"transfer-encoding")) == (b"keep-alive", None)
            assert (answer.value(b"content-length"), answer.body) == (b"%d" % len(body), body)
        client.send(get(b"/v2/profiles"))
        assert (await client.answer()).value(b"transfer-encoding") == b"chunked"  # HTTP/1.1 as before


async def test_the_end_of_the_connection_ends_a_body_of_unknown_length_for_http_1_0(running: Running) -> None:
    """An answer that comes bit by bit is not held back to be counted."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(CHUNKED + b"3\r\nhel\r\n")
        await more.wait()
        wire.send(b"2\r\nlo\r\n0\r\n\r\n")

    more = asyncio.Event()
    async with running(script) as bench:
        client = await bench.client(KEEP % b"/v2/profiles")
        await client.until(lambda: client.received.endswith(b"hel"))
        more.set()
        end = await client.end()
        assert b"Connection: close" in end
        assert end.endswith(b"\r\n\r\nhello")


async def test_a_proxy_of_http_1_0_keeps_no_connection(running: Running) -> None:
    """Of an absolute target this is a proxy, which must not (RFC 9112, 9.3): another proxy in between may have passed
    the option on unread (C.2.2)."""
    target = b"http://advertising-api.amazon.com/v2/profiles"
    async with running(answering(HELLO)) as bench:
        client = await bench.client(KEEP % target)
        assert (await client.answer()).value(b"connection") == b"close"
        assert await client.end() == b""


async def test_keepalive_timeout_of_nothing_closes_after_each_answer(running: Running) -> None:
    """The response announces the close."""
    async with running(echo, keepalive_timeout=0.0) as bench:
        client = await bench.client(get(b"/1"))
        assert (await client.answer()).value(b"connection") == b"close"
        assert await client.end() == b""


async def test_an_idle_connection_ends_after_keepalive_timeout(running: Running) -> None:
    """In order, without a word."""
    async with running(echo, keepalive_timeout=75.0) as bench:
        client = await bench.client(get(b"/1"))
        await client.answer()
        bench.sweep(60)
        client.send(get(b"/2"))
        await client.answer()
        bench.sweep(76)
        assert await client.end() == b""


async def test_changed_limits_hold_from_the_next_request(running: Running) -> None:
    """A reload needs no new connection."""
    async with running(echo) as bench:
        client = await bench.client(get(b"/1"))
        await client.answer()
        client.send(get(b"/2"))
        bench.apply(max_target_bytes=64)
        await client.answer()
        client.send(get(b"/" + b"x" * 100))
        assert (await client.answer()).status == 414


# --- limits


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        (get(b"/" + b"x" * 200), 414, b"target-too-long"),
        (b"GET /" + b"x" * 300, 414, b"target-too-long"),
        (b"x" * 300, 414, b"target-too-long"),
        (get(b"/", b"X: " + b"x" * 2000), 431, b"head-too-large"),
        (get(b"/", b"X: " + b"x" * 2000)[:-2], 431, b"head-too-large"),
        (get(b"/", *[b"X: y"] * 10), 431, b"head-too-large"),
        (POST + b"Content-Length: 101\r\n\r\n", 413, b"content-too-large"),
        (POST + b"Content-Length: 101\r\nExpect: 100-continue\r\n\r\n", 413, b"content-too-large"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + bytes(101), 413, b"content-too-large"),
        (b"\x16\x03\x01\x02\x00\x01", 400, b"malformed-request"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, b"malformed-request"),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, b"malformed-request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, b"version-not-supported"),
        (b"BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501, b"not-implemented"),
        (b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, b"method-not-allowed"),
        (POST + b"Expect: miracles\r\n\r\n", 417, b"expectation-failed"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nZ\r\n", 400, b"malformed-request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT : v\r\n\r\n", 400, b"malformed-request"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, b"not-implemented"),
    ],
)
async def test_what_is_too_large_or_wrong_is_refused_and_closes(
    request_: bytes, status: int, slug: bytes, running: Running
) -> None:
    """With a problem document that arrives whole."""
    limits: dict[str, Any] = {
        "max_target_bytes": 128,
        "max_header_bytes": 1024,
        "max_header_fields": 8,
        "max_body_bytes": 100,
    }
    async with running(echo, **limits) as bench:
        client = await bench.client(request_)
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (status, b"close")
        assert slug in answer.body
        assert await client.end() == b""
        assert not client.reset
        assert (await bench.events.last()).refusal == slug.decode()


async def test_a_head_that_cannot_become_valid_is_refused_for_the_request_it_began(running: Running) -> None:
    """The refusal is the same as for the whole head: in the form of its endpoint, and logged with its method, however
    the bytes arrive."""
    beginning, rest = b"POST /mcp HTTP/1.2\r\nHost: 127.0.0.1", b"\r\nContent-Length: 0\r\n\r\n"
    async with running(echo) as bench:
        bodies = []
        for request in (beginning, beginning + rest):
            answer = await (await bench.client(request)).answer()
            told = await bench.events.last()
            assert (answer.status, told.refusal, told.method) == (505, "version-not-supported", "POST")
            bodies.append(json.loads(answer.body))
        assert bodies[0].keys() == bodies[1].keys() >= {"jsonrpc", "error"}


async def test_a_refusal_keeps_the_connection_where_nothing_is_left_unread(running: Running) -> None:
    """An unknown route is no reason to close."""
    async with running(echo) as bench:
        client = await bench.client(get(b"/@nobody/x"), get(b"/1"))
        first = await client.answer()
        assert (first.status, first.value(b"connection")) == (404, None)
        assert (await client.answer()).body == b"/1 "


@pytest.mark.parametrize("late", [1, 65536])
async def test_what_little_is_left_of_a_refused_body_is_read_over(late: int, running: Running) -> None:
    """The connection goes on behind it: what was refused was the request, not the client."""
    async with running(echo) as bench:
        client = await bench.client(b"POST /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % late)
        refused = await client.answer()
        assert (refused.status, refused.value(b"connection")) == (404, None)
        client.send(bytes(late), get(b"/1"))
        assert (await client.answer()).body == b"/1 "


async def test_a_response_before_the_end_of_a_body_leaves_the_connection_reading_the_body(running: Running) -> None:
    """The connection is ready for a head only once the last byte of the body has come."""
    async with running(echo) as bench:
        client = await bench.client(b"POST /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabcd")
        assert (await client.answer()).status == 404
        connection = bench.connection()
        assert (connection._reading, connection._writing) == (ReadingState.SKIPPED_BODY, WritingState.IDLE)
        assert connection.busy
        connection.close_if_idle()
        client.send(b"efghi")
        await bench.settled(lambda: not connection.busy)
        assert (connection._reading, connection._writing) == (ReadingState.HEAD, WritingState.IDLE)
        client.send(get(b"/1"))
        assert (await client.answer()).body == b"/1 "


@pytest.mark.parametrize(
    "lines", [b"Content-Length: 65537", b"Transfer-Encoding: chunked", b"Content-Length: 2\r\nExpect: 100-continue"]
)
async def test_a_refusal_says_that_it_closes_where_much_may_be_left(lines: bytes, running: Running) -> None:
    """The refusal closes as well if it is unknown whether the rest will come at all."""
    async with running(echo) as bench:
        client = await bench.client(b"POST /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\n", lines, b"\r\n\r\n")
        refused = await client.answer()
        assert (refused.status, refused.value(b"connection")) == (404, b"close")
        assert await client.end() == b""
        assert not client.reset


async def test_a_body_that_stops_behind_its_answer_gets_no_second_one(running: Running) -> None:
    """A 408 would be taken for the answer to the next request."""
    async with running(echo) as bench:
        client = await bench.client(b"POST /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc")
        assert (await client.answer()).status == 404
        bench.sweep(31)
        assert await client.end() == b""


def serve_with(bench: ProxyBench, kind: type[DiscardedBody]) -> None:
    """Every request gets such a handler."""
    bench.forwarder.accept = lambda _request, client, *_: kind(client)  # type: ignore[method-assign]  # of this object


class Faulty(DiscardedBody):
    """A handler that ends the connection, and then fails."""

    def request_data(self, pieces: list[Buffer]) -> None:
        self._client.finish(keep=False)
        raise ValueError("a defect")


async def test_a_defect_after_the_last_response_is_reported_and_sends_nothing(running: Running) -> None:
    """A second response would belong to no request, and nothing can be written any more."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    async with running(echo) as bench:
        serve_with(bench, Faulty)
        client = await bench.client(POST, b"Content-Length: 9\r\n\r\nabc")
        assert await client.end() == b""
        [traceback] = bench.events.defects
        assert "ValueError: a defect" in traceback
        bench.events.events.clear()
    assert not failures


class Late(DiscardedBody):
    """A handler that responds only some time after its request broke."""

    def request_broken(self, error: Refused) -> None:
        pass


async def test_a_response_to_a_request_that_broke_is_the_last_one(running: Running) -> None:
    """A response to a request that broke twice is the last as well, and so is one whose handler would keep the
    connection."""
    async with running(echo) as bench:
        serve_with(bench, Late)
        client = await bench.client(POST, b"Content-Length: 9\r\n\r\nabc")
        await bench.settled(lambda: bool(bench.server.connections) and bench.connection().busy)
        connection = bench.connection()
        assert (connection._reading, connection._writing) == (ReadingState.BODY, WritingState.RESPONSE)
        for _ in range(2):
            connection.end()
            assert (connection._reading, connection._writing) == (ReadingState.NOTHING, WritingState.LAST)
        connection.respond(b"late")
        assert await client.end() == b"late"


async def test_a_refused_upload_still_gets_its_answer(running: Running) -> None:
    """The client goes on sending for a while; it is read over, not reset, and not for ever."""
    async with running(echo, max_body_bytes=100) as bench:
        client = await bench.client(POST, b"Content-Length: 9000000\r\n\r\n", bytes(1_000_000))
        assert (await client.answer()).status == 413
        connection = bench.connection()
        first = connection.deadline = connection.deadline - 1
        client.send(bytes(1_000_000))
        await bench.settled(lambda: first < connection.deadline < NEVER)
        assert not client.reset
        bench.sweep(31)
        await bench.settled(lambda: not bench.server.connections)


async def test_no_more_connections_than_allowed_are_served(running: Running) -> None:
    """One more is told so, and served when another has gone."""
    async with running(echo, max_connections=1) as bench:
        first = await bench.client(get(b"/1"))
        await first.answer()
        second = await bench.client()
        refused = await second.answer()
        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        assert await second.end() == b""
        second.close()
        first.close()
        await bench.settled(lambda: not bench.server.connections)
        assert (await bench.ask(get(b"/3"))).body == b"/3 "


async def test_no_more_connections_than_allowed_come_from_one_address(running: Running) -> None:
    """Counted per address."""
    async with running(echo, max_connections_per_address=1) as bench:
        first = await bench.client(get(b"/1"))
        await first.answer()
        assert (await bench.ask(b"")).status == 503


LIMITS = ConnectionLimits(min_body_rate=100, body_timeout=30.0, send_timeout=60.0)
FREE = replace(LIMITS, min_body_rate=0)


def uploading(*received: tuple[float, int]) -> UploadRate:
    """A body that began at 0, of which so many bytes came at these moments."""
    rate = UploadRate()
    rate.start(0.0)
    for now, size in received:
        rate.note(size, now)
    return rate


@pytest.mark.parametrize(
    ("received", "limits", "says"),
    [
        ([(9.0, 999)], LIMITS, "Under 100 bytes"),
        ([(9.0, 1000)], LIMITS, ""),
        ([(1.0, 500), (9.0, 500)], LIMITS, ""),
        ([], LIMITS, "Under 100 bytes"),
        ([(9.0, 1)], FREE, ""),
        ([(9.0, 999)], replace(LIMITS, body_timeout=1.0), "No byte of the body came for 1 s"),
    ],
)
def test_a_body_comes_at_the_least_rate_over_ten_seconds(
    received: list[tuple[float, int]], limits: ConnectionLimits, says: str
) -> None:
    """One byte too few is too few."""
    error = uploading(*received).check_rate(10.0, limits)
    assert (says in error.detail) if says and error is not None else (error is None and not says)


def test_each_ten_seconds_count_for_themselves() -> None:
    """What came fast before buys no rest."""
    rate = uploading((1.0, 1_000_000))
    assert rate.check_rate(10.0, LIMITS) is None
    assert rate.deadline(LIMITS) == 20.0
    assert rate.check_rate(15.0, LIMITS) is None
    assert rate.check_rate(20.0, LIMITS) is not None


def test_the_deadline_is_the_earlier_of_both() -> None:
    """Silence, or the end of the ten seconds; without a rate only silence counts."""
    rate = uploading((4.0, 1))
    assert (rate.deadline(LIMITS), rate.deadline(FREE)) == (10.0, 34.0)
    assert rate.deadline(replace(LIMITS, body_timeout=2.0)) == 6.0


def test_a_pause_of_ours_begins_again() -> None:
    """Nothing came while nothing was read."""
    rate = uploading()
    rate.start(50.0)
    assert (rate.deadline(LIMITS), rate.check_rate(51.0, LIMITS)) == (60.0, None)


def test_what_is_taken_is_counted_with_what_is_sent() -> None:
    """More to take does not look like less taken; with nothing to take there is nothing to watch."""
    rate = DownloadRate()
    rate.sent = 1000
    assert rate.is_kept(800, 0, 1)
    assert not rate.is_kept(800, 0, 1)
    rate.sent = 2000
    assert rate.is_kept(700, 1000, 100)
    assert not rate.is_kept(1601, 0, 100)
    assert not rate.is_kept(0, 0, 1)


@pytest.mark.parametrize(
    ("limits", "paced", "expected"),
    [
        (LIMITS, True, (10.0, 1000)),
        (LIMITS, False, (60.0, 1)),
        (FREE, True, (60.0, 1)),
        (replace(LIMITS, send_timeout=2.0), True, (2.0, 200)),
    ],
)
def test_a_tool_must_take_so_much(limits: ConnectionLimits, paced: bool, expected: tuple[float, int]) -> None:
    """At the rate where the response is paced, else a byte in `send_timeout`."""
    handler = DiscardedBody(None)  # type: ignore[arg-type]  # it is not asked
    assert least_taken(limits, handler if paced else None) == expected


PAIRS = [*itertools.product(ReadingState, ReadingState), *itertools.product(WritingState, WritingState)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_what_the_table_has_may_follow(old: Any, new: Any) -> None:
    """Any other transition is a defect, and the error names both states."""
    if new in TRANSITIONS[old]:
        assert follow(old, new) is new
    else:
        with pytest.raises(AssertionError, match=f"from {old} to {new}"):
            follow(old, new)


@pytest.mark.parametrize(("kind", "first"), [(ReadingState, ReadingState.HEAD), (WritingState, WritingState.IDLE)])
def test_every_state_can_be_reached_from_the_first(kind: Any, first: Any) -> None:
    """No state of the other direction can be reached."""
    reached, fresh = {first}, {first}
    while fresh:
        fresh = {new for old in fresh for new in TRANSITIONS[old]} - reached
        reached |= fresh
    assert reached == set(kind)


@pytest.mark.parametrize(("kind", "last"), [(ReadingState, ReadingState.CLOSED), (WritingState, WritingState.ENDED)])
def test_every_state_can_end_and_nothing_follows_the_end(kind: Any, last: Any) -> None:
    """The connection may be lost at any moment, which is why the last states are assigned without a check."""
    assert all(last in TRANSITIONS[state] for state in kind if state is not last)
    assert not TRANSITIONS[last]


def test_a_head_follows_only_where_no_body_remains() -> None:
    """Otherwise the rest of a body could be read as a request."""
    assert [old for old in ReadingState if ReadingState.HEAD in TRANSITIONS[old]] == [ReadingState.NOTHING]


def test_behind_a_last_response_there_is_no_other() -> None:
    """What the client sends is no longer understood, so it may not be answered."""
    assert TRANSITIONS[WritingState.LAST] == {WritingState.ENDED}
