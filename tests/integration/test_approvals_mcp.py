"""A real MCP client whose calls are over a limit: it is told, a person decides on the command line, and it repeats."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import environments, flows
from tests.integration.rig import Rig
from tests.support.processes import fetch, started
from tests.support.ready_program import run_ready

pytestmark = pytest.mark.integration

CREATE = "campaign_management-create_campaign"
APPROVER_KEY = "key-of-anna-who-approves"
AMOUNT = {"value": 500, "currencyCode": "USD"}
CAMPAIGN: dict[str, Any] = {
    "adProduct": "SPONSORED_PRODUCTS",
    "name": "Large",
    "state": "PAUSED",
    "marketplaceScope": "SINGLE_MARKETPLACE",
    "marketplaces": ["US"],
    "startDateTime": "2026-12-24T00:00:00Z",
    "autoCreationSettings": {"autoCreateTargets": False},
    "budgets": [
        {
            "budgetType": "MONETARY",
            "recurrenceTimePeriod": "DAILY",
            "budgetValue": {"monetaryBudgetValue": {"monetaryBudget": AMOUNT}},
        }
    ],
}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Rig]:
    """The client may spend 200 dollars, and asks a person for more."""
    limits = {"profiles": [flows.FIRST_PROFILE], "spend": {"budget": {"USD": 200}, "beyond": "approve"}}
    approver = {"name": "anna", "keys": [{"sha256": hashlib.sha256(APPROVER_KEY.encode()).hexdigest()}]}
    audit = {"file": str(tmp_path / "audit.jsonl")}
    with flows.keyed(tmp_path, limits=limits, approvals={"approvers": [approver]}, audit=audit) as running:
        running.control("/control/settings", {"mcp_tools": "amazon"})
        running.until_listed()
        yield running


def call(proxy: Rig, home: Path, arguments: dict[str, Any]) -> tuple[str, bool]:
    """What a client in a session of its own hears of one call, and whether it is an error."""
    python, script = environments.python_environment("mcp_sdk"), environments.CLIENTS / "mcp_sdk" / "tools.py"
    named = json.dumps([{"name": CREATE, "arguments": arguments}])
    given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "HOME": str(home)}
    with started(python, script, "legacy", named, **given) as told:
        told.wait_for(lambda line: "done" in line)
        (said,) = [line for line in told.entries() if "called" in line]
    return " ".join(said["said"]), said["failed"]


def command(proxy: Rig, home: Path, *arguments: str) -> str:
    """What a command of the approver prints."""
    environ = {"ADS_PROXY_APPROVER_KEY": APPROVER_KEY, "ADS_PROXY_ADMIN_LISTEN": proxy.admin.removeprefix("http://")}
    done = run_ready(home, arguments, environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def state(proxy: Rig, identifier: str) -> dict[str, Any]:
    """What its client reads of an approval."""
    status, body = fetch(f"{proxy.proxy_url}/-/approvals/{identifier}", headers={"X-Ads-Proxy-Key": flows.KEY})
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def asked_for(text: str) -> str:
    """The id of the approval that a text names."""
    found = re.search(r"approval ([0-9a-f]{20})\b", text)
    assert found is not None, text
    return found[1]


def test_a_call_passes_once_a_person_said_yes(proxy: Rig, tmp_path: Path) -> None:
    """The model is told what to do, repeats the same arguments in another order, and passes once; the audit stream
    names who approved."""
    text, failed = call(proxy, tmp_path, {"body": {"campaigns": [CAMPAIGN]}})
    identifier = asked_for(text)
    assert (failed, text.startswith("Nothing was changed.")) == (True, True)
    assert "500 USD, and 200 USD is the limit" in text
    assert identifier in command(proxy, tmp_path, "approvals")
    assert state(proxy, identifier)["state"] == "pending"
    command(proxy, tmp_path, "approve", identifier, "--yes")
    assert state(proxy, identifier)["state"] == "approved"
    reordered = dict(reversed(CAMPAIGN.items()))
    larger = json.loads(json.dumps(CAMPAIGN).replace("500", "501"))
    assert asked_for(call(proxy, tmp_path, {"body": {"campaigns": [larger]}})[0]) != identifier
    text, failed = call(proxy, tmp_path, {"body": {"campaigns": [reordered]}})
    assert not failed, text
    assert state(proxy, identifier)["state"] == "used"
    assert asked_for(call(proxy, tmp_path, {"body": {"campaigns": [CAMPAIGN]}})[0]) != identifier
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    judged = [record["ads_proxy"]["spend"] for record in records if "spend" in record.get("ads_proxy", {})]
    (approved,) = [each for each in judged if each["verdict"] == "approved"]
    assert (approved["approval"], approved["approver"]) == (identifier, "anna")


def test_a_denied_call_hears_the_reason(proxy: Rig, tmp_path: Path) -> None:
    """The model learns why, and nothing leaves."""
    arguments = {"body": {"campaigns": [CAMPAIGN]}}
    identifier = asked_for(call(proxy, tmp_path, arguments)[0])
    command(proxy, tmp_path, "deny", identifier, "--because", "Not before Christmas")
    text, failed = call(proxy, tmp_path, arguments)
    assert (failed, "Not before Christmas" in text) == (True, True)
    found = state(proxy, identifier)
    assert (found["state"], found["because"]) == ("denied", "Not before Christmas")
    seen = flows.asked(proxy, "/control/requests?listener=mcp&last=1000")
    assert not [request for request in seen if "Large" in json.dumps(request)]
