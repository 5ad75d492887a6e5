"""What the console asks for: traffic, refusals, and the search for ads accounts and profiles."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from proxy.access.client_keys import ClientKey, KnownKey
from proxy.admin.overview import DAY
from proxy.admin.status import account_status, find_ads_accounts
from proxy.admin.view import AccessRules
from proxy.audit.records import dated, record_of
from proxy.errors import StateError
from proxy.events import ConfigReloaded
from proxy.profiles.reach import MergedAdsAccount
from proxy.profiles.replacement import ReachedProfile
from proxy.spend.limits import SpendLimits
from proxy.spend.overview import SpendOverview
from proxy.tokens.consent import Consent
from proxy.tokens.invitation import Invitation
from tests.admin.fixtures import KEY, FakeProgram, administer, credential
from tests.observability.test_metrics import finished
from tests.spend.test_observations import observed, over, unreadable, write


async def test_the_console_state_has_traffic_and_refusals() -> None:
    """The chart's steps and the last refused requests are what events and sums say."""
    async with administer(FakeProgram()) as admin:
        for event in (finished(overhead=0.002), finished(status=429), finished(status=502)):
            admin.metrics.observe(event)
        admin.history.observe(finished(status=403, refusal="not-permitted", detail="Not yours."))
        async with admin.ask("/console/state") as answer:
            state = json.loads(await answer.text())
    assert [(step["requests"], step["errors"], step["throttled"]) for step in state["traffic"]] == [(3, 1, 1)]
    refused = [(line["client"], line["reason"], line["count"]) for line in state["refusals"]["lines"]]
    assert refused == [("reporting", "not-permitted", 1)]


async def test_what_amazon_refused_for_a_known_reason_is_among_the_refusals() -> None:
    """The refusal has Amazon's status and the sentence; unexplained ones are left out."""
    async with administer(FakeProgram()) as admin:
        admin.history.observe(finished(status=401))
        admin.history.observe(finished(status=401, detail="The profile is another's."))
        async with admin.ask("/status") as answer:
            (line,) = json.loads(await answer.text())["refused"]
    assert (line["status"], line["reason"]) == (401, "refused-by-amazon")
    assert line["detail"] == "The profile is another's."


async def test_the_console_state_answers_what_an_owner_asks_first() -> None:
    """Each answer is there from the first poll on, and without an audit stream nothing is known of changes."""
    now = time.time()
    program = FakeProgram(
        statuses=(
            credential("acme", consent=Consent(given_at=now - 60 * DAY)),
            credential("globex", "revoked", expires_at=None),
        ),
        keys=(KnownKey("reporting", ClientKey("abcdefabcdef", now + 3 * DAY), None),),
    )
    async with administer(program) as admin, admin.ask("/console/state") as answer:
        state = json.loads(await answer.text())
    assert state["verdict"] == {
        "tone": "bad",
        "sentence": "1 of 2 accounts does not serve: 1 needs a new sign-in (globex).",
    }
    assert [(line["kind"], line["name"], line["days"]) for line in state["expiring"]] == [
        ("key", "reporting", 2),
        ("consent", "acme", 304),
    ]
    assert (state["refusals"], state["changes"]) == ({"count": 0, "groups": 0, "lines": []}, None)


@pytest.mark.parametrize("path", ["/status", "/console/state"])
async def test_what_was_held_back_and_the_limits_are_shown(path: str) -> None:
    """The limits of each client that has some, without secrets."""
    seen = observed(write(over()), write(unreadable("field canary-secret-word")))
    program = FakeProgram(spending=SpendOverview({"agent": SpendLimits(new_per_day=5)}, seen))
    async with administer(program) as admin:
        admin.history.clean = lambda text: text.replace("canary-secret-word", "***")
        async with admin.ask(path) as answer:
            spend = json.loads(await answer.text())["spend"]
    (client,) = spend["clients"]
    assert (client["client"], client["mode"], client["limits"]) == ("agent", "enforce", {"new_per_day": 5})
    assert (client["judged"], client["unknown"]) == ({"over": 1, "unreadable": 1}, {"field ***": 1})
    assert [each["verdict"] for each in spend["held_back"]] == ["unreadable", "over"]


NEW = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
"""When a consent was given that expires after a year."""


@pytest.mark.parametrize(
    ("state", "days", "phase", "day"),
    [
        ("valid", 60, "holding", True),
        ("misconfigured", 60, "holding", True),
        ("revoked", 60, "revoked", False),
        ("revoked", 350, "revoked", False),
        ("revoked", 400, "ended", True),
    ],
)
def test_a_revoked_consent_does_not_expire_later(state: str, days: int, phase: str, day: bool) -> None:
    """A revoked consent has no day on which it expires; one that is over keeps its day."""
    status = credential("acme", state, consent=Consent(given_at=NEW, first_seen=NEW))
    shown = account_status(status, None, {}, NEW + days * DAY)["consent"]
    assert (shown["phase"], shown["ends_at"] is not None, shown["ends_in"] is not None) == (phase, day, day)
    assert ("no longer accepts" in shown["explanation"]) is (phase == "revoked")
    assert shown["given_on"] == "2026-12-01"


async def test_a_revoked_consent_is_not_among_what_expires_next() -> None:
    """One that stands is."""
    given = Consent(given_at=time.time() - 60 * DAY)
    statuses = credential("acme", "revoked", consent=given), credential("other", consent=given)
    async with administer(FakeProgram(statuses=statuses)) as admin, admin.ask("/console/state") as answer:
        state = json.loads(await answer.text())
    assert [line["name"] for line in state["expiring"]] == ["other"]


async def test_a_revoked_consent_of_an_unknown_day_is_not_asked_for() -> None:
    """`consented_on` would say nothing of it any more; without a refresh token there is no consent at all."""
    seen = Consent(first_seen=time.time() - DAY)
    statuses = (
        credential("acme", "revoked", consent=seen),
        credential("other", consent=seen),
        credential("new", "revoked"),
    )
    async with administer(FakeProgram(statuses=statuses)) as admin, admin.ask("/console/state") as answer:
        state = json.loads(await answer.text())
    assert state["undated_consents"] == {"count": 1, "accounts": ["other"]}
    consents = {each["name"]: each["consent"] for each in state["accounts"]}
    assert {name: each["phase"] for name, each in consents.items()} == {
        "acme": "revoked",
        "other": "unknown",
        "new": "none",
    }
    assert consents["acme"]["ends_at_the_latest"] is None


async def test_what_changed_is_what_the_audit_stream_took() -> None:
    """The list has the records that the program hands over."""
    record = dated(record_of(ConfigReloaded(True, (), ("clients",), ())) or {}, 1_700_000_000.0)
    async with administer(FakeProgram(records=(record,))) as admin, admin.ask("/console/state") as answer:
        (line,) = json.loads(await answer.text())["changes"]
    assert (line["what"], line["detail"], line["outcome"]) == ("Configuration reloaded", "clients", "success")


async def test_open_invitations_are_listed_without_their_links() -> None:
    """By account and expiry; a store that cannot be read is reported, and does not stop the rest of the page."""
    opened = (Invitation("1f", "acme", 1_700_000_000.0, 1_700_600_000.0, "us"),)
    async with administer(FakeProgram(opened=opened)) as admin, admin.ask("/console/invitations") as answer:
        found = json.loads(await answer.text())
    assert found == {
        "total": 1,
        "invitations": [
            {
                "account": "acme",
                "made_at": "2023-11-14T22:13:20.000Z",
                "expires_at": "2023-11-21T20:53:20.000Z",
            }
        ],
    }
    failing = FakeProgram(invite_failure=StateError("the state store is away"))
    async with administer(failing) as admin, admin.ask("/console/invitations") as answer:
        assert (answer.status, json.loads(await answer.text())["detail"]) == (502, "the state store is away")


async def test_open_invitations_need_the_key() -> None:
    """The list needs the key, like everything worth reading."""
    async with administer(FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))) as admin:
        assert await admin.status("/console/invitations") == 401
        assert await admin.status("/console/invitations", headers={"X-Ads-Proxy-Key": KEY.reveal()}) == 200


async def test_what_is_logged_of_the_history_counts_alone() -> None:
    """How many steps and refusals it holds, and nothing of what was asked."""
    async with administer(FakeProgram()) as admin:
        admin.history.observe(finished(status=403, refusal="not-permitted", detail="canary", path="/canary"))
        await admin.history.sample()
        assert repr(admin.history) == "<RequestHistory 1 steps, 1 refused>"


@pytest.mark.parametrize(
    ("search", "found"),
    [("", 1), ("acme de", 1), ("AMZN1.A", 1), ("222", 1), ("e1 na", 1), ("linked", 0), ("acme fr", 0)],
)
async def test_ads_accounts_are_searched_by_every_word(search: str, found: int) -> None:
    """By id, name, country, region, account, and by the profiles and entities that are theirs."""
    async with administer(FakeProgram()) as admin, admin.ask(f"/console/ads-accounts?search={search}") as answer:
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
    many = tuple(ReachedProfile(str(n), "acme", "na", f"Brand {n}", "US", "seller") for n in range(1000))
    program = FakeProgram(known_profiles=(*many, ReachedProfile("x1", "acme", "eu", "Straße", "DE", "vendor")))
    async with administer(program) as admin:
        async with admin.ask("/console/profiles?search=STRASSE+de") as answer:
            assert [profile["id"] for profile in json.loads(await answer.text())["profiles"]] == ["x1"]
        async with admin.ask("/console/profiles?search=brand&account=acme") as answer:
            found = json.loads(await answer.text())
        assert (found["total"], len(found["profiles"])) == (1000, 200)
        async with admin.ask("/console/profiles?account=other") as answer:
            assert json.loads(await answer.text())["total"] == 0
