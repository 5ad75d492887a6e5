"""Gates and taps of the tests' own: what they are told and when, and what they can do to a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.errors import NotPermitted, Throttled
from proxy.events import SpendJudgement, SpendMode, SpendVerdict
from proxy.forwarding.decision import RequestContext
from proxy.forwarding.sockets import Filter, Reading, own_answer
from proxy.http1.message import Response
from tests.support.capabilities import BETTER, Noted, NotingGate, NotingTap, Plugged, plug
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

POST = b"POST /v2/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = HELLO.replace(b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
MCP = POST.replace(b"/v2/x", b"/mcp")
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
DUPLICATE = b"HTTP/1.1 425 Too Early\r\nContent-Length: 9\r\n\r\nduplicate"


JUDGED = SpendJudgement(SpendMode.OBSERVE, SpendVerdict.UNREADABLE, unread=("The body is a test.",))


class JudgingGate(NotingGate):
    """Notes a judgement for the account of each request."""

    def __init__(self, context: RequestContext) -> None:
        super().__init__([])
        context.stats.judged = JUDGED


@asynccontextmanager
async def plugged(running: Running, capability: Plugged, *answers: bytes) -> AsyncIterator[ProxyBench]:
    """The bench with this one capability, and Amazon's answers."""
    async with running(answering(*answers)) as bench:
        plug(bench, capability)
        yield bench


# --- taps


@pytest.mark.parametrize("answer", [HELLO, CHUNKED], ids=["counted", "chunked"])
async def test_a_tap_sees_a_request_pass_in_order(answer: bytes, running: Running) -> None:
    """The request's body and its end, Amazon's answer as it begins and as it passes, and the end with the copy."""
    noted: Noted = []
    async with plugged(running, Plugged(taps=(NotingTap(noted, copies=100),)), answer) as bench:
        got = await bench.ask(POST)
        assert (got.status, got.body) == (200, b"hello")
        assert bytes(bench.upstream.wires[0].received).endswith(b"\r\n\r\nabc")
        await bench.events.last()
    assert noted == [
        ("tap", "request_data", b"abc"),
        ("tap", "request_ended"),
        ("tap", "holds", 200),
        ("tap", "began", 200),
        ("tap", "response_data", b"hello"),
        ("tap", "response_ended"),
        ("tap", "ended", 200, None, b"hello", True),
    ]


async def test_a_tap_for_the_end_alone_costs_a_plain_request_no_call_before(running: Running) -> None:
    """A response that comes whole is passed on in one step, and the tap gets it with the end."""
    noted: Noted = []
    async with plugged(running, capability := Plugged(taps=(NotingTap(noted),), at_end=True), HELLO) as bench:
        client = await bench.client()
        for _ in range(2):  # the first one makes the connection
            del noted[:]
            client.send(GET)
            assert (await client.answer()).body == b"hello"
        await bench.events.last(2)
        assert capability.decisions[0].is_plain
    assert noted == [("tap", "ended", 200, None, b"hello", True)]


@pytest.mark.parametrize(("copies", "body"), [(-1, None), (3, None), (5, b"hello")])
async def test_a_copy_is_whole_or_there_is_none(copies: int, body: bytes | None, running: Running) -> None:
    """A tap says how many bytes it can use; the client gets all of them anyway."""
    noted: Noted = []
    async with plugged(running, Plugged(taps=(NotingTap(noted, copies=copies),)), HELLO) as bench:
        assert (await bench.ask()).body == b"hello"
        await bench.events.last()
    assert noted[-1] == ("tap", "ended", 200, None, body, True)


async def test_several_taps_are_told_in_the_order_of_their_capabilities(running: Running) -> None:
    """Each gets its own copy of what passes, as large as the largest that one of them wants."""
    noted: Noted = []
    first, second = NotingTap(noted, "first", copies=1), NotingTap(noted, "second", copies=100)
    async with running(answering(HELLO)) as bench:
        plug(bench, Plugged(taps=(first,)), Plugged(taps=(second,)))
        assert (await bench.ask()).body == b"hello"
        await bench.events.last()
    assert [name for name, *_ in noted] == ["first", "second"] * (len(noted) // 2)
    assert noted[-2:] == [(name, "ended", 200, None, b"hello", True) for name in ("first", "second")]


@pytest.mark.parametrize(
    ("request_", "begun", "cut"),
    [
        (GET, HELLO.replace(b"Length: 5", b"Length: 50"), None),
        (MCP, EVENTS, 200),
    ],
    ids=["response", "event stream"],
)
async def test_a_response_that_was_cut_off_is_none(
    request_: bytes, begun: bytes, cut: int | None, running: Running
) -> None:
    """The client left before the last byte. Of MCP's event streams the tap gets the head, as their answer may be
    there."""
    noted: Noted = []

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(begun)
        await wire.end()

    async with running(script) as bench:
        plug(bench, Plugged(taps=(NotingTap(noted, copies=100),)))
        client = await bench.client(request_)
        await client.take_until(b"hello")
        client.abort()
        assert (await bench.events.last()).fault == "client-gone"
    assert noted[-1] == ("tap", "ended", None, cut, b"hello", True)


async def test_a_request_that_never_left_is_told_as_not_sent(running: Running) -> None:
    """Amazon cannot be reached."""
    noted: Noted = []
    async with plugged(running, Plugged(taps=(NotingTap(noted),)), HELLO) as bench:
        bench.upstream.go_away()
        assert (await bench.ask()).status == 502
        await bench.events.last()
    assert noted == [("tap", "ended", None, None, None, False)]


async def test_a_held_response_is_replaced(running: Running) -> None:
    """The client gets the better answer alone, and its connection is used again; the account has both statuses."""
    noted: Noted = []
    tap = NotingTap(noted, held=425, better=BETTER)
    async with plugged(running, Plugged(taps=(tap,)), DUPLICATE, HELLO) as bench:
        client = await bench.client(GET)
        got = await client.answer()
        assert (got.status, got.body, got.value(b"x-own")) == (200, b"better", b"1")
        event = await bench.events.last()
        assert (event.status, event.upstream_status, event.attempts) == (200, 425, 1)
        assert (event.detail, event.bytes_out) == ("the test answered", len(b"better"))
        assert [call[1] for call in noted][:2] == ["holds", "replace"]
        assert noted[-1][:3] == ("tap", "ended", 200)
        client.send(GET)
        assert (await client.answer()).body == b"hello"


async def test_a_held_response_that_is_not_replaced_passes_as_it_came(running: Running) -> None:
    """Every byte of it, and the tap sees it begin then."""
    noted: Noted = []
    async with plugged(running, Plugged(taps=(NotingTap(noted, held=425),)), DUPLICATE) as bench:
        got = await bench.ask()
        assert (got.status, got.body) == (425, b"duplicate")
        await bench.events.last()
    names = [call[1] for call in noted]
    assert names == ["holds", "replace", "began", "response_data", "response_ended", "ended"]


async def test_a_defect_in_replacing_is_a_500(running: Running) -> None:
    """The defect is reported, and the client gets a response."""
    tap = NotingTap([], held=425, better=ZeroDivisionError())
    async with plugged(running, Plugged(taps=(tap,)), DUPLICATE) as bench:
        assert (await bench.ask()).status == 500
        assert ["ZeroDivisionError" in text for text in bench.events.defects] == [True]
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_an_account_waits_for_what_a_tap_still_reads(running: Running) -> None:
    """The client does not: it has its response, and what was read is settled first."""
    async with running(answering(HELLO)) as bench:
        read: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        settled: list[str] = []
        tap = NotingTap([], reading=Reading(read, lambda: settled.append(read.result())))
        plug(bench, Plugged(taps=(tap,)))
        assert (await bench.ask()).body == b"hello"
        assert (bench.events.finished, bench.accounting.in_flight) == ([], 1)
        read.set_result("what it says")
        assert (await bench.events.last()).status == 200
        assert settled == ["what it says"]


# --- gates


async def test_gates_read_in_their_order_before_anything_leaves(running: Running) -> None:
    """The whole body, once each; then the request goes on as it came."""
    noted: Noted = []
    async with running(answering(HELLO)) as bench:
        plug(bench, *(Plugged(gates=(NotingGate(noted, name),)) for name in ("first", "second")))
        client = await bench.client(POST[:-2])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert (noted, bench.upstream.wires) == ([], [])
        client.send(POST[-2:])
        assert (await client.answer()).body == b"hello"
        assert bytes(bench.upstream.wires[0].received).endswith(b"\r\n\r\nabc")
    assert noted == [("first", "read", b"abc"), ("second", "read", b"abc")]


async def test_the_first_gate_that_refuses_ends_the_request(running: Running) -> None:
    """The others do not read it, nothing leaves, and the next request on the connection is asked again."""
    noted: Noted = []
    refusing = NotingGate(noted, "first", refusal=NotPermitted("Not this one."))
    async with running(answering(HELLO)) as bench:
        plug(bench, Plugged(gates=(refusing, NotingGate(noted, "second"))))
        client = await bench.client(POST)
        assert (await client.answer()).status == 403
        event = await bench.events.last()
        assert (event.refusal, event.detail, event.attempts) == ("not-permitted", "Not this one.", 0)
        assert (noted, bench.upstream.wires) == ([("first", "read", b"abc")], [])
        refusing.refusal = None
        client.send(POST)
        assert (await client.answer()).body == b"hello"


@asynccontextmanager
async def waited_for(running: Running, noted: Noted) -> AsyncIterator[tuple[ProxyBench, Wire, NotingGate]]:
    """A request that its gate has wait, and a second gate that does not wait."""
    async with running(answering(HELLO)) as bench:
        gate = NotingGate(noted, go=asyncio.get_running_loop().create_future())
        plug(bench, Plugged(gates=(gate, NotingGate(noted, "second"))))
        client = await bench.client(POST)
        await bench.settled(lambda: ("gate", "wait") in noted)
        assert not bench.upstream.wires
        yield bench, client, gate


async def test_a_gate_lets_a_request_wait(running: Running) -> None:
    """After all have read it; it leaves when the wait is over."""
    noted: Noted = []
    async with waited_for(running, noted) as (bench, client, gate):
        assert gate.go is not None
        gate.go.set_result(None)
        assert (await client.answer()).body == b"hello"
        assert bytes(bench.upstream.wires[0].received).endswith(b"\r\n\r\nabc")
    assert noted == [("gate", "read", b"abc"), ("second", "read", b"abc"), ("gate", "wait")]


async def test_a_gate_answers_instead_of_amazon(running: Running) -> None:
    """Nothing leaves, the account has the note, and the connection stays."""
    async with waited_for(running, []) as (bench, client, gate):
        assert gate.go is not None
        gate.go.set_result(BETTER)
        got = await client.answer()
        assert (got.status, got.body, got.value(b"x-own")) == (200, b"better", b"1")
        event = await bench.events.last()
        assert (event.status, event.upstream_status, event.attempts) == (200, 0, 0)
        assert (event.detail, event.bytes_in, event.bytes_out) == ("the test answered", 3, len(b"better"))
        client.send(POST)  # the wait is over for it, too: the gate answers the same
        assert (await client.answer()).body == b"better"
        assert not bench.upstream.wires


async def test_a_gate_refuses_after_a_wait(running: Running) -> None:
    """With its own status, and nothing leaves."""
    async with waited_for(running, []) as (bench, client, gate):
        assert gate.go is not None
        gate.go.set_result(Throttled("Orders wait too long; try again.", retry_after=7))
        got = await client.answer()
        assert (got.status, got.value(b"retry-after")) == (429, b"7")
        assert (await bench.events.last()).attempts == 0
        assert not bench.upstream.wires


class Shouting:
    """Implements `Rewrite` and `Filter`: the body in capitals, and a header line of its own."""

    reads_bodies = True

    def section(self, passing: bytes) -> bytes:
        return passing + b"X-Shouted: 1\r\n"

    def filter(self, response: Response) -> Filter | None:
        return self

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


async def test_a_gates_tap_and_rewrite_follow_its_request(running: Running) -> None:
    """The tap is told of the request, and the end; the client gets the other section and the other bytes."""
    noted: Noted = []
    gate = NotingGate(noted, tap=NotingTap(noted, copies=100), rewrite=Shouting())
    async with plugged(running, Plugged(gates=(gate,)), HELLO) as bench:
        got = await bench.ask(POST)
        assert (got.body, got.value(b"x-shouted"), got.value(b"content-length")) == (b"HELLO!", b"1", None)
        assert b"Accept-Encoding: identity\r\n" in bytes(bench.upstream.wires[0].received)
        await bench.events.last()
    assert noted[:2] == [("gate", "read", b"abc"), ("tap", "request_data", b"abc")]
    assert noted[-1] == ("tap", "ended", 200, None, b"hello", True)


async def test_a_gates_tap_hears_of_the_end_of_a_refused_request(running: Running) -> None:
    """Nothing was sent."""
    noted: Noted = []
    gate = NotingGate(noted, refusal=NotPermitted("Not this one."), tap=NotingTap(noted))
    async with plugged(running, Plugged(gates=(gate,)), HELLO) as bench:
        assert (await bench.ask(POST)).status == 403
    assert noted == [("gate", "read", b"abc"), ("tap", "ended", None, None, None, False)]


async def test_what_passed_its_gates_leaves_in_one_step(running: Running) -> None:
    """The tap of a gate gets a response that comes whole with the end, as every tap for the end alone."""
    noted: Noted = []
    gate = NotingGate(noted, tap=NotingTap(noted))
    async with plugged(running, capability := Plugged(gates=(gate,), at_end=True), HELLO) as bench:
        client = await bench.client()
        for _ in range(2):  # the first one makes the connection
            del noted[:]
            client.send(POST)
            assert (await client.answer()).body == b"hello"
        await bench.events.last(2)
        [decision] = capability.decisions
        assert (decision.in_one_step, decision.is_plain) == (True, False)
    assert noted == [
        ("gate", "read", b"abc"),
        ("tap", "request_data", b"abc"),
        ("tap", "request_ended"),
        ("tap", "ended", 200, None, b"hello", True),
    ]


@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
async def test_a_gate_reads_each_request_of_a_remembered_head(request_: bytes, running: Running) -> None:
    """However often its head came before; one that is refused does not leave."""
    noted: Noted = []
    gate = NotingGate(noted)
    async with plugged(running, Plugged(gates=(gate,), at_end=True), HELLO) as bench:
        client = await bench.client()
        for _ in range(4):
            client.send(request_)
            assert (await client.answer()).body == b"hello"
        assert len(bench.forwarder.admissions._kept) == 1
        gate.refusal = NotPermitted("Not this one.")
        client.send(request_)
        assert (await client.answer()).status == 403
        assert bytes(bench.upstream.wires[0].received).count(b" HTTP/1.1\r\n") == 4
    assert [name for name, *_ in noted] == ["gate"] * 5


@pytest.mark.parametrize("at_end", [True, False], ids=["in one step", "in steps"])
async def test_what_a_gate_says_of_a_request_is_in_its_account(at_end: bool, running: Running) -> None:
    """Also where no tap has something to do with the request."""
    async with running(answering(HELLO)) as bench:
        plug(bench, Plugged(gates=(JudgingGate,), at_end=at_end))
        client = await bench.client()
        for number in range(2):
            client.send(POST)
            assert (await client.answer()).body == b"hello"
            assert (await bench.events.last(number + 1)).spend == JUDGED


# --- neither


async def test_a_request_without_gates_and_taps_is_plain(running: Running) -> None:
    """Capabilities are asked once for a decision, and not for the requests that it is used for."""
    async with plugged(running, capability := Plugged(at_end=True), HELLO) as bench:
        client = await bench.client()
        for _ in range(3):
            client.send(GET)
            assert (await client.answer()).body == b"hello"
        [decision] = capability.decisions
        assert (decision.gates, decision.taps, decision.is_plain) == ((), (), True)


def test_an_answer_of_the_proxys_own_has_its_length() -> None:
    """And the reason phrase of its status."""
    answer = own_answer(404, b"A: b\r\n", b"none", "")
    assert answer.response.fields.passing == b"A: b\r\nContent-Length: 4\r\n"
    assert (answer.response.status, answer.response.reason) == (404, b"Not Found")
