"""Rows of the table of operations that an operator mends: what is applied, and what is told instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.routing.amendments import Amendment, amend, find_misfits
from proxy.routing.operations import PUBLISHED, AccountRule, Effect, Operation, ScopeRule

LISTING = b"POST", (b"sp", b"campaigns", b"list")
UNHEARD = b"POST", (b"adsApi", b"v1", b"query", b"ruleLinks")
NEW_ROW = Amendment("POST", "/adsApi/v1/query/ruleLinks", scope=ScopeRule.OPTIONAL)


def listing(**changed: Any) -> Amendment:
    """An amendment of the listing of campaigns."""
    return Amendment("POST", "/sp/campaigns/list", **changed)


def published(method: bytes, path: tuple[bytes, ...]) -> Operation:
    row = PUBLISHED.find(method, path)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ({"effect": Effect.WRITE}, {"effect": Effect.WRITE}),
        ({"scope": ScopeRule.NEVER}, {"scope": ScopeRule.NEVER}),
        ({"name": "ListCampaigns"}, {"name": "ListCampaigns"}),
        (
            {"account": AccountRule.OPTIONAL},
            {"account": AccountRule.OPTIONAL, "account_header": "Amazon-Ads-AccountId"},
        ),
        (
            {"account": AccountRule.REQUIRED, "account_header": "Amazon-Ads-Account-ID"},
            {"account": AccountRule.REQUIRED, "account_header": "Amazon-Ads-Account-ID"},
        ),
    ],
)
def test_what_is_said_replaces_the_rows_own_word(said: dict[str, Any], becomes: dict[str, Any]) -> None:
    """And only that; the published table stays as it is."""
    before = published(*LISTING)
    amended = amend(PUBLISHED, [listing(**said)])
    assert amended.find(*LISTING) == replace(before, **becomes)
    assert PUBLISHED.find(*LISTING) is before
    assert len(amended) == len(PUBLISHED)


def test_an_operation_that_takes_no_account_id_any_more_has_no_header_for_it() -> None:
    """Its spelling goes with it, and comes back in the spelling that the row had."""
    path = b"GET", (b"dsp", b"streams", b"subscriptions")
    gone = amend(PUBLISHED, [Amendment("GET", "/dsp/streams/subscriptions", account=AccountRule.NEVER)]).find(*path)
    kept = amend(PUBLISHED, [Amendment("GET", "/dsp/streams/subscriptions", account=AccountRule.OPTIONAL)]).find(*path)
    assert gone is not None
    assert gone.account_header == ""
    assert kept is not None
    assert kept.account_header == "Amazon-Ads-Account-ID"


def test_an_operation_that_the_table_lacks_is_added_with_care() -> None:
    """As a write without account header, named by method and path, until more is said."""
    row = amend(PUBLISHED, [NEW_ROW]).find(*UNHEARD)
    assert row == Operation(
        "POST",
        "/adsApi/v1/query/ruleLinks",
        "POST /adsApi/v1/query/ruleLinks",
        ScopeRule.OPTIONAL,
        AccountRule.NEVER,
        "",
        Effect.WRITE,
    )
    assert PUBLISHED.find(*UNHEARD) is None


def test_the_names_of_placeholders_do_not_count() -> None:
    """`/v2/profiles/{id}` is the row of `/v2/profiles/{profileId}`, which keeps its own template."""
    amended = amend(PUBLISHED, [Amendment("GET", "/v2/profiles/{id}", effect=Effect.WRITE)])
    row = amended.find(b"GET", (b"v2", b"profiles", b"1"))
    assert row is not None
    assert (row.template, row.effect, len(amended)) == ("/v2/profiles/{profileId}", Effect.WRITE, len(PUBLISHED))


@pytest.mark.parametrize(
    ("amendments", "key", "words"),
    [
        ([replace(NEW_ROW, method="post")], "method", "GET, PUT, POST"),
        ([replace(NEW_ROW, path="sp/x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/x?y")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp//x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/%78")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/{a}x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/")], "path", "must be a path"),
        ([replace(NEW_ROW, scope=ScopeRule.UNKNOWN)], "scope", "required, optional or never"),
        ([replace(NEW_ROW, scope=None, effect=Effect.READ)], "scope", "is missing"),
        ([listing()], "path", "nothing is said"),
        ([listing(effect=Effect.READ), listing(name="x")], "path", "twice"),
        ([listing(account_header="Amazon-Ads-AccountId")], "account_header", "say account_id as well"),
        ([replace(NEW_ROW, account_header="Amazon-Ads-AccountId")], "account_header", "say account_id as well"),
        ([listing(account=AccountRule.OPTIONAL, account_header="AccountId")], "account_header", "must be Amazon-Ads"),
        ([listing(name="listProfiles")], "name", "another operation's"),
        ([replace(NEW_ROW, name="x"), listing(name="x")], "name", "another operation's"),
    ],
)
def test_what_does_not_fit_is_told_and_not_applied(amendments: list[Amendment], key: str, words: str) -> None:
    """The last amendment is the misfit; its field and a sentence say what to do."""
    [misfit] = find_misfits(PUBLISHED, amendments)
    assert (misfit.index, misfit.key) == (len(amendments) - 1, key)
    assert words in misfit.reason
    with pytest.raises(ValueError, match=misfit.key):
        amend(PUBLISHED, amendments)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Each misfit with the index of its amendment, in order."""
    found = find_misfits(
        PUBLISHED, [replace(NEW_ROW, method="x"), listing(effect=Effect.READ), replace(NEW_ROW, path="x")]
    )
    assert [(misfit.index, misfit.key) for misfit in found] == [(0, "method"), (2, "path")]


def test_an_operation_may_keep_its_own_name() -> None:
    """Saying what the table says already changes nothing."""
    row = published(*LISTING)
    said = listing(scope=row.scope, account=row.account, effect=row.effect, name=row.name)
    assert list(amend(PUBLISHED, [said])) == list(PUBLISHED)
