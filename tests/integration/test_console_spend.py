"""What the console shows of spend limits in a real browser: held back writes with their reasons, and each client's
numbers.

Screenshots are written to SCREENSHOTS_DIR, if it is set, for people to look at.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

from tests.integration.rig import rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_console_requests import serious
from tests.integration.test_spend_seen_live import client, create, profile_in
from tests.support.processes import until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]
CLIENTS = [
    client("agent", mode="observe", budget={"USD": 50}, new_per_day=5),
    client("strict", budget={"USD": 50}, states=["paused"]),
]


@pytest.mark.parametrize("width", [1280, 360])
def test_an_owner_sees_what_was_held_back(browser: webdriver.Chrome, tmp_path: Path, width: int) -> None:
    """Client, operation, rule, value and limit of the newest writes, and the numbers by which limits are set; the page
    never scrolls sideways, and axe finds nothing serious."""
    with rig(tmp_path, clients=CLIENTS) as running:
        profile = profile_in(running, "USD")
        until(lambda: create(running, "agent", profile, 10) == 207)
        assert create(running, "agent", profile, 500.5) == 207
        assert create(running, "agent", profile, 10, dailySpendCap=7) == 207
        assert create(running, "strict", profile, 700, state="ENABLED") == 403
        size = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        console = Console(browser, running)
        console.open()
        refused = console.read("#held-rows tr", "strict")
        for words in ("CreateSponsoredProductsCampaigns", "budget 700 USD, limit 50", "states enabled", "not sent"):
            assert words in refused
        observed = console.read("#held-rows tr", "500.5")
        assert "over, and sent" in observed
        assert "enforce refuses it" in observed
        agent = console.read("#spend-rows tr", "budget 500.5 USD: 1 violation of limit 50")
        assert "dailySpendCap" in agent
        assert "mode enforce" in console.read("#spend-rows tr", "strict")
        browser.execute_script("document.querySelector('#held').scrollIntoView()")
        console.picture(f"f-held-back-{width}")
        fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert browser.execute_script(fits)
        assert console.complaints() == []
        assert serious(browser) == []


def test_a_program_without_limits_shows_no_such_table(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The page is as short as it was."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=acme] .state", "Working")
        shown = "return ['held', 'spend'].map(id => document.getElementById(`${id}-section`).hidden)"
        assert browser.execute_script(shown) == [True, True]
