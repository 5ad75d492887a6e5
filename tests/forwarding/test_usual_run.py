"""The usual run: a request that is here whole leaves at once, and a response that comes whole is passed on at once.

Neither takes a task, and nothing of them differs from a request that has to wait or a response that comes in pieces.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest

from proxy.audit.capability import WriteTap
from proxy.downstream.ports import Availability
from proxy.errors import NotPermitted
from proxy.events import DefectMet, RequestFinished
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.request_body import ReplayBuffer
from proxy.forwarding.rights import Rights
from proxy.forwarding.sockets import End
from proxy.http1.framing import Buffer
from proxy.http1.response_forms import Recalled
from proxy.upstream.hedging import RESTED
from proxy.upstream.pool import Pool
from tests.support.capabilities import Noted, NotingGate, Plugged
from tests.support.independent_readers import Message
from tests.support.memory_bench import OK, MemoryBench
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.warm_and_cold import ask
from tests.support.wire import GET, HELLO, Wire, answering

pytestmark = pytest.mark.usefixtures("still_ages")
POST = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
DATED = b"Date: Wed, 25 Nov 2026 13:00:00 GMT\r\n"
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
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amz-rid: R1\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
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


@pytest.fixture
def in_one_step(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses of the responses that were passed on in one step, as they are."""
    statuses: list[int] = []
    deliver = Exchange.whole_response

    def noting(self: Exchange, found: Recalled, body: Buffer) -> bool:
        delivered = deliver(self, found, body)
        if delivered:
            statuses.append(found[0].status)
        return delivered

    monkeypatch.setattr(Exchange, "whole_response", noting)
    return statuses


def timeless(event: RequestFinished) -> RequestFinished:
    return replace(event, duration=0.0, upstream=0.0, overhead=0.0)


async def seen(request: bytes, pieces: list[bytes | None], *, waits: bool = False) -> tuple[Any, ...]:
    """What is visible of a request with this response, on a connection that was used before, and of the next request.

    If it `waits`, its token comes only after it.
    """
    bench = MemoryBench()
    answers: list[list[bytes | None]] = [[OK], pieces, [OK]]
    bench.answer = lambda message: answers.pop(0) if answers else [OK]
    client = bench.client()
    for data in (NAMED, request, NAMED):
        bench.tokens.cold = waits and data is request
        client.send(data)
        await bench.rest(client)
    messages = list(bench.messages)
    events = [timeless(event) for event in bench.events.finished]
    connections = [upstream.pipe.closing for upstream in bench.upstreams]
    written = re.sub(rb"Date: [^\r]*", b"Date: today", client.pipe.written)
    told = written, client.pipe.closing, client.pipe.aborted, bench.events.replays
    await bench.stop(client)
    return told, messages, events, connections


EACH_REQUEST = pytest.mark.parametrize(
    "request_",
    [
        pytest.param(request, id=name, marks=() if name in ("get", "post") else pytest.mark.long)
        for name, request in REQUESTS.items()
    ],
)


@EACH_REQUEST
async def test_whole_or_in_pieces_is_the_same(request_: bytes) -> None:
    """To the client, to Amazon, in the events, and for the connections, whatever the response is. Only HTTP/1.0 keeps
    its connection behind chunks that came whole, as it needs their length, and else does not."""
    different = []
    to_count = ("chunked", "several chunks", "no chunks") if request_ == REQUESTS["old and kept"] else ()
    for name, response in RESPONSES.items():
        if name in to_count:
            continue
        whole = await seen(request_, [response])
        for at in (len(response) // 2, -1):
            if await seen(request_, [response[:at], response[at:]]) != whole:
                different.append((name, at))
    assert different == []


ENDS: dict[str, list[bytes | None]] = {
    "no response": [None],
    "half a head": [RESPONSES["usual"][:20], None],
    "half a body": [RESPONSES["usual"][:-2], None],
    "refused token": [RESPONSES["usual"].replace(b"200 OK", b"401 Unauthorized")],
    "whole, then the end": [RESPONSES["usual"], None],
    "whole": [RESPONSES["usual"]],
}


@pytest.mark.parametrize("pieces", ENDS.values(), ids=ENDS)
@EACH_REQUEST
async def test_sent_at_once_or_after_a_wait_is_the_same(request_: bytes, pieces: list[bytes | None]) -> None:
    """What is sent again, and what is reported of it, too."""
    assert await seen(request_, pieces, waits=True) == await seen(request_, pieces)


async def test_which_responses_are_passed_on_in_one_step(in_one_step: list[int]) -> None:
    """The usual ones; those with trailers, errors in their framing, or another try to decide about are not."""
    found = set()
    for name, response in RESPONSES.items():
        in_one_step.clear()
        await seen(NAMED, [response])
        if len(in_one_step) > 2:  # those before and behind it are
            found.add(name)
    assert found >= {"usual", "dated", "empty", "large", "chunked", "not found", "failed"}
    assert found.isdisjoint(
        {"trailed", "broken chunks", "more than chunks", "bad", "moved", "throttled", "unavailable", "interim"}
    )


@pytest.mark.parametrize("size", [8192, 8193, 200_000])
async def test_a_large_body_is_passed_on_as_it_was_read(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a small one is cut out of the read that brought it, and the client gets every byte of both."""
    passed: list[type] = []
    deliver = Exchange.whole_response

    def noting(self: Exchange, found: Recalled, body: Buffer) -> bool:
        passed.append(type(body))
        return deliver(self, found, body)

    monkeypatch.setattr(Exchange, "whole_response", noting)
    bench, body = MemoryBench(), bytes(number % 251 for number in range(size))
    answers = [OK, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body)]
    bench.answer = lambda message: [answers.pop(0)]
    client = bench.client()
    for _ in range(2):
        client.send(NAMED)
        await bench.rest(client)
    assert passed[-1] is (bytes if size == 8192 else memoryview)
    assert client.pipe.written.endswith(b"\r\n\r\n" + body)
    await bench.stop(client)
    assert bench.events.finished[-1].bytes_out == size


async def test_a_usual_request_makes_no_task(in_one_step: list[int]) -> None:
    """Neither for sending nor for the response."""
    bench = MemoryBench()
    client = bench.client()
    client.send(NAMED)
    await bench.rest(client)
    made: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work, **given: made.append(work) or asyncio.Task(work, loop=loop, **given))  # type: ignore[func-returns-value]  # notes it
    client.send(NAMED)
    await bench.rest(client)
    loop.set_task_factory(None)
    assert (made, in_one_step) == ([], [200, 200])
    await bench.stop(client)


@pytest.mark.parametrize("wait", ["connection", "token", "body"])
async def test_a_request_that_waited_is_served_in_one_step_too(wait: str, in_one_step: list[int]) -> None:
    """Its account says how long Amazon took, and what the proxy spent, which is less than all of its time."""
    bench = MemoryBench()
    client = bench.client()
    if wait != "connection":
        client.send(NAMED)
        await bench.rest(client)
        in_one_step.clear()
    bench.tokens.cold = wait == "token"
    client.send(*((POST[:-2], POST[-2:]) if wait == "body" else (NAMED,)))
    await bench.rest(client)
    assert in_one_step == [200]
    account = bench.events.finished[-1]
    assert account.attempts == 1
    assert 0 < account.overhead < account.duration
    assert 0 < account.upstream < account.duration
    await bench.stop(client)


@pytest.mark.parametrize("pieces", [(POST,), (POST[:-2], POST[-2:])], ids=["whole", "in pieces"])
async def test_a_gated_request_that_comes_whole_leaves_as_any_other(
    pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it may still leave is asked again only where something may have changed since it was admitted."""
    asked: list[object] = []
    monkeypatch.setattr(Rights, "check", lambda _self, context, body: asked.append(body))
    noted: Noted = []
    bench = MemoryBench()
    bench.forwarder.apply(
        replace(bench.forwarder.rules, capabilities=(Plugged(gates=(NotingGate(noted),), at_end=True),))
    )
    client = bench.client()
    client.send(POST)  # there is no connection yet
    await bench.rest(client)
    asked.clear()
    client.send(*pieces)
    await bench.rest(client)
    assert asked == ([] if len(pieces) == 1 else [b"{}"])
    assert noted == [("gate", "read", b"{}")] * 2
    account = bench.events.finished[-1]
    assert (account.attempts, account.bytes_in, bench.sent[-1][-2:]) == (1, 2, b"{}")
    assert 0 < account.overhead < account.duration
    assert 0 < account.upstream < account.duration
    await bench.stop(client)


async def test_no_other_body_leaves_than_the_one_that_gates_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may read it before the connection gives it to the request: a difference would be a defect."""
    bench = MemoryBench()
    bench.forwarder.apply(replace(bench.forwarder.rules, capabilities=(Plugged(gates=(NotingGate([]),), at_end=True),)))
    client = bench.client()
    client.send(POST)
    await bench.rest(client)
    monkeypatch.setattr(ReplayBuffer, "data", property(lambda _: [b"[]"]))
    client.send(POST)
    await bench.rest(client)
    assert client.pipe.written.count(b"HTTP/1.1 500 ") == 1
    assert len(bench.sent) == 1
    assert [isinstance(event, DefectMet) for event in bench.events.events].count(True) == 1
    bench.events.events = [event for event in bench.events.events if not isinstance(event, DefectMet)]
    await bench.stop(client)


@pytest.mark.parametrize("waits", [False, True])
async def test_gates_read_a_body_once(waits: bool) -> None:
    """Also where they read it with the head, and the request then waits, or is refused."""
    noted: Noted = []
    bench = MemoryBench()
    gate = NotingGate(noted)
    bench.forwarder.apply(replace(bench.forwarder.rules, capabilities=(Plugged(gates=(gate,), at_end=True),)))
    client = bench.client()
    client.send(POST)
    await bench.rest(client)
    noted.clear()
    if waits:
        gate.go = asyncio.get_running_loop().create_future()
        gate.go.set_result(None)
    else:
        gate.refusal = NotPermitted("Not this one.")
    client.send(POST)
    await bench.rest(client)
    assert noted == [("gate", "read", b"{}"), *([("gate", "wait")] * waits)]
    account = bench.events.finished[-1]
    assert (account.status, account.attempts, account.bytes_in) == ((200, 1, 2) if waits else (403, 0, 2))
    assert len(bench.sent) == 1 + waits
    await bench.stop(client)


async def test_a_request_on_a_connection_that_rested_is_not_sent_in_one_step(
    in_one_step: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may have died unnoticed: the request is hedged."""
    bench = MemoryBench()
    client = bench.client()
    client.send(NAMED)
    await bench.rest(client)
    in_one_step.clear()
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 1000.0 + RESTED)
    client.send(NAMED)
    await bench.rest(client)
    assert (in_one_step, bench.events.finished[-1].status) == ([], 200)
    await bench.stop(client)


async def test_a_client_that_takes_nothing_is_not_written_to_in_one_step(in_one_step: list[int]) -> None:
    """The response waits in the connection to Amazon."""
    bench = MemoryBench()
    client = bench.client()
    client.send(NAMED)
    await bench.rest(client)
    in_one_step.clear()

    def full(message: Message) -> list[bytes | None]:
        client.pipe.protocol.pause_writing()
        return [OK]

    bench.answer = full
    client.send(NAMED)
    await bench.rest(client)
    assert not in_one_step
    assert bench.upstreams[0].pipe.paused
    client.pipe.protocol.resume_writing()
    await bench.rest(client)
    assert bench.events.finished[-1].status == 200
    await bench.stop(client)


async def test_a_client_that_disconnects_before_the_response_is_counted() -> None:
    """The connection to Amazon is given up, and bytes that still come on it go nowhere."""
    bench = MemoryBench()
    client = bench.client()
    client.send(NAMED)
    await bench.rest(client)
    bench.answer = lambda message: []
    client.send(NAMED)
    await bench.rest(client)
    client.leave()
    await bench.rest(client)
    bench.upstreams[0].pipe.protocol.data_received(OK)
    last = bench.events.finished[-1]
    assert (last.status, last.fault, last.attempts) == (0, "client-gone", 1)
    await bench.stop(client)


@pytest.mark.parametrize(
    ("owner", "name"), [(Exchange, "whole_response"), (Pool, "take_warm")], ids=["deliver", "send"]
)
async def test_a_defect_in_the_usual_run_is_a_500(
    monkeypatch: pytest.MonkeyPatch, owner: type[object], name: str
) -> None:
    """It is reported once, and the client gets a response."""
    bench = MemoryBench()
    client = bench.client()
    client.send(NAMED)
    await bench.rest(client)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(owner, name, fail)
    client.send(NAMED)
    await bench.rest(client)
    assert client.pipe.written.count(b"HTTP/1.1 500 ") == 1
    assert len(bench.events.defects) == 1
    bench.events.events = [event for event in bench.events.events if not isinstance(event, DefectMet)]
    await bench.stop(client)


@pytest.mark.parametrize("size", [10, 20000])
async def test_a_last_write_that_the_client_does_not_take_holds_no_connection(size: int) -> None:
    """The response is over then: the connection to Amazon serves another request."""
    bench = MemoryBench()
    bench.answer = lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size]
    client = bench.client()

    def full(_: bytes) -> None:
        client.pipe.protocol.pause_writing()

    for number in range(1, 8):
        client.pipe.heard = full if number > 3 else lambda _: None
        client.send(GET)
        await bench.rest(client)
        assert len(client.pipe.written) > number * size
        assert not bench.upstreams[0].pipe.paused
        client.pipe.protocol.resume_writing()
    assert len(bench.upstreams) == 1
    await bench.stop(client)


# --- over sockets


async def warmed(bench: ProxyBench, request: bytes = GET) -> Wire:
    """A client whose requests of this kind are decided, with a connection to Amazon."""
    client = await bench.client()
    assert await ask(client, request, 3) == [200] * 3
    return client


async def test_an_unanswered_write_is_timed_out(running: Running) -> None:
    """A write that has left is not sent again."""

    async def script(wire: Wire) -> None:
        for _ in range(3):
            await wire.request()
            wire.send(HELLO)
        await wire.end()

    async with running(script, response_timeout=5.0) as bench:
        client = await warmed(bench, POST)
        client.send(POST)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.sweep(6.0)
        assert (await client.answer()).status == 504


NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)
"""asyncio's own event loop does not say that a client does not read (CVE-2024-12254); uvloop's does."""


async def test_a_client_that_does_not_read_gets_all_of_it_in_the_end(running: Running) -> None:
    """Bytes that the socket does not take wait in its buffer, and the connection serves the next request then."""
    if NEVER_PAUSES and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        pytest.skip("this Python's asyncio has CVE-2024-12254")
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 120000\r\n\r\n" + b"x" * 120000)) as bench:
        client = await warmed(bench)
        client.transport.pause_reading()
        connection = bench.connection()
        client.send(*[GET] * 100)
        await bench.settled(lambda: not connection.writable)
        client.transport.resume_reading()
        for _ in range(100):
            assert len((await client.answer()).body) == 120000


async def test_an_upstream_that_does_not_read_gets_all_of_the_body(running: Running) -> None:
    """A body that the socket does not take at once is sent as it is taken."""
    body = b"y" * 200000
    post = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            wire.transport.pause_reading()
            for _ in range(50):
                await asyncio.sleep(0)
            wire.transport.resume_reading()
            assert (await wire.body(head))[0] == body
            wire.send(HELLO)

    async with running(script) as bench:
        assert await ask(await bench.client(), post, 6) == [200] * 6


async def test_draining_closes_the_connection_with_its_last_response(running: Running) -> None:
    """Also when the request was sent before."""
    gate, asked = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        for number in range(5):
            await wire.request()
            if number == 3:
                asked.set()
                await gate.wait()
            wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        client = await warmed(bench)
        client.send(GET)
        await asked.wait()
        bench.forwarder.availability = Availability.DRAINING
        gate.set()
        assert (await client.answer()).value(b"connection") == b"close"
        await client.end()
        assert (await bench.ask(GET)).value(b"connection") == b"close"


async def test_a_body_that_is_too_large_is_refused_on_a_warm_connection(running: Running) -> None:
    """The limit holds for each request, whatever was decided about those before."""
    post = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n1"
    async with running(answering(HELLO), max_body_bytes=1) as bench:
        client = await warmed(bench, post)
        assert await ask(client, post.replace(b"Length: 1", b"Length: 2") + b"2") == [413]


async def test_a_remembered_429_holds_for_what_it_limits_and_no_more(running: Running) -> None:
    """Another profile's requests go on as they did."""
    refused = False

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            limited = refused and b"Scope: 1\r\n" in head
            wire.send(b"HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n" if limited else HELLO)

    one, two = (GET[:-2] + b"Amazon-Advertising-API-Scope: %d\r\n\r\n" % number for number in (1, 2))
    async with running(script) as bench:
        client = await bench.client()
        assert await ask(client, one, 3) + await ask(client, two, 3) == [200] * 6
        refused = True
        assert await ask(client, one, 2) + await ask(client, two, 2) == [429, 429, 200, 200]
        assert len(bench.upstream.wires[0].received.split(b"Scope: 1\r\n")) == 5


async def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    """A malformed one behind a good one, too."""
    async with running(answering(HELLO)) as bench:
        client = await warmed(bench)
        client.send(GET, GET)
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        client.send(GET, b"\x00\r\n\r\n")
        assert [(await client.answer()).status for _ in range(2)] == [200, 400]


async def test_a_head_that_came_before_waits_for_its_body(running: Running) -> None:
    """However often it came with one; nothing leaves before the body is here."""
    head = POST[:-2]
    async with running(answering(HELLO)) as bench:
        client = await warmed(bench, POST)
        client.send(head)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert await ask(client, b"{}") == [200]
        assert await ask(client, POST) == [200]


class Halves:
    """An upstream whose responses come in two halves: the second one when it is let out."""

    def __init__(self) -> None:
        self.let_out = asyncio.Event()
        self.let_out.set()
        self.second = b"world"

    async def script(self, wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\n" + DATED + b"Content-Length: 10\r\n\r\nhello")
            await self.let_out.wait()
            wire.send(self.second)

    async def begun(self, bench: ProxyBench) -> Wire:
        """A client that has the first half of a response, and waits for the second."""
        client = await warmed(bench)
        self.let_out.clear()
        client.send(GET)
        await client.take_until(b"\r\n\r\nhello")
        return client


async def test_a_body_in_several_reads_is_passed_on_as_it_comes(running: Running) -> None:
    """The first half is with the client before the second is sent."""
    halves = Halves()
    async with running(halves.script) as bench:
        client = await halves.begun(bench)
        halves.let_out.set()
        assert await client.take(5) == b"world"
        event = await bench.events.last(4)
        assert (event.status, event.bytes_out, event.fault) == (200, 10, "")


async def test_a_client_that_disconnects_during_a_body_is_counted(running: Running) -> None:
    """With the bytes that were passed on."""
    halves = Halves()
    async with running(halves.script) as bench:
        client = await halves.begun(bench)
        client.abort()
        event = await bench.events.last(4)
        assert (event.status, event.bytes_out, event.fault) == (200, 5, "client-gone")


async def test_a_body_that_stops_is_timed_out(running: Running) -> None:
    """The client sees that its response is cut."""
    halves = Halves()
    async with running(halves.script, idle_timeout=5.0) as bench:
        client = await halves.begun(bench)
        bench.sweep(6.0)
        assert await client.end() == b""
        event = await bench.events.last(4)
        assert (event.status, event.fault) == (200, "upstream-timeout")


async def test_bytes_behind_a_body_are_not_passed_on(running: Running) -> None:
    """They belong to no response, and their connection is not used again."""
    halves = Halves()
    async with running(halves.script) as bench:
        client = await halves.begun(bench)
        halves.second = b"worldHTTP/1.1 200 OK"
        halves.let_out.set()
        assert await client.take(5) == b"world"
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
        assert (await bench.events.last(4)).bytes_out == 10


async def test_a_client_that_is_slow_during_a_body_holds_it_up(running: Running) -> None:
    """Amazon's connection is read no further, and all of the body arrives in the end."""
    size = 24_000_000

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)

    async with running(script) as bench:
        client = await bench.client(GET)
        assert len((await client.answer()).body) == size
        client.transport.pause_reading()
        client.send(GET)
        await bench.settled(lambda: not bench.connection().writable)
        client.transport.resume_reading()
        assert len((await client.answer()).body) == size
        assert (await bench.events.last(2)).bytes_out == size


async def test_closing_during_a_body_closes_behind_it(running: Running) -> None:
    """The head was sent before: the connection just ends."""
    halves = Halves()
    async with running(halves.script) as bench:
        client = await halves.begun(bench)
        bench.forwarder.availability = Availability.CLOSING
        halves.let_out.set()
        assert await client.end() == b"world"


async def test_what_a_tap_measures_early_does_not_lose_the_time_at_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap that looks at the account before the request leaves: the wait for Amazon is still Amazon's."""
    take = WriteTap.request_data

    def looking(self: WriteTap, pieces: list[Buffer]) -> None:
        assert not self._context.stats.sent_at
        take(self, pieces)

    monkeypatch.setattr(WriteTap, "request_data", looking)
    bench = MemoryBench()
    client = bench.client()
    client.send(POST)
    await bench.rest(client)
    bench.answer = lambda message: []
    client.send(POST)
    await bench.rest(client)
    began = perf_counter()
    bench.upstreams[-1].send(OK)
    await bench.rest(client)
    event = bench.events.finished[-1]
    assert event.status == 200
    assert 0 < event.upstream <= event.duration - event.overhead
    assert event.upstream > event.duration - (perf_counter() - began) - event.overhead


async def test_a_defect_of_a_tap_at_the_end_costs_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is over, is told, and counts no longer among those in flight."""

    def fail(self: WriteTap, end: End) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(WriteTap, "ended", fail)
    bench = MemoryBench()
    client = bench.client()
    for _ in range(2):
        client.send(POST)
        await bench.rest(client)
    assert client.pipe.written.count(b"HTTP/1.1 200 OK") == 2
    assert bench.accounting.in_flight == 0
    assert [event.status for event in bench.events.finished] == [200, 200]
    assert [event.where for event in bench.events.events if isinstance(event, DefectMet)] == ["tap", "tap"]
