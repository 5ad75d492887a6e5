"""What the console asks for: traffic, refusals, and the search for ads accounts and profiles."""

from __future__ import annotations

import json

import pytest

from proxy.admin import ProfileView
from proxy.admin.status import find_ads_accounts
from proxy.profiles.reach import MergedAdsAccount
from tests.admin.fixtures import FakeProgram, administer
from tests.observability.test_metrics import finished


async def test_the_console_state_has_traffic_and_refusals() -> None:
    """The chart's steps and the last refused requests are what events and sums say."""
    async with administer(FakeProgram()) as knocker:
        for event in (finished(overhead=0.002), finished(status=429), finished(status=502)):
            knocker.metrics.observe(event)
        refused = finished(status=403, refusal="not-permitted", detail="Not yours.", client="reporting")
        knocker.history.observe(refused)
        async with knocker.ask("/console/state") as answer:
            state = json.loads(await answer.text())
    assert [(step["requests"], step["errors"], step["throttled"]) for step in state["traffic"]] == [(3, 1, 1)]
    (line,) = state["refused"]
    assert (line["reason"], line["detail"], line["path"]) == ("not-permitted", "Not yours.", "/v2/profiles")


async def test_what_amazon_refused_for_a_known_reason_is_among_the_refusals() -> None:
    """With Amazon's status and the sentence; what nobody can explain is not."""
    async with administer(FakeProgram()) as knocker:
        knocker.history.observe(finished(status=401))
        knocker.history.observe(finished(status=401, detail="The profile is another's."))
        for place in ("/console/state", "/status"):
            async with knocker.ask(place) as answer:
                (line,) = json.loads(await answer.text())["refused"]
            assert (line["status"], line["reason"]) == (401, "refused-by-amazon")
            assert line["detail"] == "The profile is another's."


async def test_what_is_logged_of_the_history_counts_alone() -> None:
    """How many steps and refusals it holds, and nothing of what was asked."""
    async with administer(FakeProgram()) as knocker:
        knocker.history.observe(finished(status=403, refusal="not-permitted", detail="canary", path="/canary"))
        await knocker.history.sample()
        assert repr(knocker.history) == "<RequestHistory 1 steps, 1 refused>"


@pytest.mark.parametrize(
    ("search", "found"),
    [("", 1), ("acme de", 1), ("AMZN1.A", 1), ("222", 1), ("e1 na", 1), ("linked", 0), ("acme fr", 0)],
)
async def test_ads_accounts_are_searched_by_every_word(search: str, found: int) -> None:
    """By id, name, country, region, account, and by the profiles and entities that are theirs."""
    async with administer(FakeProgram()) as knocker, knocker.ask(f"/console/ads-accounts?search={search}") as answer:
        said = json.loads(await answer.text())
    assert (said["total"], len(said["ads_accounts"])) == (found, found)
    for each in said["ads_accounts"]:
        assert (each["id"], each["countries"], each["profiles"]) == ("amzn1.a", ["DE", "US"], ["111", "222"])


async def test_the_list_of_ads_accounts_is_bounded() -> None:
    """However many there are, the page stays one that can be read."""
    many = [MergedAdsAccount(f"amzn1.{n}", "acme", "ads account", "", "", (), (), (), ()) for n in range(1000)]
    program = FakeProgram(known_ads_accounts=tuple(many))
    assert (await find_ads_accounts(program, "amzn1.9", 5))["total"] == 111
    assert len((await find_ads_accounts(program, "", 5))["ads_accounts"]) == 5


async def test_profiles_are_searched_by_every_word() -> None:
    """The search looks at id, name, country, region and account, in any case, and is bounded."""
    many = tuple(ProfileView(str(n), "acme", "na", f"Brand {n}", "US", "seller") for n in range(1000))
    program = FakeProgram(known_profiles=(*many, ProfileView("x1", "acme", "eu", "Straße", "DE", "vendor")))
    async with administer(program) as knocker:
        async with knocker.ask("/console/profiles?search=STRASSE+de") as answer:
            assert [profile["id"] for profile in json.loads(await answer.text())["profiles"]] == ["x1"]
        async with knocker.ask("/console/profiles?search=brand&account=acme") as answer:
            found = json.loads(await answer.text())
        assert (found["total"], len(found["profiles"])) == (1000, 200)
        async with knocker.ask("/console/profiles?account=other") as answer:
            assert json.loads(await answer.text())["total"] == 0
