"""The hosted MCP endpoint in version 2026-07-28: no sessions, headers that repeat the body, tools that ask first."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.simulator.conftest import Reply, SimulatorClient
from tests.simulator.test_mcp import FIXED_TO_NA, INITIALIZE, NA, QUERY, QUERY_TOOL, events, post

VERSION = "2026-07-28"
UPDATE_TOOL = "campaign_management-update_campaign"


def meta(version: str = VERSION, **capabilities: Any) -> dict[str, Any]:
    """What each request says of its client."""
    prefix = "io.modelcontextprotocol/"
    return {f"{prefix}protocolVersion": version, f"{prefix}clientCapabilities": capabilities}


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": meta(), **params}}


async def send(client: SimulatorClient, content: Any, path: str = "/mcp", **headers: str | None) -> Reply:
    """One request, with headers that repeat it, but for those that are given."""
    params = content.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    right = {"MCP_Protocol_Version": VERSION, "Mcp_Method": content.get("method"), "Mcp_Name": name}
    return await post(client, content, path, **{**right, **headers})


async def result(client: SimulatorClient, content: Any, **headers: str | None) -> Any:
    """The result of a request, as JSON or as the last event."""
    reply = await send(client, content, "/mcp", **headers)
    is_stream = reply.header("Content-Type") == "text/event-stream"
    answer = events(reply)[-1] if is_stream else reply.json()
    assert (reply.status, answer["id"], reply.header("Mcp-Session-Id")) == (200, 7, None)
    return answer["result"]


async def test_a_client_finds_out_what_is_spoken(client: SimulatorClient) -> None:
    """By `server/discover`, without a session."""
    found = await result(client, message("server/discover"))
    assert (found["supportedVersions"], found["capabilities"]) == ([VERSION], {"tools": {}})
    assert (found["resultType"], found["cacheScope"], found["ttlMs"]) == ("complete", "public", 60_000)
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "ads-simulator"


async def test_tools_are_listed_and_called(client: SimulatorClient) -> None:
    """Lists say who may cache them, and all results that they are complete."""
    listed = await result(client, message("tools/list"))
    assert [tool["name"] for tool in listed["tools"]] == ["count", "list_profiles"]
    assert (listed["resultType"], listed["cacheScope"], listed["ttlMs"]) == ("complete", "public", 60_000)
    called = await result(client, message("tools/call", name="list_profiles", arguments={}))
    assert NA in called["content"][0]["text"]
    assert (called["resultType"], "cacheScope" in called) == ("complete", False)


async def test_progress_comes_before_the_result(client: SimulatorClient) -> None:
    """In the stream that answers the call."""
    counting = message("tools/call", name="count", arguments={"to": 2}, _meta={**meta(), "progressToken": "p"})
    seen = events(await send(client, counting))
    assert [each.get("method") for each in seen] == ["notifications/progress"] * 2 + [None]
    assert seen[-1]["result"]["resultType"] == "complete"


async def test_an_account_is_named_by_each_request(client: SimulatorClient) -> None:
    """In FIXED mode the headers say which, and arguments that name another one are noted."""
    own = await result(client, message("tools/call", name=QUERY_TOOL, arguments=QUERY), **FIXED_TO_NA)
    assert "campaigns" in own["content"][0]["text"]
    foreign = message("tools/call", name=QUERY_TOOL, arguments={"profileId": "1"})
    assert (await result(client, foreign, **FIXED_TO_NA))["isError"] is True
    assert client.kinds() == ["argument-account"]


async def test_a_notification_is_taken(client: SimulatorClient) -> None:
    """Whatever it repeats in headers."""
    assert (await send(client, {"jsonrpc": "2.0", "method": "notifications/cancelled"})).status == 202


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (message("initialize"), {}, 404, -32601),
        (message("ping"), {}, 404, -32601),
        ({**message("tools/list"), "params": {}}, {}, 400, -32602),
        ({**message("tools/list"), "params": ["x"]}, {}, 400, -32602),
        (message("tools/list", _meta={"io.modelcontextprotocol/protocolVersion": VERSION}), {}, 400, -32602),
        (message("tools/list", _meta=meta("2027-01-01")), {"MCP_Protocol_Version": "2027-01-01"}, 400, -32022),
        ({"jsonrpc": "2.0", "id": 7, "result": {}}, {}, 400, -32600),
        (message("tools/call", name="nobody"), {}, 200, -32602),
    ],
)
async def test_what_is_not_of_this_version_is_refused(
    client: SimulatorClient, content: Any, headers: dict[str, str], status: int, code: int
) -> None:
    """Methods of old, missing metadata, another version, answers; a tool that is unknown is told in the stream."""
    reply = await send(client, content, **headers)
    answer = events(reply)[-1] if status == 200 else reply.json()
    assert (reply.status, answer["id"], answer["error"]["code"], client.kinds()) == (status, 7, code, [])
    if code == -32022:
        assert answer["error"]["data"] == {"supported": [VERSION], "requested": "2027-01-01"}


CALL = message("tools/call", name="list_profiles", arguments={})


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Mcp_Name": f"=?base64?{base64.b64encode(b'list_profiles').decode()}?="}, True),
        ({"Mcp_Name": "=?base64?QUE=?="}, False),
        ({"Mcp_Name": "=?base64?/w==?="}, False),
        ({"Mcp_Name": "=?base64?A?="}, False),
        ({"Mcp_Name": "count"}, False),
        ({"Mcp_Name": None}, False),
        ({"Mcp_Method": "tools/list"}, False),
        ({"Mcp_Method": None}, False),
        ({"MCP_Protocol_Version": "2025-11-25"}, False),
        ({"MCP_Protocol_Version": None}, False),
    ],
)
async def test_headers_say_what_the_body_says(
    client: SimulatorClient, headers: dict[str, str | None], passes: bool
) -> None:
    """Else the request is 400 with an error code of its own, and noted."""
    reply = await send(client, CALL, "/mcp", **headers)
    assert (reply.status, client.kinds()) == ((200, []) if passes else (400, ["header-mismatch"]))
    if not passes:
        assert (reply.json()["id"], reply.json()["error"]["code"]) == (7, -32020)


async def test_a_header_that_comes_twice_says_nothing(client: SimulatorClient) -> None:
    """Readers of the first and of the last could differ."""
    body = json.dumps(message("tools/list")).encode()
    lines = ("Accept: application/json, text/event-stream", f"MCP-Protocol-Version: {VERSION}", "Connection: close")
    twice = ("Mcp-Method: tools/list", "mcp-method: tools/list", f"Content-Length: {len(body)}")
    await client.sign_in()
    head = client.head("POST", "/mcp", *lines, *twice, "Content-Type: application/json")
    assert (await client.raw(head + body)).startswith(b"HTTP/1.1 400 ")
    assert client.kinds() == ["header-mismatch"]


@pytest.mark.parametrize(
    ("spoken", "version", "method", "status", "allowed"),
    [
        ("both", VERSION, "GET", 405, "POST"),
        ("both", VERSION, "DELETE", 405, "POST"),
        ("both", None, "GET", 405, "POST, DELETE"),
        ("both", "2025-11-25", "DELETE", 204, None),
        ("sessions", VERSION, "DELETE", 204, None),
        ("sessionless", None, "DELETE", 405, "POST"),
    ],
)
async def test_only_sessions_have_more_than_post(
    client: SimulatorClient, spoken: str, version: str | None, method: str, status: int, allowed: str | None
) -> None:
    """There is no stream to GET, and nothing to DELETE."""
    client.simulator.state.change(mcp_versions=spoken)
    reply = await client.ask(method, "/mcp", MCP_Protocol_Version=version)
    assert (reply.status, reply.header("Allow")) == (status, allowed)


async def test_an_old_endpoint_asks_for_a_session(client: SimulatorClient) -> None:
    """With the error after which clients fall back to `initialize`."""
    client.simulator.state.change(mcp_versions="sessions")
    reply = await send(client, message("server/discover"))
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32600)
    assert (await post(client, INITIALIZE)).status == 200


async def test_a_new_endpoint_has_no_sessions(client: SimulatorClient) -> None:
    """`initialize` is a request without metadata to it."""
    client.simulator.state.change(mcp_versions="sessionless")
    reply = await post(client, INITIALIZE)
    assert (reply.status, reply.json()["error"]["code"], reply.header("Mcp-Session-Id")) == (400, -32602, None)


@pytest.mark.parametrize(("wanted", "agreed"), [("2025-03-26", "2025-03-26"), (VERSION, "2025-06-18")])
async def test_a_session_is_of_a_version_that_has_sessions(client: SimulatorClient, wanted: str, agreed: str) -> None:
    """Whatever `initialize` asks for."""
    reply = await post(client, {**INITIALIZE, "params": {"protocolVersion": wanted}})
    assert events(reply)[0]["result"]["protocolVersion"] == agreed


ARGUMENTS: dict[str, Any] = {"body": {"campaigns": []}}


def update(answers: Any = None, state: str | None = None, **more: Any) -> dict[str, Any]:
    """A call that changes something, at first or again."""
    again = {"inputResponses": answers, "requestState": state} if state is not None else {}
    params = {"name": UPDATE_TOOL, "arguments": ARGUMENTS, "_meta": meta(elicitation={}), **again}
    return message("tools/call", **{**params, **more})


async def asking(client: SimulatorClient) -> str:
    """Make tools ask first, and return the state of a call."""
    client.simulator.state.change(mcp_confirms=True)
    first = await result(client, update(), **FIXED_TO_NA)
    assert (first["resultType"], list(first["inputRequests"])) == ("input_required", ["confirm"])
    assert first["inputRequests"]["confirm"]["method"] == "elicitation/create"
    return str(first["requestState"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"action": "accept", "content": {"confirm": True}}, "campaigns"),
        ({"action": "accept", "content": {"confirm": False}}, "Not confirmed."),
        ({"action": "accept"}, "Not confirmed."),
        ({"action": "decline"}, "Not confirmed."),
    ],
)
async def test_a_tool_is_carried_out_once_it_is_confirmed(client: SimulatorClient, answer: Any, said: str) -> None:
    """The call is sent again, with the answer and the state."""
    state = await asking(client)
    done = await result(client, update({"confirm": answer}, state), **FIXED_TO_NA)
    assert said in done["content"][0]["text"]
    assert done["resultType"] == "complete"


@pytest.mark.parametrize("answers", [None, {}, {"other": {"action": "accept"}}, {"confirm": {"action": "x"}}])
async def test_a_tool_asks_again_without_an_answer(client: SimulatorClient, answers: Any) -> None:
    """The tool needs an answer to go on."""
    state = await asking(client)
    assert (await result(client, update(answers, state), **FIXED_TO_NA))["resultType"] == "input_required"


@pytest.mark.parametrize("changed", [{"state": "forged"}, {"arguments": {"body": {"campaigns": [1]}}}, {"headers": {}}])
async def test_a_state_is_good_for_one_call(client: SimulatorClient, changed: dict[str, Any]) -> None:
    """The state fits neither other arguments nor another account."""
    state, headers = await asking(client), changed.pop("headers", FIXED_TO_NA)
    content = update({"confirm": {"action": "accept"}}, changed.pop("state", state), **changed)
    reply = await send(client, content, **headers)
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32602)


async def test_only_a_client_that_can_answer_is_asked(client: SimulatorClient) -> None:
    """The error names the capability; a tool that reads does not ask."""
    client.simulator.state.change(mcp_confirms=True)
    reply = await send(client, message("tools/call", name=UPDATE_TOOL, arguments=ARGUMENTS), **FIXED_TO_NA)
    assert (reply.status, reply.json()["error"]["code"]) == (400, -32021)
    read = await result(client, message("tools/call", name=QUERY_TOOL, arguments=QUERY), **FIXED_TO_NA)
    assert read["resultType"] == "complete"
