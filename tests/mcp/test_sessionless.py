"""MCP without sessions on the wire: what leaves for whom, and what is refused for its headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.mcp.test_fixed_clients import MODE, QUERY, SCOPE, Endpoint, answer, clients, message
from tests.support.proxy_bench import Running

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
CALLED: dict[str, Any] = {"_meta": META, "name": QUERY, "arguments": {}}
CALL = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": CALLED}
LIST = {"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {"_meta": META}}
REPEATED = (b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: tools/call", b"Mcp-Name: " + QUERY.encode())
TOOLS = {"resultType": "complete", "tools": [{"name": QUERY}], "ttlMs": 5, "cacheScope": "public"}
LISTED = {"jsonrpc": "2.0", "id": 4, "result": TOOLS}


@pytest.mark.parametrize(
    ("client", "scope", "mode"), [("one", [b"123"], [b"FIXED"]), ("free", [], []), ("reader", [], [])]
)
async def test_a_call_needs_no_session(client: str, scope: list[bytes], mode: list[bytes], running: Running) -> None:
    """A limited client's leaves for its account, with the headers that repeat it, and no session comes back."""
    endpoint = Endpoint(answer(LISTED))
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(message(client, CALL, *REPEATED))
        assert (got.status, got.value(b"mcp-session-id")) == (200, None)
    assert (endpoint.values(SCOPE), endpoint.values(MODE)) == (scope, mode)
    for line in REPEATED:
        name, _, value = line.partition(b": ")
        assert endpoint.values(name.lower()) == [value]


@pytest.mark.parametrize(
    "lines",
    [
        (*REPEATED[:2], b"Mcp-Name: another"),
        (*REPEATED[:2], b"Mcp-Name: another", REPEATED[2]),
        (REPEATED[0], b"Mcp-Method: tools/list", REPEATED[2]),
        (b"MCP-Protocol-Version: 2025-11-25", *REPEATED[1:]),
        REPEATED[:2],
        REPEATED[1:],
        (),
    ],
)
@pytest.mark.parametrize("client", ["one", "reader", "free"])
async def test_headers_that_contradict_the_body(client: str, lines: tuple[bytes, ...], running: Running) -> None:
    """Where messages are judged, they never leave; from a client without limits they leave as they came."""
    endpoint = Endpoint(answer())
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(message(client, CALL, *lines))
    if client == "free":
        assert (got.status, len(endpoint.heads)) == (200, 1)
        assert all(line in endpoint.heads[0] for line in lines)
        return
    said = json.loads(got.body)
    assert (got.status, said["id"], said["error"]["code"], endpoint.heads) == (400, 3, -32020, [])


@pytest.mark.parametrize(("client", "scope"), [("one", "private"), ("reader", "private"), ("free", "public")])
async def test_a_filtered_list_is_the_clients_own(client: str, scope: str, running: Running) -> None:
    """No cache may show it to others; the list of a client without limits passes as it came."""
    endpoint = Endpoint(answer(LISTED))
    lines = (REPEATED[0], b"Mcp-Method: tools/list")
    async with running(endpoint, clients=clients()) as bench:
        got = await bench.ask(message(client, LIST, *lines))
    assert json.loads(got.body)["result"] == {**TOOLS, "cacheScope": scope}


@pytest.mark.parametrize("client", ["one", "free"])
async def test_a_question_passes_and_its_answer(client: str, running: Running) -> None:
    """Byte for byte, in both directions."""
    asked: dict[str, Any] = {
        "resultType": "input_required",
        "inputRequests": {"account": {"method": "elicitation/create", "params": {"mode": "form", "message": "?"}}},
        "requestState": "opaque",
    }
    question = {"jsonrpc": "2.0", "id": 3, "result": asked}
    endpoint = Endpoint(answer(question))
    answered = {"account": {"action": "accept", "content": {"id": "123"}}}
    again = {**CALLED, "inputResponses": answered, "requestState": "opaque"}
    async with running(endpoint, clients=clients()) as bench:
        for params in (CALLED, again):
            got = await bench.ask(message(client, {**CALL, "params": params}, *REPEATED))
            assert (got.status, got.body) == (200, json.dumps(question).encode())
