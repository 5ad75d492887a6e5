"""Named reports in the console, in a real browser: what is shown of them, and the button *Run now*."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from proxy.reports.store import ReportFolder
from tests.integration.rig import rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_named_reports_live import reports_of
from tests.support.named_reports import publish
from tests.support.processes import until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]


def test_a_person_sees_reports_and_runs_one(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """State, age, rows and older rows; pressing the button says what happens next."""
    section = reports_of(tmp_path / "kept")
    publish(ReportFolder(tmp_path / "kept"), "sb-daily", account="acme", stale=("4711",), completed=time.time() - 3600)
    with rig(tmp_path, reports=section) as running:
        console = Console(browser, running)
        console.open()
        assert "Older rows: 4711" in console.see("#report-rows tr", "sb-daily").text
        row = console.see("#report-rows tr:nth-child(2)", "sp-daily")
        assert all(words in row.text for words in ("acme", "idle", "1 h ago"))
        row.find_element(By.TAG_NAME, "button").click()
        said = "return document.getElementById('said').textContent"
        until(lambda: browser.execute_script(said) == "A run of sp-daily begins within seconds.")
        browser.execute_script("document.getElementById('report').scrollIntoView()")
        console.picture("reports")
        assert console.complaints() == []


def test_without_reports_there_is_no_section(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=acme] .state", "Working")
        assert not browser.find_element(By.ID, "report-section").is_displayed()
