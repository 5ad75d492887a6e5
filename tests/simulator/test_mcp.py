"""The hosted MCP endpoint: headers, sessions, events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.simulator.conftest import Reply, Tool

BOTH = "application/json, text/event-stream"


async def post(tool: Tool, message: Any, **headers: str | None) -> Reply:
    """One message."""
    return await tool.ask("POST", "/mcp", message, Content_Type="application/json", **{"Accept": BOTH, **headers})


async def initialize(tool: Tool) -> str:
    """Opens a session."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    reply = await post(tool, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    assert reply.header("Content-Type") == "text/event-stream"
    return reply.header("Mcp-Session-Id") or ""


def events(reply: Reply) -> list[Any]:
    """The messages of an event stream."""
    return [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: ")]


async def test_session_lists_and_calls_tools(tool: Tool) -> None:
    """After initialize, tools are listed and called, and profiles come back."""
    session = await initialize(tool)
    assert session
    noted = await post(tool, {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session)
    listed = await post(tool, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, Mcp_Session_Id=session)
    params = {"name": "list_profiles", "arguments": {}}
    called = await post(
        tool, {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params}, Mcp_Session_Id=session
    )
    assert noted.status == 202
    assert [entry["name"] for entry in events(listed)[0]["result"]["tools"]] == ["count", "list_profiles"]
    assert "1110000000000001" in events(called)[0]["result"]["content"][0]["text"]


async def test_count_streams_progress(tool: Tool) -> None:
    """The counting tool sends an event for each number and then its result."""
    session = await initialize(tool)
    params = {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": "p"}}
    reply = await post(
        tool, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}, Mcp_Session_Id=session
    )
    seen = events(reply)
    assert [message["params"]["progress"] for message in seen[:3]] == [1, 2, 3]
    assert seen[3]["id"] == 2


async def test_session_ends_by_delete(tool: Tool) -> None:
    """A deleted session is not found any more."""
    session = await initialize(tool)
    assert (await tool.ask("DELETE", "/mcp", Mcp_Session_Id=session)).status == 204
    reply = await post(tool, {"jsonrpc": "2.0", "id": 2, "method": "ping"}, Mcp_Session_Id=session)
    assert reply.status == 404


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Authorization": None}, 401, "authorization-missing"),
        ({"Amazon_Ads_ClientId": None}, 401, "client-id-missing"),
        ({"Amazon_Advertising_API_Scope": "1110000000000001"}, 400, "scope-unwanted"),
        (
            {"Amazon_Advertising_API_Scope": "1", "Amazon_Ads_AI_Account_Selection_Mode": "FIXED"},
            401,
            "scope-unknown",
        ),
        ({"Via": "1.1 x"}, 400, "leaked-header"),
    ],
)
async def test_headers_are_checked(tool: Tool, headers: dict[str, str | None], status: int, kind: str) -> None:
    """MCP needs Authorization and Amazon-Ads-ClientId, and takes a Scope in FIXED mode only."""
    reply = await post(tool, {"jsonrpc": "2.0", "id": 1, "method": "initialize"}, **headers)
    assert (reply.status, tool.kinds()) == (status, [kind])


async def test_fixed_mode_takes_a_scope(tool: Tool) -> None:
    """In FIXED mode a profile of the region is taken."""
    headers = {"Amazon_Advertising_API_Scope": "1110000000000001", "Amazon_Ads_AI_Account_Selection_Mode": "FIXED"}
    assert (await post(tool, {"jsonrpc": "2.0", "id": 1, "method": "initialize"}, **headers)).status == 200


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"{}", 400)])
async def test_message_that_is_none_is_refused(tool: Tool, body: bytes, status: int) -> None:
    """No JSON, and JSON that is no JSON-RPC, are 400."""
    assert (await post(tool, body)).status == status


async def test_get_and_narrow_accept_are_refused(tool: Tool) -> None:
    """There is no GET stream, and Accept must name both media types."""
    assert (await tool.ask("GET", "/mcp", Accept="text/event-stream")).status == 405
    assert (await post(tool, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, Accept="application/json")).status == 406


async def test_unknown_method_is_an_error(tool: Tool) -> None:
    """A method that there is not gets JSON-RPC's error."""
    session = await initialize(tool)
    reply = await post(tool, {"jsonrpc": "2.0", "id": 2, "method": "x/y"}, Mcp_Session_Id=session)
    assert events(reply)[0]["error"]["code"] == -32601
