"""Writes whose audit record cannot be kept are refused before anything of them leaves; reads go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.audit.records import record_of
from proxy.mcp.capability import NAMED_AT_ONCE
from tests.forwarding.test_gated_request import HEAD as DECIDING_STATUSES
from tests.forwarding.test_gated_request import MINE, clients
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

UPDATE = b"PUT /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"PUT /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
UNKNOWN = b"GET /no/specification/has/this HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
UNKNOWN_POST = b"POST /no/specification/has/this HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
MCP = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
LISTING = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


class FullStream:
    """An audit stream that takes records of writes until it is full."""

    def __init__(self, bench: ProxyBench, *, full: bool = True) -> None:
        self.full = full
        bench.accounting.write_gate.takes_writes = lambda: not self.full


@pytest.mark.parametrize("request_", [UPDATE, CHUNKED, UNKNOWN_POST, MCP])
async def test_a_write_that_cannot_be_recorded_is_refused(running: Running, request_: bytes) -> None:
    """503, to be sent again later, with nothing of it at Amazon; what no specification knows counts as a write."""
    async with running(answering(HELLO)) as bench:
        FullStream(bench)
        answer = await bench.ask(request_)
        said = json.loads(answer.body)
        assert (answer.status, answer.value(b"retry-after")) == (503, b"5")
        assert (said["type"], said["retryable"]) == ("urn:ads-proxy:error:write-not-recorded", True)
        assert bench.upstream.wires == []
        event = await bench.events.last()
        assert (event.refusal, event.attempts) == ("write-not-recorded", 0)


@pytest.mark.parametrize("request_", [GET, LISTING, UNKNOWN])
async def test_reads_go_on_without_the_stream(running: Running, request_: bytes) -> None:
    """They have no record."""
    async with running(answering(HELLO)) as bench:
        FullStream(bench)
        assert (await bench.ask(request_)).status == 200


QUERY, UPDATE_TOOL = "campaign_management-query_campaign", "campaign_management-update_campaign"


def mcp(content: Any, *lines: bytes, method: bytes = b"POST", kind: bytes = b"application/json") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = [method + b" /mcp/lite HTTP/1.1", b"Host: 127.0.0.1", b"Content-Type: " + kind, *lines]
    return b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body))


def call(tool: str, /, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def method(name: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": name}


INVOKE = "amazon_ads_mcp-invoke_tool"
NOT_WRITES: dict[str, tuple[bytes, str]] = {
    "a tool that reads": (mcp(call(QUERY)), "read"),
    "one behind another": (mcp(call(INVOKE, name=QUERY, arguments={})), "read"),
    "a tool that finds tools": (mcp(call("amazon_ads_mcp-search_tools", query="x")), "read"),
    "a body of some thousand bytes": (mcp(call(QUERY, padding="x" * 4 * NAMED_AT_ONCE)), "read"),
    "a tool that makes reports": (mcp([call(QUERY), call("reporting-create_report")]), "report"),
    "no tool": (mcp([method("initialize"), method("tools/list"), method("notifications/initialized")]), "read"),
    "an answer": (mcp({"jsonrpc": "2.0", "id": 1, "result": {}}), "read"),
    "a stream": (b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "read"),
    "the end of a session": (b"DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "read"),
}


@pytest.mark.parametrize("name", NOT_WRITES)
async def test_what_only_reads_by_mcp_has_no_record(running: Running, name: str) -> None:
    """Nor an outcome: it goes on without the stream, whoever sends it."""
    sent, effect = NOT_WRITES[name]
    async with running(answering(HELLO)) as bench:
        FullStream(bench)
        assert (await bench.ask(sent)).status == 200
        event = await bench.events.last()
        assert (event.operation_class, event.write) == (effect, None)


TWICE = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%b","name":"%b"}}'
WRITES: dict[str, bytes] = {
    "a tool that writes": mcp(call(UPDATE_TOOL)),
    "one of unknown name": mcp(call("do_it")),
    "one behind another": mcp(call(INVOKE, name=UPDATE_TOOL, arguments={})),
    "one of two names": mcp(call(INVOKE, name=QUERY, tool=UPDATE_TOOL)),
    "one of several": mcp([call(QUERY), call(UPDATE_TOOL)]),
    "a name twice": mcp(TWICE % (UPDATE_TOOL.encode(), QUERY.encode())),
    "names alike": mcp({**call(QUERY), "params": {"name": QUERY, "Name": UPDATE_TOOL}}),
    "another method": mcp({**call(UPDATE_TOOL), "method": "tasks/create"}),
    "another member": mcp({**call(QUERY), "Method": "tools/call"}),
    "another name in a header": mcp(call(QUERY), b"Mcp-Name: " + UPDATE_TOOL.encode()),
    "a coding": mcp(call(QUERY), b"Content-Encoding: gzip"),
    "another type": mcp(call(QUERY), kind=b"text/plain"),
    "another encoding": mcp(json.dumps(call(QUERY)).encode("utf-16")),
    "a costly body": mcp(call(QUERY, padding="x" * 8 * NAMED_AT_ONCE)),
    "a GET with a body": mcp(call(QUERY), method=b"GET"),
    "a PUT": mcp(call(QUERY), method=b"PUT"),
    "a PUT without a body": b"PUT /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("name", WRITES)
async def test_what_may_write_by_mcp_has_a_record(running: Running, name: str) -> None:
    """Everything that is not known to read: nothing of it leaves without one."""
    async with running(answering(HELLO)) as bench:
        stream = FullStream(bench)
        assert (await bench.ask(WRITES[name])).status == 503
        assert bench.upstream.wires == []
        await bench.events.last()  # a thread names its tools, and might be done after the next request
        stream.full = False
        assert (await bench.ask(WRITES[name])).status == 200
        event = await bench.events.last(2)
        assert (event.operation_class, event.attempts) == ("unknown", 1)


OVERRIDING: dict[str, bytes] = {
    "a header": GET[:-2] + b"X-HTTP-Method-Override: DELETE\r\n\r\n",
    "the header of another framework": GET[:-2] + b"x_method_override: PUT\r\n\r\n",
    "a header with another path": GET[:-2] + b"X-Original-URL: /sp/campaigns\r\n\r\n",
    "a parameter": GET.replace(b"/v2/profiles", b"/v2/profiles?apiProgram=billing&_method=PUT"),
    "an encoded parameter": GET.replace(b"/v2/profiles", b"/v2/profiles?%5fme%74hod=PUT"),
    "a list by POST": LISTING.replace(b"Host", b"X-HTTP-Method: PUT\r\nHost", 1),
    "a tool that reads": mcp(call(QUERY), b"X-HTTP-Method-Override: DELETE"),
    "a stream of MCP": GET.replace(b"/v2/profiles", b"/mcp?_method=DELETE"),
}


@pytest.mark.parametrize("name", OVERRIDING)
async def test_a_request_that_may_mean_another_method_or_path_has_a_record(running: Running, name: str) -> None:
    """Whoever sends it, the first time and again: it is forwarded as it came, and its effect is unknown."""
    sent = OVERRIDING[name]
    async with running(answering(*[HELLO] * 2)) as bench:
        stream = FullStream(bench)
        assert (await bench.ask(sent)).status == 503
        assert bench.upstream.wires == []
        stream.full = False
        for number in (2, 3):
            assert (await bench.ask(sent)).status == 200
            event = await bench.events.last(number)
            record = record_of(event)
            assert (event.operation_class, event.attempts) == ("unknown", 1)
            assert record is not None and record["event"]["action"] == "amazon-write"
            assert record["ads_proxy"]["operation_class"] == "unknown"


@pytest.mark.parametrize(("line", "attempts"), [(b"", 2), (b"X-HTTP-Method-Override: DELETE\r\n", 1)])
async def test_a_request_that_may_mean_another_method_is_not_sent_twice(
    running: Running, line: bytes, attempts: int
) -> None:
    """A GET without a complete response is sent again; with such a header, it may be a DELETE that succeeded."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if len(bench.upstream.wires) > 1:
            wire.send(HELLO)
        wire.close()

    async with running(script) as bench:
        status = (await bench.ask(GET[:-2] + line + b"\r\n")).status
        assert (status, len(bench.upstream.wires)) == ({1: 502, 2: 200}[attempts], attempts)


async def test_writes_go_on_when_the_stream_takes_records_again(running: Running) -> None:
    """Also of a request that was decided before, byte for byte, on a connection that is kept."""
    async with running(answering(*[HELLO] * 9)) as bench:
        stream = FullStream(bench, full=False)
        client = await bench.client()
        statuses = []
        for full in (False, False, False, True, False):
            stream.full = full
            client.send(UPDATE)
            statuses.append((await client.answer()).status)
        assert statuses == [200, 200, 200, 503, 200]
        (wire,) = bench.upstream.wires
        assert bytes(wire.received).count(b"PUT ") == 4


async def test_a_write_that_waits_for_a_connection_is_refused_in_its_turn(running: Running) -> None:
    """The stream was full by then: what was let through before does not leave either."""
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            asked.append(head)
            if len(asked) == 4:
                await bench.settled(lambda: stream.full)
            wire.send(HELLO)

    async with running(script, pool_limit=1) as bench:
        stream = FullStream(bench, full=False)
        first, second = await bench.client(), await bench.client()
        for _ in range(3):
            second.send(UPDATE)
            assert (await second.answer()).status == 200
        first.send(GET)
        await bench.settled(lambda: len(asked) == 4)
        second.send(UPDATE)
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        stream.full = True
        assert (await first.answer()).status == 200
        assert (await second.answer()).status == 503
        assert len(asked) == 4
        stream.full = False
        second.send(UPDATE)
        assert (await second.answer()).status == 200
        assert len(bench.upstream.wires) == 1


async def test_a_write_whose_body_comes_late_is_refused(running: Running) -> None:
    """The stream became full between the head and the end of the body."""
    async with running(answering(HELLO)) as bench:
        stream = FullStream(bench, full=False)
        client = await bench.client(UPDATE[:-1])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        stream.full = True
        client.send(UPDATE[-1:])
        assert (await client.answer()).status == 503
        assert bench.upstream.wires == []


async def test_orders_of_reports_go_on_without_the_stream(running: Running) -> None:
    """They change nothing, also where the body has to be judged first."""
    async with running(answering(HELLO), clients=clients()) as bench:
        FullStream(bench)
        order = DECIDING_STATUSES + b"Content-Length: %d\r\n\r\n" % len(MINE) + MINE
        assert (await bench.ask(order)).status == 200


async def test_a_refused_write_leaves_its_connection_to_the_next_in_line(running: Running) -> None:
    """A read that waits behind it is served, although the write was given the only connection first."""
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            asked.append(head)
            if len(asked) == 4:
                await bench.settled(lambda: stream.full)
            wire.send(HELLO)

    async with running(script, pool_limit=1) as bench:
        stream = FullStream(bench, full=False)
        first, writing, reading = await bench.client(), await bench.client(), await bench.client()
        for _ in range(3):
            writing.send(UPDATE)
            assert (await writing.answer()).status == 200
        first.send(GET)
        await bench.settled(lambda: len(asked) == 4)
        for number, (client, request) in enumerate(((writing, UPDATE), (reading, GET)), 2):
            client.send(request)
            await bench.settled(lambda: bench.accounting.in_flight == number)  # noqa: B023 - awaited within the turn
        stream.full = True
        statuses = [(await client.answer()).status for client in (first, writing, reading)]
        assert statuses == [200, 503, 200]
