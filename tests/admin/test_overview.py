"""What an owner asks first: one sentence, what expires, who was refused, what changed, which invitations are open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey, KnownKey
from proxy.admin import overview
from proxy.admin.overview import DAY, MAX_LINES, Outage
from proxy.audit.records import dated, note, record_of
from proxy.events import (
    ClientKeysInForce,
    InvitationMade,
    Outcome,
    SpendJudgement,
    SpendMode,
    SpendVerdict,
    WriteOutcome,
)
from proxy.observability.recent_requests import RecentRequests
from proxy.reports.overview import NamedReports, look_at_all
from proxy.reports.store import ReportFolder, State
from proxy.tokens.invitation import Invitation
from tests.admin.fixtures import credential
from tests.observability.test_metrics import finished
from tests.support.named_reports import COMPLETED, failed_run, publish, tell

NOW = 1_900_000_000.0
MINUTE = 60.0


def key(client: str, days: float | None, id_: str = "abcdefabcdef") -> KnownKey:
    return KnownKey(client, ClientKey(id_, None if days is None else NOW + days * DAY), None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": "pending", "has_refresh_token": False}, Outage.FIRST_SIGN_IN),
        ({"state": "pending"}, Outage.STARTING),
        ({"state": "revoked"}, Outage.SIGN_IN),
        ({"state": "misconfigured"}, Outage.APPLICATION),
        ({"state": "expired"}, Outage.RENEWAL),
        ({"state": "valid", "refused": True}, Outage.REFUSED),
    ],
)
def test_each_state_has_its_reason_not_to_serve(changes: dict[str, Any], why: Outage) -> None:
    assert overview.why_not_serving(credential(**changes)) == why


@pytest.mark.parametrize(
    ("total", "attention", "stopped", "tone", "sentence"),
    [
        (0, 0, {}, "busy", "No account is configured."),
        (1, 0, {}, "good", "Everything works. The only account serves."),
        (40, 0, {}, "good", "Everything works. All 40 accounts serve."),
        (1, 1, {}, "busy", "The only account serves, but it needs attention."),
        (40, 1, {}, "busy", "All 40 accounts serve, but 1 of them needs attention."),
        (40, 3, {}, "busy", "All 40 accounts serve, but 3 of them need attention."),
        (1, 1, {Outage.SIGN_IN: ["acme"]}, "bad", "No account serves: 1 needs a new sign-in (acme)."),
        (2, 0, {Outage.STARTING: ["a", "b"]}, "busy", "No account serves: 2 are starting (a and b)."),
        (
            40,
            6,
            {Outage.STARTING: ["z"], Outage.SIGN_IN: ["a", "b", "c", "d", "e"]},
            "bad",
            "6 of 40 accounts do not serve: 5 need a new sign-in (a, b, c and 2 more) and 1 is starting (z).",
        ),
    ],
)
def test_one_sentence_says_whether_everything_works(
    total: int, attention: int, stopped: dict[Outage, list[str]], tone: str, sentence: str
) -> None:
    """How many accounts do not serve, and why; a few names, however many there are."""
    said = overview.verdict(total, attention, stopped, draining=False, troubled=False)
    assert said == {"tone": tone, "sentence": sentence}


def test_a_proxy_that_stops_or_has_a_problem_does_not_work() -> None:
    """The overview shows it even while all accounts serve."""
    assert "stopping" in overview.verdict(3, 0, {}, draining=True, troubled=False)["sentence"]
    assert overview.verdict(3, 0, {}, draining=False, troubled=True) == {
        "tone": "bad",
        "sentence": "All 3 accounts serve, but the proxy has a problem. Read the message below.",
    }


def test_what_expires_next_comes_first() -> None:
    """Consents and keys in one list, with days and dates; what has expired is not in it."""
    consents = [(NOW + 400 * DAY, "acme"), (NOW + 3.5 * DAY, "globex"), (NOW - DAY, "gone")]
    keys = [key("bids", None), key("reporting", 10), key("old", -2)]
    found = overview.expiring(consents, keys, NOW, invites=False)
    assert [(line["kind"], line["name"], line["days"]) for line in found] == [
        ("consent", "globex", 3),
        ("key", "reporting", 10),
        ("consent", "acme", 400),
    ]
    assert (found[0]["expires_at"], found[1]["key"]) == ("2030-03-21T05:46:40.000Z", "abcdefabcdef")


def test_no_more_is_listed_than_an_owner_reads() -> None:
    """However many keys there are."""
    keys = [key(f"c{number}", number + 1) for number in range(50)]
    assert [line["name"] for line in overview.expiring((), keys, NOW, invites=False)] == ["c0", "c1", "c2", "c3", "c4"]


@pytest.mark.parametrize(
    ("days", "invites", "advice"),
    [
        (29, False, "Press Reconnect at the account."),
        (29, True, "Press Reconnect at the account, or send the advertiser a link with Invite."),
        (31, True, ""),
    ],
)
def test_a_consent_says_what_to_do(days: int, invites: bool, advice: str) -> None:
    """In its last thirty days."""
    (line,) = overview.expiring([(NOW + days * DAY, "acme")], (), NOW, invites=invites)
    assert line["advice"] == advice


def test_consents_of_an_unknown_day_are_counted() -> None:
    """With a few names."""
    assert overview.undated(["a", "b", "c", "d"]) == {"count": 4, "accounts": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("others", "advice"),
    [
        ([], "Make a new key with `ads-proxy keys new bids` and give it to the client."),
        ([key("reporting", None)], "Make a new key with `ads-proxy keys new bids` and give it to the client."),
        ([key("bids", 1, "older")], "Make a new key with `ads-proxy keys new bids` and give it to the client."),
        ([key("bids", 90, "newer")], "Check that the client uses its newer key."),
        ([key("bids", None, "newer")], "Check that the client uses its newer key."),
    ],
)
def test_a_key_says_what_to_do(others: list[KnownKey], advice: str) -> None:
    """The advice depends on whether the client has a key that expires later."""
    found = overview.expiring((), [key("bids", 5), *others], NOW, invites=False)
    assert next(line["advice"] for line in found if line["key"] == "abcdefabcdef") == advice


def test_the_refused_are_counted_by_client_and_reason() -> None:
    """From the proxy and from Amazon; errors of servers are no refusals. The newest come first."""
    recent = RecentRequests()
    for number, changes in enumerate[dict[str, object]](
        (
            {"status": 403, "refusal": "not-permitted"},
            {"status": 500},
            {"status": 429, "client": "bids"},
            {"status": 401, "refusal": "client-unknown", "client": "", "account": "", "address": "192.0.2.7"},
            {"status": 403, "refusal": "not-permitted"},
        )
    ):
        recent.keep(finished(**changes), NOW + number * MINUTE)
    found = overview.refusals(recent.failures())
    assert [(line["client"], line["status"], line["reason"], line["count"]) for line in found["lines"]] == [
        ("reporting", 403, "not-permitted", 2),
        ("", 401, "client-unknown", 1),
        ("bids", 429, "throttled-by-amazon", 1),
    ]
    assert (found["count"], found["groups"]) == (4, 3)
    assert found["lines"][0]["last"] == "2030-03-17T17:50:40.000Z"
    assert "ads-proxy keys new" in found["lines"][1]["next_step"]
    assert [line["addresses"] for line in found["lines"]] == [[], ["192.0.2.7"], []]


def test_more_kinds_of_refusals_than_are_shown_are_counted() -> None:
    recent = RecentRequests()
    for number in range(20):
        recent.keep(finished(status=404, client=f"c{number}"), NOW)
    found = overview.refusals(recent.failures())
    assert (len(found["lines"]), found["groups"], found["count"]) == (MAX_LINES, 20, 20)


def write(at: float, **changes: object) -> dict[str, Any]:
    """The record of a write."""
    values = {"operation": "UpdateCampaigns", "operation_class": "write", "method": "PUT", "path": "/sp/campaigns"}
    return dated(record_of(finished(**{**values, **changes})) or {}, at)


def test_the_last_changes_come_first_and_repeated_ones_are_one_line() -> None:
    """Who did what, where, and how it ended."""
    records = [
        dated(record_of(InvitationMade("acme", "1f", NOW)) or {}, NOW),
        write(NOW + 1),
        write(NOW + 2),
        write(NOW + 3, status=503, profile="", ads_account="amzn1.a"),
    ]
    failed, repeated, invitation = overview.changes(records)
    assert (repeated["what"], repeated["who"], repeated["account"], repeated["place"]) == (
        *("UpdateCampaigns", "reporting", "acme"),
        "123",
    )
    assert (repeated["count"], repeated["at"], repeated["outcome"]) == (2, "2030-03-17T17:46:42.000Z", "success")
    assert (failed["count"], failed["outcome"], failed["place"]) == (1, "failure", "amzn1.a")
    assert (invitation["what"], invitation["who"], invitation["place"]) == ("Invitation made", "admin", "")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"mcp_tools": ("a-update_b", "a-create_c")}, "a-update_b, a-create_c"),
        ({"operation": "unknown", "operation_class": "unknown"}, "PUT /sp/campaigns"),
        ({"operation": "", "operation_class": "unknown"}, "PUT /sp/campaigns"),
    ],
)
def test_a_write_has_the_name_that_people_know(changes: dict[str, object], what: str) -> None:
    """The tools of MCP, or the request itself if the operation is unknown."""
    (line,) = overview.changes([write(NOW, **changes)])
    assert line["what"] == what


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status": 400}, "refused"),
        ({"status": 429}, "refused"),
        ({"status": 500}, "failure"),
        ({"status": 200, "write": WriteOutcome(Outcome.FAILURE)}, "failure"),
        ({"status": 404, "method": "DELETE", "operation": "unknown"}, "refused"),
        ({"status": 200, "method": "GET", "operation": "unknown"}, "success"),
        ({"status": 502, "method": "GET", "refusal": "upstream-closed", "operation": "unknown"}, "unknown"),
    ],
)
def test_a_write_that_was_refused_is_called_so(changes: dict[str, object], outcome: str) -> None:
    """A request that may have changed something is listed, even if its method only reads."""
    (line,) = overview.changes([write(NOW, **changes)])
    assert line["outcome"] == outcome


def test_what_changes_nothing_is_left_out() -> None:
    """Records that the stream writes about itself, lists of what is in force, writes that were held back, and requests
    that only read and were refused."""
    records = [dated(note("audit-opened", {}), NOW), dated(record_of(ClientKeysInForce(("a b",))) or {}, NOW)]
    records.append(write(NOW, attempts=0, spend=SpendJudgement(SpendMode.ENFORCE, SpendVerdict.FROZEN)))
    unknown = {"operation": "unknown", "operation_class": "unknown", "path": "/livez"}
    records += [write(NOW, method=method, status=404, **unknown) for method in ("GET", "HEAD", "OPTIONS")]
    assert overview.changes(records) == []


def test_the_list_of_changes_is_bounded() -> None:
    records = [write(NOW + number, profile=str(number)) for number in range(30)]
    assert [line["place"] for line in overview.changes(records)] == ["29", "28", "27", "26", "25"]


def test_invitations_that_expire_first_come_first() -> None:
    """All are counted, and a bounded number is listed."""
    opened = [Invitation(str(number), f"a{number}", NOW, NOW + (100 - number) * DAY) for number in range(30)]
    found = overview.invitations(opened)
    assert (found["total"], len(found["invitations"])) == (30, overview.MAX_INVITATIONS)
    assert found["invitations"][0]["account"] == "a29"


def test_each_named_report_has_its_rows_and_its_last_runs(tmp_path: Path) -> None:
    """One that never ran has neither; of many profiles with older rows the first are named."""
    folder = ReportFolder(tmp_path)
    stale = tuple(map(str, range(100, 108)))
    publish(folder, "daily", stale=stale)
    tell(folder, "daily", State.IDLE, next_run=COMPLETED + 3600, history=(failed_run(COMPLETED + 60),) * 7)
    named = NamedReports(folder, {"daily": "default", "new": "default"}, 900.0)
    daily, new = overview.reports(look_at_all(named, named.accounts, COMPLETED + 120))
    assert (daily["name"], daily["account"], daily["state"], daily["under_way"]) == ("daily", "default", "idle", False)
    assert (daily["rows"], daily["stale"], daily["stale_count"]) == (2, list(stale[: overview.MAX_NAMES]), 8)
    assert daily["completed_at"] < daily["next_run"]
    assert len(daily["runs"]) == overview.MAX_RUNS
    assert (daily["runs"][0]["result"], daily["runs"][0]["error"]) == ("failure", "Profile 12: Amazon answered 500.")
    assert (new["state"], new["rows"], new["completed_at"], new["next_run"], new["runs"]) == (
        "new",
        None,
        None,
        None,
        [],
    )
