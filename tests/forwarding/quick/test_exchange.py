"""What a quick exchange does where the wire, a limit or the program is in its way: what the ordinary one would."""

from __future__ import annotations

import asyncio

import pytest

from proxy.downstream.ports import Availability
from proxy.errors import Refused
from proxy.forwarding.quick.outcome import QuickOutcome
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, Wire, answering

DATED = b"Date: Wed, 25 Nov 2026 13:00:00 GMT\r\n"
HELLO = b"HTTP/1.1 200 OK\r\n" + DATED + b"Content-Length: 5\r\n\r\nhello"
LONG = b"HTTP/1.1 200 OK\r\n" + DATED + b"Content-Length: 120000\r\n\r\n" + b"x" * 120000


def outcomes(bench: ProxyBench) -> dict[str, int]:
    """What became of requests at the quick exchange, so far."""
    journal = bench.accounting.journal
    counted = {outcome.value: journal.fast_path(outcome).value for outcome in QuickOutcome}
    return {outcome: count for outcome, count in counted.items() if count}


async def learned(bench: ProxyBench, request: bytes = GET) -> Wire:
    """A tool whose requests of this kind are taken."""
    tool = await bench.tool()
    for _ in range(3):
        tool.send(request)
        assert (await tool.answer()).status == 200
    assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 1}
    return tool


async def test_the_third_request_of_a_kind_is_taken(running: Running) -> None:
    """The first is decided, the second has the response learned."""
    async with running(answering(HELLO)) as bench:
        await learned(bench)


async def test_nothing_is_learned_without_the_fast_path(running: Running) -> None:
    """The setting switches it off."""
    async with running(answering(HELLO), fast_path=False) as bench:
        for _ in range(4):
            await bench.ask()
        assert outcomes(bench) == {}
        assert bench.forwarder.quick is None


async def test_a_tool_that_leaves_before_its_answer_is_accounted_for(running: Running) -> None:
    """As one that left an ordinary exchange, and the connection to Amazon is not used again."""
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        for _ in range(3):
            await wire.request()
            wire.send(HELLO)
        await wire.request()
        asked.set()
        await wire.end()

    async with running(script) as bench:
        tool = await learned(bench)
        tool.send(GET)
        await asked.wait()
        tool.abort()
        event = await bench.events.last(4)
        assert (event.status, event.fault, event.attempts) == (0, "client-gone", 1)
        assert outcomes(bench)["failed"] == 1


async def test_a_response_that_does_not_come_is_timed_out(running: Running) -> None:
    """A write that has left is not sent again."""

    async def script(wire: Wire) -> None:
        for _ in range(3):
            await wire.request()
            wire.send(HELLO)
        await wire.end()

    post = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
    async with running(script, response_timeout=5.0) as bench:
        tool = await learned(bench, post)
        tool.send(post)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.sweep(6.0)
        assert (await tool.answer()).status == 504


async def test_a_tool_that_does_not_read_gets_all_of_it_in_the_end(running: Running) -> None:
    """What the wire does not take waits in its buffer, and the connection serves the next request then."""
    async with running(answering(LONG)) as bench:
        tool = await bench.tool()
        for _ in range(3):
            tool.send(GET)
            await tool.answer()
        tool.transport.pause_reading()
        connection = bench.connection()
        connection._transport.set_write_buffer_limits(high=0)
        tool.send(*[GET] * 40)
        await bench.settled(lambda: not connection.writable)
        tool.transport.resume_reading()
        for _ in range(40):
            assert len((await tool.answer()).body) == 120000


async def test_an_upstream_that_does_not_read_gets_all_of_the_body(running: Running) -> None:
    """The exchange becomes ordinary while it is sent, and ends as that."""
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
        tool = await bench.tool()
        for _ in range(6):
            tool.send(post)
            assert (await tool.answer()).body == b"hello"


async def test_draining_says_so_on_the_last_answer(running: Running) -> None:
    """Also where the request was sent before."""
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
        tool = await learned(bench)
        tool.send(GET)
        await asked.wait()
        bench.forwarder.availability = Availability.DRAINING
        gate.set()
        assert (await tool.answer()).value(b"connection") == b"close"
        await tool.end()
        assert (await bench.ask(GET)).value(b"connection") == b"close"
        assert outcomes(bench)["draining"] == 1


async def test_a_connection_that_rested_is_for_the_ordinary_path_to_doubt(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have died meanwhile without a word."""
    async with running(answering(HELLO)) as bench:
        tool = await learned(bench)
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 1002.0)
        tool.send(GET)
        assert (await tool.answer()).status == 200
        assert outcomes(bench)["connection"] == 1


async def test_without_a_token_it_is_for_the_ordinary_path_to_wait(running: Running) -> None:
    """There is none at hand."""
    async with running(answering(HELLO)) as bench:
        tool = await learned(bench)
        bench.tokens.cold = True
        tool.send(GET)
        assert (await tool.answer()).status == 200
        assert outcomes(bench)["token"] == 1


async def test_a_body_that_is_too_large_is_refused(running: Running) -> None:
    """Its length is a hole of the shape, and the limit holds for it as before."""
    post = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n1"
    async with running(answering(HELLO), max_body_bytes=1) as bench:
        tool = await learned(bench, post)
        tool.send(post.replace(b"Length: 1", b"Length: 2") + b"2")
        assert (await tool.answer()).status == 413


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("proxy.forwarding.quick.responses.ResponsePatterns.find", id="in handing on"),
        pytest.param("proxy.upstream.pool.Pool.take_warm", id="in recognising"),
    ],
)
async def test_a_defect_is_told_and_answered(running: Running, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """No tool waits for ever, and the connection to Amazon is not used again."""
    async with running(answering(HELLO)) as bench:
        tool = await learned(bench)

        def broken(*_: object) -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr(place, broken)
        tool.send(GET)
        assert (await tool.answer()).status == 500
        assert len(bench.events.defects) == 1
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_answers_of_no_known_shape_pause_the_lane(running: Running) -> None:
    """Where each would be tried in vain, the next ones are not tried at all."""
    odd = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX_Odd: 1\r\n\r\nhello"
    async with running(answering(odd)) as bench:
        tool = await bench.tool()
        for _ in range(10):
            tool.send(GET)
            assert (await tool.answer()).body == b"hello"
        assert outcomes(bench) == {"unseen": 1, "response": 3, "paused": 6}


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
        tool = await bench.tool()
        for request in (*[one] * 3, *[two] * 3):
            tool.send(request)
            await tool.answer()
        refused = True
        statuses = []
        for request in (one, one, two, two):
            tool.send(request)
            statuses.append((await tool.answer()).status)
        assert statuses == [429, 429, 200, 200]
        assert len(bench.upstream.wires[0].received.split(b"Scope: 1\r\n")) == 5
        assert outcomes(bench) == {"unseen": 2, "response": 2, "taken": 5, "throttled": 1}


async def test_a_quick_exchange_says_how_it_stands(running: Running) -> None:
    """For logs and defects: never with a secret."""
    gate = asyncio.Event()

    async def script(wire: Wire) -> None:
        for _ in range(3):
            await wire.request()
            wire.send(HELLO)
        await wire.request()
        await gate.wait()
        wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        tool = await learned(bench)
        tool.send(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        handler = bench.connection()._handler
        assert repr(handler).startswith("<QuickExchange ")
        assert repr(handler).endswith(": sent>")
        assert (handler.paced, handler.endless, handler.max_wire_bytes) == (True, False, 0)  # type: ignore[union-attr]  # a request runs
        assert "Atza" not in repr(bench.forwarder.quick)
        gate.set()
        await tool.answer()


async def test_a_broken_end_of_the_request_side_is_ordinary(running: Running) -> None:
    """What a tool sends ahead of its answer waits for it."""
    async with running(answering(HELLO)) as bench:
        tool = await learned(bench)
        tool.send(GET, GET)
        assert [(await tool.answer()).status for _ in range(2)] == [200, 200]
        tool.send(GET, b"\x00\r\n\r\n")
        assert [(await tool.answer()).status for _ in range(2)] == [200, 400]
        assert issubclass(Refused, Exception)
