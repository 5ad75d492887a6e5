"""Which objects a write names, and what it sets: the forms of Amazon's bodies, one case each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.audit.changed_objects import (
    MAX_CHARACTERS,
    MAX_OBJECTS,
    MAX_VALUE,
    MAX_VALUES,
    WrittenPath,
    find_changes,
    read_path,
)
from proxy.events import ChangedObjects, MemberValue

NOTHING = frozenset[str]()
JSON = b"application/json"


def changes(
    template: str, request: Any, response: Any = None, *, path: str = "", recorded: tuple[str, ...] = ()
) -> ChangedObjects:
    """Of a write with these bodies, both JSON."""
    segments = tuple(part.encode() for part in (path or template).split("/") if part)
    bodies = ["" if each is None else json.dumps(each) for each in (request, response)]
    sent, came = (each.encode() for each in bodies)
    written = read_path(template, segments, takes_messages=template == "/mcp")
    return find_changes(written, sent, (JSON, came), frozenset(recorded))


CASES: list[tuple[str, str, Any, Any, tuple[str, ...], tuple[str, ...]]] = [
    (
        "a pause",
        "/sp/campaigns",
        {"campaigns": [{"campaignId": "123", "state": "PAUSED", "budget": {"budget": 10, "budgetType": "DAILY"}}]},
        {"campaigns": {"success": [{"index": 0, "campaignId": "123"}], "error": []}},
        ("campaign/123",),
        ("state", "budget"),
    ),
    (
        "ids as numbers, beyond what a double holds",
        "/sd/campaigns",
        [{"campaignId": 9007199254740993, "state": "paused"}, {"campaignId": 12345678901234567890}],
        [{"campaignId": 9007199254740993, "code": "SUCCESS"}],
        ("campaign/9007199254740993", "campaign/12345678901234567890"),
        ("state",),
    ),
    (
        "a keyword that is made",
        "/sp/keywords",
        {"keywords": [{"campaignId": "1", "adGroupId": "2", "keywordText": "x", "bid": 0.5}]},
        {"keywords": {"success": [{"index": 0, "keywordId": "3"}], "error": []}},
        ("campaign/1", "ad-group/2", "keyword/3"),
        ("keywordText", "bid"),
    ),
    (
        "campaigns that are archived",
        "/sp/campaigns/delete",
        {"campaignIdFilter": {"include": ["1", "2"], "exclude": ["9"]}},
        None,
        ("campaign/1", "campaign/2"),
        (),
    ),
    (
        "negative targets that are archived",
        "/sp/campaignNegativeTargets/delete",
        {"campaignNegativeTargetIdFilter": {"include": ["7"]}},
        {"campaignNegativeTargetingClauses": {"success": [{"campaignNegativeTargetingClauseId": "7"}]}},
        ("target/7",),
        (),
    ),
    (
        "the unified API, made",
        "/adsApi/v1/create/ads",
        {"ads": [{"adGroupId": "2", "name": "x", "creative": {"name": "y"}}]},
        {"success": [{"index": 0, "ad": {"adId": "3", "adGroupId": "2", "campaignId": "1"}}], "error": []},
        ("ad-group/2", "ad/3", "campaign/1"),
        ("name", "creative"),
    ),
    (
        "the unified API, deleted",
        "/adsApi/v1/delete/targets",
        {"targetIds": ["5", 6]},
        None,
        ("target/5", "target/6"),
        (),
    ),
    ("by the path alone", "/sd/adGroups/{adGroupId}", None, None, ("ad-group/77",), ()),
    (
        "budget rules of a campaign",
        "/sp/campaigns/{campaignId}/budgetRules",
        {"budgetRuleIds": ["r-1"]},
        {"responses": [{"code": "SUCCESS", "ruleId": "r-1"}, {"code": "SUCCESS", "ruleId": "r-2"}]},
        ("campaign/77", "budget-rule/r-1", "budget-rule/r-2"),
        (),
    ),
    (
        "budget rules",
        "/sb/budgetRules",
        {"budgetRulesDetails": [{"ruleId": "r-1", "ruleState": "PAUSED", "ruleDetails": {"name": "x"}}]},
        None,
        ("budget-rule/r-1",),
        ("ruleState", "ruleDetails"),
    ),
    (
        "rules of another kind",
        "/sd/optimizationRules",
        [{"ruleId": "o-1", "state": "x"}],
        None,
        (),
        ("ruleId", "state"),
    ),
    (
        "a portfolio",
        "/portfolios",
        {"portfolios": [{"portfolioId": "8", "budget": {"amount": 1}}]},
        {"portfolios": {"success": [{"portfolioId": "8"}], "error": []}},
        ("portfolio/8",),
        ("budget",),
    ),
    (
        "one object with a list of its own",
        "/dsp/orders",
        {"name": "x", "flights": [{"startDate": "y"}]},
        None,
        (),
        ("startDate", "name"),
    ),
    (
        "no ids",
        "/sp/campaigns",
        {"campaigns": [{"campaignId": None, "adGroupId": "", "adId": [], "keywordIdFilter": {"include": []}}]},
        None,
        (),
        (),
    ),
    ("nothing", "/sp/campaigns", None, None, (), ()),
    (
        "a body of the API that looks like a message",
        "/sp/campaigns",
        {"jsonrpc": "2.0", "method": "x", "campaigns": [{"campaignId": "1", "state": "PAUSED"}]},
        None,
        ("campaign/1",),
        ("state", "jsonrpc", "method"),
    ),
    (
        "a message without its version",
        "/mcp",
        {"method": "tools/call", "params": {"arguments": {"campaignId": "1", "state": "PAUSED"}}},
        None,
        ("campaign/1",),
        ("state",),
    ),
    ("a text", "/sp/campaigns", "campaignId", 7, (), ()),
    (
        "a tool of MCP",
        "/mcp",
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "campaign_management-update_campaign",
                "arguments": {"profileId": "9", "body": {"campaigns": [{"campaignId": "1", "state": "PAUSED"}]}},
                "_meta": {"campaignId": "not this"},
            },
        },
        None,
        ("campaign/1",),
        ("state",),
    ),
    (
        "a tool that is called by another, in a batch",
        "/mcp",
        [
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "tools/call",
                "params": {"arguments": {"name": "t", "arguments": {"campaign_id": 4, "state": "PAUSED"}}},
            },
            7,
        ],
        None,
        ("campaign/4",),
        ("state",),
    ),
]


@pytest.mark.parametrize(
    ("template", "request_", "response", "objects", "members"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_objects_and_members_are_named(
    template: str, request_: Any, response: Any, objects: tuple[str, ...], members: tuple[str, ...]
) -> None:
    """From path, request and response, each once, in the order in which they stand there."""
    path = template.replace("{campaignId}", "77").replace("{adGroupId}", "77")
    assert changes(template, request_, response, path=path) == ChangedObjects(objects=objects, members=members)


UNNAMED: dict[str, tuple[Any, int, int]] = {
    "a number with a point": ({"campaignId": 5.0}, 1, 0),
    "a number with an exponent": ({"campaignId": 5e3}, 1, 0),
    "a text with a blank": ({"campaignId": " 5"}, 1, 0),
    "a text with a zero in front": ({"campaignId": "05"}, 1, 0),
    "a truth value": ({"campaignId": True}, 1, 0),
    "several": ({"campaignIds": [1.0, "a b", ["5"], {"id": 5}]}, 4, 0),
    "an object": ({"campaignId": {"id": "5"}}, 1, 0),
    "all but some": ({"campaignIdFilter": {"exclude": ["9"]}}, 1, 0),
    "all but some, although a list of those has its place": (
        {"campaignIdFilter": {"include": [], "exclude": ["9"]}},
        1,
        0,
    ),
    "members with odd names": ({"campaignId": None, "<b>": 1, "x" * 65: 1, "é": 1}, 0, 3),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_what_cannot_be_named_is_counted(name: str) -> None:
    """Amazon may take it for an object or a member: the record does not look as if it named all."""
    body, objects, members = UNNAMED[name]
    found = changes("/sp/campaigns", {"campaigns": [body, {"campaignId": "1", "state": "PAUSED"}]})
    assert (found.objects, found.members) == (("campaign/1",), ("state",))
    assert (found.further, found.further_members, found.unread) == (objects, members, ())


def test_an_id_in_the_path_is_counted_too() -> None:
    """Servers may decode and trim it."""
    found = changes("/sd/adGroups/{adGroupId}", None, path="/sd/adGroups/ 5")
    assert (found.objects, found.further) == ((), 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"campaigns": [{"campaignId": "1", "campaignId": "2", "state": "PAUSED"}]}',
        b'{"campaigns": [{"campaignId": "2", "state": "ENABLED", "state": "PAUSED"}]}',
        b'{"campaigns": [{"campaignId": "9"}], "campaigns": [{"campaignId": "2", "state": "PAUSED"}]}',
        b'{"campaigns": [{"campaign\\u0049d": "1", "campaignId": "2", "state": "PAUSED"}]}',
    ],
)
def test_a_body_with_a_name_twice_counts_as_unread(body: bytes) -> None:
    """Some readers take the first value and some the last, which is told."""
    found = find_changes(WrittenPath(collection="campaigns"), body, (JSON, b""), frozenset(("state",)))
    assert (found.objects, found.members, found.unread) == (("campaign/2",), ("state",), ("request",))
    assert found.values == (MemberValue("campaign/2", "state", "PAUSED"),)


def test_an_unknown_operation_is_read_too() -> None:
    """Its path names nothing, as nobody knows what its segments are."""
    assert read_path("", (b"new", b"campaigns", b"5")) == WrittenPath(collection="campaigns")
    found = find_changes(read_path("", (b"new", b"5")), b'{"campaignId": "1"}', (JSON, b""), NOTHING)
    assert found.objects == ("campaign/1",)


MANY = {"campaigns": [{"campaignId": str(number), "state": "PAUSED"} for number in range(150)]}


def test_of_many_objects_the_first_are_named() -> None:
    """And how many more there are."""
    found = changes("/sp/campaigns", MANY, recorded=("state",))
    assert (len(found.objects), found.further, found.objects[-1]) == (MAX_OBJECTS, 50, "campaign/99")
    assert (len(found.values), found.further_values, found.members) == (MAX_VALUES, 50, ("state",))
    more = {"campaigns": [*MANY["campaigns"], {"campaignId": 1.5}]}
    assert changes("/sp/campaigns", more).further == 51


def test_of_many_long_values_the_first_are_recorded() -> None:
    """Short ones that follow still find room; the others are counted."""
    body = {"campaigns": [{"name": "x" * 999}] * 40 + [{"name": ""}, {"name": "y"}, {"name": "x" * MAX_VALUE}]}
    body["campaigns"][MAX_CHARACTERS // MAX_VALUE - 1] = {"name": "x" * (MAX_VALUE - 1)}
    found = changes("/sp/campaigns", body, recorded=("name",))
    assert sum(len(each.value) for each in found.values) == MAX_CHARACTERS
    assert [each.value for each in found.values[-2:]] == ["", "y"]
    assert len(found.values) + found.further_values == 43


def test_of_many_members_the_first_are_named() -> None:
    """And how many more there are, each counted once."""
    body = [{f"member{number}": 1 for number in range(150)}] * 2
    found = changes("/sd/campaigns", [*body, {"member0": 1, "state": 1}], recorded=("state",))
    assert (len(found.members), found.further_members) == (100, 51)
    assert found.values == (MemberValue("", "state", "1"),)


VALUES: list[tuple[str, str, Any, tuple[tuple[str, str, str], ...]]] = [
    (
        "of an object that is there",
        "/sp/campaigns",
        {"campaigns": [{"campaignId": "1", "state": "PAUSED", "name": "not listed", "budget": {"budget": 10.5}}]},
        (("campaign/1", "state", "PAUSED"), ("campaign/1", "budget", '{"budget":10.5}')),
    ),
    (
        "of one that is made: its parents are not it",
        "/sp/keywords",
        {"keywords": [{"campaignId": "1", "adGroupId": "2", "bid": 0.75, "state": None}]},
        (("", "bid", "0.75"), ("", "state", "null")),
    ),
    (
        "by the path's list",
        "/sd/adGroups",
        [{"campaignId": 1, "adGroupId": 2, "bid": 1}],
        (("ad-group/2", "bid", "1"),),
    ),
    ("of nobody knows what", "/x", {"campaignId": 1, "state": True}, (("", "state", "true"),)),
    (
        "with several ids, of which Amazon may take any",
        "/sp/campaigns",
        {"campaigns": [{"campaign_id": "1", "campaignId": "2", "state": "PAUSED"}]},
        (("", "state", "PAUSED"),),
    ),
    (
        "with its id twice",
        "/sp/campaigns",
        {"campaigns": [{"campaign_id": "2", "campaignId": "2", "state": "PAUSED"}]},
        (("campaign/2", "state", "PAUSED"),),
    ),
    ("a long one", "/sd/campaigns", [{"state": "x" * 999}], (("", "state", "x" * MAX_VALUE),)),
]


@pytest.mark.parametrize(("template", "body", "values"), [case[1:] for case in VALUES], ids=[c[0] for c in VALUES])
def test_values_are_recorded_of_the_members_that_are_listed(
    template: str, body: Any, values: tuple[tuple[str, str, str], ...]
) -> None:
    """Of no others; as text, with the object if it has an id."""
    found = changes(template, body, recorded=("state", "budget", "bid"))
    assert found.values == tuple(MemberValue(*each) for each in values)
    assert changes(template, body).values == ()


@pytest.mark.parametrize(
    ("request_", "response", "unread"),
    [
        (None, b"{}", ("request",)),
        (b"{}", None, ("response",)),
        (None, None, ("request", "response")),
        (b"--boundary", b"<html>", ("request", "response")),
        (b"[" * 200_000, b"", ("request",)),
    ],
)
def test_a_body_that_cannot_be_read_is_told(
    request_: bytes | None, response: bytes | None, unread: tuple[str, ...]
) -> None:
    """What else there is, is named all the same."""
    path = read_path("/sd/campaigns/{campaignId}", (b"sd", b"campaigns", b"5"))
    found = find_changes(path, request_, (JSON, response), NOTHING)
    assert found == ChangedObjects(objects=("campaign/5",), unread=unread)


def test_results_that_a_tool_hands_on_are_read() -> None:
    """But not the list that a query found: nothing was changed there."""

    def answer(content: Any) -> bytes:
        text = {"type": "text", "text": json.dumps(content)}
        return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [text]}}).encode()

    made = {"success": [{"index": 0, "campaign": {"campaignId": "4"}}], "error": []}
    assert find_changes(WrittenPath(), b"{}", (JSON, answer(made)), NOTHING).objects == ("campaign/4",)
    listed = {"campaigns": [{"campaignId": "5"}]}
    assert find_changes(WrittenPath(), b"{}", (JSON, answer(listed)), NOTHING).objects == ()
    failed = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "campaignId": "6"}}'
    assert find_changes(WrittenPath(), b"{}", (JSON, failed), NOTHING).objects == ()


def test_a_deep_body_is_read() -> None:
    """A body is read however deep it is."""
    body: Any = {"campaignId": "1"}
    for _ in range(60):
        body = {"body": body} if _ % 2 else [body]
    assert changes("/sp/campaigns", body).objects == ("campaign/1",)
    nested: Any = {"campaignId": "1"}
    for _ in range(60):
        nested = {"arguments": nested}
    call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"arguments": nested}}
    assert changes("/mcp", call).objects == ("campaign/1",)


@pytest.mark.parametrize(
    "arguments", ["{}", {"body": ' {"campaigns": []}', "adGroupId": "2"}, {"params": {"args": "[]"}}]
)
def test_arguments_that_are_a_text_count_as_unread(arguments: Any) -> None:
    """Some servers of MCP read JSON within a text."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": arguments}}
    assert changes("/mcp", call).unread == ("request",)
    assert changes("/mcp", {**call, "params": {"name": "t", "arguments": {"body": "x"}}}).unread == ()


def test_what_stands_next_to_the_body_of_a_tool_is_read() -> None:
    """The tool may take it, too; names of tools and accounts say where it goes."""
    body = {"campaigns": [{"campaignId": "1", "state": "PAUSED"}]}
    arguments = {"profileId": "9", "adGroupId": "2", "bid": 3, "body": body}
    params = {"name": "invoke_tool", "arguments": {"tool_name": "t", "arguments": arguments}}
    found = changes("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, recorded=("bid",))
    assert (set(found.objects), set(found.members)) == ({"campaign/1", "ad-group/2"}, {"state", "bid"})
    assert found.values == (MemberValue("", "bid", "3"),)
