"""What is recorded of what happens, in ECS's words; and what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest

from proxy import events
from proxy.audit.records import AuditTrail, dated, note, record_of
from proxy.events import (
    AdminRefused,
    AdminSignedIn,
    ApprovalState,
    AuditFailed,
    ClientKeyChanged,
    ClientKeysInForce,
    Event,
    ItemCounts,
    KeyChange,
    Outcome,
    RefreshCause,
    SignInOutcome,
    WriteOutcome,
)
from tests.observability.test_metrics import finished

WRITE = finished(method="PUT", path="/sp/campaigns", operation="UpdateCampaigns", operation_class="write", status=207)
RELOAD = events.ConfigReloaded(True, (), ("clients", "log"), ())
# ECS 8.17, event.category and the event.type values that each allows
CATEGORIES = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
    "authentication": {"start", "end", "info"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "process": {"access", "change", "end", "info", "start"},
}
VIOLATION = events.SpendViolation(events.SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")
OVER = events.SpendJudgement(events.SpendMode.ENFORCE, events.SpendVerdict.OVER, (VIOLATION,))
APPROVAL = ("a1b2", "agent", "PUT /sp/campaigns")
RECORDED = [
    (WRITE, "amazon-write", "success"),
    (replace(WRITE, spend=OVER), "amazon-write", "success"),
    (replace(WRITE, attempts=0, status=403, refusal="over-limit", spend=OVER), "write-held-back", "failure"),
    (finished(operation_class="report", attempts=0, refusal="frozen", spend=OVER), "write-held-back", "failure"),
    (finished(operation_class="unknown", status=403), "amazon-write", "failure"),
    (finished(operation_class="write", status=0, fault="client-gone"), "amazon-write", "unknown"),
    (finished(operation_class="write", status=504, refusal="upstream-timeout"), "amazon-write", "unknown"),
    (events.SignInFinished("acme", SignInOutcome.CONNECTED, "Connected."), "sign-in", "success"),
    (events.SignInFinished("acme", SignInOutcome.REFUSED, "No."), "sign-in", "failure"),
    (events.CredentialStateChanged("acme", "valid", "revoked"), "account-revoked", "failure"),
    (events.CredentialStateChanged("acme", "revoked", "valid"), "account-valid", "success"),
    (events.TokenRefreshed("acme", 1, 0.1, 9.0, RefreshCause.OPERATOR), "token-refreshed", "success"),
    (events.ConsentEnding("acme", 9.0, 7, "advice"), "consent-ending", "success"),
    (events.ConsentEnded("acme", 9.0, "advice"), "consent-ended", "failure"),
    (events.InvitationMade("acme", "i", 9.0), "invitation-made", "success"),
    (events.InvitationUsed("acme", "i"), "invitation-used", "success"),
    (events.RefreshTokenReplaced("acme", "sign-in"), "refresh-token-replaced", "success"),
    (events.RefreshTokenLost("acme", "why", "advice"), "refresh-token-lost", "failure"),
    (events.AccountRemoved("acme"), "account-removed", "success"),
    (RELOAD, "configuration-reloaded", "success"),
    (events.ConfigReloaded(False, ("a: is wrong",), (), ()), "configuration-reloaded", "failure"),
    (ClientKeyChanged("tool", "ab12", KeyChange.ADDED, "pod", None), "client-key-added", "success"),
    (ClientKeyChanged("tool", "ab12", KeyChange.REMOVED, "", 9.0), "client-key-removed", "success"),
    (ClientKeyChanged("tool", "ab12", KeyChange.ENDED, "", 9.0), "client-key-ended", "success"),
    (ClientKeyChanged("tool", "ab12", KeyChange.CHANGED, "", 9.0), "client-key-changed", "success"),
    (ClientKeysInForce(("tool ab12",)), "client-keys-in-force", "success"),
    (AdminSignedIn("127.0.0.1"), "admin-login", "success"),
    (AdminRefused("127.0.0.1", "/status"), "admin-login", "failure"),
    (events.ApproverRefused("127.0.0.1", "/approvals", "agent"), "approver-login", "failure"),
    (events.ServerStarted("1", "a:1", "b:2", ("acme",), ("note",)), "server-started", "success"),
    (events.ServerStopped(0), "server-stopped", "success"),
    (events.ApprovalRequested(*APPROVAL, ("budget",), 9.0), "approval-requested", "success"),
    (events.ApprovalDecided(*APPROVAL, ApprovalState.DENIED, "ann", "Too much."), "approval-decided", "success"),
    (events.ApprovalEnded(*APPROVAL, ApprovalState.EXPIRED), "approval-ended", "success"),
]
SILENT = [
    finished(operation_class="read"),
    finished(operation_class="report"),
    finished(operation_class="write", attempts=0, status=403, refusal="not-permitted"),
    events.RequestStarted(),
    events.TokenRefreshed("acme", 1, 0.1, 9.0, RefreshCause.AHEAD),
    events.CredentialStateChanged("acme", "valid", "degraded"),
    events.CredentialStateChanged("acme", "revoked", "revoked"),
    events.CredentialStateChanged("acme", "revoked", "pending"),
    events.CredentialStateChanged("acme", "misconfigured", "degraded"),
    events.ProfilesListed("acme", "na", 3),
    AuditFailed("full", 1),
    events.SignInFinished("", SignInOutcome.STATE_UNKNOWN, "A stranger called the redirect address."),
]


@pytest.mark.parametrize(
    ("write", "outcome", "items"),
    [
        (WriteOutcome(Outcome.SUCCESS), "success", None),
        (WriteOutcome(Outcome.PARTIAL, ItemCounts(2, 1)), "partial", {"succeeded": 2, "failed": 1}),
        (WriteOutcome(Outcome.FAILURE, ItemCounts(0, 3)), "failure", {"succeeded": 0, "failed": 3}),
        (WriteOutcome(Outcome.UNKNOWN), "unknown", None),
    ],
)
def test_the_outcome_is_what_the_response_says(write: WriteOutcome, outcome: str, items: dict[str, int] | None) -> None:
    """Whatever its status; items are there if it has results for them."""
    record = record_of(finished(operation_class="write", status=207, write=write))
    assert record is not None
    assert (record["event"]["outcome"], record["ads_proxy"].get("items")) == (outcome, items)


def test_a_write_names_what_it_changed() -> None:
    """Objects, members, and values as far as they are recorded; nothing of what there is nothing of."""
    changes = events.ChangedObjects(
        objects=("campaign/1",),
        further=3,
        members=("state", "bid"),
        values=(events.MemberValue("campaign/1", "state", "PAUSED"), events.MemberValue("", "bid", "0.5")),
        unread=("response",),
        further_members=4,
        further_values=5,
    )
    record = record_of(finished(operation_class="write", changes=changes))
    assert record is not None
    own = record["ads_proxy"]
    assert (own["objects"], own["further_objects"], own["members"]) == (["campaign/1"], 3, ["state", "bid"])
    assert own["values"] == [
        {"object": "campaign/1", "member": "state", "value": "PAUSED"},
        {"member": "bid", "value": "0.5"},
    ]
    assert own["unread"] == ["response"]
    assert (own["further_members"], own["further_values"]) == (4, 5)
    record = record_of(finished(operation_class="write", changes=events.ChangedObjects()))
    assert record is not None
    names = {"objects", "members", "values"}
    found = (names | {f"further_{name}" for name in names} | {"unread"}) & record["ads_proxy"].keys()
    assert (found, record["ads_proxy"]["objects"]) == ({"objects"}, [])  # it was read, and names none
    unread = record_of(finished(operation_class="write"))
    assert unread is not None
    assert "objects" not in unread["ads_proxy"]


def test_a_judged_write_has_what_its_limits_say_of_it() -> None:
    """Whether it was sent or not; without violations where it is within."""
    within = events.SpendJudgement(events.SpendMode.OBSERVE, events.SpendVerdict.WITHIN)
    records = [record_of(replace(WRITE, spend=judged)) for judged in (within, OVER, None)]
    held = record_of(replace(WRITE, attempts=0, status=403, refusal="over-limit", spend=OVER))
    spend = [record["ads_proxy"].get("spend") for record in (*records, held) if record is not None]
    violation = {"path": "campaigns[0].budget.budget", "value": "500", "currency": "USD", "limit": "200"}
    over = {"mode": "enforce", "verdict": "over", "violations": [{"rule": "budget", **violation}]}
    assert spend == [{"mode": "observe", "verdict": "within", "violations": []}, over, None, over]
    assert held is not None
    assert (held["event"]["reason"], held["event"]["type"]) == ("over-limit", ["denied"])


def test_what_becomes_of_an_approval_names_it_and_who_did_it() -> None:
    """The client that asked or sent, the approver who decided; time and changed limits are no users."""
    about = {"approval": "a1b2", "client": "agent", "operation": "PUT /sp/campaigns"}
    requested = record_of(events.ApprovalRequested(*APPROVAL, ("budget", "states"), 9.0))
    decided = record_of(events.ApprovalDecided(*APPROVAL, ApprovalState.DENIED, "ann", "Too much."))
    states = (ApprovalState.USED, ApprovalState.EXPIRED, ApprovalState.VOID)
    ended = [record_of(events.ApprovalEnded(*APPROVAL, state, "Frozen.")) for state in states]
    assert requested is not None and decided is not None
    assert requested["ads_proxy"] == about | {"rules": ["budget", "states"], "ends_at": "1970-01-01T00:00:09Z"}
    assert decided["ads_proxy"] == about | {"state": "denied"}
    assert (requested["event"]["type"], decided["event"]["type"]) == (["info"], ["change"])
    assert (requested["user"], decided["user"], decided["event"]["reason"]) == (
        {"name": "agent"},
        {"name": "ann"},
        "Too much.",
    )
    told = [(record["ads_proxy"]["state"], record.get("user")) for record in ended if record is not None]
    assert told == [("used", {"name": "agent"}), ("expired", None), ("void", None)]


def test_an_approved_write_has_its_approval_and_what_it_changes() -> None:
    """With the values from before it, by which the write can be undone."""
    change = events.ValueChange("campaign/1", "budget.budget", "100", "500")
    approval = events.UsedApproval("a1b2", "ann", (change,))
    judged = OVER._replace(verdict=events.SpendVerdict.APPROVED, approval=approval)
    record = record_of(replace(WRITE, spend=judged))
    assert record is not None
    spend = record["ads_proxy"]["spend"]
    assert (spend["verdict"], spend["approval"], spend["approver"]) == ("approved", "a1b2", "ann")
    assert spend["changes"] == [
        {"object": "campaign/1", "member": "budget.budget", "before": "100", "after": "500"},
    ]


def test_a_record_holds_some_changes_and_the_number_of_others() -> None:
    """Their values are masked on the event loop, which takes time."""
    changes = tuple(events.ValueChange(f"campaign/{n}", "name", "x" * 500, "y" * 500) for n in range(100))
    judged = OVER._replace(verdict=events.SpendVerdict.APPROVED, approval=events.UsedApproval("a", "ann", changes))
    record = record_of(replace(WRITE, spend=judged))
    assert record is not None
    spend = record["ads_proxy"]["spend"]
    assert (len(spend["changes"]), spend["further_changes"]) == (8, 92)
    assert spend["changes"][0]["object"] == "campaign/0"


def test_a_record_holds_some_violations_and_the_number_of_others() -> None:
    """A body of a thousand items makes a record of a few kilobytes."""
    many = OVER._replace(violations=(VIOLATION._replace(path="x" * 5000),) * 100, unread=("No currency.",) * 30)
    records: list[Mapping[str, Any]] = []

    def put(record: Mapping[str, Any], *, write: bool = False) -> None:
        records.append(record)

    AuditTrail(put, str, lambda: 0.0).observe(replace(WRITE, spend=many))
    spend = records[0]["ads_proxy"]["spend"]
    assert (len(spend["violations"]), spend["further_violations"]) == (20, 80)
    assert (len(spend["unread"]), spend["further_unread"]) == (20, 10)
    assert len(json.dumps(records[0])) < 16_384


def test_a_call_of_mcp_names_its_tools() -> None:
    """Beside the operation, which nobody knows of it; no other write has such a member."""
    called = record_of(finished(operation_class="unknown", path="/mcp", mcp_tools=("a-update_b", "?")))
    assert called is not None
    assert called["ads_proxy"]["mcp_tools"] == ["a-update_b", "?"]
    written = record_of(WRITE)
    assert written is not None
    assert "mcp_tools" not in written["ads_proxy"]


@pytest.mark.parametrize(("event", "action", "outcome"), RECORDED)
def test_what_changes_something_is_recorded(event: Event, action: str, outcome: str) -> None:
    """With ECS's category and a type that it allows."""
    record = record_of(event)
    assert record is not None
    said = record["event"]
    assert (said["action"], said["outcome"], said["kind"], said["dataset"]) == (
        action,
        outcome,
        "event",
        "ads_proxy.audit",
    )
    (category,), (kind,) = said["category"], said["type"]
    assert kind in CATEGORIES[category]
    json.dumps(record)


@pytest.mark.parametrize("event", SILENT)
def test_what_changes_nothing_is_not(event: Event) -> None:
    """Nor what never left for Amazon: the log has it."""
    assert record_of(event) is None


def test_an_account_works_again_only_once_it_does() -> None:
    """Other credentials of one that needed a person are tried first; an account that renews as usual is no news."""
    records: list[Mapping[str, Any]] = []

    def take(record: Mapping[str, Any], *, write: bool = False) -> None:
        records.append(record)

    trail = AuditTrail(take, str, lambda: 1.5)
    for account, *states in (
        ("acme", "pending", "valid", "degraded", "valid", "revoked", "pending", "valid", "degraded", "valid"),
        ("globex", "valid", "misconfigured", "degraded", "revoked", "degraded", "expired", "valid", "expired", "valid"),
    ):
        for old, new in pairwise(states):
            trail.observe(events.CredentialStateChanged(account, old, new))
    told = [(record["ads_proxy"]["account"], record["event"]["action"]) for record in records]
    assert told == [
        ("acme", "account-revoked"),
        ("acme", "account-valid"),
        ("globex", "account-misconfigured"),
        ("globex", "account-revoked"),
        ("globex", "account-valid"),
    ]


def test_a_write_says_who_did_what_to_whom() -> None:
    """And not a word of what was in it."""
    record = record_of(WRITE)
    assert record is not None
    assert record["user"] == {"name": "reporting"}
    assert record["http"] == {"request": {"id": "id-1", "method": "PUT"}, "response": {"status_code": 207}}
    assert record["url"] == {"path": "/sp/campaigns"}
    assert record["user_agent"] == {"original": "curl/8"}
    assert record["ads_proxy"] == {
        "account": "acme",
        "region": "na",
        "profile": "123",
        "operation": "UpdateCampaigns",
        "operation_class": "write",
        "amazon_request_id": "rid",
        "attempts": 1,
    }


def test_a_reload_names_sections_and_no_values() -> None:
    """What is wrong in a refused one is told as the log tells it."""
    record = record_of(RELOAD)
    assert record is not None and record["ads_proxy"] == {"changed": ["clients", "log"]}
    refused = record_of(events.ConfigReloaded(False, ("a: is wrong", "b: too"), (), ()))
    assert refused is not None and refused["error"] == {"message": "a: is wrong; b: too"}


@pytest.mark.parametrize(("said", "outcome"), [({}, "success"), ({"torn": "ab"}, "success"), ({"cut": "x"}, "failure")])
def test_the_stream_says_of_itself_what_was_found(said: dict[str, Any], outcome: str) -> None:
    """A cut is a failure."""
    made = note("audit-opened", said)
    assert (made["event"]["outcome"], made.get("ads_proxy", {})) == (outcome, said)


def test_records_are_dated_and_cleaned() -> None:
    """A secret is masked wherever it stands, and no text is longer than is good."""
    put: list[Any] = []

    def take(record: Mapping[str, Any], *, write: bool = False) -> None:
        assert write
        put.append(record)

    trail = AuditTrail(take, lambda text: text.replace("canary", "***"), lambda: 1.5)
    canary = {
        field.name: "canary" + "x" * 600
        for field in fields(WRITE)
        if field.type == "str" and field.name not in {"operation_class", "refusal", "fault"}
    }
    trail.observe(finished(**canary, operation_class="write"))
    trail.observe(events.ProfilesListed("acme", "na", 3))
    (record,) = put
    assert record["@timestamp"] == "1970-01-01T00:00:01.500Z"
    text = json.dumps(record)
    assert "canary" not in text and "***" in text
    assert len(text) < 7000
    assert dated({}, 0.0)["ecs"] == {"version": "8.17.0"}
