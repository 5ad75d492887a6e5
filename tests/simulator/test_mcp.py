"""The hosted MCP endpoint: headers, sessions, events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.ads_accounts import account_id
from tests.simulator.conftest import Reply, SimulatorClient

BOTH_REGIONS, EU_AND_FE = account_id("default", 1), account_id("default", 3)
BOTH = "application/json, text/event-stream"


NA, EU = "1110000000000001", "2220000000000001"
FIXED = {"Amazon_Ads_AI_Account_Selection_Mode": "FIXED"}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
QUERY = {"body": {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}}


async def post(client: SimulatorClient, message: Any, path: str = "/mcp", **headers: str | None) -> Reply:
    """One message."""
    return await client.ask("POST", path, message, Content_Type="application/json", **{"Accept": BOTH, **headers})


async def request(
    client: SimulatorClient, method: str, params: Any = None, path: str = "/mcp", **headers: str | None
) -> Any:
    """The last message that answers a request in a session of its own."""
    opened = await post(client, INITIALIZE, path, **headers)
    session = opened.header("Mcp-Session-Id")
    message = {"jsonrpc": "2.0", "id": 2, "method": method, "params": params or {}}
    return events(await post(client, message, path, Mcp_Session_Id=session, **headers))[-1]


async def called(
    client: SimulatorClient, name: str, arguments: Any, path: str = "/mcp", **headers: str | None
) -> tuple[bool, Any]:
    """Whether a tool succeeded, and what it said."""
    answer = await request(client, "tools/call", {"name": name, "arguments": arguments}, path, **headers)
    result = answer["result"]
    return not result["isError"], json.loads(result["content"][0]["text"])


async def initialize(client: SimulatorClient) -> str:
    """Opens a session."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    reply = await post(client, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    assert reply.header("Content-Type") == "text/event-stream"
    return reply.header("Mcp-Session-Id") or ""


def events(reply: Reply) -> list[Any]:
    """The messages of an event stream."""
    return [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: ")]


async def test_session_lists_and_calls_tools(client: SimulatorClient) -> None:
    """After initialize, tools are listed and called, and profiles come back."""
    session = await initialize(client)
    assert session
    noted = await post(client, {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session)
    listed = await post(client, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, Mcp_Session_Id=session)
    params = {"name": "list_profiles", "arguments": {}}
    called = await post(
        client, {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params}, Mcp_Session_Id=session
    )
    assert noted.status == 202
    assert [entry["name"] for entry in events(listed)[0]["result"]["tools"]] == ["count", "list_profiles"]
    assert "1110000000000001" in events(called)[0]["result"]["content"][0]["text"]


async def test_count_streams_progress(client: SimulatorClient) -> None:
    """The counting tool sends an event for each number and then its result."""
    session = await initialize(client)
    params = {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": "p"}}
    reply = await post(
        client, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}, Mcp_Session_Id=session
    )
    seen = events(reply)
    assert [message["params"]["progress"] for message in seen[:3]] == [1, 2, 3]
    assert seen[3]["id"] == 2


@pytest.mark.parametrize("answer", [{"result": {}}, {"error": {"code": -1, "message": "no"}}])
async def test_an_answer_of_a_client_is_taken(client: SimulatorClient, answer: dict[str, Any]) -> None:
    """The answer has an id, and asks for nothing, as a notification does."""
    session = await initialize(client)
    assert (await post(client, {"jsonrpc": "2.0", "id": 2, **answer}, Mcp_Session_Id=session)).status == 202


@pytest.mark.parametrize("params", [["count"], "count", {"name": "count", "arguments": ["3"]}])
async def test_odd_parameters_are_an_error(client: SimulatorClient, params: Any) -> None:
    """In MCP they are objects: the request that has others gets an answer, and its stream an end."""
    session = await initialize(client)
    asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    (answer,) = events(await post(client, asked, Mcp_Session_Id=session))
    assert (answer["id"], answer["error"]["code"]) == (2, -32602)


async def test_a_message_that_is_nested_too_deeply_is_no_json(client: SimulatorClient) -> None:
    """The error is the one for any other unreadable text."""
    reply = await post(client, b"[" * 100_000)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, -32700)


async def test_session_ends_by_delete(client: SimulatorClient) -> None:
    """A deleted session is not found any more."""
    session = await initialize(client)
    assert (await client.ask("DELETE", "/mcp", Mcp_Session_Id=session)).status == 204
    reply = await post(client, {"jsonrpc": "2.0", "id": 2, "method": "ping"}, Mcp_Session_Id=session)
    assert reply.status == 404


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Authorization": None}, 400, "authorization-missing"),
        ({"Authorization": "Atza|bare"}, 400, "authorization-malformed"),
        ({"Amazon_Ads_ClientId": None}, 401, "client-id-missing"),
        ({"Amazon_Advertising_API_Scope": "1110000000000001"}, 400, "scope-unwanted"),
        (
            {"Amazon_Advertising_API_Scope": "1", "Amazon_Ads_AI_Account_Selection_Mode": "FIXED"},
            401,
            "scope-unknown",
        ),
        ({"Amazon_Advertising_API_Scope": EU, **FIXED}, 401, "scope-other-region"),
        ({"Amazon_Ads_AccountId": BOTH_REGIONS}, 400, "account-unwanted"),
        ({"Amazon_Ads_Manager_AccountId": MANAGER_ID}, 400, "account-unwanted"),
        ({"Amazon_Ads_AccountId": "x", **FIXED}, 403, "account-unknown"),
        ({"Amazon_Ads_AccountId": EU_AND_FE, **FIXED}, 403, "account-other-region"),
        ({"Amazon_Ads_Manager_AccountId": "x", **FIXED}, 403, "account-unknown"),
        (FIXED, 400, "selection"),
        ({"Amazon_Ads_AI_Account_Selection_Mode": "fixed"}, 400, "selection"),
        ({"Via": "1.1 x"}, 400, "leaked-header"),
    ],
)
async def test_headers_are_checked(client: SimulatorClient, headers: dict[str, Any], status: int, kind: str) -> None:
    """MCP needs Authorization and Amazon-Ads-ClientId, and takes a Scope or an account id in FIXED mode only."""
    reply = await post(client, INITIALIZE, **headers)
    assert (reply.status, client.kinds()) == (status, [kind])


@pytest.mark.parametrize(
    "headers",
    [
        {"Amazon_Advertising_API_Scope": NA, **FIXED},
        {"Amazon_Ads_AccountId": BOTH_REGIONS, **FIXED},
        {"Amazon_Ads_Manager_AccountId": MANAGER_ID, **FIXED},
        {"Amazon_Ads_AI_Account_Selection_Mode": "DYNAMIC"},
    ],
)
async def test_selection_modes_are_taken(client: SimulatorClient, headers: dict[str, str]) -> None:
    """In FIXED mode a profile, an ads account or a manager account of the region is taken; DYNAMIC takes none."""
    assert (await post(client, INITIALIZE, **headers)).status == 200


async def test_without_authorization_the_words_are_amazons(client: SimulatorClient) -> None:
    """400 "no authorization", and no WWW-Authenticate that would set a client off to sign in."""
    reply = await post(client, INITIALIZE, Authorization=None)
    assert (reply.status, reply.body, reply.header("WWW-Authenticate")) == (400, b"no authorization", None)


@pytest.mark.parametrize("path", ["", "/mcp", "/mcp/lite"])
async def test_metadata_name_who_issues_tokens(path: str, client: SimulatorClient) -> None:
    """As Amazon's endpoint does, to anyone."""
    reply = await client.ask("GET", f"/.well-known/oauth-protected-resource{path}", Authorization=None)
    assert (reply.status, reply.json()) == (
        200,
        {
            "authorization_servers": ["https://lwa.amazon.com"],
            "scopes_supported": ["advertising::campaign_management"],
        },
    )


async def test_a_wrong_token_gets_401(client: SimulatorClient) -> None:
    """Without a setting."""
    client.token = "Atza|unknown"
    assert (await post(client, INITIALIZE)).status == 401


@pytest.mark.parametrize("status", [400, 401, 200])
async def test_token_that_is_over_is_a_json_rpc_error(client: SimulatorClient, status: int) -> None:
    """An expired token fails with the id of the request; with which status, is a setting."""
    client.simulator.state.change(access_token_lifetime=60, mcp_token_status=status)
    await client.sign_in()
    client.simulator.state.advance(60)
    reply = await post(client, INITIALIZE)
    assert (reply.status, client.kinds()) == (status, ["token-expired"])
    assert (reply.json()["id"], reply.json()["error"]["message"]) == (1, "client initialization failed")


async def test_message_that_cannot_be_read_has_no_id_in_the_error(client: SimulatorClient) -> None:
    """With an expired token and an unreadable message, the error has no request's id."""
    client.token = "Atza|unknown"
    assert (await post(client, b"{")).json()["id"] is None


async def test_session_sticks_to_region_and_user(client: SimulatorClient) -> None:
    """A session that was opened in one region, or by another user, is not found; without one it is 400."""
    session = await initialize(client)
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    client.region = "eu"
    elsewhere = await post(client, ping, Mcp_Session_Id=session)
    client.region = "na"
    client.token = (await client.refresh(refresh_token=client.simulator.state.add_user("other"))).json()["access_token"]
    somebody_elses = await post(client, ping, Mcp_Session_Id=session)
    without = await post(client, ping)
    assert (elsewhere.status, somebody_elses.status, without.status) == (404, 404, 400)


@pytest.mark.parametrize(
    ("path", "first", "count"),
    [("/mcp", "account_management-query_advertiser_account", 20), ("/mcp/lite", "amazon_ads_mcp-search_tools", 3)],
)
async def test_amazons_tools_can_be_listed(client: SimulatorClient, path: str, first: str, count: int) -> None:
    """With `mcp_tools` amazon the tools are twenty, named as Amazon names them, or the three of the small endpoint."""
    client.simulator.state.change(mcp_tools="amazon")
    tools = (await request(client, "tools/list", path=path))["result"]["tools"]
    assert (tools[0]["name"], len({entry["name"] for entry in tools})) == (first, count)
    assert all(entry["inputSchema"]["type"] == "object" for entry in tools)


async def test_reading_tools_say_so(client: SimulatorClient) -> None:
    """Tools that change nothing are marked."""
    client.simulator.state.change(mcp_tools="amazon")
    tools = (await request(client, "tools/list"))["result"]["tools"]
    reading = [entry["name"] for entry in tools if entry["annotations"]["readOnlyHint"]]
    assert "campaign_management-query_campaign" in reading
    assert not [name for name in reading if any(verb in name for verb in ("create", "update", "delete"))]


@pytest.mark.parametrize(
    ("named", "succeeds"),
    [
        ({"profileId": NA}, True),
        ({"advertiserAccountId": BOTH_REGIONS}, True),
        ({"profileId": EU}, False),
        ({"advertiserAccountId": "amzn1.ads-account.g.nobody"}, False),
        ({}, False),
    ],
)
async def test_tool_works_for_the_account_in_its_arguments(
    client: SimulatorClient, named: dict[str, str], succeeds: bool
) -> None:
    """A tool gives what its operation gives; an account that is not the user's is an error of the tool."""
    succeeded, said = await called(client, "campaign_management-query_campaign", {**QUERY, **named})
    assert (succeeded, len(said.get("campaigns", []))) == (succeeds, 25 if succeeds else 0)
    assert client.kinds() == []


async def test_fixed_account_is_that_of_the_tools(client: SimulatorClient) -> None:
    """In FIXED mode the account of the headers is the one that tools work for."""
    headers = {"Amazon_Ads_AccountId": BOTH_REGIONS, **FIXED}
    assert (await called(client, "campaign_management-query_campaign", QUERY, **headers))[0]


async def test_tool_of_no_advertiser_takes_none(client: SimulatorClient) -> None:
    """An operation that takes no account answers whatever else was named; a body that does not fit is an error."""
    assert (await called(client, "account_management-query_advertiser_account", {"profileId": NA}))[0]
    succeeded, said = await called(client, "reporting-create_report", {"body": {}})
    assert (succeeded, said["code"]) == (False, "BAD_REQUEST")


async def test_small_endpoint_finds_describes_and_invokes(client: SimulatorClient) -> None:
    """By three tools all others are found, described and called."""
    prefix, path = "amazon_ads_mcp-", "/mcp/lite"
    found = await called(client, f"{prefix}search_tools", {"query": "query campaign_m"}, path)
    assert "campaign_management-query_campaign" in found[1]["tools"]
    name = found[1]["tools"][0]
    described = await called(client, f"{prefix}describe_tools", {"names": [name, "nobody"]}, path)
    assert [entry["name"] for entry in described[1]["tools"]] == [name]
    arguments = {"name": name, "arguments": {**QUERY, "profileId": NA}}
    assert (await called(client, f"{prefix}invoke_tool", arguments, path))[0]


async def test_unknown_tool_is_an_error(client: SimulatorClient) -> None:
    """A tool that there is not is told by JSON-RPC."""
    answer = await request(client, "tools/call", {"name": "nobody"})
    assert answer["error"]["code"] == -32602


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"{}", 400)])
async def test_message_that_is_none_is_refused(client: SimulatorClient, body: bytes, status: int) -> None:
    """No JSON, and JSON that is no JSON-RPC, are 400."""
    assert (await post(client, body)).status == status


async def test_get_and_narrow_accept_are_refused(client: SimulatorClient) -> None:
    """There is no GET stream, and Accept must name both media types."""
    assert (await client.ask("GET", "/mcp", Accept="text/event-stream")).status == 405
    assert (await post(client, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, Accept="application/json")).status == 406


async def test_unknown_method_is_an_error(client: SimulatorClient) -> None:
    """A method that there is not gets JSON-RPC's error."""
    session = await initialize(client)
    reply = await post(client, {"jsonrpc": "2.0", "id": 2, "method": "x/y"}, Mcp_Session_Id=session)
    assert events(reply)[0]["error"]["code"] == -32601


FIXED_TO_NA = {"Amazon_Advertising_API_Scope": NA, **FIXED}
QUERY_TOOL = "campaign_management-query_campaign"


async def fixed_session(client: SimulatorClient) -> str | None:
    """Opens a session for one profile."""
    return (await post(client, INITIALIZE, **FIXED_TO_NA)).header("Mcp-Session-Id")


@pytest.mark.parametrize(
    "headers",
    [
        {"Amazon_Ads_AccountId": BOTH_REGIONS, **FIXED},
        {"Amazon_Advertising_API_Scope": "1110000000000002", **FIXED},
        {},
    ],
)
async def test_a_fixed_session_is_for_one_account(client: SimulatorClient, headers: dict[str, str]) -> None:
    """With another one it is not found, and that is noted."""
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    session = await fixed_session(client)
    assert (await post(client, ping, Mcp_Session_Id=session, **FIXED_TO_NA)).status == 200
    assert (await post(client, ping, Mcp_Session_Id=session, **headers)).status == 404
    assert client.kinds() == ["session-account"]


@pytest.mark.parametrize(
    ("written", "refused"),
    [
        (b'{"profileId": "%s"}' % NA.encode(), False),
        (b'{"profileId": %s}' % NA.encode(), False),
        (b'{"body": "{}", "note": "[x"}', False),
        (b'{"profileId": 1}', True),
        (b'{"profileId": %s.5}' % NA.encode(), True),
        (b'{"profileId": "%s", "profileId": "1"}' % NA.encode(), True),
        (b'{"a": [{"Profile_ID": ["1"]}]}', True),
        (b'{"\\u0070rofileId": "1"}', True),
        ('{"\uff50rofileId": "1"}'.encode(), True),
        (b'{"profile": {"id": "1"}}', True),
        (b'{"body": "{\\"profileId\\": 1}"}', True),
        (b'{"accessRequestedAccount": {"x": "1"}}', True),
        (b'{"managerAccountId": "m"}', True),
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
async def test_arguments_name_no_other_account_in_fixed_mode(
    client: SimulatorClient, written: bytes, refused: bool, coding: str
) -> None:
    """However they are written: whatever a careless reader could take for one is an error of the tool, and noted."""
    session = await fixed_session(client)
    text = '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"%s","arguments":%s}}'
    body = (text % (QUERY_TOOL, written.decode())).encode(coding)
    headers = {"Content_Type": "application/json", "Accept": BOTH, "Mcp_Session_Id": session, **FIXED_TO_NA}
    await client.ask("POST", "/mcp", body, **headers)
    assert client.kinds() == (["argument-account"] if refused else [])


@pytest.mark.parametrize(("hints", "hint"), [("honest", True), ("contrary", False), ("none", None)])
async def test_the_list_says_what_it_is_told_to_say(client: SimulatorClient, hints: str, hint: bool | None) -> None:
    """The tool is one that reads."""
    client.simulator.state.change(mcp_tools="amazon", mcp_hints=hints)
    tools = (await request(client, "tools/list"))["result"]["tools"]
    (tool,) = (tool for tool in tools if tool["name"] == QUERY_TOOL)
    assert tool.get("annotations", {}).get("readOnlyHint") is hint
