"""The console of a program with workers: each of them, and how often it was replaced; of one process nothing of it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.integration.rig import rig
from tests.integration.test_console_chromium import Console
from tests.support.processes import fetch

pytestmark = [pytest.mark.integration, pytest.mark.chromium]


def test_each_worker_is_shown_with_what_became_of_it(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """One is killed: its row shows another process without a reload of the page."""
    with rig(tmp_path, workers=2) as running:
        console = Console(browser, running)
        console.open()
        before = console.see("#worker-rows tr:nth-child(2)", "serving").text.split()
        assert (before[0], before[-1]) == ("1", "never")
        os.kill(int(before[1]), signal.SIGKILL)
        console.see("#worker-rows tr:nth-child(2)", "once")
        after = console.see("#worker-rows tr:nth-child(2)", "serving").text.split()
        assert (after[0], after[-1]) == ("1", "once")
        assert after[1] != before[1]
        assert console.see("#worker-rows tr:nth-child(1)").text.endswith("never")
        console.picture("workers")
        assert console.complaints() == []


def test_what_workers_change_is_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Their writes are in the list of the one console, with client, account and outcome."""
    with rig(tmp_path, workers=2, audit={"file": str(tmp_path / "audit.jsonl")}) as running:
        kind = "application/vnd.spCampaign.v3+json"
        headers = {"Content-Type": kind, "Accept": kind}
        headers["Amazon-Advertising-API-Scope"] = running.simulator["profiles"]["na"][0]
        new = {"name": "new", "state": "PAUSED", "targetingType": "MANUAL", "startDate": "2027-01-01"}
        body = {"campaigns": [new | {"budget": {"budget": 10, "budgetType": "DAILY"}}]}
        assert fetch(f"{running.proxy_url}/sp/campaigns", json.dumps(body).encode(), headers)[0] == 207
        console = Console(browser, running)
        console.open()
        row = console.see("#changes-rows tr", "CreateSponsoredProductsCampaigns").text
        assert "acme" in row
        assert "success" in row


def test_one_process_alone_shows_no_workers(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """There is nothing that anybody would have to know."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=acme] .state", "Working")
        assert not browser.find_element(By.ID, "worker-section").is_displayed()
