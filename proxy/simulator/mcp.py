"""A small hosted MCP endpoint: JSON-RPC over POST, answered as server-sent events, with sessions."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import judge_profile
from proxy.simulator.answers import Answer, error_answer, json_answer
from proxy.simulator.checks import ADS_CLIENT, SCOPE, Caller, Head, Refusal, check_client, check_token, find_leak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.simulator.state import SimulatorState

PATHS = ("/mcp", "/mcp/lite")
PROTOCOL_VERSION = "2025-06-18"
SESSION = "Mcp-Session-Id"
COUNT_TOOL = {
    "name": "count",
    "description": "Counts to a number and reports progress as it goes.",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "integer"}, "interval": {"type": "number"}},
        "required": ["to"],
    },
}
LIST_TOOL = {
    "name": "list_profiles",
    "description": "Lists the advertising profiles of the region.",
    "inputSchema": {"type": "object", "properties": {}},
}


def examine_mcp(state: SimulatorState, region: str, head: Head) -> Caller | Refusal:
    """The checks of the MCP endpoint: a Scope is taken in FIXED mode only."""
    leak = find_leak(head)
    if leak is not None:
        return leak
    token = check_token(state, head)
    if isinstance(token, Refusal):
        return token
    wrong = check_client(head, token, ads_client=True)
    if wrong is not None:
        return wrong
    scope = head.first(SCOPE)
    if scope is not None:
        if (head.first("amazon-ads-ai-account-selection-mode") or "").upper() != "FIXED":
            return Refusal(400, "scope-unwanted", "INVALID_ARGUMENT", "Scope is for FIXED account selection only")
        foreign = judge_profile(state, region, token.user, scope)
        if foreign is not None:
            return foreign
    return Caller(token.user, head.first(ADS_CLIENT) or "", scope)


def answer_mcp(state: SimulatorState, region: str, user: str, head: Head, request: tuple[str, bytes]) -> Answer:
    """One message of a client; `request` is its method and body."""
    method, body = request
    session = head.first(SESSION.lower())
    if method == "DELETE":
        state.sessions.discard(session or "")
        return Answer(204)
    if method != "POST":
        return error_answer(405, "METHOD_NOT_ALLOWED", "POST a message, or DELETE a session").with_headers(
            ("Allow", "POST, DELETE")
        )
    accepted = ",".join(head.all("accept"))
    if "text/event-stream" not in accepted or "application/json" not in accepted:
        return error_answer(406, "NOT_ACCEPTABLE", "Accept must name application/json and text/event-stream")
    try:
        message = json.loads(body)
    except ValueError:
        return json_answer(_failure(None, -32700, "Parse error"), 400)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return json_answer(_failure(None, -32600, "Invalid Request"), 400)
    if message.get("method") == "initialize":
        session = secrets.token_hex(16)
        state.sessions.add(session)
    elif session not in state.sessions:
        return json_answer(_failure(message.get("id"), -32001, "Session not found"), 404)
    if "id" not in message:
        return Answer(202, ((SESSION, session),), b"", "counted")
    headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache, no-transform"), (SESSION, session))
    profiles = [p.as_json() for p in state.profiles.listed(region, user)]
    return Answer(200, headers, stream=_events(message, profiles))


async def _events(message: dict[str, Any], profiles: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    """The messages that answer a request, each as one event."""
    params = message.get("params") or {}
    called = params.get("name") if message["method"] == "tools/call" else None
    if called == "count":
        arguments = params.get("arguments") or {}
        goal, token = int(arguments.get("to", 1)), (params.get("_meta") or {}).get("progressToken", 0)
        for number in range(1, goal + 1):
            progress = {"progressToken": token, "progress": number, "total": goal}
            yield _event({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
            await asyncio.sleep(float(arguments.get("interval", 0)))
    yield _event(_result(message, called, profiles))


def _result(message: dict[str, Any], called: str | None, profiles: list[dict[str, Any]]) -> dict[str, Any]:
    """The last message: the result of a request, or why there is none."""
    method = message["method"]
    if method == "initialize":
        return _success(
            message,
            {
                "protocolVersion": (message.get("params") or {}).get("protocolVersion", PROTOCOL_VERSION),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "ads-simulator", "version": "1"},
            },
        )
    if method == "ping":
        return _success(message, {})
    if method == "tools/list":
        return _success(message, {"tools": [COUNT_TOOL, LIST_TOOL]})
    if called == "count":
        return _success(message, {"content": [{"type": "text", "text": "counted"}], "isError": False})
    if called == "list_profiles":
        return _success(message, {"content": [{"type": "text", "text": json.dumps(profiles)}], "isError": False})
    return _failure(message["id"], -32601, "Method not found")


def _success(message: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _failure(message_id: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}


def _event(message: dict[str, Any]) -> bytes:
    return f"event: message\ndata: {json.dumps(message)}\n\n".encode()
