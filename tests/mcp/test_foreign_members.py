"""Which members of JSON name an account, and which values of them are a client's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.access.own_accounts import OwnAccounts
from proxy.mcp.foreign_members import MAX_TEXTS, TooManyTexts, find_foreign_member

OWN = OwnAccounts(frozenset((b"123",)), frozenset((b"amzn1.ads-account.g.own",)))
MINE, OTHER = "amzn1.ads-account.g.own", "amzn1.ads-account.g.other"


@pytest.mark.parametrize(
    "content",
    [
        {"profileId": "123"},
        {"profileId": 123},
        {"profileIds": ["123", 123]},
        {"profile": {"id": "123"}},
        {"profile": "123", "advertiser": MINE},
        {"profileIdFilter": {"include": ["123"]}},
        {"accessRequestedAccounts": [{"advertiserAccountId": MINE}, {"profileId": "123"}]},
        {"accessRequestedAccount": MINE},
        {"account": MINE},
        {"account": 123},
        {"profileFilter": {"include": ["123"]}, "accountContext": {"id": MINE}},
        {"Amazon-Advertising-API-Scope": "123"},
        {"accountType": "SELLER", "profileName": "x", "scope": "advertising::campaign_management"},
        {"adsAccountId": MINE, "entityId": MINE},
        {"field": "profileId", "values": ["123"]},
        {"type": "profile", "id": "123"},
        {"name": "summer-profile", "id": "77", "campaignId": "78"},
        {"profiles": {"123": {}}},
        {"body": json.dumps({"profileId": "123"})},
        {"body": json.dumps(json.dumps({"profileId": "123"}))},
        {"profileId": None, "accountId": "", "accounts": [], "managerAccountId": {}},
        {"name": "[Sale] shoes {new}", "note": '"'},
        {"note": "Ask for the account id of this profile"},
        {"query": "SELECT advertiser_id, SUM(cost) FROM x GROUP BY advertiser_id LIMIT 1000"},
        {"columns": ["profileId", "account.id", "date"]},
        {"fields": ["profileId", "attributedSales14d", "metric.clicks7d"], "limit": 1000, "order": "DESC"},
        {"columns": ["profileId", "cost"], "filters": [{"field": "keywordType", "values": ["BROAD"]}], "bid": 0.5},
        {"fields": ["advertiser.id"], "filter": {"on": {"field": "adProduct", "not": False, "at": "2026-01-31"}}},
        {"fields": ["profileId"], "from": {"date": "2026-01-31T00:00:00Z", "name": "EQUALS"}, "x": [["sales14d"]]},
        {"columns": [{"name": "profileId"}, {"name": "cost", "as": "sales14d"}], "filter": {"campaignId": "77"}},
        {"filters": [{"field": "profileId", "values": ["123"]}, {"field": "campaignId", "values": ["77"]}]},
        {"and": [{"field": "advertiserAccountId"}, {"field": "profileId", "anything": "123"}]},
        {"keywordText": "profile", "matchType": "BROAD", "bid": 1.5, "campaignId": "77"},
        {"keywords": ["account", "iphone 15", "mp3 player"]},
        {"keywords": ["account id wallet", "iphone 15"]},
        {"fields": ["cost"], "values": ["77"]},
        {"landingPage": "https://shop.example/?colour=red&size=4"},
        {"name": "\ud800"},
        {"name": "[2024] shoes", "note": '"Sale" {new', "lines": '{"profileId": 123}\n{"profileId": "123"}\n'},
        [],
        "text",
        7,
    ],
)
def test_what_names_no_foreign_account(content: Any) -> None:
    """The client's own in any form that has one meaning, what is empty, and words that select nothing."""
    assert find_foreign_member(OWN, content) is None


def pairs(account: str) -> list[Any]:
    """An account whose name is a value itself, in the notations of filters, headers and tables."""
    return [
        {"field": "profileId", "operand": account},
        {"field": "profileId", "operator": "EQUALS", "operand": account, "limit": 1000, "negate": False},
        {"field": "profileId", "comparison": ">=", "operands": [account], "label": "sales14d", "note": None},
        {"field": "profileId", "predicate": {"x": account}},
        {"field": "profileId", "anything": account},
        {"field": "profileId", "anything": [[account]]},
        {"lhs": "profileId", "rhs": account},
        {"field": "profile", "operand": account},
        {"key": "Amazon-Advertising-API-Scope", "val": account},
        {"header": "amazon_advertising_api_scope", "content": account},
        {"headers": [["Amazon-Advertising-API-Scope", account]]},
        {"rawHeaders": ["accept", "*/*", "Amazon-Advertising-API-Scope", account]},
        {"filter": ["profileId", "=", account]},
        {"filter": ["profileId", "in", [account]]},
        {"filters": [["profile", account]]},
        {"fields": ["profileId", "cost"], "values": [[account]]},
        {"body": json.dumps({"field": "profileId", "operand": account})},
        {"==": [{"var": "profileId"}, account]},
        {"in": [{"var": "profileId"}, [account]]},
        {"left": {"type": "column", "name": "profileId"}, "op": "=", "right": {"type": "literal", "value": account}},
    ]


@pytest.mark.parametrize("place", range(20))
def test_an_account_may_be_named_by_a_value(place: int) -> None:
    """Beside a name such as `profileId`, all that may be an account is the client's own."""
    assert find_foreign_member(OWN, pairs("124")[place])
    assert find_foreign_member(OWN, pairs("123")[place]) is None


@pytest.mark.parametrize(
    "content",
    [
        {"profileId": "124"},
        {"profileId": 124},
        {"profileId": 123.0},
        {"profileId": True},
        {"profileId": "0123"},
        {"profileId": " 123"},
        {"profileId": "123,124"},
        {"profileId": 2**53},
        {"profileId": MINE},
        {"advertiserAccountId": "123"},
        {"profileIds": ["123", "124"]},
        {"PROFILE_ID": "124"},
        {"profile-id": "124"},
        {"x.profile.id[]": "124"},
        {"profile": {"id": "124"}},
        {"account": {"identifier": OTHER}},
        {"profile": "124"},
        {"profile": MINE},
        {"advertiser": 123},
        {"advertisers": [OTHER]},
        {"ads_accounts": [OTHER]},
        {"manager": MINE},
        {"managerId": MINE},
        {"managerAccountId": MINE},
        {"marketplaceId": "ATVPDKIKX0DER"},
        {"instanceId": MINE},
        {"entityId": "ENTITY1"},
        {"accessRequestedAccounts": [{"advertiserAccountId": MINE}, {"advertiserAccountId": OTHER}]},
        {"accessRequestedAccounts": [{"id": OTHER}]},
        {"accessRequestedAccount": {"managerAccountId": MINE}},
        {"profileIdFilter": {"include": ["124"]}},
        {"profileFilter": {"include": ["124"]}},
        {"accountFilter": {"include": [OTHER]}},
        {"advertiserList": [OTHER]},
        {"account_context": {"id": OTHER}},
        {"Amazon-Advertising-API-Scope": "124"},
        {"Amazon-Advertising-API-Scope": MINE},
        {"amazon_advertising_api_scope": 124},
        {"headers": {"Amazon-Advertising-API-Scope": ["124"]}},
        {"headers": [{"name": "Amazon-Advertising-API-Scope", "value": "124"}]},
        {"headers": "Amazon-Advertising-API-Scope: 124"},
        {"apiScope": "124"},
        {"Amazon-Ads-AI-Account-Selection-Mode": "DYNAMIC"},
        {"field": "entityId", "operand": "ENTITY"},
        {"field": "profileId", "anything": 1110000000000002},
        {"filter": ["profileId", "=", "\u0661\u0662"]},
        {"field": "profileId", "values": ["124"]},
        {"field": " profileId\t", "values": ["124"]},
        {"scope": {"type": "PROFILE", "id": "124"}},
        {"path": "/" + "x" * 300 + "/profileId", "value": "124"},
        {"profiles": {"124": {}}},
        {"accounts": {OTHER: None}},
        {"op": "replace", "path": "/profileId", "value": "124"},
        [[[{"a": [{"profileId": "124"}]}]]],
        {"body": json.dumps({"profileId": "124"})},
        {"body": json.dumps(json.dumps({"profileId": "124"}))},
        {"body": '{"\\u0070rofileId": 124}'},
        {"body": '{"profileId": 123, "profileId": 124}'},
        {"body": '{"\uff50rofileId": 124}'},
        {"body": '\ufeff{"profileId": 124}'},
        {"body": "{profileId: 124}"},
        {"body": ')]}\',\n{"profileId": 124}'},
        {"body": "x {\\\\u0070rofileId: 124}"},
        {"body": "<profileId>124</profileId>"},
        {"body": "profile-id: 124"},
        {"body": "[" * 100_000 + '{"profileId": 124}'},
        {"body": '{"profile": "124"} x'},
        {"body": '{"profile": {"id": "124"}}\ufeff'},
        {"body": '{"profile": "124"}\x00'},
        {"body": '\x00, {"profile": "124"}'},
        {"body": '{"a": 1}\n{"profile": "124"}'},
        {"body": '{"a": 1}\x1e7 {"profile": "124"}'},
        {"body": '{"a": "\t", "profile": "124"}'},
        {"body": '{"a": "\ud800", "profile": "124"}'},
        {"body": '{"profile": "124", "a": %s}' % ("7" * 5000)},
        {"body": '{"profile": "124", "a": %s}' % ("[" * 5000 + "]" * 5000)},
        {"body": '{"profile": 124, "profile": 123} x'},
        {"type": "account", "field": "profileId", "anything": "124"},
        {"fields": ["profileId"], "filter": {"on": {"field": "x", "values": ["BROAD", "124"]}}},
        {"fields": ["profileId"], "filter": {"124": {}}},
        {"fields": ["profileId"], "filter": {"body": '{"profile": "E"}'}},
        {"field": "profileId", "anything": 1.11e15},
        {"profileFilter": {"field": "entityId", "anything": ["E"]}},
        {"pair": ["profile", "x"], "field": "profileId", "anything": "124"},
        {"query": "profileId=124"},
        {"query": "SELECT 1 FROM x WHERE profile_id IN ('1110000000000002')"},
        {"query": "profileId 1110000000000002"},
        {"csv": "profileId\n1110000000000002"},
        {"yaml": "- profileId\n- 1110000000000002"},
        {"query": "profile%49d=124"},
        {"query": "profile%2549d=124"},
        {"query": "%2525252525252570rofileId"},
    ],
)
def test_a_foreign_account_is_found(content: Any) -> None:
    """By any name, at any depth, in any notation that a reader of texts may know."""
    assert find_foreign_member(OWN, content)


def test_a_client_of_account_ids_alone_has_no_profile() -> None:
    """Whatever names one is foreign."""
    own = OwnAccounts(frozenset(), frozenset((MINE.encode(),)))
    assert find_foreign_member(own, {"profileId": "123"})
    assert find_foreign_member(own, {"account": MINE}) is None


def test_the_name_that_is_told_is_short() -> None:
    """It comes from the client."""
    assert len(str(find_foreign_member(OWN, {"profileId" + "x" * 1000: "1"}))) <= 66
    assert len(str(find_foreign_member(OWN, {"x" * 1000: "profileId=1"}))) <= 80


def nested(depth: int, size: int) -> str:
    """A text in a text in a text, each with so many characters of its own."""
    text = json.dumps(["x" * size])
    for _ in range(depth):
        text = json.dumps([text, "x" * size])
    return text


def test_texts_that_look_like_json_are_bounded() -> None:
    """A thousand keywords may be in brackets, as many as Amazon takes at once; more are refused with what to do."""
    keywords = ["[running shoes]", '"shoes"', "{sale}"]
    assert find_foreign_member(OWN, keywords * (MAX_TEXTS // 3)) is None
    with pytest.raises(TooManyTexts, match="send them in several messages"):
        find_foreign_member(OWN, ["[]"] * (MAX_TEXTS + 1))


def test_long_texts_in_one_another_are_bounded() -> None:
    """Each reading of one is counted, with all that is in it."""
    assert find_foreign_member(OWN, nested(3, 20_000)) is None
    with pytest.raises(TooManyTexts):
        find_foreign_member(OWN, nested(9, 20_000))
