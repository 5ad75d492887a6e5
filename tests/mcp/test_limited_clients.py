"""A client that may call some tools of the MCP endpoint: what leaves, and what it is answered."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.routing.operations import Access
from tests.support.proxy_bench import Running
from tests.support.tool_results import refusal_text
from tests.support.wire import HELLO, Wire, answering

KEY = b"a key of an agent"
GOOD, BAD = "campaign_management-query_campaign", "campaign_management-update_campaign"
LISTED = [{"name": GOOD}, {"name": BAD}]
LIST = {"jsonrpc": "2.0", "id": 5, "method": "tools/list"}


def clients(**limits: Any) -> Clients:
    """One client that reads."""
    policy = Policy("agent", (ClientKey(hashlib.sha256(KEY).hexdigest()),), **({"access": Access.READ} | limits))
    return Clients([policy], Placeholders(b"key"), Budgets())


def post(content: Any, *lines: bytes, path: bytes = b"/mcp", pieces: int = 0) -> bytes:
    """A message; in chunks of so many bytes, if any."""
    body = json.dumps(content).encode()
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" % path
    head += b"X-Ads-Proxy-Key: %b\r\n" % KEY + b"".join(lines)
    if not pieces:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    cut = [body[at : at + pieces] for at in range(0, len(body), pieces)]
    return (
        head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in cut)
        + b"0\r\n\r\n"
    )


def call(client: str, identifier: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": {"name": client, "arguments": {}}}


def answer(content: bytes, kind: bytes, *lines: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (kind, len(content), b"".join(lines)) + content


class Endpoint:
    """Answers each request with the same, and keeps the heads and bodies that it got."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.heads.append(head)
            self.bodies.append(body)
            wire.send(self.response)


OK = answer(b'{"jsonrpc":"2.0","id":1,"result":{}}', b"application/json")


@pytest.mark.parametrize("pieces", [0, 1, 30])
async def test_a_permitted_call_leaves_as_it_was_judged(pieces: int, running: Running) -> None:
    """Byte for byte, however it came."""
    endpoint = Endpoint(OK)
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(post(call(GOOD), pieces=pieces))
        assert (got.status, json.loads(got.body)["result"]) == (200, {})
        assert endpoint.bodies == [json.dumps(call(GOOD)).encode()]


@pytest.mark.parametrize("path", [b"/mcp", b"/mcp/lite"])
@pytest.mark.parametrize("pieces", [0, 7])
async def test_a_large_forbidden_call_is_recorded_with_its_tool(path: bytes, pieces: int, running: Running) -> None:
    """As a small one is."""
    endpoint = Endpoint(OK)
    content = call(BAD, "x") | {"params": {"name": BAD, "arguments": {"text": "x" * 50_000}}}
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(post(content, path=path, pieces=pieces and 1000))
        assert BAD in refusal_text(got.body, "x")
        assert (await bench.events.last()).mcp_tools == (BAD,)
        assert not endpoint.bodies


@pytest.mark.parametrize("path", [b"/mcp", b"/mcp/lite", b"/eu/mcp"])
@pytest.mark.parametrize("pieces", [0, 7])
async def test_a_forbidden_call_never_leaves(path: bytes, pieces: int, running: Running) -> None:
    """A result of a tool answers it, with its id; the connection stays, and log and metrics have the reason."""
    endpoint = Endpoint(OK)
    async with running(endpoint, clients=clients()) as bench:
        client = await bench.client(post(call(BAD, "x"), path=path, pieces=pieces))
        got = await client.answer()
        assert (got.status, got.value(b"content-type")) == (200, b"application/json")
        assert got.value(b"proxy-status") == b"ads-proxy; error=http_request_denied"
        event = await bench.events.last()
        assert refusal_text(got.body, "x") == event.detail
        assert (event.client, event.status, event.refusal, event.attempts) == ("agent", 200, "tool-not-permitted", 0)
        assert event.mcp_tools == (BAD,)
        client.send(post(call(GOOD)))
        assert (await client.answer()).status == 200
        assert endpoint.bodies == [json.dumps(call(GOOD)).encode()]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": BAD}}), 403),
        (post(call(GOOD), b"Content-Encoding: gzip\r\n"), 400),
        (post(call(GOOD), b"Mcp-Name: other\r\n"), 400),
        (post("x" * 262144), 413),
        (post("x" * 262144, pieces=100_000), 413),
        (post(call(GOOD)).replace(b"POST", b"PUT"), 403),
    ],
)
async def test_what_cannot_be_permitted_never_leaves(sent: bytes, status: int, running: Running) -> None:
    """Calls that nobody answers, doubtful ones, huge ones, other methods."""
    endpoint = Endpoint(OK)
    async with running(endpoint, clients=clients()) as bench:
        assert (await bench.ask(sent)).status == status
        await asyncio.sleep(0)
        assert endpoint.bodies == []


@pytest.mark.parametrize("events", [False, True])
async def test_a_list_shows_what_may_be_called(events: bool, running: Running) -> None:
    """As one body or as an event; it is asked for without compression, whatever the tool would take."""
    content = json.dumps({"jsonrpc": "2.0", "id": 5, "result": {"tools": LISTED}}).encode()
    kind = b"text/event-stream" if events else b"application/json; charset=utf-8"
    endpoint = Endpoint(answer(b"data: %b\n\n" % content if events else content, kind))
    async with running(endpoint, clients=clients()) as bench:
        client = await bench.client(post(LIST, b"Accept-Encoding: gzip, br\r\n", b"accept_encoding: x\r\n"))
        got = await client.answer()
        assert json.loads(got.body.removeprefix(b"data: "))["result"]["tools"] == [{"name": GOOD}]
        assert got.value(b"transfer-encoding") == b"chunked"
        assert got.value(b"content-length") is None
        (head,) = endpoint.heads
        assert head.lower().count(b"accept-encoding") == 1 and b"accept_encoding" not in head.lower()
        assert b"\r\nAccept-Encoding: identity\r\n" in head
        client.send(post(LIST))
        assert (await client.answer()).status == 200


RESUMED = (
    b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\n"
    b"Last-Event-ID: 7\r\nMcp-Session-Id: s\r\n\r\n" % KEY
)

ESCAPED = post(LIST).replace(b'": ', b'":').replace(b', "', b',"').replace(b"s/l", b"s\\u002fl")
"""As long as it was."""


@pytest.mark.parametrize("sent", [post(LIST), ESCAPED, RESUMED])
async def test_a_list_is_learned_however_it_was_asked_for(sent: bytes, running: Running) -> None:
    """Also one whose stream is taken up again: the server's word holds for the calls that follow."""
    content = json.dumps({"id": 5, "result": {"tools": [{"name": GOOD, "annotations": {"readOnlyHint": False}}]}})
    listed = answer(b"data: %b\n\n" % content.encode(), b"text/event-stream")
    async with running(Endpoint(listed), clients=clients()) as bench:
        assert (await bench.ask(sent)).status == 200
        assert b"is not read-only" in (await bench.ask(post(call(GOOD)))).body


async def test_a_later_page_of_a_list_may_be_empty(running: Running) -> None:
    """A request with a cursor has had other pages; without one, a list without a permitted tool is an error."""
    content = json.dumps({"jsonrpc": "2.0", "id": 5, "result": {"tools": [{"name": "odd"}]}}).encode()
    later = {"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"cursor": "2"}}
    async with running(Endpoint(answer(content, b"application/json")), clients=clients()) as bench:
        assert json.loads((await bench.ask(post(later))).body)["result"] == {"tools": []}
        assert "may call none of the 1 tools" in json.loads((await bench.ask(post(LIST))).body)["error"]["message"]


@pytest.mark.parametrize(("asked", "identifier"), [(LIST, LIST["id"]), ([LIST, LIST], None)])
async def test_a_compressed_list_is_not_shown(asked: Any, identifier: object, running: Running) -> None:
    """It cannot be read on its way. The error says which request it answers: its client would wait on otherwise."""
    endpoint = Endpoint(
        answer(b"\x1f\x8b" + json.dumps(LISTED).encode(), b"application/json", b"Content-Encoding: gzip\r\n")
    )
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(post(asked))
        assert got.value(b"content-encoding") is None
        said = json.loads(got.body)
        assert (said["id"], said["error"]["code"]) == (identifier, -32603)


async def test_a_response_without_a_body_gets_none(running: Running) -> None:
    """Whatever coding it names: an accepted notification has no answer."""
    accepted = b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"
    async with running(Endpoint(accepted), clients=clients()) as bench:
        got = await bench.ask(post({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        assert (got.status, got.body) == (202, b"")


async def test_another_client_sees_all_as_it_came(running: Running) -> None:
    """Nothing is read of what it sends and gets."""
    content = json.dumps({"result": {"tools": LISTED}}).encode()
    endpoint = Endpoint(answer(content, b"application/json"))
    async with running(endpoint, clients=clients(access=Access.ADMIN)) as bench:
        got = await bench.ask(post(call(BAD), b"Accept-Encoding: gzip\r\n"))
        assert got.body == content
        assert b"Accept-Encoding: gzip" in endpoint.heads[0]


async def test_patterns_limit_beside_access(running: Running) -> None:
    """What reads is not permitted either, where no pattern names it."""
    limits = {"mcp_tools": (PathPattern.read("reporting-*"),)}
    async with running(Endpoint(OK), clients=clients(**limits)) as bench:
        assert "`mcp_tools`" in refusal_text((await bench.ask(post(call(GOOD)))).body)
        assert "result" in json.loads((await bench.ask(post(call("reporting-retrieve_report")))).body)


async def test_events_of_a_stream_pass_each_at_once(running: Running) -> None:
    """The second is sent only when the first has arrived."""
    arrived = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"9\r\ndata: 1\n\n\r\n")
        await arrived.wait()
        wire.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with running(script, clients=clients()) as bench:
        client = await bench.client(post(call(GOOD)))
        await bench.settled(lambda: b"data: 1" in bytes(client.received))
        arrived.set()
        assert (await client.answer()).body == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("trailer", [b"Mcp-Name", b"mcp_method", b"Mcp-Session-Id", b"Mcp-Param-X", b"X-Anything"])
async def test_trailers_behind_a_judged_message_do_not_leave(trailer: bytes, running: Running) -> None:
    """A server that reads them as headers would call another tool than the judged one, or join another session."""
    sent = post(call(GOOD), pieces=20)[: -len(b"\r\n")] + trailer + b": " + BAD.encode() + b"\r\n\r\n"
    async with running(answering(HELLO), clients=clients()) as bench:
        assert (await bench.ask(sent)).body == b"hello"
        received = b"".join(bytes(wire.received) for wire in bench.upstream.wires)
    assert GOOD.encode() in received.replace(b"\r\n14\r\n", b"")
    assert trailer.lower() not in received.lower()


@pytest.mark.parametrize("line", [b"", b"Expect: 100-continue\r\n"])
async def test_a_chunked_body_of_nothing_ends_a_session(line: bytes, running: Running) -> None:
    """It leaves as it came, and with its end: the client waits no longer than for any other."""
    endpoint = Endpoint(OK)
    head = b"DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\nMcp-Session-Id: s\r\n%b" % (KEY, line)
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert got.status == 200
        assert endpoint.bodies == [b""]
