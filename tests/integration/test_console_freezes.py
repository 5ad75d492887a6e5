"""A person freezes writes in the console: of one client, and of all; nothing happens without a confirmation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.rig import Rig, rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_console_requests import serious
from tests.support.processes import fetch, until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

KEY = "a-client-key-of-some-length"
CLIENTS = [{"name": "agent", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}]
KIND = "application/vnd.spCampaign.v3+json"


def write(running: Rig) -> int:
    headers = {"X-Ads-Proxy-Key": KEY, "Content-Type": KIND, "Accept": KIND}
    headers["Amazon-Advertising-API-Scope"] = running.simulator["profiles"]["na"][0]
    return fetch(f"{running.proxy_url}/sp/campaigns", b'{"campaigns": [{"name": "new"}]}', headers)[0]


def frozen(running: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(running.admin_get("/status")[1])["freezes"]["frozen"]
    return found


def test_a_client_is_frozen_and_unfrozen(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """With a reason, which the page shows to everyone; Escape and Cancel change nothing."""
    with rig(tmp_path, clients=CLIENTS) as running:
        running.until_listed()
        console = Console(browser, running)
        console.open()
        console.see("#freeze-words", "No. A freeze stops all writes")
        console.press("#client-rows tr button", "Freeze")
        console.see("#freeze-title", "Freeze all writes of agent?")
        console.see("#freeze-because").send_keys(Keys.ESCAPE)
        console.press("#client-rows tr button", "Freeze")
        console.press("#freeze-dialog button", "Cancel")
        assert (frozen(running), write(running)) == ([], 207)
        console.press("#client-rows tr button", "Freeze")
        console.see("#freeze-because").send_keys("It raises bids")
        console.picture("freeze-dialog")
        assert serious(browser) == []
        console.press("#freeze-yes", "Freeze")
        console.see("#notices", "Writes are frozen. All writes of agent are frozen since")
        console.see("#freeze-words", "by console (127.0.0.1): It raises bids")
        console.see("#verdict", "Every account serves, but writes are frozen.")
        console.picture("frozen")
        (freeze,) = frozen(running)
        assert (freeze["client"], freeze["because"], write(running)) == ("agent", "It raises bids", 403)
        console.press("#client-rows tr button", "Unfreeze")
        console.see("#freeze-because").send_keys(Keys.ENTER)
        console.see("#freeze-words", "No. A freeze")
        assert (frozen(running), write(running)) == ([], 207)
        assert console.complaints() == []


def test_all_writes_are_frozen_by_one_button(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Also without clients; another page than this one may have done it."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.press("#freeze-all", "Freeze all writes")
        console.see("#freeze-title", "Freeze all writes?")
        console.press("#freeze-yes", "Freeze")
        console.press("#freeze-all", "Unfreeze all writes")
        assert [each["client"] for each in frozen(running)] == [None]
        console.press("#freeze-yes", "Unfreeze")
        console.see("#freeze-all", "Freeze all writes")
        assert not browser.find_elements(By.CSS_SELECTOR, "#notices .bad")
        until(lambda: frozen(running) == [])
        assert console.complaints() == []
