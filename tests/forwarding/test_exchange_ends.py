"""An exchange whose sides go away, fall silent or make no sense, and defects of our own."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phases import Phase
from tests.forwarding.test_exchange import COUNTED, LISTING, exchange_of
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering


@pytest.mark.parametrize("early", [True, False])
async def test_a_tool_that_leaves_closes_amazons_connection(early: bool, running: Running) -> None:
    """At once, before an answer or in the middle of one."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if not early:
            wire.send(HELLO[:-2])
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        if not early:
            await client.until(lambda: b"hel" in client.received)
        client.drop()
        finished = await bench.events.last()
        assert (finished.status, finished.fault) == (0 if early else 200, "client-gone")
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


async def test_a_client_that_leaves_while_a_location_is_looked_for_got_no_status(running: Running) -> None:
    """The head waits for the whole body then: nothing of the response went to the client."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET.replace(b"/v2/profiles", b"/v2/reports/1"))
        await bench.settled(lambda: bool(bench.server.connections) and bench.connection().busy)
        exchange = exchange_of(bench)
        await bench.settled(lambda: exchange.phase is Phase.RELAYING)
        client.drop()
        finished = await bench.events.last()
        assert (finished.status, finished.upstream_status, finished.fault) == (0, 200, "client-gone")


async def test_a_pooled_connection_that_dies_under_a_get_is_replaced(running: Running) -> None:
    """A fresh one serves the request, and the client never hears of it."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)
        await wire.request()
        if len(bench.upstream.wires) == 1:
            wire.drop()
        else:
            wire.send(HELLO)

    async with running(script) as bench:
        assert (await bench.ask()).status == 200
        assert (await bench.ask()).status == 200
        assert bench.events.replays == [("connection", "recovered")]
        assert len(bench.upstream.wires) == 2


async def test_a_pooled_connection_that_dies_under_a_post_is_a_502(running: Running) -> None:
    """Whether Amazon read it cannot be known, so it is not sent twice."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)
        await wire.request()
        wire.drop()

    async with running(script) as bench:
        assert (await bench.ask()).status == 200
        got = await bench.ask(COUNTED)
        assert got.status == 502
        assert b"upstream-closed" in got.body
        assert got.value(b"proxy-status") == b"ads-proxy; error=connection_terminated"
        said = json.loads(got.body)
        assert said["retryable"] is False
        assert "may have carried it out" in said["detail"]
        assert got.value(b"retry-after") is None
        assert len(bench.upstream.wires) == 1
        assert bench.events.replays == [("connection", "impossible")]


@pytest.mark.parametrize("request_", [GET, LISTING])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_read_that_was_cut_on_a_fresh_connection_is_sent_once_more(
    request_: bytes, answer: bytes, running: Running
) -> None:
    """Whatever its method, and also within the head of the answer; twice in a row it is a 502 that may be retried."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if len(bench.upstream.wires) == 2:
            wire.send(HELLO)
            await wire.end()
            return
        wire.send(answer)

    async with running(script) as bench:
        assert (await bench.ask(request_)).body == b"hello"
        assert bench.events.replays == [("connection", "recovered")]
        bench.pools.find("api", "na").close()
        got = await bench.ask(request_)
        assert got.status == 502
        assert json.loads(got.body)["retryable"] is True
        assert len(bench.upstream.wires) == 4
        assert bench.events.replays[1:] == [("connection", "failed")]


async def test_a_storm_of_cut_reads_is_bounded(running: Running) -> None:
    """A host that cuts everything is asked a few times more than the clients asked, not twice as often."""

    async def script(wire: Wire) -> None:
        await wire.request()

    async with running(script) as bench:
        for _ in range(40):
            assert (await bench.ask()).status == 502
        assert len(bench.upstream.wires) in range(40 + 10, 40 + 10 + 4 + 1)
        assert bench.events.replays.count(("connection", "impossible")) in range(40 - 14, 40 - 10 + 1)


async def test_a_write_that_amazon_does_not_answer_is_not_offered_again(running: Running) -> None:
    """A 504 that is not retryable and says why."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script, response_timeout=20.0) as bench:
        client = await bench.client(COUNTED)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"abcde" in bench.upstream.wires[0].received)
        bench.sweep(21)
        got = await client.answer()
        said = json.loads(got.body)
        assert (got.status, said["retryable"]) == (504, False)
        assert "may have carried it out" in said["detail"]


async def test_an_answer_that_never_begins_is_a_504(running: Running) -> None:
    """After response_timeout; the connection is not used again."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script, response_timeout=20.0) as bench:
        client = await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        bench.sweep(10)
        assert not client.received
        bench.sweep(21)
        got = await client.answer()
        assert got.status == 504
        assert b"within 20 s" in got.body
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


@pytest.mark.parametrize("kind", [b"application/json", b"Text/Event-Stream; charset=utf-8"])
async def test_an_answer_that_stops_is_broken_off_but_for_event_streams(kind: bytes, running: Running) -> None:
    """idle_timeout runs between the bytes of a body; events may take their time."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await more.wait()
        wire.send(b"0\r\n\r\n")

    more = asyncio.Event()
    async with running(script) as bench:
        client = await bench.client(GET)
        await client.until(lambda: b"ab" in client.received)
        bench.sweep(3000)
        more.set()
        await client.until(lambda: client.ended or client.received.endswith(b"0\r\n\r\n"))
        whole = client.received.endswith(b"0\r\n\r\n")
        assert whole is (kind != b"application/json")
        assert (await bench.events.last()).fault == ("" if whole else "upstream-timeout")


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
async def test_an_answer_that_cannot_be_understood_is_a_502(answer: bytes, running: Running) -> None:
    """And its connection ends."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answer)
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET)
        got = await client.answer()
        while got.status == 103:
            got = await client.answer()
        assert got.status == 502
        assert b"upstream-malformed" in got.body


@pytest.mark.parametrize("ending", [b"Z\r\n", b"3\r\nabcX", b"0\r\nbad trailer\r\n\r\n", b"0\r\nT: \x00\r\n\r\n"])
async def test_a_chunked_answer_that_goes_wrong_is_broken_off(ending: bytes, running: Running) -> None:
    """A bad size, a chunk that is too long, trailers that are none: never a whole answer, never a client that waits."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await bench.clients[0].until(lambda: b"ab" in bench.clients[0].received)
        wire.send(ending)
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET)
        await client.until(lambda: client.ended)
        assert not client.received.endswith(b"0\r\n\r\n")
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_defect_of_ours_is_a_500_and_is_told(running: Running) -> None:
    """Whoever asked is answered, on either way into the exchange."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(HELLO)

    async with running(script) as bench:
        await bench.ask()
        working = bench.tokens.current

        def broken(account: str) -> None:
            raise ZeroDivisionError

        bench.tokens.current = broken  # type: ignore[method-assign]  # of this one object alone
        got = await bench.ask()
        assert got.status == 500
        assert b"internal-error" in got.body
        bench.tokens.current = lambda account: None  # type: ignore[method-assign]  # of this one object alone
        bench.tokens.get = broken  # type: ignore[method-assign,assignment]  # of this one object alone
        assert (await bench.ask()).status == 500
        bench.tokens.current = working  # type: ignore[method-assign]  # of this one object alone
        assert (await bench.ask()).status == 200
        assert [text.count("ZeroDivisionError") > 0 for text in bench.events.defects] == [True, True]
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_held_401_that_goes_wrong_is_delivered_broken(running: Running) -> None:
    """Its chunks are none: known at once, told when there is no better answer."""
    bad = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\nZ\r\n"
    async with running(answering(bad)) as bench:
        bench.tokens.fruitless = True
        client = await bench.client(GET)
        assert b" 401 " in await client.end()
        assert not client.received.endswith(b"0\r\n\r\n")
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_defect_beneath_an_answer_is_a_500(running: Running) -> None:
    """It is met while Amazon's bytes are read; the client does not wait for ever."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled)) as bench:

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        bench.throttles.note = broken  # type: ignore[method-assign,assignment]  # of this one object alone
        assert (await bench.ask()).status == 500
        assert len(bench.events.defects) == 1
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_pause_that_amazon_asked_for_holds_for_the_next_request(running: Running) -> None:
    """Where waiting is wished: one that is too long is refused here, and says for how long."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled, HELLO), retry_wait=5.0) as bench:
        first = await bench.ask()
        assert (first.status, first.value(b"retry-after")) == (429, b"50")
        second = await bench.ask()
        assert second.status == 429
        assert 0 < int(second.value(b"retry-after") or b"0") <= 50  # the rest of it, in whole seconds
        assert b"throttled" in second.body
        assert len(bench.events.finished) == 2
        bench.apply()
        assert (await bench.ask()).body == b"hello"


async def test_a_large_answer_to_a_401_is_held_only_as_far_as_it_came(running: Running) -> None:
    """It is not read on while a renewal is awaited, and delivered whole if that gives nothing."""
    body = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with running(answering(answer)) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        connection = bench.connection()
        assert isinstance(connection._handler, Exchange)
        attempt = connection._handler._attempt
        assert attempt is not None and attempt.held
        assert sum(len(piece) for piece in attempt.pieces) < 1_000_000
        bench.tokens.gate.set()
        assert (await client.answer()).body == body
