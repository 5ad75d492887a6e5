"""A limited client at the MCP endpoint: what leaves for its one account, its session, and what is learned of tools."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.events import ToolHintsContradicted
from proxy.routing.operations import Access
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.tool_results import refusal_text
from tests.support.wire import Wire

QUERY = "campaign_management-query_campaign"
LIMITS: dict[str, dict[str, Any]] = {
    "one": {"profiles": frozenset((b"123",))},
    "two": {"profiles": frozenset((b"123", b"124"))},
    "ads": {"account_ids": frozenset((b"amzn1.own",))},
    "reader": {"access": Access.READ},
    "free": {},
}
KEYS = {name: f"a key of {name}".encode() for name in LIMITS}


def clients() -> Clients:
    policies = [
        Policy(name, (ClientKey(hashlib.sha256(KEYS[name]).hexdigest()),), **limits) for name, limits in LIMITS.items()
    ]
    return Clients(policies, Placeholders(b"key"), Budgets())


def message(client: str, content: Any, *lines: bytes, path: bytes = b"/mcp", method: bytes = b"POST") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode() if content else b""
    head = b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\n" % (method, path, KEYS[client])
    framing = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    return head + framing + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
CALL = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": QUERY, "arguments": {}}}


class Endpoint:
    """Answers each request with the next answer, the last one again and again, and keeps the heads that it got."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            self.heads.append(head)
            wire.send(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    def values(self, name: bytes) -> list[bytes]:
        """A header's values in the last head, in whatever spelling."""
        lines = [line.partition(b":") for line in self.heads[-1].split(b"\r\n")]
        return [value.strip() for found, _, value in lines if found.lower().replace(b"_", b"-") == name.lower()]


def answer(content: Any = None, *lines: bytes, status: int = 200, kind: bytes = b"application/json") -> bytes:
    body = json.dumps(content or {"jsonrpc": "2.0", "id": 1, "result": {}}).encode()
    if kind == b"text/event-stream":
        body = b"event: message\ndata: %b\n\n" % body
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status, kind, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


OPENED = answer(None, b"Mcp-Session-Id: amazons-own")
MODE, SCOPE, ACCOUNT = b"amazon-ads-ai-account-selection-mode", b"amazon-advertising-api-scope", b"amazon-ads-accountid"


@pytest.mark.parametrize(
    ("client", "lines", "scope", "account"),
    [
        ("one", (), [b"123"], []),
        ("one", (b"Amazon-Ads-AI-Account-Selection-Mode: FIXED", b"Amazon-Advertising-API-Scope: 123"), [b"123"], []),
        ("one", (b"amazon_ads_ai_account_selection_mode: FIXED",), [b"123"], []),
        ("two", (b"Amazon-Advertising-API-Scope: 124",), [b"124"], []),
        ("ads", (), [], [b"amzn1.own"]),
        ("ads", (b"Amazon-Ads-AccountId: amzn1.own",), [], [b"amzn1.own"]),
        ("ads", (b"Amazon-Ads-Account-ID: amzn1.own",), [], [b"amzn1.own"]),
        ("ads", (b"Amazon-Ads-AccountId: amzn1.own", b"Connection: Amazon-Ads-AccountId"), [], [b"amzn1.own"]),
        ("ads", (b"Amazon-Advertising-API-EntityId: amzn1.own",), [], [b"amzn1.own"]),
    ],
)
async def test_one_account_leaves_in_fixed_mode(
    client: str, lines: tuple[bytes, ...], scope: list[bytes], account: list[bytes], running: Running
) -> None:
    """Each header once, however the client wrote them."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients()) as bench:
        assert (await bench.ask(message(client, INITIALIZE, *lines))).status == 200
        assert endpoint.values(MODE) == [b"FIXED"]
        assert (endpoint.values(SCOPE), endpoint.values(ACCOUNT)) == (scope, account)
        assert endpoint.values(b"amazon-ads-account-id") == endpoint.values(b"amazon-advertising-api-entityid") == []


async def opened(bench: ProxyBench, client: str, *lines: bytes) -> bytes:
    """A new session's header line."""
    got = (await bench.ask(message(client, INITIALIZE, *lines))).value(b"mcp-session-id")
    assert got is not None
    return b"Mcp-Session-Id: " + got


async def test_a_session_has_an_id_of_the_proxys_own(running: Running) -> None:
    """Amazon gets its own id; the account is the session's, named or not; every answer names the same id."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients()) as bench:
        session = await opened(bench, "two", b"Amazon-Advertising-API-Scope: 124")
        assert b"amazons-own" not in session
        for lines in (
            (session,),
            (session, b"Amazon-Advertising-API-Scope: 124"),
            (b"mcp-session-id:" + session[15:],),
        ):
            got = await bench.ask(message("two", CALL, *lines))
            assert (got.status, got.value(b"mcp-session-id")) == (200, session.partition(b": ")[2])
            assert endpoint.values(b"mcp-session-id") == [b"amazons-own"]
            assert endpoint.values(SCOPE) == [b"124"]
        assert (await bench.ask(message("two", None, session, method=b"DELETE"))).status == 200
        assert endpoint.values(b"mcp-session-id") == [b"amazons-own"]


@pytest.mark.parametrize(
    ("client", "lines"),
    [
        ("one", ()),
        ("free", ()),
        ("two", (b"Amazon-Advertising-API-Scope: 123",)),
        ("two", (b"X-Ads-Region: eu",)),
    ],
)
async def test_a_session_goes_nowhere_else(client: str, lines: tuple[bytes, ...], running: Running) -> None:
    """By another client, limited or not, for another account or in another region it is unknown."""
    unknown = answer({"error": "Session not found"}, status=404)
    endpoint = Endpoint(OPENED, unknown)
    async with running(endpoint, clients=clients()) as bench:
        session = await opened(bench, "two", b"Amazon-Advertising-API-Scope: 124")
        got = await bench.ask(message(client, CALL, session, *lines))
        assert got.status == 404
        assert len(endpoint.heads) == 1


async def test_amazons_own_id_is_worth_nothing_to_others(running: Running) -> None:
    """Nor to the client itself."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients()) as bench:
        await opened(bench, "one")
        for client in ("one", "two", "free"):
            lines = (b"Mcp-Session-Id: amazons-own", b"Amazon-Advertising-API-Scope: 123")
            assert (await bench.ask(message(client, CALL, *lines))).status == 404
        assert len(endpoint.heads) == 1


async def test_a_session_outlives_the_process_and_a_reload(running: Running) -> None:
    """Nothing of it is remembered; the key that signs it stays."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients()) as bench:
        session = await opened(bench, "one")
    async with running(endpoint, clients=clients()) as bench:
        assert (await bench.ask(message("one", CALL, session))).status == 200
        bench.apply(clients=clients())
        assert (await bench.ask(message("one", CALL, session))).status == 200


async def test_sessions_of_clients_do_not_mix(running: Running) -> None:
    """Requests of several clients by turns, on one connection to Amazon: each is for its own account."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients()) as bench:
        scope = b"Amazon-Advertising-API-Scope: 124"
        sessions = {"one": await opened(bench, "one"), "two": await opened(bench, "two", scope)}
        sessions["ads"] = await opened(bench, "ads")
        for _ in range(3):
            for client, own in (("one", [b"123"]), ("two", [b"124"]), ("ads", [])):
                assert (await bench.ask(message(client, CALL, sessions[client]))).status == 200
                assert endpoint.values(SCOPE) == own
                others = [session for name, session in sessions.items() if name != client]
                for session in others:
                    assert (await bench.ask(message(client, CALL, session))).status == 404


async def test_a_message_in_pieces_is_read_as_a_whole(running: Running) -> None:
    """An account that is cut in two is found; nothing has left by then."""
    endpoint = Endpoint(OPENED)
    foreign = json.loads(json.dumps(CALL))
    foreign["params"]["arguments"] = {"profileId": "124"}
    sent = message("one", foreign)
    async with running(endpoint, clients=clients()) as bench:
        wire = await bench.client()
        for at in range(0, len(sent), 5):
            wire.send(sent[at : at + 5])
            await asyncio.sleep(0)
        assert refusal_text((await wire.answer()).body, 3).endswith(
            "Use profile 123, or leave profileId out. Do not retry."
        )
        assert endpoint.heads == []
        assert (await bench.events.last()).refusal == "tool-not-permitted"


# --- what is learned of tools

TOOLS = [{"name": QUERY, "annotations": {"readOnlyHint": False}}, {"name": "campaign_management-query_ad"}]
LISTED = {"jsonrpc": "2.0", "id": 2, "result": {"tools": TOOLS}}


@pytest.mark.parametrize("client", ["free", "reader", "one"])
@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
async def test_the_servers_word_counts_for_every_client(client: str, kind: bytes, running: Running) -> None:
    """From whoever's list it comes: the reader cannot call what the server does not call read-only."""
    endpoint = Endpoint(OPENED, answer(LISTED, kind=kind), OPENED)
    async with running(endpoint, clients=clients()) as bench:
        assert b'"result": {}' in (await bench.ask(message("reader", CALL))).body
        got = await bench.ask(message(client, LIST))
        if client == "free":
            assert got.body == answer(LISTED, kind=kind).partition(b"\r\n\r\n")[2]
        await bench.settled(lambda: bool(bench.hints.writers("default", "na")))
        assert "readOnlyHint" in refusal_text((await bench.ask(message("reader", CALL))).body, 3)
        assert b'"result": {}' in (await bench.ask(message("free", CALL))).body
        told = [event for event in bench.events.events if isinstance(event, ToolHintsContradicted)]
        assert told == [ToolHintsContradicted("default", "na", (QUERY,))]


async def test_many_tools_that_write_crowd_out_no_contradiction(running: Running) -> None:
    """Those that write by their names need no memory."""
    writing = [{"name": f"x-update_{number}", "annotations": {"readOnlyHint": False}} for number in range(2000)]
    listed = {"jsonrpc": "2.0", "id": 2, "result": {"tools": [*writing, *TOOLS]}}
    endpoint = Endpoint(answer(listed), OPENED)
    async with running(endpoint, clients=clients()) as bench:
        await bench.ask(message("reader", LIST))
        assert "readOnlyHint" in refusal_text((await bench.ask(message("reader", CALL))).body, 3)


@pytest.mark.parametrize("client", ["free", "one"])
async def test_a_contradicted_tool_writes_for_the_audit_too(client: str, running: Running) -> None:
    """Its calls are writes from then on, also those of clients that may write."""
    endpoint = Endpoint(OPENED, answer(LISTED), OPENED)
    async with running(endpoint, clients=clients()) as bench:
        hints = bench.hints
        await bench.ask(message(client, CALL))
        event = await bench.events.last()
        assert (event.operation_class, event.outcome) == ("read", "")
        await bench.ask(message(client, LIST))
        await bench.settled(lambda: bool(hints.writers("default", "na")))
        await bench.ask(message(client, CALL))
        event = await bench.events.last(3)
        assert (event.operation_class, event.outcome) == ("unknown", "success")


async def test_a_contradiction_is_told_once(running: Running) -> None:
    """A list that takes it back is believed, and one without hints takes nothing back."""
    quiet, honest = (
        {"jsonrpc": "2.0", "id": 2, "result": {"tools": [{"name": QUERY, **more}]}}
        for more in ({}, {"annotations": {"readOnlyHint": True}})
    )
    endpoint = Endpoint(answer(LISTED), answer(LISTED), answer(quiet), answer(honest), OPENED)
    async with running(endpoint, clients=clients()) as bench:
        await bench.ask(message("reader", LIST))
        await bench.ask(message("reader", LIST))
        assert refusal_text((await bench.ask(message("reader", CALL))).body, 3)
        assert sum(isinstance(event, ToolHintsContradicted) for event in bench.events.events) == 1
        assert QUERY.encode() not in (await bench.ask(message("reader", LIST))).body
        assert refusal_text((await bench.ask(message("reader", CALL))).body, 3)
        assert QUERY.encode() in (await bench.ask(message("reader", LIST))).body
        assert b'"result": {}' in (await bench.ask(message("reader", CALL))).body


async def test_a_slash_may_be_escaped(running: Running) -> None:
    """As some writers of JSON do."""
    endpoint = Endpoint(answer(LISTED), OPENED)
    asked = json.dumps(LIST).replace("/", "\\/").encode()
    async with running(endpoint, clients=clients()) as bench:
        await bench.ask(message("reader", asked))
        assert refusal_text((await bench.ask(message("reader", CALL))).body, 3)


@pytest.mark.parametrize(
    ("content", "response"),
    [
        (CALL, answer(LISTED)),
        (LIST, answer(LISTED, status=500)),
        (LIST, answer(LISTED, b"Content-Encoding: br")),
        (LIST, answer({"jsonrpc": "2.0", "id": 2, "result": {"content": [{"tools": TOOLS}]}})),
    ],
)
async def test_nothing_else_is_believed(content: Any, response: bytes, running: Running) -> None:
    """Only a list that was asked for, and that came."""
    endpoint = Endpoint(response, OPENED)
    async with running(endpoint, clients=clients()) as bench:
        await bench.ask(message("free", content))
        await bench.ask(message("free", CALL))
        assert b'"result": {}' in (await bench.ask(message("reader", CALL))).body
