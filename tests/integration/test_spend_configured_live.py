"""Limits on spending as a running program takes them from its file: by a reload, and as `check` tells."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.commands.cli import app
from tests.support.processes import fetch
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = pytest.mark.integration
MEDIA_TYPE = "application/vnd.spCampaign.v3+json"
KEY = {"X-Ads-Proxy-Key": "key-of-agent"}


def agent(**spend: object) -> list[dict[str, object]]:
    digest = hashlib.sha256(KEY["X-Ads-Proxy-Key"].encode()).hexdigest()
    return [{"name": "agent", "key_sha256": digest, "spend": spend}]


def create(running: Serving, profile: str, body: bytes) -> tuple[int, dict[str, Any]]:
    headers = {**KEY, "Amazon-Advertising-API-Scope": profile, "Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
    status, content = fetch(f"{running.proxy_url}/sp/campaigns", body, headers)
    return status, json.loads(content)


def test_a_reload_changes_the_limits_and_check_tells_the_same(tmp_path: Path) -> None:
    """The currency is that of the profile's list: what is over in one is within in another. `check` reads the list
    where the program kept it."""
    budget = {"budget": 100, "budgetType": "DAILY"}
    campaign = {"name": "x", "state": "PAUSED", "targetingType": "MANUAL", "startDate": "2027-01-01", "budget": budget}
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"campaigns": [campaign]}))
    with simulated_amazon() as amazon:
        settings = amazon.configuration(state={"url": f"file:{tmp_path / 'state'}"})
        limited = {**settings, "clients": agent(budget={"USD": 99, "CAD": 100})}
        with serving(tmp_path, limited) as running:
            running.until_ready()
            running.until_listed()
            listed = json.loads(running.get("/v2/profiles", KEY)[1])
            profiles = {each["currencyCode"]: str(each["profileId"]) for each in listed}
            dollars, others = profiles["USD"], profiles["CAD"]
            status, problem = create(running, dollars, file.read_bytes())
            violation = {"rule": "budget", "path": "campaigns[0].budget.budget", "value": "100", "currency": "USD"}
            assert (status, problem["violations"]) == (403, [{**violation, "limit": "99"}])
            assert create(running, others, file.read_bytes())[0] == 207
            running.write({**settings, "clients": agent(budget={"USD": 100})})
            running.until(lambda: create(running, dollars, file.read_bytes())[0] == 207)
            status, problem = create(running, others, file.read_bytes())
            assert (status, problem["violations"][0]["limit"]) == (403, None)
            assert running.told("config_reloaded", success=True)[0]["changed"] == ["clients"]
            running.write({**settings, "clients": agent(hours="mon 08:00-18:00 Europe/Nowhere")})
            refused = running.told("config_reloaded", success=False)[0]
            assert "clients[0].spend.hours" in json.dumps(refused)
            assert create(running, dollars, file.read_bytes())[0] == 207
            running.write(limited)
            running.until(lambda: create(running, dollars, file.read_bytes())[0] == 403)
            running.stop()
        words = ["check", "--config", str(running.path), "--as", "agent", "POST", "/sp/campaigns", "--body", str(file)]
        over = CliRunner().invoke(app, [*words, "--profile", dollars])
        assert (over.exit_code, "No (rule: spend): over" in over.stdout) == (1, True), over.output
        within = CliRunner().invoke(app, [*words, "--profile", others])
        assert (within.exit_code, "with currency CAD" in within.stdout) == (0, True), within.output
