"""A response that comes whole is handed on in one step: nothing of it differs from one that comes in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.events import DefectMet, RequestFinished
from proxy.forwarding import forwarder
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.plain_exchange import PlainExchange, WholeAttempt
from tests.fuzz.reading import Message
from tests.support.memory_bench import OK, MemoryBench
from tests.support.wire import GET

NAMED = GET[:-2] + b"X-Request-Id: r1\r\n\r\n"
BODY = b"Content-Length: 5\r\n\r\nhello"
REQUESTS = {
    "get": NAMED,
    "head": NAMED.replace(b"GET", b"HEAD"),
    "old": NAMED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "old and kept": NAMED.replace(b"HTTP/1.1", b"HTTP/1.0")[:-2] + b"Connection: keep-alive\r\n\r\n",
    "last": NAMED[:-2] + b"Connection: close\r\n\r\n",
    "post": NAMED.replace(b"GET", b"POST")[:-2] + b"Content-Length: 3\r\n\r\nabc",
    "empty chunked post": NAMED.replace(b"GET", b"POST")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "large post": NAMED.replace(b"GET", b"POST")[:-2] + b"Content-Length: 20000\r\n\r\n" + b"a" * 20000,
    "report": NAMED.replace(b"/v2/profiles", b"/v2/sp/campaigns/report"),
}
RESPONSES = {
    "usual": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-amz-rid: R1\r\n" + BODY,
    "dated": b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 13:00:00 GMT\r\n" + BODY,
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "large": b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"b" * 9000,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "several chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "no chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "trailed": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n",
    "more than chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n",
    "last": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + BODY,
    "too long": b"HTTP/1.1 200 OK\r\n" + BODY + b"more",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n" + BODY,
    "moved": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n" + BODY,
    "bad": b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n" + BODY,
    "not found": b"HTTP/1.1 404 Not Found\r\n" + BODY,
    "time-out": b"HTTP/1.1 408 Request Timeout\r\n" + BODY,
    "too large": b"HTTP/1.1 413 Content Too Large\r\n" + BODY,
    "throttled": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n" + BODY,
    "failed": b"HTTP/1.1 500 Internal Server Error\r\n" + BODY,
    "unavailable": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n" + BODY,
    "malformed": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "no response": b"HTTP/1.1 2x0 OK\r\n" + BODY,
    "location in a body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n"
    b'{"location":"http://x.test/y"}',
}


@pytest.fixture(autouse=True)
def ages_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection to Amazon rests, or grows old."""
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 1000.0)


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The statuses of the responses that went in one step, as they do."""
    seen: list[int] = []
    pass_on = PlainExchange.pass_on

    def noting(self: PlainExchange, response: Any, body: bytes) -> None:
        seen.append(response.status)
        pass_on(self, response, body)

    monkeypatch.setattr(PlainExchange, "pass_on", noting)
    yield seen


def timeless(event: RequestFinished) -> RequestFinished:
    return replace(event, duration=0.0, upstream=0.0, overhead=0.0)


async def seen(request: bytes, pieces: list[bytes | None]) -> tuple[Any, ...]:
    """What there is to see of a request that is answered so, on a connection that was used before, and of the next."""
    bench = MemoryBench(fast_path=False)
    answers: list[list[bytes | None]] = [[OK], pieces, [OK]]
    bench.answer = lambda message: answers.pop(0) if answers else [OK]
    tool = bench.tool()
    for data in (NAMED, request, NAMED):
        tool.send(data)
        await bench.rest(tool)
    messages = list(bench.messages)
    events = [timeless(event) for event in bench.events.finished]
    connections = [upstream.pipe.closing for upstream in bench.upstreams]
    written = re.sub(rb"Date: [^\r]*", b"Date: today", tool.pipe.written)
    told = written, tool.pipe.closing, tool.pipe.aborted, bench.events.replays
    await bench.stop(tool)
    return told, messages, events, connections


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_whole_or_in_pieces_is_the_same(request_: bytes, response: bytes) -> None:
    """To the tool, to Amazon, in what is told of it, and for the connections."""
    whole = await seen(request_, [response])
    half = len(response) // 2
    assert await seen(request_, [response[:half], response[half:]]) == whole
    assert await seen(request_, [response[:-1], response[-1:]]) == whole


ENDS: dict[str, list[bytes | None]] = {
    "no response": [None],
    "half a head": [RESPONSES["usual"][:20], None],
    "half a body": [RESPONSES["usual"][:-2], None],
    "refused token": [RESPONSES["usual"].replace(b"200 OK", b"401 Unauthorized")],
    "whole, then the end": [RESPONSES["usual"], None],
}


@pytest.mark.parametrize("pieces", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_what_goes_wrong_is_dealt_with_as_by_any_exchange(
    monkeypatch: pytest.MonkeyPatch, request_: bytes, pieces: list[bytes | None]
) -> None:
    """What is sent again, and what is told of it."""
    usual = await seen(request_, pieces)
    monkeypatch.setattr(forwarder, "PlainExchange", Exchange)
    assert await seen(request_, pieces) == usual


async def test_the_usual_response_goes_in_one_step(passed_on: list[int]) -> None:
    """Which ones do is seen here; all others are told bit by bit."""
    in_one_step = set()
    for name, response in RESPONSES.items():
        passed_on.clear()
        await seen(NAMED, [response])
        if len(passed_on) > 1:
            in_one_step.add(name)
    assert in_one_step >= {"usual", "dated", "empty", "large", "chunked", "not found", "failed"}
    assert in_one_step.isdisjoint(
        {
            "trailed",
            "broken chunks",
            "more than chunks",
            "bad",
            "moved",
            "throttled",
            "unavailable",
            "no content",
            "interim",
        }
    )


async def test_a_tool_that_takes_nothing_is_not_written_to_in_one_step(passed_on: list[int]) -> None:
    """The response waits in the connection to Amazon, as any other."""
    bench = MemoryBench(fast_path=False)
    tool = bench.tool()
    tool.send(NAMED)
    await bench.rest(tool)

    def full(message: Message) -> list[bytes | None]:
        tool.pipe.protocol.pause_writing()
        return [OK]

    bench.answer = full
    tool.send(NAMED)
    await bench.rest(tool)
    assert not passed_on
    assert bench.upstreams[0].pipe.paused
    tool.pipe.protocol.resume_writing()
    await bench.rest(tool)
    assert bench.events.finished[-1].status == 200
    await bench.stop(tool)


async def test_a_tool_that_leaves_before_the_response_is_told_of(passed_on: list[int]) -> None:
    """The connection to Amazon is given up, and what still comes on it is nobody's."""
    bench = MemoryBench(fast_path=False)
    tool = bench.tool()
    tool.send(NAMED)
    await bench.rest(tool)
    bench.answer = lambda message: []
    tool.send(NAMED)
    await bench.rest(tool)
    tool.leave()
    await bench.rest(tool)
    bench.upstreams[0].pipe.protocol.data_received(OK)
    assert not passed_on
    assert bench.events.finished[-1].fault == "client-gone"
    await bench.stop(tool)


async def test_a_defect_in_the_one_step_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tool waits for ever for what went wrong here."""
    bench = MemoryBench(fast_path=False)
    tool = bench.tool()
    tool.send(NAMED)
    await bench.rest(tool)

    def fail(self: WholeAttempt, data: bytes) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(WholeAttempt, "recognise", fail)
    tool.send(NAMED)
    await bench.rest(tool)
    assert tool.pipe.written.count(b"HTTP/1.1 500 ") == 1
    assert bench.events.defects
    bench.events.events = [event for event in bench.events.events if not isinstance(event, DefectMet)]
    await bench.stop(tool)
