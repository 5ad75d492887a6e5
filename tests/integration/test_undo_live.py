"""An approved write is shown with what it changed, and undone through the proxy, in front of the simulator."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.ready_program import run_ready
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

SP = "application/vnd.spCampaign.v3+json"
SB = "application/vnd.sbcampaignresource.v4+json"
JSON = "application/json"


def limits() -> dict[str, Any]:
    return {"budget": {"USD": 200}, "beyond": "approve"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Advertiser:
    """The first profile of the simulator, through the proxy, as the client `agent`."""

    def __init__(self, amazon: SimulatedAmazon, running: Serving) -> None:
        self.running = running
        self.profile = amazon.facts["profiles"]["na"][0]
        self.session = ""

    def ask(self, method: str, path: str, kind: str, content: Any = None) -> tuple[int, Any]:
        headers = {"X-Ads-Proxy-Key": "agent-key", "Amazon-Advertising-API-Scope": self.profile, "Accept": kind}
        if path == "/mcp":
            headers |= {"Amazon-Ads-AI-Account-Selection-Mode": "FIXED", "Accept": f"{kind}, text/event-stream"}
            headers |= {"Mcp-Session-Id": self.session} if self.session else {}
        data = None if content is None else json.dumps(content).encode()
        if data is not None:
            headers["Content-Type"] = kind
        with contextlib.closing(http.client.HTTPConnection(self.running.netloc, timeout=PATIENCE)) as connection:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            body = answer.read().decode()
            self.session = answer.headers.get("Mcp-Session-Id", self.session)
            return answer.status, json.loads(body.partition("data:")[2] if body.startswith("event:") else body)


@contextlib.contextmanager
def limited(amazon: SimulatedAmazon, tmp_path: Path, **changes: Any) -> Iterator[tuple[Advertiser, Path]]:
    """A client `agent` whose large budgets an approver `anna` has to approve; `anna` is a client, too."""
    clients = [
        {"name": "agent", "keys": [{"sha256": digest("agent-key")}], "spend": limits()},
        {"name": "anna-writes", "keys": [{"sha256": digest("anna-client-key")}], "spend": limits()},
    ]
    approvers = [{"name": "anna", "keys": [{"sha256": digest("anna-approves")}]}]
    audit = {"file": str(tmp_path / "audit.jsonl")}
    settings = amazon.configuration(clients=clients, approvals={"approvers": approvers}, audit=audit, **changes)
    (tmp_path / "client.key").write_text("anna-client-key")
    with serving(tmp_path, settings) as running:
        running.until_ready()
        running.until_listed()
        yield Advertiser(amazon, running), tmp_path / "audit.jsonl"


def command(running: Serving, tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    done = run_ready(tmp_path, arguments, {"ADS_PROXY_APPROVER_KEY": "anna-approves"})
    return done.returncode, done.stdout, done.stderr


def approve(advertiser: Advertiser, tmp_path: Path, identifier: str) -> None:
    admin = advertiser.running.admin.removeprefix("http://")
    code, out, err = command(advertiser.running, tmp_path, "approve", identifier, "--yes", "--admin-listen", admin)
    assert code == 0, out + err


RAISED = 900.5
DAILY = {"budgetType": "MONETARY", "recurrenceTimePeriod": "DAILY"}
MONEY = {"monetaryBudgetValue": {"monetaryBudget": {"value": RAISED, "currencyCode": "USD"}}}


def raising(api: str, campaign: str) -> tuple[str, str, str, Any]:
    """A write that raises the budget of a campaign."""
    if api == "sp":
        budget = {"budget": RAISED, "budgetType": "DAILY"}
        return "PUT", "/sp/campaigns", SP, {"campaigns": [{"campaignId": campaign, "budget": budget}]}
    if api == "sb":
        return "PUT", "/sb/v4/campaigns", SB, {"campaigns": [{"campaignId": campaign, "budget": RAISED}]}
    if api == "sd":
        return "PUT", "/sd/campaigns", JSON, [{"campaignId": int(campaign), "budget": RAISED}]
    budgets = [{**DAILY, "budgetValue": MONEY}]
    content = {"campaigns": [{"campaignId": campaign, "budgets": budgets}]}
    if api == "mcp":
        call = {"name": "campaign_management-update_campaign", "arguments": {"body": content}}
        return "POST", "/mcp", JSON, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    return "POST", "/adsApi/v1/update/campaigns", JSON, content


def present(advertiser: Advertiser, api: str) -> tuple[str, Any]:
    """The id and the budget of the first campaign."""
    if api == "sd":
        found = advertiser.ask("GET", "/sd/campaigns", JSON)[1][0]
        return str(found["campaignId"]), found["budget"]
    if api in ("unified", "mcp"):
        query = {"adProductFilter": {"include": ["SPONSORED_BRANDS"]}}
        found = advertiser.ask("POST", "/adsApi/v1/query/campaigns", JSON, query)[1]["campaigns"][0]
        return found["campaignId"], found["budgets"]
    path, kind = ("/sp/campaigns/list", SP) if api == "sp" else ("/sb/v4/campaigns/list", SB)
    found = advertiser.ask("POST", path, kind, {})[1]["campaigns"][0]
    return found["campaignId"], found["budget"]


def begin_session(advertiser: Advertiser) -> None:
    """A session of MCP for the profile."""
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    status, answer = advertiser.ask(
        "POST", "/mcp", JSON, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about}
    )
    assert status == 200, answer


def asked_for(answer: Any) -> str:
    """The id of the approval that a refused write has asked for."""
    text = answer["result"]["content"][0]["text"] if "result" in answer else json.dumps(answer)
    found = re.search(r"/-/approvals/([0-9a-f]{20})", text)
    assert found is not None, answer
    return found[1]


@pytest.mark.parametrize("api", ["sp", "sb", "sd", "unified", "mcp"])
def test_an_approved_write_is_undone(amazon: SimulatedAmazon, tmp_path: Path, api: str) -> None:
    """Each API shows an approver what was set, and has it again after the undoing."""
    with limited(amazon, tmp_path) as (advertiser, audit):
        campaign, before = present(advertiser, api)
        write = raising(api, campaign)
        if api == "mcp":
            begin_session(advertiser)
        approve(advertiser, tmp_path, asked_for(advertiser.ask(*write)[1]))
        status, done = advertiser.ask(*write)
        assert status == (200 if api == "mcp" else 207), done
        assert present(advertiser, api)[1] != before
        running = advertiser.running
        config = ("--config", str(running.path), "--listen", running.netloc)
        running.until(lambda: "amazon-write" in audit.read_text())
        code, out, err = command(running, tmp_path, "audit", "show", "--approved", str(audit))
        assert (code, "approved by anna at " in out, "asked by agent at " in out) == (0, True, True), out + err
        number = out.partition("record ")[2].partition(":")[0]
        assert f"campaign/{campaign} budget" in out
        assert "-> 900.5" in out
        code, out, err = command(running, tmp_path, "audit", "undo", number, str(audit), *config)
        assert (code, out.startswith("curl -X ")) == (0, True), err
        key = ("--send", "--key-file", str(tmp_path / "client.key"))
        code, out, err = command(running, tmp_path, "audit", "undo", number, str(audit), *config, *key)
        assert (code, "207, success (1 of 1)" in out) == (0, True), out + err
        assert present(advertiser, api) == (campaign, before)


def test_a_change_since_ends_the_approval(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The client is told both values, and the write that an approver let pass is not sent."""
    with limited(amazon, tmp_path) as (advertiser, _):
        campaign, before = present(advertiser, "sp")
        write = raising("sp", campaign)
        approve(advertiser, tmp_path, asked_for(advertiser.ask(*write)[1]))

        def set_budget(budget: Any) -> None:
            content = {"campaigns": [{"campaignId": campaign, "budget": budget}]}
            assert advertiser.ask("PUT", "/sp/campaigns", SP, content)[0] == 207

        set_budget({**before, "budget": 7.5})
        status, answer = advertiser.ask(*write)
        assert (status, answer["type"].rpartition(":")[2]) == (403, "approval-stale")
        changed = {"object": f"campaign/{campaign}", "member": "budget.budget", "present": "7.5"}
        (told,) = answer["changed"]
        assert float(told.pop("approved")) == before["budget"]
        assert told == changed
        assert present(advertiser, "sp")[1]["budget"] == 7.5
        set_budget(before)
