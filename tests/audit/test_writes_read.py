"""Responses to writes are read beside the stream: the outcome is told, and the client gets every byte as it comes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.audit import write_reading
from proxy.audit.write_reading import (
    JUDGED_AT_ONCE,
    MAX_COST_JUDGED,
    MAX_JUDGED,
    WRITE_READER,
    WriteBodies,
    WriteReader,
    WriteReading,
)
from proxy.events import ChangedObjects, ItemCounts, MemberValue
from proxy.strict_json import MAX_COST
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, Wire, answering

UPDATE = b"PUT /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
LISTING = UPDATE.replace(b"PUT /sp/campaigns", b"POST /sp/campaigns/list")
UNKNOWN_GET = GET.replace(b"/v2/profiles", b"/no/specification/has/this")
MCP = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


LARGE = 8 * JUDGED_AT_ONCE
"""Bytes of a body that is costly, whatever it holds."""


def results(failed: int = 1, padding: int = 0) -> bytes:
    """One success, and so many failures."""
    lists = {"success": [{"campaignId": "1"}], "error": [{"index": 1, "errors": []}] * failed}
    return json.dumps({"campaigns": lists, "padding": "x" * padding}).encode()


def response(body: bytes, *lines: bytes, status: int = 207) -> bytes:
    head = [b"HTTP/1.1 %d Multi-Status" % status, b"Content-Type: application/json", *lines]
    return b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body))


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"HTTP/1.1 207 Multi-Status\r\nTransfer-Encoding: chunked\r\n\r\n" + framed


SMALL, LONG, LONGEST = results(), results(padding=LARGE), results(padding=MAX_JUDGED - len(results()))
ZIPPED = gzip.compress(SMALL)
BODIES: dict[str, tuple[bytes, bytes, str]] = {
    "in one read": (response(SMALL), SMALL, "partial"),
    "chunked": (chunked(SMALL, 7), SMALL, "partial"),
    "read in the thread": (response(LONG), LONG, "partial"),
    "chunked, read in the thread": (chunked(LONG, 1000), LONG, "partial"),
    "as large as is read": (response(LONGEST), LONGEST, "partial"),
    "larger": (response(LONGEST + b" "), LONGEST + b" ", "unknown"),
    "chunked, larger": (chunked(LONGEST + b" ", 60_000), LONGEST + b" ", "unknown"),
    "compressed": (response(ZIPPED, b"Content-Encoding: gzip"), ZIPPED, "partial"),
    "not as it says": (response(SMALL, b"Content-Encoding: gzip"), SMALL, "unknown"),
    "in an unknown coding": (response(SMALL, b"Content-Encoding: br"), SMALL, "unknown"),
    "that says nothing": (response(b"{}", status=200), b"{}", "success"),
    "an error": (response(b"{}", status=422), b"{}", "failure"),
    "an error that may be explained": (response(b"{}", status=403), b"{}", "failure"),
    "that ends with the connection": (b"HTTP/1.1 207 X\r\nConnection: close\r\n\r\n" + SMALL, SMALL, "partial"),
}


def bomb() -> bytes:
    """64 KiB of gzip that are 64 MiB."""
    return gzip.compress(bytes(1 << 26), 9)


@pytest.mark.parametrize("name", BODIES)
async def test_the_outcome_of_a_write_is_told(running: Running, name: str) -> None:
    """In event, log line and metric, whatever way its response comes; the client gets it as it is."""
    sent, body, outcome = BODIES[name]

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(sent)
        if b"Connection: close" in sent:
            wire.close()

    async with running(script) as bench:
        answer = await bench.ask(UPDATE)
        assert answer.body == body
        event = await bench.events.last()
        assert event.outcome == outcome
        assert event.items == (ItemCounts(1, 1) if outcome == "partial" else None)
        assert outcomes(bench) == {outcome: 1}
        (line,) = lines(bench)
        assert line["outcome"] == outcome
        assert line.get("items") == ({"succeeded": 1, "failed": 1} if outcome == "partial" else None)


def outcomes(bench: ProxyBench) -> dict[str, int]:
    """The metric, by outcome."""
    counted = bench.metrics.counted("write_outcomes_total")
    return {outcome: count for (_, _, outcome), count in counted.items() if count}


def lines(bench: ProxyBench) -> list[dict[str, Any]]:
    bench.logs.flush()
    return [json.loads(line) for line in bench.lines.getvalue().splitlines()]


@pytest.mark.parametrize("request_", [GET, LISTING, UNKNOWN_GET])
async def test_reads_have_no_outcome(running: Running, request_: bytes) -> None:
    """Nothing is kept of their responses, nor of that of a GET which nobody knows."""
    async with running(answering(response(SMALL))) as bench:
        assert (await bench.ask(request_)).status == 207
        assert (await bench.events.last()).write is None
        assert outcomes(bench) == {}
        assert "outcome" not in lines(bench)[0]


async def test_a_write_that_was_cut_is_unknown(running: Running) -> None:
    """It may have happened."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 207 X\r\nContent-Length: 100\r\n\r\n{")
        wire.close()

    async with running(script) as bench:
        client = await bench.client(UPDATE)
        await client.end()
        assert (await bench.events.last()).outcome == "unknown"


async def test_a_write_without_an_answer_is_unknown(running: Running) -> None:
    """The proxy's own 502 says nothing of what Amazon did; what never left has no outcome."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.close()

    async with running(script) as bench:
        assert (await bench.ask(UPDATE)).status == 502
        assert (await bench.events.last()).outcome == "unknown"
        bench.accounting.write_gate.takes_writes = lambda: False
        assert (await bench.ask(UPDATE)).status == 503
        assert (await bench.events.last(2)).write is None


async def test_a_tool_that_fails_is_a_failure(running: Running) -> None:
    """MCP answers 200, as a stream of events."""
    message = {"jsonrpc": "2.0", "id": 1, "result": {"content": [], "isError": True}}
    event = b"data: %b\n\n" % json.dumps(message).encode()
    sent = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(event) + event
    async with running(answering(sent)) as bench:
        assert (await bench.ask(MCP)).body == event
        assert (await bench.events.last()).outcome == "failure"


@pytest.mark.parametrize(
    ("answer", "asked", "outcome"),
    [
        ({"result": {"content": [], "isError": True}}, b"{}", "failure"),
        ({"result": {"content": []}}, b"{}", "success"),
        ({"method": "notifications/progress"}, b"{}", "unknown"),
        ({"result": {"content": []}}, b"[]", "unknown"),
    ],
)
async def test_a_client_of_mcp_may_leave_with_its_answer(
    answer: dict[str, Any], asked: bytes, outcome: str, running: Running
) -> None:
    """It does not wait for the end of the stream. Of a list, the other calls may have been carried out or not."""
    event = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(MCP[:-2] + asked)
        await client.until(lambda: event in client.received)
        client.drop()
        finished = await bench.events.last()
        assert (finished.fault, finished.outcome) == ("client-gone", outcome)
        assert outcomes(bench) == {outcome: 1}


MESSAGE = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).encode()
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(MESSAGE), MESSAGE)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (MCP, b"Content-Length: 9999\r\n\r\n" + MESSAGE),
        (MCP.replace(b"HTTP/1.1", b"HTTP/1.0"), IN_CHUNKS),
        (MCP.replace(b": 2", b": 4000") + b" " * 2000, IN_CHUNKS),
    ],
    ids=["with a length", "for HTTP/1.0", "to a message that is too large to be read"],
)
async def test_other_streams_that_are_cut_tell_no_outcome(asked: bytes, answer: bytes, running: Running) -> None:
    """Only a stream that its server may end anywhere, in answer to one message, holds the whole answer."""

    async def script(wire: Wire) -> None:
        await wire.until(lambda: b"{" in wire.received)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + answer)
        await wire.end()

    async with running(script, replay_bytes=1000) as bench:
        client = await bench.client(asked)
        await client.until(lambda: MESSAGE in client.received)
        client.drop()
        finished = await bench.events.last()
        assert (finished.fault, finished.outcome) == ("client-gone", "unknown")


async def test_a_write_is_not_under_way_while_its_answer_is_read(running: Running) -> None:
    """Its client may have left with the answer, and may send as many requests as before."""
    event = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"text": "x" * LARGE}}).encode()
    policy = Policy("agent", (ClientKey(hashlib.sha256(b"key").hexdigest()),), max_in_flight=1)
    go = threading.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.end()

    async with running(script, clients=Clients([policy], Placeholders(b"key"), Budgets())) as bench:
        WRITE_READER._thread.submit(go.wait, PATIENCE)
        client = await bench.client(MCP.replace(b"Host", b"X-Ads-Proxy-Key: key\r\nHost"))
        await client.until(lambda: event[-9:] in client.received)
        assert bench.accounting.client_cell("agent").value == 1
        client.drop()
        await bench.settled(lambda: bench.writes.waiting > 0)
        assert bench.accounting.client_cell("agent").value == 0
        assert bench.accounting.in_flight == 1
        go.set()
        assert (await bench.events.last()).outcome == "success"


async def test_the_first_bytes_leave_before_the_last_were_sent(running: Running) -> None:
    """A response of 20 MB to a write streams, to a client that reads slowly, and no more of it than a megabyte is
    kept."""
    size, piece = 20 << 20, b"x" * 65_536
    released: list[bool] = []

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, piece)
        await bench.settled(lambda: bool(released))
        for _ in range(size // len(piece) - 1):
            wire.send(piece)

    async with running(script) as bench:
        client = await bench.client(UPDATE)
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")
        assert await client.take(len(piece)) == piece
        released.append(True)
        for _ in range(size // len(piece) - 1):
            assert await client.take(len(piece)) == piece
        assert (await bench.events.last()).outcome == "unknown"


async def test_a_small_response_that_grows_without_end_is_given_up(running: Running) -> None:
    """Decoding ends at a megabyte."""
    sent = response(bomb(), b"Content-Encoding: gzip")
    async with running(answering(sent)) as bench:
        await bench.ask(UPDATE)
        assert (await bench.events.last()).outcome == "unknown"


async def test_too_many_large_responses_are_not_read(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what waits for the thread is bounded."""
    monkeypatch.setattr(write_reading, "MAX_WAITING", 0)
    async with running(answering(response(LONG))) as bench:
        assert (await bench.ask(UPDATE)).body == LONG
        assert (await bench.events.last()).outcome == "unknown"
        assert repr(bench.writes) == "<WriteReader: 0 bytes waiting>"


@pytest.fixture(name="go")
def _busy() -> Iterator[threading.Event]:
    """The thread is busy for another client until this is set."""
    go = threading.Event()
    WRITE_READER.submit("busy", go.wait, PATIENCE)
    yield go
    go.set()


async def test_a_client_with_many_large_writes_leaves_room_for_others(
    monkeypatch: pytest.MonkeyPatch, go: threading.Event
) -> None:
    """A client takes at most as many bytes as it leaves free, and has them again once its writes are read."""
    each = WriteBodies(None, LONG).size
    monkeypatch.setattr(write_reading, "MAX_WAITING", 4 * each)
    loop, reader = asyncio.get_running_loop(), WriteReader(lambda *_: None)

    def write(client: str) -> asyncio.Future[WriteReading] | WriteReading:
        return reader.read(WriteBodies(None, LONG), client, loop)

    begun = [write(client) for client in ("flood", "flood", "flood", "other", "third", "fourth")]
    waiting = [each for each in begun if isinstance(each, asyncio.Future)]
    assert [isinstance(each, asyncio.Future) for each in begun] == [True, True, False, True, True, False]
    assert reader.waiting == 4 * each
    go.set()
    await asyncio.gather(*waiting)
    assert reader.waiting == 0
    last = write("fourth")
    assert isinstance(last, asyncio.Future) and reader.waiting == each
    await last


async def test_all_writes_of_a_burst_are_read(go: threading.Event) -> None:
    """All writes of one client's burst are read: the queue is bounded by size."""
    loop, reader = asyncio.get_running_loop(), WriteReader(lambda *_: None)
    begun = [reader.read(WriteBodies(None, LONG), "agent", loop) for _ in range(200)]
    waiting = [each for each in begun if isinstance(each, asyncio.Future)]
    assert len(waiting) == 200
    go.set()
    await asyncio.gather(*waiting)


async def test_a_record_waits_for_nobody_elses_bodies(running: Running, go: threading.Event) -> None:
    """While another client keeps the thread busy, the record of a write counts in the gate, and comes when it is due:
    with what is known without reading."""
    async with running(answering(response(LONG)), **RECORDED) as bench:
        assert (await bench.ask(update(PAUSE + b" " * LARGE))).body == LONG
        assert (bench.accounting.write_gate.unrecorded, bench.events.finished) == (1, [])
        bench.sweep(PATIENCE / 2)
        assert bench.events.finished == []
        bench.sweep(PATIENCE)
        (event,) = bench.events.finished
        assert (event.outcome, event.changes) == ("unknown", ChangedObjects(unread=("request", "response")))
        assert bench.accounting.write_gate.unrecorded == 0
        assert not go.is_set()
        await bench.settled(lambda: bench.writes.waiting == 0)


RECORDED: dict[str, Any] = {"recorded_values": frozenset(("state",))}
PAUSE = b'{"campaigns": [{"campaignId": "1", "state": "PAUSED", "name": "secret"}]}'


def update(body: bytes, *lines: bytes) -> bytes:
    head = [b"PUT /sp/campaigns HTTP/1.1", b"Host: 127.0.0.1", *lines]
    return b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body))


def update_in_chunks(body: bytes) -> bytes:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = b"PUT /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + pieces + b"0\r\n\r\n"


PAUSED = ChangedObjects(("campaign/1",), 0, ("state", "name"), (MemberValue("campaign/1", "state", "PAUSED"),))
WRITES: dict[str, tuple[bytes, ChangedObjects]] = {
    "as it is": (update(PAUSE), PAUSED),
    "chunked": (update_in_chunks(PAUSE), PAUSED),
    "compressed": (update(gzip.compress(PAUSE), b"Content-Encoding: gzip"), PAUSED),
    "large": (update(PAUSE + b" " * LARGE), PAUSED),
    "larger than is kept": (update(PAUSE + b" " * (LARGE + 200)), ChangedObjects(("campaign/1",), unread=("request",))),
    "in an unknown coding": (
        update(PAUSE, b"Content-Encoding: br"),
        ChangedObjects(("campaign/1",), unread=("request",)),
    ),
}


@pytest.mark.parametrize("name", WRITES)
async def test_what_a_write_changes_is_told(running: Running, name: str) -> None:
    """From its request, if that is small enough to be kept, and its response; Amazon gets the request as it is."""
    sent, changes = WRITES[name]
    async with running(answering(response(SMALL)), replay_bytes=LARGE + 200, **RECORDED) as bench:
        assert (await bench.ask(sent)).body == SMALL
        assert (await bench.events.last()).changes == changes
        assert "PAUSED" not in str(lines(bench))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
async def test_a_request_that_takes_too_long_to_read_is_not_read(
    running: Running, compress: Callable[[bytes], bytes]
) -> None:
    """The thread would have no time for the bodies of others; what the response says is recorded."""
    body, coding = compress(b"[" + b"{}," * MAX_COST + b"{}]"), b"gzip" if compress is gzip.compress else b"identity"
    async with running(answering(response(SMALL)), replay_bytes=1 << 20, **RECORDED) as bench:
        assert (await bench.ask(update(body, b"Content-Encoding: " + coding))).body == SMALL
        event = await bench.events.last()
        assert (event.outcome, event.changes) == ("partial", ChangedObjects(("campaign/1",), unread=("request",)))


async def test_a_response_that_takes_too_long_to_read_is_not_read(running: Running) -> None:
    """One of a megabyte can have a million parts."""
    long = b'{"campaigns": {"success": [' + b"{}," * MAX_COST_JUDGED + b'{}], "error": []}}'
    assert len(long) < MAX_JUDGED
    async with running(answering(response(long))) as bench:
        assert (await bench.ask(UPDATE)).body == long
        assert (await bench.events.last()).outcome == "unknown"


async def test_a_refusal_is_a_failure_also_if_it_is_not_read(running: Running, go: threading.Event) -> None:
    """Its status says so."""
    async with running(answering(response(LONG, status=400)), **RECORDED) as bench:
        assert (await bench.ask(update(PAUSE + b" " * LARGE))).status == 400
        bench.sweep(PATIENCE)
        (event,) = bench.events.finished
        assert (event.outcome, event.changes) == ("failure", ChangedObjects(unread=("request", "response")))
        go.set()
        await bench.settled(lambda: bench.writes.waiting == 0)


async def test_what_a_write_would_have_changed_is_told_too(running: Running) -> None:
    """Also of one that Amazon refused, and of one that nobody knows anything of."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(response(b'{"campaignId": "5"}', status=422))
        await wire.request()
        wire.close()

    async with running(script, **RECORDED) as bench:
        client = await bench.client()
        for number, outcome in enumerate(("failure", "unknown"), 1):
            client.send(update(PAUSE))
            await client.answer()
            event = await bench.events.last(number)
            assert (event.outcome, event.changes) == (outcome, PAUSED)


async def test_nothing_is_told_of_reads_or_without_being_asked_for(running: Running) -> None:
    """The body of a read is not looked at, nor any body without `audit.objects`."""
    async with running(answering(*[response(SMALL)] * 3), **RECORDED) as bench:
        client = await bench.client()
        for number, (request_, recorded) in enumerate(((LISTING, True), (UNKNOWN_GET, True), (UPDATE, False)), 1):
            bench.apply(recorded_values=frozenset() if recorded else None)
            client.send(request_)
            await client.answer()
            assert (await bench.events.last(number)).changes is None


@pytest.mark.parametrize("body", [SMALL, LONG])
async def test_a_defect_in_reading_costs_no_account(
    running: Running, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """It is reported, and the outcome is unknown."""
    monkeypatch.setattr(write_reading, "judge_outcome", lambda *_: 1 / 0)
    async with running(answering(response(body))) as bench:
        assert (await bench.ask(UPDATE)).body == body
        assert (await bench.events.last()).outcome == "unknown"
        assert "ZeroDivisionError" in bench.events.defects[0]
        bench.events.events.clear()
