"""A client with a key for some accounts tries to reach others by MCP, or to write where it may only read.

Each attempt is a whole request on a socket; nothing of a refused one reaches the endpoint of the simulator.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.attacking import FIRST, FOREIGN, OWN, SCOPE, SECOND, Asked, Attacker, key, request, values
from tests.integration.rig import rig
from tests.support.processes import until
from tests.support.tool_results import refusal_text

pytestmark = pytest.mark.integration
QUERY, UPDATE = "campaign_management-query_campaign", "campaign_management-update_campaign"
LIST, INVOKE = "tools/list", "amazon_ads_mcp-invoke_tool"
JSON, ACCEPT = "Content-Type: application/json", "Accept: application/json, text/event-stream"
MODE = "Amazon-Ads-AI-Account-Selection-Mode"
LIMITS: dict[str, dict[str, Any]] = {
    "single": {"profiles": [FIRST]},
    "double": {"profiles": [FIRST, SECOND]},
    "reader": {"profiles": [FIRST], "access": "read"},
    "reporter": {"profiles": [FIRST], "access": "report"},
    "mixed": {"profiles": [FIRST], "account_ids": [OWN]},
    "opened": {"profiles": [FIRST], "unscoped_paths": ["/mcp"]},
    "free": {},
}
CLIENTS = [
    {"name": name, "key_sha256": hashlib.sha256(key(name).encode()).hexdigest(), **limits}
    for name, limits in LIMITS.items()
]
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}


class McpAttacker(Attacker):
    """Who begins sessions and calls tools."""

    def post(self, client: str, message: Any, *lines: str, path: str = "/mcp") -> Asked:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.ask(client, "POST", path, JSON, ACCEPT, *lines, body=body)

    def session(self, client: str, *lines: str, path: str = "/mcp") -> str:
        """A new session's header line."""
        asked = self.post(client, INITIALIZE, *lines, path=path)
        assert asked.status == 200, asked
        (found,) = (line for line in asked.head.split(b"\r\n") if line.lower().startswith(b"mcp-session-id:"))
        return found.decode()


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpAttacker]:
    routes = {
        name: {"account": "acme", "region": "na", "profile": profile}
        for name, profile in (("brand", FIRST), ("rival", SECOND))
    }
    with rig(tmp_path_factory.mktemp("mcp"), clients=CLIENTS, routes=routes) as running:
        running.control("/control/settings", {"mcp_tools": "amazon"})
        yield McpAttacker(running)
        assert not [line for line in running.log.lines if "defect_met" in line]


def call(arguments: Any = None, name: str = QUERY, **more: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": {"body": {}} if arguments is None else arguments}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params, **more}


def lite(arguments: Any, name: str = QUERY) -> dict[str, Any]:
    return call({"name": name, "arguments": arguments}, INVOKE)


def refused(asked: Asked) -> None:
    """By the result of a tool, an error in JSON-RPC, or a 4xx; and nothing left."""
    assert asked.seen == [], asked.seen
    assert asked.status == 200 or 400 <= asked.status < 500, asked
    if asked.status == 200:
        assert b"Proxy-Status: ads-proxy; error=http_request_denied" in asked.head
        said = json.loads(asked.body)
        for each in said if isinstance(said, list) else [said]:
            assert each["result"]["isError"] is True if "result" in each else each["error"]["code"] in (-32010, -32011)


# --- what a limited client may do


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite", "/na/mcp", "/@acme/mcp"])
@pytest.mark.parametrize(
    ("client", "lines", "sent"),
    [
        ("single", (), (FIRST, None)),
        ("single", (SCOPE,), (FIRST, None)),
        ("single", (f"{MODE}: FIXED",), (FIRST, None)),
        ("double", (f"Amazon-Advertising-API-Scope: {SECOND}",), (SECOND, None)),
        ("mixed", (SCOPE,), (FIRST, None)),
    ],
)
def test_a_limited_client_works_for_its_own_account(
    attacker: McpAttacker, path: str, client: str, lines: tuple[str, ...], sent: tuple[str | None, str | None]
) -> None:
    """Everything that leaves has the mode, and exactly one account; the session is the client's under its own id."""
    session = attacker.session(client, *lines, path=path)
    arguments = {"body": {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}}
    asked = attacker.post(client, lite(arguments) if "lite" in path else call(arguments), session, path=path)
    (seen,) = asked.seen
    assert b'"isError": false' in asked.body or b'\\"campaigns\\"' in asked.body, asked
    assert values(seen, MODE) == ["FIXED"]
    assert (values(seen, "Amazon-Advertising-API-Scope"), values(seen, "Amazon-Ads-AccountID")) == (
        [sent[0]] if sent[0] else [],
        [sent[1]] if sent[1] else [],
    )
    assert values(seen, "Mcp-Session-Id") != [session.partition(": ")[2]]
    assert attacker.ask(client, "DELETE", path, session).status == 204


def test_an_open_path_is_passed_as_it_is(attacker: McpAttacker) -> None:
    """`unscoped_paths` opens everything there, and nothing at the other path."""
    session = attacker.session("opened")
    (seen,) = attacker.post("opened", call({"profileId": SECOND}), session).seen
    assert values(seen, MODE) == []
    assert values(seen, "Mcp-Session-Id") == [session.partition(": ")[2]]
    refused(attacker.post("opened", lite({"profileId": SECOND}), path="/mcp/lite"))


# --- headers


@pytest.mark.parametrize(
    ("client", "lines", "path"),
    [
        ("single", (f"{MODE}: DYNAMIC",), "/mcp"),
        ("single", (f"{MODE}: fixed",), "/mcp"),
        ("single", (f"{MODE}: FIXED", f"{MODE}: DYNAMIC"), "/mcp"),
        ("single", ("Amazon_Ads_AI_Account_Selection_Mode: DYNAMIC",), "/mcp/lite"),
        ("single", (f"Amazon-Advertising-API-Scope: {SECOND}",), "/mcp"),
        ("single", (f"Amazon-Advertising-API-Scope: {SECOND}", f"{MODE}: FIXED"), "/mcp"),
        ("single", (SCOPE, f"Amazon-Advertising-API-Scope: {SECOND}"), "/mcp"),
        ("single", (f"Amazon-Advertising-API-Scope: {FIRST},{SECOND}",), "/mcp"),
        ("single", (f"Amazon-Ads-AccountID: {FOREIGN}",), "/mcp"),
        ("single", (f"Amazon-Ads-AccountId: {FOREIGN}", SCOPE), "/mcp"),
        ("single", (f"Amazon_Ads_AccountID: {FOREIGN}",), "/mcp"),
        ("mixed", (f"Amazon-Ads-Account-ID: {FOREIGN}",), "/mcp"),
        ("mixed", (SCOPE, f"Amazon-Ads-AccountID: {OWN}"), "/mcp"),
        ("mixed", (f"Amazon-Ads-AccountID: {OWN},{FOREIGN}",), "/mcp"),
        ("single", ("Amazon-Ads-Manager-AccountID: m",), "/mcp"),
        ("mixed", (f"Amazon-Ads-Manager-AccountID: {OWN}",), "/mcp"),
        ("mixed", (f"Amazon-Ads-Manager-Account-ID: {OWN}",), "/mcp/lite"),
        ("single", ("Amazon-Advertising-API-EntityId: E1",), "/mcp"),
        ("single", (f"Mcp-Param-ProfileId: {SECOND}",), "/mcp"),
        ("single", (f"Mcp-Param-P: {SECOND}",), "/mcp"),
        ("single", (f"mcp_param_p: {SECOND}",), "/mcp/lite"),
        ("single", (), f"/mcp?profileId={SECOND}"),
        ("single", (), "/mcp?sessionId=x"),
        ("double", (), "/mcp"),
        ("double", (SCOPE, f"Amazon-Advertising-API-Scope: {SECOND}"), "/mcp"),
        ("double", (f"Amazon-Advertising-API-Scope: {FIRST},{SECOND}",), "/mcp/lite"),
        ("free", (SCOPE, f"Amazon-Advertising-API-Scope: {SECOND}", f"{MODE}: FIXED"), "/mcp"),
        ("mixed", (), "/mcp"),
    ],
)
def test_no_header_chooses_another_account(
    attacker: McpAttacker, client: str, lines: tuple[str, ...], path: str
) -> None:
    """A client of several accounts that sends no account does not get the first either."""
    asked = attacker.post(client, INITIALIZE, *lines, path=path)
    refused(asked)
    assert asked.status in (400, 403)


@pytest.mark.parametrize(
    ("client", "route", "lines", "sent"),
    [
        ("double", "brand", (), FIRST),
        ("double", "rival", (), SECOND),
        ("double", "rival", (SCOPE,), FIRST),
        ("mixed", "brand", (), FIRST),
        ("mixed", "brand", (f"Amazon-Ads-AccountID: {OWN}",), None),
    ],
)
def test_a_route_names_its_profile(
    attacker: McpAttacker, client: str, route: str, lines: tuple[str, ...], sent: str | None
) -> None:
    """To a client of several accounts; its own headers come first, as for every other request."""
    asked = attacker.post(client, INITIALIZE, *lines, path=f"/@{route}/mcp")
    assert [values(seen, "Amazon-Advertising-API-Scope") for seen in asked.seen] == [[sent] if sent else []]


def test_a_route_leads_to_no_other_account(attacker: McpAttacker) -> None:
    """A route to a foreign profile is refused like an unknown one, and a session stays with its own."""
    said = []
    for route in ("rival", "nobody"):
        asked = attacker.post("single", INITIALIZE, path=f"/@{route}/mcp")
        refused(asked)
        said.append((asked.status, json.loads(asked.body)["detail"].replace(route, "NAME")))
    assert said[0] == said[1]
    session = attacker.session("double", path="/@rival/mcp")
    refused(attacker.post("double", call(), session, path="/@brand/mcp"))
    assert attacker.post("double", call(), session).seen


def test_foreign_and_unknown_accounts_are_not_told_apart(attacker: McpAttacker) -> None:
    """One 403, whether the account exists or not."""
    said = []
    for scope in (SECOND, "1110000000009999"):
        asked = attacker.post("single", INITIALIZE, f"Amazon-Advertising-API-Scope: {scope}")
        said.append((asked.status, json.loads(asked.body)["detail"].replace(scope, "ID")))
    assert said[0] == said[1] and said[0][0] == 403


# --- sessions


def test_a_session_is_of_one_client_and_one_account(attacker: McpAttacker) -> None:
    """Another client and another account get the answer for an unknown session, and nothing leaves."""
    session = attacker.session("double", SCOPE)
    raw = values(attacker.post("double", call(), session).seen[0], "Mcp-Session-Id")[0]
    text = session.partition(": ")[2]
    other = f"Amazon-Advertising-API-Scope: {SECOND}"
    said = []
    for client, lines in (
        ("single", (session,)),
        ("reader", (session, SCOPE)),
        ("double", (session, other)),
        ("single", ("Mcp-Session-Id: never-given-out",)),
        ("single", (f"Mcp-Session-Id: {raw}",)),
        ("free", (f"Mcp-Session-Id: {raw}",)),
        ("double", (f"Mcp-Session-Id: {text[:-2]}xx", SCOPE)),
        ("double", (f"Mcp-Session-Id: {text.rpartition('.')[0]}.", SCOPE)),
        ("double", (f"mcp_session_id: {raw}", SCOPE)),
    ):
        asked = attacker.post(client, call(), *lines)
        assert (asked.status, asked.seen) == (404, []), (client, lines, asked)
        said.append(json.loads(asked.body)["detail"])
    assert len(set(said)) == 1
    refused(attacker.post("double", call(), session, f"Mcp-Session-Id: {raw}", SCOPE))
    assert attacker.ask("single", "DELETE", "/mcp", session).status == 404
    assert attacker.post("double", call(), session).status == 200


def test_a_stream_is_resumed_in_its_session_only(attacker: McpAttacker) -> None:
    """With the id of an event, and none of a session or another client's."""
    session = attacker.session("double", SCOPE)
    resume = ("Accept: text/event-stream", "Last-Event-ID: 7")
    refused(attacker.ask("single", "GET", "/mcp", *resume))
    refused(attacker.ask("single", "GET", "/mcp", *resume, session))
    for client in ("reader", "opened", "free"):
        asked = attacker.ask(client, "GET", "/mcp", *resume)
        assert (asked.status, asked.seen) == (403, [])
    assert attacker.ask("double", "GET", "/mcp", *resume, session).seen


def test_an_open_session_opens_no_fixed_path(attacker: McpAttacker) -> None:
    """One of everything, at the path of `unscoped_paths`, and one of a client that is not limited."""
    for client in ("opened", "free"):
        session = attacker.session(client)
        assert attacker.post("opened", call(), session, path="/mcp/lite").status == 404
        assert attacker.post("single", call(), session).status == 404


# --- arguments


FOREIGN_ARGUMENTS: list[Any] = [
    {"profileId": SECOND},
    {"profileId": int(SECOND)},
    {"profileId": float(SECOND)},
    {"profileId": [FIRST, SECOND]},
    {"profileId": f"{FIRST},{SECOND}"},
    {"profileId": f" {SECOND}"},
    {"profileId": {"value": SECOND}},
    {"profileId": True},
    {"profileId": 2**63 + 1},
    {"ProfileID": SECOND},
    {"profile_id": SECOND},
    {"profile-id": SECOND},
    {"profileIds": [SECOND]},
    {"profile.id[]": SECOND},
    {"profile": {"id": SECOND}},
    {"profile": SECOND},
    {"profiles": [SECOND]},
    {"profileIdFilter": {"include": [SECOND]}},
    {"profileFilter": {"include": [SECOND]}},
    {"accountContext": {"id": SECOND}},
    {"Amazon-Advertising-API-Scope": SECOND},
    {"headers": {"amazon_advertising_api_scope": SECOND}},
    {"headers": [{"name": "Amazon-Advertising-API-Scope", "value": SECOND}]},
    {"headers": f"Amazon-Advertising-API-Scope: {SECOND}"},
    {"headers": [["Amazon-Advertising-API-Scope", SECOND]]},
    {"headers": [{"key": "Amazon-Advertising-API-Scope", "val": SECOND}]},
    {"headers": {MODE: "DYNAMIC"}},
    {"body": {"profileId": SECOND}},
    {"body": {"a": [{"b": [[{"profileId": SECOND}]]}]}},
    {"advertiserAccountId": FOREIGN},
    {"adsAccountId": FOREIGN},
    {"accountId": FOREIGN},
    {"account": FOREIGN},
    {"accounts": [{"id": FOREIGN}]},
    {"managerAccountId": "m"},
    {"managerAccountId": FIRST},
    {"managerId": "m"},
    {"entityId": "E1"},
    {"entity": {"id": "E1"}},
    {"dspAdvertiserId": "1"},
    {"instanceId": "i"},
    {"marketplaceId": "ATVPDKIKX0DER"},
    {"accessRequestedAccount": {"advertiserAccountId": FOREIGN}},
    {"accessRequestedAccount": FOREIGN},
    {"body": {"accessRequestedAccounts": [{"advertiserAccountId": FOREIGN}]}},
    {"body": {"accessRequestedAccounts": [{"profileId": FIRST}, {"profileId": SECOND}]}},
    {"body": {"accessRequestedAccounts": [{"managerAccountId": "m"}]}},
    {"body": {"accessRequestedAccounts": [{"id": SECOND}]}},
    {"filters": [{"field": "profileId", "values": [SECOND]}]},
    {"filters": [{"field": "profileId", "operator": "EQUALS", "operand": SECOND}]},
    {"filters": [{"field": "profileId", "operator": "EQUALS", "operand": int(SECOND)}]},
    {"filters": [{"attribute": "advertiserAccountId", "anything": [FOREIGN]}]},
    {"filter": ["profileId", "=", SECOND]},
    {"fields": ["profileId"], "values": [[SECOND]]},
    {"scope": {"type": "PROFILE", "id": SECOND}},
    {"profiles": {SECOND: {}}},
    {"patch": [{"op": "replace", "path": "/profileId", "value": SECOND}]},
    {"body": json.dumps({"profileId": SECOND})},
    {"body": json.dumps(json.dumps({"profileId": SECOND}))},
    {"body": json.dumps([json.dumps({"a": {"profileId": SECOND}})])},
    {"body": f'{{"\\u0070rofileId": {SECOND}}}'},
    {"body": f'{{"profileId": "{FIRST}", "profileId": "{SECOND}"}}'},
    {"body": f" \n{{'profileId': {SECOND}}}"},
    {"body": f"\ufeff{{profileId: {SECOND}}}"},
    {"body": f'{{"profile": "{SECOND}"}} x'},
    {"body": f'{{"a": 1}}\n{{"profile": "{SECOND}"}}'},
    {"body": f'{{"a": "\ud800", "profile": "{SECOND}"}}'},
    {"body": f'{{"profile": "{SECOND}", "a": {"7" * 5000}}}'},
    {"type": "account", "field": "profileId", "anything": SECOND},
    {"==": [{"var": "profileId"}, SECOND]},
    {"query": f"profileId={SECOND}"},
    {"query": f"profile%49d={SECOND}"},
    {"body": f"<profileId>{SECOND}</profileId>"},
    {"\uff50rofileId": SECOND},
    {"profile\u0131d": SECOND},
    {"profileId": FIRST, "profileID": SECOND},
    {"_meta": {"advertiserId": "1"}},
]


@pytest.mark.parametrize("invoked", [False, True])
@pytest.mark.parametrize("arguments", FOREIGN_ARGUMENTS)
def test_no_argument_names_another_account(attacker: McpAttacker, arguments: Any, invoked: bool) -> None:
    """In the arguments of a tool, and in those of a tool that `invoke_tool` calls."""
    asked = attacker.post(
        "single", lite(arguments) if invoked else call(arguments), path="/mcp/lite" if invoked else "/mcp"
    )
    refused(asked)


SAID = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%b","arguments":%%b}}' % QUERY.encode()
HIDDEN: list[bytes] = [
    SAID % b'{"\\u0070rofileId":"%b"}' % SECOND.encode(),
    SAID % b'{"profileId":"%b","profileId":"%b"}' % (FIRST.encode(), SECOND.encode()),
    SAID % b'{"profileId":1.110000000000002e15}',
    SAID % b'{"profileId":1110000000000002.0}',
    SAID % b'{"profileId":-1110000000000002}',
    SAID % b'{"profileId":NaN}',
    SAID % b'{"profileId":Infinity}',
    SAID % b'{"profileId":1%b}' % (b"0" * 5000),
    SAID % b'{/**/"profileId":"%b"}' % SECOND.encode(),
    SAID % b"{'profileId':'%b'}" % SECOND.encode(),
    SAID % b'{"profileId":"%b",}' % SECOND.encode(),
    SAID % b'{}},"params":{"name":"%b","arguments":{"profileId":"%b"}' % (QUERY.encode(), SECOND.encode()),
    SAID % b'{},"arguments":{"profileId":"%b"}' % SECOND.encode(),
    SAID % b'{},"Arguments":{"profileId":"%b"}' % SECOND.encode(),
    SAID % b'{},"_meta":{"profileId":"%b"}' % SECOND.encode(),
    SAID % b"{}" + b'{"profileId":"%b"}' % SECOND.encode(),
    b"\xef\xbb\xbf" + SAID % b'{"profileId":"%b"}' % SECOND.encode(),
    (SAID % b'{"profileId":"%b"}' % SECOND.encode()).decode().encode("utf-16"),
    (SAID % b'{"profileId":"%b"}' % SECOND.encode()).decode().encode("utf-16-le"),
    (SAID % b'{"profileId":"%b"}' % SECOND.encode()).decode().encode("utf-32"),
    b"[" + SAID % b"{}" + b"," + SAID % b'{"profileId":"%b"}' % SECOND.encode() + b"]",
    b"[" + SAID % b"[" * 2000 + b"]" * 2000 + b"]",
    b'{"jsonrpc":"2.0","id":1,"result":{"content":{"profileId":"%b"}}}' % SECOND.encode(),
    b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"profileId":"%b"}}' % SECOND.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x","arguments":{"profileId":"%b"}}}'
    % SECOND.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"argument":{"name":"profileId","value":"%b"}}}'
    % SECOND.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"ads://%b"}}' % SECOND.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"ads://%b"}}' % SECOND.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":'
    b'["ads://%b"]}}}' % SECOND.encode(),
]


@pytest.mark.parametrize("body", HIDDEN, ids=range(len(HIDDEN)))
def test_no_spelling_hides_an_account(attacker: McpAttacker, body: bytes) -> None:
    """Escapes, repetition, numbers, other encodings, lists, other members and messages."""
    refused(attacker.post("single", body))


@pytest.mark.parametrize("form", ["gzip", "deflate", "chunked", "gzip unsaid", "text", "two types", "latin-1"])
def test_no_form_of_a_body_hides_an_account(attacker: McpAttacker, form: str) -> None:
    """What is compressed is not sent; what comes in pieces is read as a whole."""
    body = SAID % b'{"profileId":"%b"}' % SECOND.encode()
    lines, sent = [ACCEPT, JSON], body
    if form in ("gzip", "deflate"):
        lines.append(f"Content-Encoding: {form}")
        sent = gzip.compress(body)
    elif form == "gzip unsaid":
        sent = gzip.compress(body)
    elif form == "text":
        lines[1] = "Content-Type: text/plain"
    elif form == "two types":
        lines.append("Content-Type: text/plain")
    elif form == "latin-1":
        lines[1] = "Content-Type: application/json; charset=latin-1"
    key_line = f"X-Ads-Proxy-Key: {key('single')}"
    if form == "chunked":
        head = request("POST", "/mcp", key_line, *lines, "Transfer-Encoding: chunked")
        cut = [body[at : at + 3] for at in range(0, len(body), 3)]
        data = head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut)
        asked = attacker.send(data + b"0\r\nMcp-Session-Id: x\r\n\r\n")
    else:
        asked = attacker.send(request("POST", "/mcp", key_line, *lines, body=sent))
    refused(asked)


@pytest.mark.parametrize(
    "tool",
    [
        "account_management-query_advertiser_account",
        "account_management-query_manager_account",
        "account_management-update_manager_account",
        "account_management-create_advertiser_account",
        "account_management-list_all",
        "amazon_ads_mcp-invoke_tools",
    ],
)
def test_a_tool_that_no_account_governs_is_closed(attacker: McpAttacker, tool: str) -> None:
    """The tool would list the accounts of the whole login, change them, or call what does."""
    refused(attacker.post("single", call({}, tool)))
    refused(attacker.post("single", lite({}, tool), path="/mcp/lite"))


# --- writes in disguise


@pytest.mark.parametrize("client", ["reader", "reporter"])
@pytest.mark.parametrize(
    "message",
    [
        call({}, UPDATE),
        call({}, "campaign_management-query_campaign/update"),
        call({}, "campaign_management-query_everything"),
        call({}, "campaign_management-QUERY_campaign"),
        call({}, "x-query_campaign-update_campaign"),
        lite({}, UPDATE),
        lite({"name": QUERY}, UPDATE),
        call({"tool": QUERY, "name": UPDATE, "arguments": {}}, INVOKE),
        call({"name": QUERY, "Name": UPDATE, "arguments": {}}, INVOKE),
        call({"name": INVOKE, "arguments": {"name": UPDATE}}, INVOKE),
        call({}, QUERY, Method="tools/call"),
        {**call({}, UPDATE), "method": "tools\\/call"},
        {**call({}, UPDATE), "method": "tasks/create"},
        [call({}), call({}, UPDATE)],
        {name: value for name, value in call({}, UPDATE).items() if name != "id"},
        json.dumps(call({}, UPDATE)).replace("update", "\\u0075pdate").encode(),
        SAID.replace(b"query_campaign", b"update_campaign") % b'{},"name":"campaign_management-query_campaign"',
    ],
)
def test_no_write_is_hidden(attacker: McpAttacker, client: str, message: Any) -> None:
    """In a name, a second name, a list, a notification, another method."""
    refused(attacker.post(client, message))


def test_the_server_is_the_second_witness(attacker: McpAttacker) -> None:
    """What it says in one client's list holds for all clients of the login; a write stays one, whatever it says."""
    attacker.running.control("/control/settings", {"mcp_hints": "contrary"})
    try:
        free, reader = attacker.session("free"), attacker.session("reader")
        assert attacker.post("reader", call(), reader).seen
        assert QUERY.encode() in attacker.post("free", {"jsonrpc": "2.0", "id": 1, "method": LIST}, free).body
        told = attacker.running.log.wait_for(lambda line: line.get("event") == "tool_hints_contradicted")
        assert QUERY in told["tools"]
        asked = attacker.post("reader", call(), reader)
        refused(asked)
        assert "readOnlyHint" in refusal_text(asked.body, 7)
        refused(attacker.post("reader", call({}, UPDATE), reader))
        listed = attacker.post("reader", {"jsonrpc": "2.0", "id": 1, "method": LIST}, reader).body
        assert QUERY.encode() not in listed
        reporter = attacker.session("reporter")
        order: dict[str, Any] = {"body": {"accessRequestedAccounts": [], "reports": []}}
        assert attacker.post("reporter", call(order, "reporting-create_report"), reporter).seen
    finally:
        attacker.running.control("/control/settings", {"mcp_hints": "honest"})
        attacker.post("free", {"jsonrpc": "2.0", "id": 1, "method": LIST}, attacker.session("free"))
    until(lambda: attacker.post("reader", call(), reader).seen)
    assert sum('"tool_hints_contradicted"' in line for line in attacker.running.log.lines) == 1
