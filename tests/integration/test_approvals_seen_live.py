"""Where people see what becomes of approvals: metrics, log, audit stream and notices of the running program."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_notify import Received, receiver
from tests.integration.test_spend_seen_live import create, profile_in
from tests.support.processes import fetch, until
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = pytest.mark.integration

APPROVER = "the-approver-key-of-ann"
STATES = ("pending", "approved", "denied", "expired", "used", "void")
CLIENT = {
    "name": "agent",
    "key_sha256": hashlib.sha256(b"key-of-agent").hexdigest(),
    "spend": {"budget": {"USD": 50}, "beyond": "approve"},
}
APPROVALS = {"approvers": [{"name": "ann", "keys": [{"sha256": hashlib.sha256(APPROVER.encode()).hexdigest()}]}]}


def decide(running: Serving, identifier: str, decision: str, because: str = "") -> None:
    body = json.dumps({"decision": decision, "because": because}).encode()
    headers = {"X-Ads-Proxy-Console": "1", "X-Ads-Proxy-Approver-Key": APPROVER, "Content-Type": "application/json"}
    assert fetch(f"{running.admin}/console/approvals/{identifier}", body, headers)[0] == 200


def pending(running: Serving) -> list[str]:
    """The ids of the approvals that wait for a decision."""
    listed = json.loads(running.admin_get("/console/approvals")[1])["approvals"]
    return [each["id"] for each in listed if each["state"] == "pending"]


def counts(running: Serving) -> dict[str, float]:
    return {state: running.metric("approvals", client="agent", state=state) for state in STATES}


def test_what_becomes_of_approvals_is_seen_everywhere(tmp_path: Path) -> None:
    """One write is approved and sent, one is denied, one is void when the limits change."""
    path, received = tmp_path / "audit.jsonl", Received()
    with simulated_amazon() as amazon, receiver(received) as hook:
        settings = amazon.configuration(
            audit={"file": str(path)},
            log={"format": "json", "level": "info"},
            clients=[CLIENT],
            approvals=APPROVALS,
            state={"url": f"file:{tmp_path / 'state'}"},
            notify={"webhook": hook},
        )
        with serving(tmp_path, settings) as running:
            profile = profile_in(running, "USD")
            assert create(running, "agent", profile, 500) == 403
            (approved,) = pending(running)
            until(lambda: counts(running) == {state: float(state == "pending") for state in STATES})
            decide(running, approved, "approve")
            assert create(running, "agent", profile, 500) == 207
            assert create(running, "agent", profile, 600) == 403
            (denied,) = pending(running)
            decide(running, denied, "deny", "Too much")
            assert create(running, "agent", profile, 600) == 403
            until(lambda: counts(running) == {state: float(state in ("used", "denied")) for state in STATES})
            until(lambda: running.metric("spend_judged_total", client="agent", mode="enforce", verdict="approved") == 1)
            assert create(running, "agent", profile, 700) == 403
            (void,) = pending(running)
            looser = {**CLIENT, "spend": {"budget": {"USD": 60}, "beyond": "approve"}}
            running.write({**settings, "clients": [looser]})
            until(lambda: counts(running)["void"] == 1.0)
            told = [(notice["type"], notice["approval"], notice["state"]) for notice in until_told(received, 6)]
            assert sorted(told) == sorted(
                [
                    *(("approval_requested", each, "pending") for each in (approved, denied, void)),
                    ("approval_decided", approved, "approved"),
                    ("approval_decided", denied, "denied"),
                    ("approval_expired", void, "void"),
                ]
            )
            logged = [line["id"] for line in running.events("approval_requested")]
            assert logged == [approved, denied, void]
            running.stop()
        check_audit(path, approved, denied)


def until_told(received: Received, count: int) -> list[dict[str, Any]]:
    until(lambda: len(received.notices) >= count)
    return received.notices


def check_audit(path: Path, approved: str, denied: str) -> None:
    """Who asked, who decided, and what the approved write changed."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    about = [each for each in records if each["event"]["action"].startswith("approval-")]
    told = [(each["event"]["action"], each["user"]["name"]) for each in about if "user" in each]
    assert told == [
        *(("approval-requested", "agent"), ("approval-decided", "ann"), ("approval-ended", "agent")),
        *(("approval-requested", "agent"), ("approval-decided", "ann"), ("approval-requested", "agent")),
    ]
    assert [each["ads_proxy"]["approval"] for each in about[:4]] == [approved] * 3 + [denied]
    assert about[4]["event"]["reason"] == "Too much"
    (sent,) = [each for each in records if each["event"]["action"] == "amazon-write"]
    spend = sent["ads_proxy"]["spend"]
    assert (spend["verdict"], spend["approval"], spend["approver"]) == ("approved", approved, "ann")
    assert {"object": "", "member": "budget.budget", "before": "", "after": "500"} in spend["changes"]
