"""Timers of a client's connection, the program's end, and what a connection says of itself."""

from __future__ import annotations

import asyncio

from proxy.downstream.ports import Availability
from proxy.net.deadlines import NEVER
from tests.downstream.test_connection import POST, echo, get
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering


async def test_a_slow_head_is_answered_and_ends(running: Running) -> None:
    """However steadily it trickles: the timer runs from its first byte."""
    async with running(echo, header_timeout=10.0) as bench:
        client = await bench.client(GET[:20])
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: connection._buffer == GET[:20])
        due = connection.deadline
        client.send(GET[20:25])
        await bench.settled(lambda: connection._buffer == GET[:25])
        assert connection.deadline == due
        bench.sweep(11)
        answer = await client.answer()
        assert answer.status == 408
        assert await client.end() == b""


async def test_a_head_that_came_too_slowly_is_answered_as_its_request_line_says(running: Running) -> None:
    """HEAD without a body (RFC 9110, 9.3.2), and the log has what came."""
    head = b"HEAD /v2/profiles HTTP/1.1\r\nHost: 127"
    async with running(echo, header_timeout=10.0) as bench:
        client = await bench.client(head)
        await bench.settled(lambda: bool(bench.server.connections) and bench.connection()._buffer == head)
        bench.sweep(11)
        answer = await client.answer(to_head=True)
        assert (answer.status, await client.end()) == (408, b"")
        event = await bench.events.last()
        assert (event.method, event.path, event.status) == ("HEAD", "/v2/profiles", 408)


async def test_a_connection_that_never_speaks_ends(running: Running) -> None:
    """Without an answer: nothing was asked."""
    async with running(echo, header_timeout=10.0) as bench:
        client = await bench.client()
        await bench.settled(lambda: bool(bench.server.connections))
        bench.sweep(11)
        assert await client.end() == b""


async def test_the_head_timer_runs_for_a_head_behind_another_request(running: Running) -> None:
    """The longer timer of idle connections does not apply."""
    async with running(echo, header_timeout=30.0, keepalive_timeout=75.0) as bench:
        client = await bench.client(get(b"/1") + GET[:20])
        await client.answer()
        connection = bench.connection()
        await bench.settled(lambda: connection._buffer == GET[:20])
        due = connection.deadline
        bench.sweep(20)
        assert connection.deadline == due
        bench.sweep(31)
        assert (await client.answer()).status == 408


async def test_a_body_that_stalls_is_answered_and_ends(running: Running) -> None:
    """Each byte gives it body_timeout more."""
    async with running(echo, body_timeout=30.0, min_body_rate=0) as bench:
        client = await bench.client(POST, b"Content-Length: 9\r\n\r\nab")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.sweep(20)
        connection = bench.connection()
        due = connection.deadline = connection.deadline - 5
        client.send(b"c")
        await bench.settled(lambda: connection.deadline > due)
        bench.sweep(31)
        answer = await client.answer()
        assert answer.status == 408
        assert b"for 30 s" in answer.body


async def test_a_body_that_is_not_read_for_now_cannot_stall(running: Running) -> None:
    """The timer of a body runs again when its bytes are wanted again."""
    async with running(echo) as bench:
        client = await bench.client(POST, b"Content-Length: 3\r\n\r\nab")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        connection = bench.connection()
        connection.pause_reading()
        connection.deadline = NEVER
        connection.expect_body()
        assert connection.deadline == NEVER
        connection.resume_reading()
        assert connection.deadline < NEVER
        client.send(b"c")
        assert (await client.answer()).body == b"/x abc"


async def test_a_body_that_comes_before_the_100_has_its_whole_time(running: Running) -> None:
    """The first part of it counts from when it came, however long the client waited for the 100."""
    async with running(echo, min_body_rate=100) as bench:
        client = await bench.client(POST, b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        connection, now = bench.connection(), asyncio.get_running_loop().time()
        client.send(b"ab")
        await bench.settled(lambda: connection.deadline < NEVER)
        assert connection.deadline >= now + 10
        client.send(b"c")
        assert (await client.answer()).body == b"/x abc"


async def test_a_body_that_stalls_beneath_its_answer_breaks_it(running: Running) -> None:
    """An answer that has begun cannot become another one."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await wire.end()

    async with running(script, replay_bytes=0) as bench:
        client = await bench.client(POST, b"Content-Length: 9\r\n\r\nab")
        await client.until(lambda: client.received.endswith(b"ab"))
        connection, now = bench.connection(), asyncio.get_running_loop().time()
        bench.sweep(31)
        assert now <= connection.deadline < NEVER
        assert (await client.end()).endswith(b"\r\n\r\nab")
        assert (await bench.events.last()).fault == "request-timeout"


# --- the program's end


async def test_draining_closes_each_connection_behind_its_answer(running: Running) -> None:
    """Idle connections close at once."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        idle = await bench.client()
        busy = await bench.client(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 1 and len(bench.server.connections) == 2)
        bench.forwarder.availability = Availability.DRAINING
        bench.server.close_idle()
        assert await idle.end() == b""
        go.set()
        answer = await busy.answer()
        assert (answer.body, answer.value(b"connection")) == (b"hello", b"close")
        assert await busy.end() == b""
        assert bench.accounting.in_flight == 0


async def test_what_still_runs_at_the_end_is_cut(running: Running) -> None:
    """A request without an answer is told so, one with half an answer broken off; both are accounted for."""

    async def script(wire: Wire) -> None:
        head, _ = await wire.request()
        if b"/half" in head:
            wire.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await wire.end()

    async with running(script) as bench:
        waiting, half, old = await bench.client(GET), await bench.client(get(b"/half")), await bench.client()
        old.send(get(b"/half", version=b"1.0"))
        await half.until(lambda: b"half" in half.received)
        await old.until(lambda: b"half" in old.received)
        await bench.settled(lambda: bench.accounting.in_flight == 3)
        assert bench.server.end_all() == 3
        answer = await waiting.answer()
        assert (answer.status, answer.value(b"retry-after")) == (503, b"1")
        assert b"draining" in answer.body
        assert not (await half.end()).endswith(b"0\r\n\r\n")
        await old.until(lambda: old.lost)
        assert old.reset
        assert {event.fault or event.refusal for event in bench.events.finished} == {"draining"}


async def test_a_new_request_is_refused_once_the_listener_is_closed(running: Running) -> None:
    """On a connection that was still open: the client may send it again elsewhere."""
    async with running(echo) as bench:
        client = await bench.client(get(b"/1"))
        await client.answer()
        bench.forwarder.availability = Availability.CLOSING
        client.send(get(b"/2"))
        answer = await client.answer()
        assert (answer.status, answer.value(b"retry-after"), answer.value(b"connection")) == (503, b"1", b"close")
        assert await client.end() == b""


async def test_what_no_tool_has_taken_yet_is_known(running: Running) -> None:
    """A stop waits for it."""
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))) as bench:
        client = await bench.client()
        client.transport.pause_reading()
        client.send(GET)
        await bench.settled(lambda: bench.server.unsent)
        client.transport.resume_reading()
        await client.answer()
        assert not bench.server.unsent


async def test_half_closing_is_leaving(running: Running) -> None:
    """A client that ends its direction is taken to have lost interest."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        client.finish()
        assert (await bench.events.last()).fault == "client-gone"


async def test_an_answer_of_many_reads_is_not_reordered(running: Running) -> None:
    """Large answers on one connection, one behind the other."""
    body = bytes(range(256)) * 2000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with running(answering(answer)) as bench:
        client = await bench.client(GET * 3)
        assert [(await client.answer()).body == body for _ in range(3)] == [True] * 3


# --- what it says of itself


async def test_connections_of_tools_say_what_they_do(running: Running) -> None:
    """Where from and which phase; nothing of what was sent."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)

    async with running(script) as bench:
        client = await bench.client(get(b"/secret-path", b"Authorization: Bearer secret-key"))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        connection = bench.connection()
        assert repr(connection) == "<ClientConnection from 127.0.0.1: serving>"
        assert repr(bench.server) == "<ConnectionTable: 1 open, 1 busy>"
        go.set()
        await client.answer()
        assert repr(connection) == "<ClientConnection from 127.0.0.1: waiting>"
        assert repr(bench.server) == "<ConnectionTable: 1 open, 0 busy>"
        connection.close_if_idle()
        assert repr(connection) == "<ClientConnection from 127.0.0.1: closing>"
    assert repr(bench.server) == "<ConnectionTable: 0 open, 0 busy>"
    assert repr(type(connection)(bench.server, bench.forwarder)) == "<ClientConnection from nowhere: waiting>"


async def test_a_client_that_closes_after_a_bad_head_is_no_defect(running: Running) -> None:
    """The refusal has no receiver any more; asyncio's own loop then raises as the connection's end is written."""
    async with running(answering(HELLO)) as bench:
        for _ in range(3):
            (await bench.client(b"BAD\r\n\r\n")).abort()
        await bench.settled(lambda: len(bench.events.finished) == 3 and not bench.server.connections)
