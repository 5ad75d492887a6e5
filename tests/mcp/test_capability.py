"""Requests to the hosted MCP endpoint, which says some things in its own way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app import draining
from proxy.body_reader import READER
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize"}'
CALL = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (len(INITIALIZE), INITIALIZE)
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 8\r\n\r\ndata: x\n"
KEY = b"correct horse battery staple"
IS_OVER = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"client initialization failed"}}'


def keyed() -> Clients:
    """One client with a key."""
    return Clients(
        [Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),))], Placeholders(b"key"), Budgets()
    )


def refusal(status: int, body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole response."""
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (status, kind, len(body)) + body


REFUSALS = [
    refusal(400, b"no authorization", b"text/plain"),
    refusal(400, IS_OVER),
    refusal(401, IS_OVER),
    refusal(403, b'{"message":"client initialization failed"}'),
    refusal(200, IS_OVER),
]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_refused_token_is_renewed_and_the_call_sent_again(refused: bytes, running: Running) -> None:
    """However the endpoint says it: the tool hears nothing of it, and any call may go, as nothing was done."""
    seen: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head, payload = await wire.request()
            seen.append(payload)
            wire.send(refused if b"Atza|0" in head else EVENTS)

    async with running(script) as bench:
        got = await bench.ask(CALL)
        assert (got.status, got.body) == (200, b"data: x\n")
        assert seen == [INITIALIZE, INITIALIZE]
        assert bench.tokens.renewals == 1
        assert bench.events.replays == [("unauthorized", "recovered")]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_the_second_refusal_is_the_tools(refused: bytes, running: Running) -> None:
    """Byte for byte, after one renewal and one replay."""
    async with running(answering(refused)) as bench:
        got = await bench.ask(CALL)
        assert b"%d" % got.status in refused and refused.endswith(got.body)
        assert bench.tokens.renewals == 1
        assert (await bench.events.last()).attempts == 2


@pytest.mark.parametrize(
    "other",
    [
        refusal(400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool"}}'),
        refusal(200, b'{"jsonrpc":"2.0","id":1,"result":{"text":"no authorization"}}'),
        refusal(504, b'{"message":"Endpoint request timed out"}'),
        refusal(404, b'{"error":{"message":"Session not found"}}'),
    ],
)
async def test_everything_else_passes_as_it_is(other: bytes, running: Running) -> None:
    """A 504 after 30 seconds, the error of a call, and what a call returned, whatever words it holds."""
    async with running(answering(other)) as bench:
        got = await bench.ask(CALL)
        assert b"%d" % got.status in other and other.endswith(got.body)
        assert bench.tokens.renewals == 0
        assert (await bench.events.last()).attempts == 1
        assert bench.events.replays == []


async def test_a_long_answer_is_held_back_as_far_as_it_could_say_so(running: Running) -> None:
    """Its beginning is no error, so all of it passes."""
    body = b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 10_000 + b'"}'
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with running(answering(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))) as bench:
        assert (await bench.ask(CALL)).body == body
        assert bench.tokens.renewals == 0


async def test_the_same_words_of_the_ads_api_mean_nothing(running: Running) -> None:
    """Only the MCP endpoint is known to say so."""
    async with running(answering(REFUSALS[0])) as bench:
        assert (await bench.ask(GET)).status == 400
        assert bench.tokens.renewals == 0


async def test_a_refused_call_is_a_503_while_login_is_away(running: Running) -> None:
    """It was not carried out, so it may be sent again, too."""
    async with running(answering(REFUSALS[0])) as bench:
        bench.tokens.away = True
        got = await bench.ask(CALL)
        said = json.loads(got.body)
        assert (got.status, said["retryable"]) == (503, True)
        assert "may have carried it out" not in said["detail"]


async def test_a_refusal_with_status_200_does_not_show_that_the_token_works(running: Running) -> None:
    """Or each use of a dead token could ask for another one, beyond what all of them share."""
    async with running(answering(refusal(200, IS_OVER))) as bench:
        bench.tokens.fruitless = bench.tokens.watchful = True
        assert (await bench.ask(CALL)).body == IS_OVER
        assert (bench.tokens.renewals, len(bench.tokens.uses)) == (1, 1)


async def test_a_second_refusal_with_status_200_does_not_show_that_the_new_token_works(running: Running) -> None:
    """It is passed on unread, as nothing more is asked for."""
    async with running(answering(refusal(200, IS_OVER), refusal(200, IS_OVER))) as bench:
        bench.tokens.watchful = True
        assert (await bench.ask(CALL)).body == IS_OVER
        assert (bench.tokens.renewals, len(bench.tokens.uses)) == (1, 1)


async def test_a_renewal_that_does_not_convince_delivers_the_answer(running: Running) -> None:
    """Whole, and the connection serves the next request."""
    async with running(answering(REFUSALS[1], HELLO)) as bench:
        bench.tokens.fruitless = True
        client = await bench.client(CALL)
        got = await client.answer()
        assert (got.status, got.body) == (400, IS_OVER)
        client.send(GET)
        assert (await client.answer()).body == b"hello"


# --- sessions


@pytest.mark.parametrize(
    ("head", "status", "slug"),
    [
        (b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1", 401, "client-unknown"),
        (b"POST /@nobody/eu/mcp/lite HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: " + KEY, 404, "unknown-route"),
    ],
)
async def test_a_refused_message_is_a_json_rpc_error(head: bytes, status: int, slug: str, running: Running) -> None:
    """The proxy's own refusal of a POST has a body that clients of MCP show, with its HTTP status."""
    sent = head + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(INITIALIZE), INITIALIZE)
    async with running(answering(HELLO), clients=keyed()) as bench:
        got = await bench.ask(sent)
        said = json.loads(got.body)
        assert (got.status, said["type"]) == (status, f"urn:ads-proxy:error:{slug}")
        assert (said["jsonrpc"], said["id"], said["error"]["message"]) == ("2.0", None, said["detail"])


async def test_a_refused_stream_is_a_problem_document(running: Running) -> None:
    """A GET carries no message, so nothing of JSON-RPC answers it."""
    async with running(answering(HELLO), clients=keyed()) as bench:
        got = await bench.ask(b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (got.status, "jsonrpc" in json.loads(got.body)) == (401, False)


def opened(session: bytes, name: bytes = b"Mcp-Session-Id") -> bytes:
    """The answer to `initialize`."""
    return EVENTS.replace(b"\r\n\r\n", b"\r\n%b: %b\r\n\r\n" % (name, session))


def within(session: bytes, call: bytes = CALL) -> bytes:
    """A call in a session."""
    return call.replace(b"\r\n\r\n", b"\r\nMcp-Session-Id: %b\r\n\r\n" % session, 1)


async def test_a_session_is_known_from_the_answer_on_and_sent_to_no_other_region(running: Running) -> None:
    """The id passes both ways; what would go elsewhere with it never leaves."""
    async with running(answering(opened(b"s-1"), EVENTS)) as bench:
        assert (await bench.ask(CALL)).value(b"mcp-session-id") == b"s-1"
        assert (await bench.ask(within(b"s-1"))).status == 200
        assert b"Mcp-Session-Id: s-1" in bytes(bench.upstream.wires[0].received)
        got = await bench.ask(within(b"s-1", CALL.replace(b"/mcp", b"/eu/mcp")))
        assert (got.status, json.loads(got.body)["type"]) == (404, "urn:ads-proxy:error:session-elsewhere")
        assert (await bench.ask(within(b"s-1"))).status == 200
        assert repr(bench.sessions) == "<McpSessions: 1>"


async def test_a_session_that_a_request_brought_is_learned_too(running: Running) -> None:
    """After a restart nothing is known of it until the endpoint has answered it."""
    async with running(answering(EVENTS)) as bench:
        assert (await bench.ask(within(b"s-1"))).status == 200
        assert (await bench.ask(within(b"s-1", CALL.replace(b"/mcp", b"/na/mcp")))).status == 200
        assert (await bench.ask(within(b"s-1", CALL.replace(b"/mcp", b"/fe/mcp")))).status == 404


@pytest.mark.parametrize(
    ("ends", "answer"),
    [
        (within(b"s-1"), refusal(404, b"{}")),
        (b"DELETE /mcp HTTP/1.1\r\nHost: h\r\nMcp-Session-Id: s-1\r\n\r\n".replace(b"h\r", b"127.0.0.1\r"), HELLO),
    ],
)
async def test_a_session_that_is_over_is_forgotten(ends: bytes, answer: bytes, running: Running) -> None:
    """By DELETE, or when the endpoint does not know it any more; an error alone does not end it."""
    async with running(answering(opened(b"s-1"), refusal(400, b"{}"), answer)) as bench:
        await bench.ask(CALL)
        await bench.ask(within(b"s-1"))
        assert repr(bench.sessions) == "<McpSessions: 1>"
        await bench.ask(ends)
        assert repr(bench.sessions) == "<McpSessions: 0>"


async def test_an_error_teaches_no_session(running: Running) -> None:
    """An endpoint that refused the request may not know its session."""
    async with running(answering(refusal(400, b"{}"))) as bench:
        await bench.ask(within(b"s-1"))
        assert repr(bench.sessions) == "<McpSessions: 0>"


async def test_a_session_is_its_clients_own(running: Running) -> None:
    """Another client gets the same answer as for a session that lives elsewhere, and nothing of it leaves."""
    keys = {name: f"a key of {name}".encode() for name in ("one", "two")}
    policies = [Policy(name, (ClientKey(hashlib.sha256(key).hexdigest()),)) for name, key in keys.items()]

    def by(name: str, request: bytes) -> bytes:
        return request.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: %b\r\n\r\n" % keys[name], 1)

    clients = Clients(policies, Placeholders(b"key"), Budgets())
    async with running(answering(opened(b"s-1", b"MCP-SESSION-ID"), EVENTS), clients=clients) as bench:
        assert (await bench.ask(by("one", CALL))).status == 200
        got = await bench.ask(by("two", within(b"s-1")))
        assert (got.status, json.loads(got.body)["type"]) == (404, "urn:ads-proxy:error:session-elsewhere")
        assert (await bench.ask(by("one", within(b"s-1")))).status == 200


async def test_the_memory_of_sessions_is_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, and then goes where its requests say."""
    monkeypatch.setattr("proxy.mcp.sessions.MAX_SESSIONS", 2)
    async with running(answering(EVENTS)) as bench:
        for name in (b"s-1", b"s-2", b"s-3" * 2000):
            assert (await bench.ask(within(name))).status == 200
        assert repr(bench.sessions) == "<McpSessions: 2>"


def calling(content: bytes, pieces: int = 0, *, path: bytes = b"/mcp") -> bytes:
    """A message of a client that nothing limits; in chunks of so many bytes, if any."""
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" % path
    if not pieces:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    cut = [content[at : at + pieces] for at in range(0, len(content), pieces)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def call_of(client: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": client}}).encode()


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (calling(call_of("a-update_b")), ("a-update_b",)),
        (calling(call_of("a-update_b"), pieces=1), ("a-update_b",)),
        (calling(INITIALIZE), ()),
        (calling(b"\x1f\x8b compressed"), ("?",)),
        (calling(call_of("a-update_b") + b" " * 100_000), ("a-update_b",)),
        (calling(call_of("a-update_b") + b" " * 262_144), ("?",)),
        (calling(call_of("a-update_b"), path=b"/v2/profiles"), ()),
    ],
)
async def test_the_account_of_a_call_names_its_tools(sent: bytes, named: tuple[str, ...], running: Running) -> None:
    """However the body came. One that cannot be read, or is too large to be kept, passes all the same."""
    async with running(answering(EVENTS)) as bench:
        assert (await bench.ask(sent)).status == 200
        event = await bench.events.last()
        assert (event.mcp_tools, event.attempts) == (named, 1)


async def test_a_call_that_breaks_off_has_a_tool_that_nobody_can_tell(running: Running) -> None:
    """Some of it may have left."""
    async with running(answering(EVENTS)) as bench:
        client = await bench.client(calling(call_of("a-update_b"))[:-1])
        client.close()
        assert (await bench.events.last()).mcp_tools == ("?",)


async def test_no_request_waits_while_a_thread_names_the_tools_of_one_that_is_over(running: Running) -> None:
    """Its client is gone, others are served, and its account has the tools in the end."""
    go = threading.Event()
    busy = READER.submit("", go.wait, PATIENCE)
    try:
        async with running(answering(HELLO)) as bench:
            client = await bench.client(calling(call_of("a-update_b") + b" " * 100_000))
            await bench.settled(lambda: bool(bench.upstream.wires))
            client.abort()
            await bench.settled(lambda: not bench.server.connections)
            assert (await bench.ask()).body == b"hello"
            assert not busy.done()
            go.set()
            await bench.settled(lambda: not bench.accounting.in_flight)
            assert sorted(event.mcp_tools for event in bench.events.finished) == [(), ("a-update_b",)]
    finally:
        go.set()


def serving(bench: ProxyBench) -> SimpleNamespace:
    """The process that a stop ends."""
    return SimpleNamespace(
        config=SimpleNamespace(drain=SimpleNamespace(delay=0.0, timeout=0.0)),
        forwarder=bench.forwarder,
        accounting=bench.accounting,
        client_connections=bench.server,
        acceptors=(),
    )


@pytest.mark.parametrize("hurried", [True, False])
async def test_a_request_that_a_stop_cuts_has_its_account(
    running: Running, monkeypatch: pytest.MonkeyPatch, *, hurried: bool
) -> None:
    """Also if a thread still has to name its tools."""
    monkeypatch.setattr(draining, "_CUT_WAIT", PATIENCE)
    at_once, go = asyncio.Event(), threading.Event()
    if hurried:
        at_once.set()

    async def script(wire: Wire) -> None:
        await wire.request()
        await asyncio.Event().wait()

    busy = READER.submit("", go.wait, PATIENCE)
    try:
        async with running(script) as bench:
            client = await bench.client(calling(call_of("a-update_b") + b" " * 100_000))
            await bench.settled(lambda: bool(bench.upstream.wires))
            ending = asyncio.create_task(draining.let_end(cast(Any, serving(bench)), at_once))
            assert (await client.answer()).status == 503
            assert not (busy.done() or ending.done())
            go.set()
            assert await ending == 1
            assert [event.mcp_tools for event in bench.events.finished] == [("a-update_b",)]
    finally:
        go.set()


async def test_a_record_waits_for_nobody_elses_messages(running: Running) -> None:
    """While another client's message keeps the thread busy, a call counts in the gate, and its record comes when it is
    due; its tools are unknown then."""
    go = threading.Event()
    READER.submit("another", go.wait, PATIENCE)
    try:
        async with running(answering(HELLO)) as bench:
            assert (await bench.ask(calling(call_of("a-update_b") + b" " * 100_000))).status == 200
            await bench.settled(lambda: bench.accounting.write_gate.unrecorded == 1)
            bench.sweep(PATIENCE)
            (event,) = bench.events.finished
            assert (event.mcp_tools, event.status, event.attempts) == (("?",), 200, 1)
            assert bench.accounting.write_gate.unrecorded == 0
            assert not go.is_set()
    finally:
        go.set()


async def test_a_stop_gives_the_account_of_a_message_that_is_not_read(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the thread is busy to the end."""
    monkeypatch.setattr(draining, "_CUT_WAIT", 0.0)
    go = threading.Event()
    READER.submit("another", go.wait, PATIENCE)
    try:
        async with running(answering(HELLO)) as bench:
            assert (await bench.ask(calling(call_of("a-update_b") + b" " * 100_000))).status == 200
            await draining.let_end(cast(Any, serving(bench)), asyncio.Event())
            assert [event.mcp_tools for event in bench.events.finished] == [("?",)]
    finally:
        go.set()
