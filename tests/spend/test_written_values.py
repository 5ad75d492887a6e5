"""What writes set, as a person sees it: objects, paths, and texts of values before and after."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from proxy.events import ValueChange
from proxy.spend.present_values import WrittenBody
from proxy.spend.written_values import (
    MAX_PATH,
    MAX_READ,
    MAX_VALUE,
    Difference,
    Verb,
    changes_of,
    find_differences,
    objects_to_read,
    verb_of,
    written_objects,
)

SP = "PUT /sp/campaigns"
CREATE = "POST /sp/campaigns"
TOOL = "MCP campaign_management-update_campaign"


def changes(operation: str, content: Any, present: dict[str, Any] | None = None) -> list[tuple[str, str, Any, str]]:
    found = changes_of(written_objects(WrittenBody(operation, content)), present or {})
    return [(each.object, each.member, each.before, each.after) for each in found]


# --- Texts ----------------------------------------------------------------------------------------------------


def test_a_long_value_is_cut_and_keeps_its_digest() -> None:
    """Two values that differ at their ends have different texts."""
    one, other = (changes(SP, {"campaigns": [{"name": "x" * 2000 + end}]})[0][3] for end in "ab")
    assert len(one) == len(other) == MAX_VALUE
    assert one != other


def test_a_long_path_is_cut() -> None:
    content: Any = 1
    for _ in range(12):
        content = {"n" * 60: content}
    assert len(changes(SP, {"campaigns": [content]})[0][1]) == MAX_PATH


def test_a_value_that_is_nested_too_deeply_has_no_json() -> None:
    content: Any = 1
    for _ in range(900):
        content = [content]
    assert changes(SP, {"campaigns": [{"x": content}]})[0][3] == "..."


def test_a_name_that_would_spoil_a_path_is_not_shown() -> None:
    assert changes(SP, {"campaigns": [{"a.b": 1}]}) == [("", "?", None, "1")]


def test_what_is_deep_within_an_object_is_one_value() -> None:
    content: Any = {"z": 1}
    for _ in range(20):
        content = {"a": content}
    ((_, member, _, after),) = changes(SP, {"campaigns": [content]})
    assert member == ".".join("a" * 16)
    assert after == '{"a":' * 4 + '{"z":1}' + "}" * 4


# --- Verbs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "verb"),
    [
        (SP, Verb.UPDATE),
        (CREATE, Verb.CREATE),
        ("POST /sp/campaigns/delete", Verb.DELETE),
        ("POST /adsApi/v1/update/adGroups", Verb.UPDATE),
        (TOOL, Verb.UPDATE),
        ("MCP x-create_thing", Verb.CREATE),
        ("MCP x-frobnicate_thing", None),
        ("PUT /unknown", Verb.UPDATE),
        ("DELETE /unknown/{id}", Verb.DELETE),
        ("POST /unknown/delete", Verb.DELETE),
        ("POST /unknown", None),
    ],
)
def test_the_table_or_the_name_tells_what_an_operation_does(operation: str, verb: Verb | None) -> None:
    assert verb_of(operation) is verb


# --- Objects --------------------------------------------------------------------------------------------------


def test_a_new_object_has_no_name_and_nothing_before() -> None:
    """Also where its creator gives it an id; the objects above it are members."""
    content = {"keywords": [{"keywordId": "5", "campaignId": "7", "bid": 2}]}
    assert changes("POST /sp/keywords", content) == [
        ("", "bid", "", "2"),
        ("", "campaignId", "", '"7"'),
        ("", "keywordId", "", '"5"'),
    ]


def test_members_of_an_unread_object_are_not_known() -> None:
    content = {"campaigns": [{"campaignId": "7", "budget": {"budget": 500, "budgetType": "DAILY"}, "tags": {}}]}
    assert changes(SP, content) == [
        ("campaign/7", "budget.budget", None, "500"),
        ("campaign/7", "budget.budgetType", None, '"DAILY"'),
        ("campaign/7", "tags", None, "{}"),
    ]


def test_an_item_with_two_ids_names_no_object() -> None:
    """Nobody knows which of them Amazon takes."""
    assert changes(SP, {"campaigns": [{"campaignId": "7", "campaign_id": "8"}]}) == [
        ("", "campaignId", None, '"7"'),
        ("", "campaign_id", None, '"8"'),
    ]


def test_a_bare_list_is_of_the_kind_that_the_path_names() -> None:
    assert changes("PUT /sd/targets", [{"targetId": 9, "bid": Decimal("1.10")}]) == [("target/9", "bid", None, "1.1")]


@pytest.mark.parametrize(
    "operation", [TOOL, "MCP campaign_management-update_campaign_budget", "MCP amazon_ads_mcp-invoke_tool"]
)
def test_arguments_of_tools_are_unwrapped(operation: str) -> None:
    """The arguments of `invoke_tool` are those of the tool that it calls."""
    arguments: Any = {"body": {"campaigns": [{"campaignId": "7", "state": "PAUSED"}]}, "profileId": "1"}
    if operation.endswith("invoke_tool"):
        arguments = {"name": TOOL.removeprefix("MCP "), "arguments": arguments}
    assert changes(operation, arguments) == [("campaign/7", "state", None, '"PAUSED"')]


def test_arguments_that_cannot_be_told_are_none() -> None:
    """Texts that may be JSON, and a call of `invoke_tool` with two names."""
    assert changes(TOOL, {"body": '{"campaigns": []}'}) == []
    assert changes("MCP amazon_ads_mcp-invoke_tool", {"name": "a", "tool": "b"}) == []


@pytest.mark.parametrize(
    ("operation", "content", "word"),
    [
        ("POST /sp/campaigns/delete", {"campaignIdFilter": {"include": ["7"]}}, "ARCHIVED"),
        ("POST /adsApi/v1/delete/campaigns", {"campaignIds": ["7"]}, "ARCHIVED"),
        ("MCP campaign_management-delete_campaign", {"body": {"campaignIds": ["7"]}, "profileId": "1"}, "ARCHIVED"),
        ("DELETE /sd/campaigns/{campaignId}", None, "archived"),
    ],
)
def test_a_deletion_archives_what_it_names(operation: str, content: Any, word: str) -> None:
    """By ids in its body, or in its path; the present state is what was read."""
    path = [("campaignId", "7")] if operation.startswith("DELETE") else []
    objects = written_objects(WrittenBody(operation, content), path)
    assert changes_of(objects, {}) == (ValueChange("campaign/7", "state", None, f'"{word}"'),)
    assert changes_of(objects, {"campaign/7": {"state": "PAUSED"}})[0].before == '"PAUSED"'


@pytest.mark.parametrize(
    ("operation", "content", "member", "after"),
    [
        ("PUT /sp/rules", {"rules": [{"a": 1}, [{"b": 2}], "c"]}, "rules", '[[{"b":2}],"c"]'),
        ("PUT /sd/campaigns", [{"campaignId": 1, "state": "paused"}, [{"campaignId": 2}]], "?", '[[{"campaignId":2}]]'),
        ("PUT /sd/campaigns", "text", "?", '["text"]'),
        ("POST /sp/campaigns/delete", {"campaignIdFilter": {"include": ["1"]}, "all": True}, "all", "true"),
    ],
)
def test_what_is_next_to_the_objects_is_shown(operation: str, content: Any, member: str, after: str) -> None:
    """An approver sees all that a body holds, in whatever shape."""
    shown = changes_of(written_objects(WrittenBody(operation, content)), {})
    assert shown[-1] == ValueChange("", member, None, after)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"campaignIdFilter": {"include": ["07"]}}, ("campaignIdFilter.include", '["07"]')),
        ({"campaignIdFilter": {"include": [], "ids": ["7"]}}, ("campaignIdFilter.ids", '["7"]')),
        ({"adGroupIdFilter": {"include": ["7"]}}, ("adGroupIdFilter.include", '["7"]')),
    ],
)
def test_an_approver_sees_what_amazon_may_archive(content: dict[str, Any], shown: tuple[str, str]) -> None:
    """An id in a spelling by which no object is known is shown as it is, and so is one of another kind."""
    found = changes("POST /sp/campaigns/delete", content)
    assert ("", shown[0], None, shown[1]) in found
    assert {each for each, *_ in found} == {""}


def test_taking_a_rule_off_a_campaign_archives_neither() -> None:
    written = WrittenBody("DELETE /sd/campaigns/{campaignId}/budgetRules/{budgetRuleId}", None)
    objects = written_objects(written, [("campaignId", "7"), ("budgetRuleId", "r")])
    assert [tuple(each) for each in changes_of(objects, {})] == [
        ("", "budgetRuleId", None, '"r"'),
        ("", "campaignId", None, '"7"'),
    ]


# --- Before and after -----------------------------------------------------------------------------------------


def test_each_member_has_its_present_value() -> None:
    """A member that the object lacks has none, and numbers compare by value."""
    now = {"campaign/7": {"state": "ENABLED", "budget": {"budget": Decimal("100.00")}, "end": None}}
    content = {"campaigns": [{"campaignId": 7, "budget": {"budget": 500, "budgetType": "DAILY"}, "end": {"day": 1}}]}
    assert changes(SP, content, now) == [
        ("campaign/7", "budget.budget", "100", "500"),
        ("campaign/7", "budget.budgetType", "", '"DAILY"'),
        ("campaign/7", "end.day", "", "1"),
    ]


def test_lists_of_objects_compare_entry_by_entry() -> None:
    """What a shorter list takes away is shown, too; a list of words is one value."""
    was = [{"placement": "TOP", "percentage": 10}, {"placement": "REST", "percentage": 20}, {"placement": "PAGE"}]
    now = {"campaign/7": {"adjustments": was, "countries": ["US"], "more": "text"}}
    content = {"campaignId": "7", "countries": ["US", "CA"], "more": [{"a": 1}]}
    content["adjustments"] = [{"placement": "TOP", "percentage": 50}]
    assert changes(SP, {"campaigns": [content]}, now) == [
        ("campaign/7", "adjustments[0].percentage", "10", "50"),
        ("campaign/7", "adjustments[0].placement", '"TOP"', '"TOP"'),
        ("campaign/7", "adjustments[1]", '{"percentage":20,"placement":"REST"}', ""),
        ("campaign/7", "adjustments[2]", '{"placement":"PAGE"}', ""),
        ("campaign/7", "countries", '["US"]', '["US","CA"]'),
        ("campaign/7", "more[0].a", "", "1"),
    ]


def test_an_unread_list_has_its_entries() -> None:
    assert changes(SP, {"campaigns": [{"campaignId": "7", "a": [{"b": 1}, {"b": 2}]}]}) == [
        ("campaign/7", "a[0].b", None, "1"),
        ("campaign/7", "a[1].b", None, "2"),
    ]


@pytest.mark.parametrize("operation", [SP, "MCP campaign_management-update_campaign"])
@pytest.mark.parametrize("present", [{}, {"campaign/7": {"budget": {"budget": 1}, "a": [{"b": 1}]}}])
def test_changes_have_one_order(operation: str, present: dict[str, Any]) -> None:
    """A client may send the members of an approved write in another order, and an approval holds the first ones."""

    def reordered(value: Any) -> Any:
        if isinstance(value, list):
            return [*map(reordered, value)]
        if isinstance(value, dict):
            return {name: reordered(value[name]) for name in reversed(value)}
        return value

    campaign = {"campaignId": "7", "budget": {"budget": 5, "budgetType": "DAILY"}, "a": [{"b": 2, "c": 3}]}
    content: dict[str, Any] = {
        "campaigns": [campaign],
        "adGroups": [{"adGroupId": "8", "bid": 1}],
        "note": {"y": 1, "x": 2},
    }
    content = {"body": content, "z": 1} if operation != SP else content
    assert changes(operation, reordered(content), present) == changes(operation, content, present)


def test_the_first_members_are_read() -> None:
    """Objects beyond these are not asked for."""
    items = [{"campaignId": str(number), "a": 1, "b": 2} for number in range(1, 200)]
    objects = written_objects(WrittenBody(SP, {"campaigns": items}))
    assert len([*objects_to_read(objects)]) == MAX_READ // 2
    assert len([*objects_to_read(objects[:3])]) == 3


# --- What has changed since -----------------------------------------------------------------------------------


def reading(**befores: str | None) -> list[ValueChange]:
    return [ValueChange("campaign/7", member, before, "1") for member, before in befores.items()]


@pytest.mark.parametrize(
    ("seen", "now", "differing"),
    [
        (reading(a="1", b=""), reading(a="1", b=""), ()),
        (reading(a="1", b="2"), reading(a="1", b="3"), (("b", "2", "3"),)),
        (reading(a="1", b="2"), reading(a="1"), (("b", "2", None),)),
        (reading(a="1"), reading(a="1", b="2"), (("b", None, "2"),)),
        (reading(a=None), reading(a="1"), ()),
        (reading(a=None), reading(a=None), ()),
        (reading(a="1"), reading(a=None), None),
        (reading(a="1"), [], None),
        ([], [], ()),
    ],
    ids=["equal", "other", "shorter list", "longer list", "known now", "never known", "unread", "nothing", "none"],
)
def test_two_readings_of_a_write_are_compared(seen: Any, now: Any, differing: Any) -> None:
    """An entry that is gone from a list, or new in it, is a difference; an object that could not be read is not."""
    expected = None if differing is None else tuple(Difference("campaign/7", *each) for each in differing)
    assert find_differences(seen, now) == expected
