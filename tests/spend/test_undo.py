"""The write that restores what an approved write changed, and the sentences about what it leaves as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.spend.undo import Undo, UndoWrite, undo_of

CAMPAIGN = "campaign/7"


def change(member: str, before: str | None, after: str = "1", name: str = CAMPAIGN) -> dict[str, Any]:
    return {"object": name, "member": member, "before": before, "after": after}


def record(*changes: Any, path: str = "/sp/campaigns", outcome: str = "success", **spend: Any) -> dict[str, Any]:
    return {
        "event": {"action": "amazon-write", "outcome": outcome},
        "url": {"path": path},
        "ads_proxy": {
            "account": "acme",
            "region": "na",
            "profile": "3511",
            "spend": {"verdict": "approved", "changes": list(changes), **spend},
        },
    }


def only(undo: Undo) -> UndoWrite:
    (write,) = undo.writes
    return write


def items(undo: Undo) -> Any:
    content = json.loads(only(undo).body)
    return content if isinstance(content, list) else next(iter(content.values()))


def left(undo: Undo) -> str:
    """The sentences about what is left, of a write that restores nothing."""
    assert undo.writes == ()
    return " ".join(undo.left)


def test_the_write_sets_what_there_was() -> None:
    """A request to the proxy, for the same account, region and profile; members that stayed are left out."""
    undo = undo_of(
        record(
            change("budget.budget", "100.5", "500"),
            change("budget.budgetType", '"DAILY"', '"DAILY"'),
            change("name", '"x"', '"x"'),
        )
    )
    media_type = "application/vnd.spCampaign.v3+json"
    headers = {"Content-Type": media_type, "Accept": media_type, "Amazon-Advertising-API-Scope": "3511"}
    body = '{"campaigns":[{"budget":{"budget":100.5,"budgetType":"DAILY"},"campaignId":"7"}]}'
    assert undo == Undo((UndoWrite("PUT", "/@acme/na/sp/campaigns", headers, body),), ())


@pytest.mark.parametrize(
    ("path", "name", "method", "target", "body"),
    [
        ("/sd/campaigns", "campaign/7", "PUT", "/sd/campaigns", [{"campaignId": 7, "bid": 2}]),
        ("/sb/keywords", "keyword/7", "PUT", "/sb/keywords", [{"keywordId": 7, "bid": 2}]),
        ("/sb/targets", "target/7", "PUT", "/sb/targets", {"targets": [{"targetId": 7, "bid": 2}]}),
        ("/sd/negativeTargets", "target/x", "PUT", "/sd/negativeTargets", [{"targetId": "x", "bid": 2}]),
        ("/sp/targets", "target/7", "PUT", "/sp/targets", {"targetingClauses": [{"targetId": "7", "bid": 2}]}),
        ("/sb/v4/adGroups", "ad-group/7", "PUT", "/sb/v4/adGroups", {"adGroups": [{"adGroupId": "7", "bid": 2}]}),
        (
            *("/adsApi/v1/update/targets", "target/7", "POST", "/adsApi/v1/update/targets"),
            {"targets": [{"targetId": "7", "bid": 2}]},
        ),
        ("/mcp", "ad/7", "POST", "/adsApi/v1/update/ads", {"ads": [{"adId": "7", "bid": 2}]}),
    ],
)
def test_each_api_has_its_write(path: str, name: str, method: str, target: str, body: Any) -> None:
    """What MCP tools have changed is restored by the unified API."""
    write = only(undo_of(record(change("bid", "2", name=name), path=path)))
    assert (write.method, write.target, json.loads(write.body)) == (method, f"/@acme/na{target}", body)


def test_the_ads_account_is_named() -> None:
    of_account = record(change("bid", "2", name="target/7"), path="/mcp")
    of_account["ads_proxy"] |= {"profile": "", "ads_account": "amzn1.x"}
    headers = only(undo_of(of_account)).headers
    assert headers == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Amazon-Ads-AccountId": "amzn1.x",
    }


def test_several_kinds_are_several_writes() -> None:
    undo = undo_of(record(change("state", '"A"'), change("state", '"B"', name="target/8"), path="/mcp"))
    assert [write.target.rpartition("/")[2] for write in undo.writes] == ["campaigns", "targets"]


def test_lists_are_restored_with_what_was_taken_away() -> None:
    """What was added is left out."""
    undo = undo_of(
        record(
            change("rules[0].placement", '"TOP"', '"TOP"'),
            change("rules[0].percentage", "10", "50"),
            change("rules[1]", '{"percentage":20}', ""),
            change("more[0].a", "1", "1"),
            change("more[1].a", "", "2"),
            change("words", '["x"]', "[]"),
        )
    )
    assert items(undo) == [
        {
            "campaignId": "7",
            "rules": [{"placement": "TOP", "percentage": 10}, {"percentage": 20}],
            "more": [{"a": 1}],
            "words": ["x"],
        }
    ]


def test_the_parents_of_an_object_go_with_it() -> None:
    """Sponsored Brands want them with each keyword."""
    parents = change("campaignId", "5", "5", name="keyword/7")
    undo = undo_of(record(parents, change("bid", "2", name="keyword/7"), path="/sb/keywords"))
    assert items(undo) == [{"keywordId": 7, "campaignId": 5, "bid": 2}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([change("budget", None)], "campaign/7: budget was not known before the write."),
        ([change("portfolioId", "")], "campaign/7: portfolioId had no value before, and a write cannot take one away."),
        ([change("name", '"long... sha256:0')], "campaign/7: name had a value that is too long for the record."),
        ([change("name", '"a ***"')], "campaign/7: name had a value that is masked in the record."),
        ([change("?", "1", "2")], "campaign/7: ? has a name that the record does not hold."),
        (
            [change("state", '"PAUSED"', '"ARCHIVED"'), change("name", '"x"')],
            "campaign/7 was archived: Amazon does not let that be undone.",
        ),
        (
            [change("name", "", name=""), change("state", "", name="")],
            "The write created objects: that cannot be undone; archive them instead.",
        ),
        (
            [change("name", None, name="")],
            "The write changed objects whose ids are not known: that cannot be undone.",
        ),
        ([change("bid", "1", "1")], "The write set no value to another than it had."),
        ([], "The write set no value to another than it had."),
        (["text", {"object": 5}], "The write set no value to another than it had."),
        (
            [change("bid", "1", "2", name="keyword/8")],
            "keyword/8: no write of Amazon's is known that sets its members.",
        ),
    ],
)
def test_what_cannot_be_undone_is_said(changes: list[Any], said: str) -> None:
    assert left(undo_of(record(*changes))) == said


def test_a_member_is_restored_as_a_whole_or_not_at_all() -> None:
    """Half a budget could be refused, or mean another one; other members are restored."""
    undo = undo_of(record(change("budget.budget", "100"), change("budget.unit", None), change("name", '"x"')))
    assert items(undo) == [{"campaignId": "7", "name": "x"}]
    assert undo.left == ("campaign/7: budget was not known before the write.",)


@pytest.mark.parametrize(
    ("outcome", "further", "said"),
    [
        ("partial", 0, "Some items of the write failed"),
        ("unknown", 0, "What became of the write is unknown"),
        ("success", 3, "3 further members that the write set are not in the record."),
    ],
)
def test_what_the_record_does_not_tell_is_said(outcome: str, further: int, said: str) -> None:
    """The rest is restored all the same."""
    undo = undo_of(record(change("bid", "1", "2"), outcome=outcome, further_changes=further))
    assert items(undo) == [{"campaignId": "7", "bid": 1}]
    assert undo.left[0].startswith(said)


def test_a_write_that_failed_has_nothing_to_undo() -> None:
    assert left(undo_of(record(change("bid", "1"), outcome="failure"))).startswith("The write failed as a whole")


@pytest.mark.parametrize("other", [{}, {"event": {"action": "sign-in"}}, {"event": "text", "ads_proxy": 5}])
def test_other_records_have_no_values_from_before(other: dict[str, Any]) -> None:
    """Nor has a write that was within its limits."""
    assert "no other has the values before" in left(undo_of(other))
    assert "no other has the values before" in left(undo_of(record(verdict="within")))
