"""Which tools a client may call and is shown, and how it is told of those that it may not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.own_accounts import OwnAccounts
from proxy.access.paths import PathPattern
from proxy.access.policy import Policy
from proxy.errors import ToolNotPermitted
from proxy.mcp.tools import (
    DESCRIBE,
    INVOKE,
    LISTEN,
    SEARCH,
    ToolRules,
    effect_of,
    effect_of_body,
    name_listed,
    read_calls,
    read_hints,
    tool_rules,
)
from proxy.routing.mcp_session import FixedAccount
from proxy.routing.operations import PUBLISHED, Access, Effect
from proxy.strict_json import JsonBody
from tests.support.deciding import fields, request
from tests.support.tool_results import refusal_text

QUERY, UPDATE, REPORT = (
    "campaign_management-query_campaign",
    "campaign_management-update_campaign",
    "reporting-create_report",
)


def rules(access: Access = Access.ADMIN, *patterns: str) -> ToolRules:
    return ToolRules("agent", access, tuple(map(PathPattern.read, patterns)) if patterns else None, PUBLISHED)


READ, REPORTING = rules(Access.READ), rules(Access.REPORT)
QUERIES = rules(Access.ADMIN, "campaign_management-query_*", "reporting-*")


WRITING = rules(Access.WRITE)


def call(tool: str, identifier: Any = 1, **arguments: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": identifier,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }


def judged(allowed: ToolRules, content: Any, method: bytes = b"POST") -> ToolNotPermitted | None:
    """What a body is refused with, if it is."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        allowed.check(request(method, b"/mcp", fields(content_type=b"application/json")), JsonBody(body))
    except ToolNotPermitted as error:
        return error
    return None


def told(refused: ToolNotPermitted) -> str:
    """What the language model behind a refused call reads, and the log has."""
    text = refusal_text(refused.answer)
    assert text == refused.detail
    return text


@pytest.mark.parametrize(
    ("tool", "effect"),
    [
        (QUERY, Effect.READ),
        ("campaign_management-query_ad_group", Effect.READ),
        ("account_management-query_advertiser_account", Effect.READ),
        ("reporting-retrieve_report", Effect.READ),
        ("x-query_campaigns", Effect.READ),
        (REPORT, Effect.REPORT),
        (UPDATE, Effect.WRITE),
        ("campaign_management-delete_campaign", Effect.WRITE),
        ("reporting-delete_report", Effect.WRITE),
        ("campaign_management-query_unheard_of", Effect.WRITE),
        ("campaign_management-list_campaigns", Effect.WRITE),
        ("query_campaign", Effect.READ),
        ("query", Effect.WRITE),
        ("", Effect.WRITE),
        ("query_", Effect.WRITE),
        ("a-query_{id}", Effect.WRITE),
    ],
)
def test_a_tool_does_what_its_operation_does(tool: str, effect: Effect) -> None:
    """By verb and resource of its name; what the table does not have counts as a write."""
    assert effect_of(tool, PUBLISHED) is effect


@pytest.mark.parametrize(
    ("allowed", "permitted"),
    [
        (READ, {QUERY}),
        (REPORTING, {QUERY, REPORT}),
        (rules(), {QUERY, UPDATE, REPORT}),
        (QUERIES, {QUERY, REPORT}),
        (rules(Access.READ, "reporting-*"), set()),
        (rules(Access.ADMIN, "*update*"), {UPDATE}),
    ],
)
@pytest.mark.parametrize("lite", [False, True])
def test_both_rules_hold(allowed: ToolRules, permitted: set[str], lite: bool) -> None:
    """`mcp_tools` and `access` each restrict; a tool that is called by another one is judged as itself."""
    for tool in (QUERY, UPDATE, REPORT):
        refused = judged(allowed, call(INVOKE, name=tool, arguments={}) if lite else call(tool))
        assert (refused is None) is (tool in permitted)
        if refused is not None:
            assert (refused.sent_status, refused.slug, refused.status) == (200, "tool-not-permitted", 403)
            assert tool in told(refused)


@pytest.mark.parametrize(
    "method",
    ["initialize", "ping", "tools/list", "resources/read", "notifications/initialized", "notifications/cancelled"],
)
def test_what_calls_no_tool_passes(method: str) -> None:
    """So do answers to the server, and a GET or a DELETE without a body."""
    assert judged(READ, {"jsonrpc": "2.0", "id": 1, "method": method}) is None
    assert judged(READ, {"jsonrpc": "2.0", "id": 1, "result": {}}) is None
    assert judged(READ, b"", b"GET") is None
    assert judged(READ, b"", b"DELETE") is None


@pytest.mark.parametrize("method", ["tasks/cancel", "tools/Call", "TOOLS/CALL", "notifications/tools/call", "x", ""])
def test_a_method_that_is_not_known_does_not(method: str) -> None:
    """It may do anything."""
    assert judged(READ, {"jsonrpc": "2.0", "id": 1, "method": method}) is not None


def test_finding_tools_is_open_to_everybody() -> None:
    """What is found is judged when it is called; `invoke_tool` within itself is not read."""
    for tool in (SEARCH, DESCRIBE):
        assert judged(READ, call(tool, query="x")) is None
    refused = judged(rules(Access.ADMIN, "*"), call(INVOKE, name=INVOKE, arguments={"name": UPDATE}))
    assert refused is not None and refused.sent_status == 400


def test_of_a_list_nothing_is_sent_where_a_part_is_forbidden() -> None:
    """Each message with an id has an answer, which says whether it was that one."""
    silent = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    ping = {"jsonrpc": "2.0", "id": 3, "method": "ping"}
    refused = judged(READ, [call(QUERY, 1), call(UPDATE, "two"), silent, ping])
    assert refused is not None
    first, second, third = json.loads(refused.answer)
    assert (first["id"], first["result"]["isError"]) == (1, True)
    assert first["result"]["content"][0]["text"].startswith("Not sent, because another message")
    assert (second["id"], second["result"]["content"][0]["text"]) == ("two", refused.detail)
    assert (third["id"], third["error"]["code"]) == (3, -32011)
    assert judged(READ, [call(QUERY, 1), call(QUERY, 2)]) is None


@pytest.mark.parametrize(
    ("tool", "permitted"),
    [
        ("account_management-invite_user", False),
        ("account_management-create_advertiser_account", False),
        ("account_management-update_manager_account", False),
        ("account_management-query_manager_account", True),
        ("account_management-list_everything", True),
        ("account_management-do_something", False),
        ("anything-createUserInvitation", False),
        ("anything-ACCEPT_TERMS", False),
        ("billing-pay_invoice", False),
        ("billing-get_invoice", True),
        ("campaign_management-update_campaign", True),
        ("campaign_management-nobody_knows", True),
        ("campaign_management-link_account", False),
        ("amc-create_audience_connection", False),
        ("amazon_ads_mcp-invoke_tool", True),
        ("amazon_ads_mcp-Invoke_tool", False),
        ("AMAZON_ADS_MCP-INVOKE_TOOL", False),
        ("amazon_ads_mcp-read_anything", False),
        ("amazon_ads_mcp-invoke_tools", False),
    ],
)
def test_a_tool_that_administers_needs_access_admin(tool: str, permitted: bool) -> None:
    """`write` calls what its name does not place above campaigns; `admin` calls all."""
    assert (WRITING.find_objection(tool) is None) is permitted
    assert rules(Access.ADMIN, "nothing*", "*").find_objection(tool) is None


@pytest.mark.parametrize("identifier", [0, -1, 2**70, 1.5, "", "7", "\u00e4\ud800", None])
def test_an_answer_has_the_id_of_its_call(identifier: Any) -> None:
    """Whatever an id may be, and of the same type."""
    refused = judged(READ, call(UPDATE, identifier))
    assert refused is not None
    found = json.loads(refused.answer)["id"]
    assert (found, type(found)) == (identifier, type(identifier))


@pytest.mark.parametrize(
    ("allowed", "tool", "advice"),
    [
        (READ, UPDATE, "may change something. Ask the operator for a key with `access: write`. Do not retry."),
        (REPORTING, UPDATE, "may change something. Ask the operator for a key with `access: write`. Do not retry."),
        (READ, "nobody_knows", "has this one: ask the operator for a key with `access: write`. Do not retry."),
        (READ, REPORT, "orders a report. Ask the operator for a key with `access: report`. Do not retry."),
        (
            WRITING,
            "account_management-invite_user",
            "administer users, accounts or billing. Ask the operator for a key with `access: admin`. Do not retry.",
        ),
        (QUERIES, UPDATE, "Call a permitted tool, or ask the operator to add this one to `mcp_tools`. Do not retry."),
    ],
)
def test_a_refused_call_says_what_to_do(allowed: ToolRules, tool: str, advice: str) -> None:
    """A language model reads it: whom to ask, and that the same call is refused again."""
    refused = judged(allowed, call(tool))
    assert refused is not None
    assert told(refused).endswith(advice)


LISTED = (QUERY, UPDATE, "campaign_management-query_ad_group", "amazon_ads_help-read_page", "reporting-read_pages")


@pytest.mark.parametrize(
    ("allowed", "tool", "words"),
    [
        (READ, "campaign_management-query_campagin", f"Unknown tool {{}}. Did you mean {QUERY}? Do not retry."),
        (QUERIES, "campaign_mangement-query_campagin", f"Unknown tool {{}}. Did you mean {QUERY}? Do not retry."),
        (READ, "campaign_management-update_campagin", "Unknown tool {}. It counts as a write, and client agent has"),
        (READ, "amazon_ads_help-read_pages", "Unknown tool {}. It counts as a write, and client agent has"),
        (READ, "amazon_ads_help-read_page", "Unknown tool {}. It counts as a write, and client agent has"),
        (QUERIES, "reprting-read_pages", "Unknown tool {}. Did you mean reporting-read_pages? Do not retry."),
        (READ, UPDATE, "Client agent has `access: read`, and {} may change something. Ask the operator"),
    ],
)
def test_a_misspelt_tool_is_an_unknown_tool(allowed: ToolRules, tool: str, words: str) -> None:
    """The one that was meant is named if the client may call it. Others stay hidden: a tool that the client may not
    see gets the same words as one that does not exist."""
    objection = allowed.find_objection(tool, LISTED)
    assert objection is not None
    assert objection.text.startswith(words.format(tool))
    assert UPDATE not in objection.text.replace(tool, "")


def test_the_first_misspelt_tool_of_a_body_is_corrected() -> None:
    """A comparison with every name takes a millisecond, and a body may call dozens."""
    wrong = "campaign_management-query_campagin"
    body = json.dumps([call(QUERY, 1), call(wrong, 2), call(wrong, 3)]).encode()
    with pytest.raises(ToolNotPermitted) as caught:
        READ.check(request(b"POST", b"/mcp", fields(content_type=b"application/json")), JsonBody(body), LISTED)
    first, second, third = (each["result"]["content"][0]["text"] for each in json.loads(caught.value.answer))
    assert first.startswith("Not sent, because another message of the same list was refused: Unknown tool")
    assert second.endswith(f"Did you mean {QUERY}? Do not retry.")
    assert "Did you mean" not in third


def test_the_names_of_a_list_are_those_that_a_call_may_have() -> None:
    """Whatever a server lists."""
    assert name_listed([{"name": QUERY}, {"name": 1}, {"name": "a b"}, {}, None, "x"]) == [QUERY]


def test_a_call_that_nobody_answers_is_refused_by_its_status() -> None:
    """A server might do what a notification asks."""
    asked = call(UPDATE)
    del asked["id"]
    refused = judged(READ, asked)
    assert refused is not None
    assert (refused.sent_status, json.loads(refused.answer)["id"]) == (403, None)


@pytest.mark.parametrize(("content", "method"), [(b"{", b"POST"), (b"", b"POST"), (b"{}", b"GET"), (b"[]", b"DELETE")])
def test_what_cannot_be_judged_is_refused(content: bytes, method: bytes) -> None:
    """400, in JSON-RPC."""
    refused = judged(READ, content, method)
    assert refused is not None
    assert (refused.sent_status, json.loads(refused.answer)["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize(
    ("tool", "shown"),
    [
        ({"name": QUERY}, True),
        ({"name": UPDATE}, False),
        ({"name": INVOKE}, True),
        ({"name": "amazon_ads_mcp-other"}, False),
        ({"name": QUERY + "\ud800"}, False),
        ({"name": 1}, False),
        ({}, False),
        (QUERY, False),
    ],
)
def test_a_list_shows_what_may_be_called(tool: object, shown: bool) -> None:
    """And the ways to find tools, which decide nothing."""
    assert READ.shows(tool) is shown


# --- limited clients: the accounts that a message names

LIMITED = replace(rules(), own=OwnAccounts(frozenset((b"123",)), frozenset()))


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize(
    ("arguments", "permitted"),
    [
        ({}, True),
        ({"profileId": "123"}, True),
        ({"body": {"accessRequestedAccounts": [{"profileId": 123}]}}, True),
        ({"profileId": "124"}, False),
        ({"body": {"a": [{"advertiserAccountId": "x"}]}}, False),
    ],
)
def test_a_message_names_no_foreign_account(arguments: dict[str, Any], permitted: bool, lite: bool) -> None:
    """It is answered as any forbidden call is."""
    refused = judged(LIMITED, call(INVOKE, name=QUERY, arguments=arguments) if lite else call(QUERY, **arguments))
    assert (refused is None) is permitted
    if refused is not None:
        assert "may only name accounts of its own" in told(refused)


MINE, BOTH = (OwnAccounts(frozenset((b"123",)), frozenset(ids)) for ids in ((), (b"amzn1.own",)))
PROFILE, ADS_ACCOUNT = FixedAccount(b"123"), FixedAccount(b"", b"amzn1.own")


@pytest.mark.parametrize(
    ("own", "fixed", "arguments", "advice"),
    [
        (MINE, PROFILE, {"profileId": "124"}, "Use profile 123, or leave profileId out."),
        (MINE, PROFILE, {"profile": {"x": 9}}, "Use profile 123, or leave profile out."),
        (MINE, PROFILE, {"adsAccountId": "x"}, "another. Leave adsAccountId out."),
        (MINE, PROFILE, {"managerId": "x"}, "another. Leave managerId out."),
        (MINE, PROFILE, {"profile id!": "124"}, "or leave 'profile id!' out."),
        (MINE, PROFILE, {"body": "profileId=124"}, "another. Leave accounts out of a text in body."),
        (BOTH, ADS_ACCOUNT, {"accountId": "x"}, "Use ads account amzn1.own, or leave accountId out."),
        (BOTH, ADS_ACCOUNT, {"profileId": "124"}, "another. Leave profileId out."),
        (MINE, None, {"profileId": "124"}, "another. Leave profileId out."),
    ],
)
def test_a_call_for_another_account_says_which_one_to_name(
    own: OwnAccounts, fixed: FixedAccount | None, arguments: dict[str, Any], advice: str
) -> None:
    """The one that the session is for, where it can stand; nothing tells whether the other one exists."""
    refused = judged(replace(LIMITED, own=own, fixed=fixed), call(QUERY, **arguments))
    assert refused is not None
    assert told(refused).endswith(f"{advice} Do not retry.")


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "method": "prompts/get", "params": {"arguments": {"profileId": "124"}}},
        {"id": 1, "result": {"content": {"profileId": "124"}}},
        {"id": 1, "error": {"code": 1, "message": "x", "data": {"profileId": "124"}}},
        {"method": "notifications/progress", "params": {"profileId": "124"}},
        {"id": 1, "method": "resources/read", "params": {"uri": "ads://124"}},
        {"id": 1, "method": "resources/subscribe", "params": {"uri": "ads://124"}},
        {"id": 1, "method": LISTEN, "params": {"notifications": {"resourceSubscriptions": ["ads://124"]}}},
        {"id": 1, "method": LISTEN, "params": {"notifications": {"x": ["ads://124"]}}},
        {"id": 1, "method": LISTEN, "params": {"notifications": ["ads://124"]}},
        {"id": 1, "method": LISTEN, "params": {"notifications": {}, "resourceSubscriptions": ["ads://124"]}},
    ],
)
def test_nor_does_any_other_message(message: dict[str, Any]) -> None:
    """Nor is there an address that could mean one."""
    assert judged(LIMITED, {"jsonrpc": "2.0", **message}) is not None
    assert judged(rules(), {"jsonrpc": "2.0", **message}) is None


@pytest.mark.parametrize(
    "params", [None, {}, {"notifications": None}, {"notifications": {"toolsListChanged": True}, "_meta": {"x": 1}}]
)
def test_a_limited_client_may_hear_of_changed_lists(params: Any) -> None:
    """They are the server's, not an account's."""
    assert judged(LIMITED, {"jsonrpc": "2.0", "id": 1, "method": LISTEN, "params": params}) is None


def test_names_are_read_strictly_at_any_depth() -> None:
    """What two readers could take for different names cannot be judged."""
    refused = judged(LIMITED, call(QUERY, body={"profileId": "123", "profile_id": "123"}))
    assert refused is not None and refused.sent_status == 400
    assert judged(rules(), call(QUERY, body={"profileId": "123", "profile_id": "123"})) is None


@pytest.mark.parametrize(
    ("tool", "permitted"),
    [
        ("account_management-query_advertiser_account", False),
        ("account_management-update_manager_account", False),
        ("account_management-list_everything", False),
        ("amazon_ads_mcp-invoke_tools", False),
        (REPORT, True),
        ("reporting-retrieve_report", True),
        (UPDATE, True),
        ("nobody_knows", True),
    ],
)
def test_a_limited_client_calls_what_an_account_governs(tool: str, permitted: bool) -> None:
    """Reports are of the account that the session is for."""
    assert (judged(LIMITED, call(tool)) is None) is permitted
    assert LIMITED.shows({"name": tool}) is permitted


# --- the second witness

WARNED = replace(READ, writers=frozenset((QUERY, REPORT)))


@pytest.mark.parametrize(
    ("allowed", "tool", "permitted"),
    [
        (WARNED, QUERY, False),
        (WARNED, "campaign_management-query_ad", True),
        (replace(WARNED, access=Access.REPORT), QUERY, False),
        (replace(WARNED, access=Access.REPORT), REPORT, True),
        (replace(WARNED, access=Access.WRITE), QUERY, True),
    ],
)
def test_the_server_can_contradict_a_name_that_reads(allowed: ToolRules, tool: str, permitted: bool) -> None:
    """Then it counts as a write; a report is made whatever the server says of it."""
    refused = judged(allowed, call(tool))
    assert (refused is None) is permitted
    if refused is not None:
        assert "says that it is not read-only (readOnlyHint). Ask the operator for a key with" in told(refused)


@pytest.mark.parametrize(
    ("annotations", "shown"),
    [
        ({"readOnlyHint": True}, True),
        ({"readOnlyHint": False}, False),
        ({"readOnlyHint": "true"}, False),
        ({"readOnlyHint": 1}, False),
    ],
)
def test_a_list_is_judged_by_its_own_hints(annotations: Any, shown: bool) -> None:
    """Whatever another list said before; what is neither true nor absent says otherwise."""
    tool = {"name": QUERY, "annotations": annotations}
    assert READ.shows(tool) is WARNED.shows(tool) is shown
    assert read_hints([tool], PUBLISHED) == {QUERY: shown}


@pytest.mark.parametrize("annotations", [{"readOnlyHint": None}, {}, None, "x"])
def test_a_missing_hint_takes_nothing_back(annotations: Any) -> None:
    """A server may leave hints out for a client that speaks an old version: what another list said stays."""
    tool = {"name": QUERY, "annotations": annotations}
    assert (READ.shows(tool), WARNED.shows(tool)) == (True, False)
    assert read_hints([tool], PUBLISHED) == {}


def test_a_hint_makes_no_write_a_read() -> None:
    """Both have to say so."""
    assert not READ.shows({"name": UPDATE, "annotations": {"readOnlyHint": True}})


def test_only_tools_that_read_by_name_have_hints() -> None:
    """Other entries and other tools are not remembered."""
    said = {"annotations": {"readOnlyHint": False}}
    tools = [1, {}, *({"name": name, **said} for name in (7, "a b", "x" * 129, UPDATE, REPORT, "nobody_knows", QUERY))]
    assert read_hints(tools, PUBLISHED) == {QUERY: False}


# --- what a body does at most

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.parametrize(
    ("messages", "writers", "effect"),
    [
        ([call(QUERY)], (), Effect.READ),
        ([call(QUERY)], (QUERY,), Effect.WRITE),
        ([call(QUERY)], (UPDATE,), Effect.READ),
        ([call(REPORT)], (REPORT,), Effect.REPORT),
        ([call(UPDATE)], (), Effect.WRITE),
        ([call("nobody_knows")], (), Effect.WRITE),
        ([call(SEARCH), LIST], (), Effect.READ),
        ([LIST, call(REPORT), call(QUERY)], (), Effect.REPORT),
        ([LIST, call(REPORT), call(UPDATE)], (), Effect.WRITE),
        ([{**LIST, "method": "tasks/create"}], (), Effect.WRITE),
        ([{"jsonrpc": "2.0", "id": 1, "result": {}}], (), Effect.READ),
        ([{"jsonrpc": "2.0", "method": "notifications/initialized"}], (), Effect.READ),
        ([], (), Effect.WRITE),
    ],
)
def test_a_body_does_what_the_most_of_its_messages_do(
    messages: list[Any], writers: tuple[str, ...], effect: str
) -> None:
    """By both witnesses; a body that is not clear writes."""
    assert (
        effect_of_body(
            fields(content_type=b"application/json"),
            JsonBody(json.dumps(messages).encode()),
            PUBLISHED,
            frozenset(writers),
        )
        is effect
    )


@pytest.mark.parametrize(
    ("method", "effect"),
    [(b"POST", Effect.READ), (b"PUT", Effect.WRITE)],
)
def test_a_requests_calls_are_told_with_what_they_do(method: bytes, effect: Effect) -> None:
    """The endpoint specifies POST alone: what another method does is unknown."""
    sent = request(method, b"/mcp", fields(content_type=b"application/json"))
    body = JsonBody(json.dumps(call(QUERY)).encode())
    assert read_calls(sent, body, PUBLISHED, frozenset()) == ((QUERY,), effect)


@pytest.mark.parametrize(
    ("content", "asked_id", "paging"),
    [
        (b'{"id": "x", "params": {"cursor": "1"}}', "x", True),
        (b'[{"id": 1}, {"id": 2}]', None, False),
        (b"", None, False),
    ],
)
def test_the_rules_for_an_answer_know_what_was_asked(content: bytes, asked_id: object, paging: bool) -> None:
    """The id of one message, and whether it goes on with a list."""
    after = READ.after(JsonBody(content))
    assert (after.asked_id, after.paging, after.access) == (asked_id, paging, READ.access)


# --- whose tools are limited


@pytest.mark.parametrize(
    ("policy", "limited"),
    [
        (None, False),
        (Policy("agent", ()), False),
        (Policy("agent", (), access=Access.READ), True),
        (Policy("agent", (), mcp_tools=()), True),
        (Policy("agent", (), profiles=frozenset({b"123"})), False),
    ],
)
def test_tools_are_limited_by_access_and_by_patterns(policy: Policy | None, limited: bool) -> None:
    """A client whose accounts alone are limited has rules once its session is for one of them."""
    assert (tool_rules(policy) is not None) is limited


def test_a_session_for_one_account_limits_its_messages_to_it() -> None:
    """The client's accounts are those that a message may name; its tools stay as they are."""
    policy, fixed = Policy("agent", (), profiles=frozenset({b"123"})), FixedAccount(profile=b"123")
    found = tool_rules(policy, fixed=fixed, writers=frozenset({QUERY}))
    assert found is not None
    assert (found.client, found.access, found.patterns, found.writers) == (
        "agent",
        Access.ADMIN,
        None,
        frozenset({QUERY}),
    )
    assert (found.fixed, found.own) == (fixed, policy.own)


# --- what `check` says


@pytest.mark.parametrize(
    ("allowed", "tool", "said"),
    [
        (READ, QUERY, "does what POST /adsApi/v1/query/campaigns does: `read`. A running proxy refuses it if"),
        (rules(), QUERY, "does what POST /adsApi/v1/query/campaigns does: `read`."),
        (REPORTING, REPORT, "does what POST /adsApi/v1/create/reports does: `report`."),
        (rules(), "x-do", "counts as a write."),
        (READ, INVOKE, "A running proxy checks the tool that amazon_ads_mcp-invoke_tool is to call."),
    ],
)
def test_what_decides_is_said(allowed: ToolRules, tool: str, said: str) -> None:
    """The operation that a name has, and whether the server has a say."""
    assert said in allowed.describe(tool)
    assert ("A running proxy" in said) is ("A running proxy" in allowed.describe(tool))


def test_a_client_that_may_call_nothing_is_told_which_rules_say_so() -> None:
    """`access`, and `mcp_tools` where it has patterns."""
    assert "because of its `access: read`. Change" in READ.missing(3)["message"]
    assert "none of the 3 tools here, because of its `mcp_tools`" in QUERIES.missing(3)["message"]
    assert READ.missing(3)["code"] == QUERIES.missing(3)["code"]
