"""Approvers in a real browser: a write over a limit waits, is approved or denied, and its client sends it again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.pictures import Look, differing, look_at, small
from tests.integration.rig import Rig, rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_console_pictures import IMAGES, MOST_BYTES, MOST_DIFFERING, shot
from tests.integration.test_console_requests import serious
from tests.integration.test_notify import Received, receiver
from tests.support.processes import fetch, until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

KEY, ANN, BOB = "a-client-key-of-some-length", "the-approver-key-of-ann", "the-approver-key-of-bob"
ADMIN = "an-admin-key-of-some-length"
KIND = "application/vnd.spCampaign.v3+json"
PICTURES = {"approvals-light": Look(1200, 900, "light"), "approvals-dark": Look(1200, 900, "dark")}
LOOKS = [Look(1200, 1400, "light"), Look(1200, 1400, "dark"), Look(360, 1000, "light"), Look(360, 1000, "dark")]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


SPEND = {"budget": {"USD": 50}, "beyond": "approve"}
SETTINGS: dict[str, Any] = {
    "clients": [{"name": "agent", "key_sha256": digest(KEY), "spend": SPEND}],
    "approvals": {
        "approvers": [{"name": name, "keys": [{"sha256": digest(key)}]} for name, key in (("ann", ANN), ("bob", BOB))]
    },
}


def write(running: Rig, method: str, *campaigns: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Send campaigns as the agent; status and document of the answer."""
    headers = {"X-Ads-Proxy-Key": KEY, "Content-Type": KIND, "Accept": KIND}
    headers["Amazon-Advertising-API-Scope"] = running.simulator["profiles"]["na"][0]
    body = json.dumps({"campaigns": campaigns}).encode()
    status, text = fetch(f"{running.proxy_url}/sp/campaigns", body, headers, method)
    return status, json.loads(text)


def daily(budget: float) -> dict[str, Any]:
    return {"budget": budget, "budgetType": "DAILY"}


def create(running: Rig, budget: float, name: str = "Spring") -> tuple[int, dict[str, Any]]:
    """Create a campaign as the agent."""
    campaign = {"name": name, "state": "PAUSED", "targetingType": "MANUAL", "startDate": "2027-03-01"}
    return write(running, "POST", {**campaign, "budget": daily(budget)})


def ask(running: Rig, budget: float, name: str = "Spring") -> str:
    """Send a write over the limit; the id of its approval."""
    status, document = create(running, budget, name)
    assert (status, document["type"]) == (403, "urn:ads-proxy:error:approval-required")
    return str(document["approval_id"])


def sign_in(console: Console, key: str) -> None:
    console.see("#key").send_keys(key + Keys.ENTER)
    console.see("header", "Signed in as approver")


def test_an_approver_approves_and_the_write_passes_once(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """From the console's first page to the write that its client sends again; every look is accessible."""
    with rig(tmp_path, **SETTINGS) as running:
        running.until_listed()
        identifier = ask(running, 500)
        console = Console(browser, running)
        console.open()
        console.see("#notices", "1 write waits for an approver")
        console.press("#approval-section a", "Look at all approvals")
        console.see("h1", "What waits for approval?")
        assert browser.find_elements(By.CSS_SELECTOR, ".decision button") == []
        sign_in(console, ANN)
        for words in ("agent", "acme, na", running.simulator["profiles"]["na"][0], "500", "50 USD", "Decide by"):
            console.see(f"#approval-{identifier}", words)
        for look in LOOKS:
            look_at(browser, look)
            assert serious(browser) == []
            console.picture(f"approvals-{look.width}-{look.scheme}")
        console.press(f"#approval-{identifier} button", "Approve")
        console.see("[role=status]", "ann approved POST /sp/campaigns of agent")
        console.see("h2", "Waiting for a decision (0)")
        console.see(f"#approval-{identifier} .state", "approved, not sent yet")
        assert serious(browser) == []
        assert create(running, 501)[0] == 403
        assert create(running, 500)[0] == 207
        assert create(running, 500)[1]["type"] == "urn:ads-proxy:error:approval-required"
        console.open("/approvals")
        console.see("tbody tr", "approved and sent")
        console.press("header button", "Sign out")
        console.see("#key")
        assert "Signed in" not in browser.find_element(By.TAG_NAME, "body").text
        assert console.complaints() == []


def test_an_approver_denies_with_a_reason(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Enter in the reason denies and never approves; the client gets the reason."""
    with rig(tmp_path, **SETTINGS) as running:
        running.until_listed()
        identifier = ask(running, 500)
        console = Console(browser, running)
        console.open(f"/approvals/{identifier}")
        sign_in(console, BOB)
        assert browser.current_url.endswith("/approvals")
        console.open(f"/approvals/{identifier}")
        assert serious(browser) == []
        console.see(f"#because-{identifier}").send_keys("Too much for a test" + Keys.ENTER)
        console.see("[role=status]", "bob denied POST /sp/campaigns of agent")
        status, document = create(running, 500)
        assert (status, document["type"]) == (403, "urn:ads-proxy:error:approval-denied")
        assert "Too much for a test" in document["detail"]
        console.see("tbody tr", "Too much for a test")
        assert console.complaints() == []


def test_a_press_after_anothers_decision_tells_what_they_decided(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The page was open meanwhile; nothing changes."""
    with rig(tmp_path, **SETTINGS) as running:
        running.until_listed()
        identifier = ask(running, 500)
        console = Console(browser, running)
        console.open("/approvals")
        sign_in(console, ANN)
        decision = json.dumps({"decision": "deny", "because": "Ask in spring"}).encode()
        headers = {"X-Ads-Proxy-Console": "1", "X-Ads-Proxy-Approver-Key": BOB, "Content-Type": "application/json"}
        assert fetch(f"{running.admin}/console/approvals/{identifier}", decision, headers)[0] == 200
        console.press(f"#approval-{identifier} button", "Approve")
        console.see("[role=alert]", "Your decision changed nothing. bob denied POST /sp/campaigns of agent")
        console.see("[role=alert]", "Ask in spring")
        assert serious(browser) == []
        assert create(running, 500)[1]["type"] == "urn:ads-proxy:error:approval-denied"


def test_a_notices_link_leads_to_the_buttons(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """From a page of another site, in a browser that is signed in; following the link decides nothing."""
    received = Received()
    with (
        receiver(received) as hook,
        rig(tmp_path, **SETTINGS, notify={"webhook": hook}, admin={"key": ADMIN}) as running,
    ):
        running.until_listed()
        identifier = ask(running, 500, "Summer")
        until(lambda: received.notices)
        (notice,) = received.notices
        assert (notice["type"], notice["approval"], notice["client"]) == ("approval_requested", identifier, "agent")
        assert notice["link"] == f"{running.admin}/approvals/{identifier}"
        console = Console(browser, running)
        console.url = running.admin
        console.open(f"/approvals/{identifier}")
        console.see("h1", "Sign in as an approver")
        assert "/sp/campaigns" not in browser.page_source
        sign_in(console, ANN)
        assert browser.current_url == notice["link"]
        for path in ("/approve", "/deny", "?decision=approve"):
            console.open(f"/approvals/{identifier}{path}")
        browser.get(running.proxy_url.replace("127.0.0.1", "localhost"))
        browser.execute_script(
            "document.body.innerHTML = `<a id='chat' href='${arguments[0]}'>look</a>`", notice["link"]
        )
        browser.find_element(By.ID, "chat").click()
        console.see("header", "Signed in as approver ann")
        console.press(f"#approval-{identifier} button", "Approve")
        until(lambda: len(received.notices) == 2)
        assert (received.notices[1]["type"], received.notices[1]["state"]) == ("approval_decided", "approved")
        assert create(running, 500, "Summer")[0] == 207


def test_the_pictures_in_docs_show_the_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """With present values, and what was decided lately; `make screenshots` takes them again."""
    with rig(tmp_path, **SETTINGS) as running:
        running.until_listed()
        made = [create(running, 40, name)[1]["campaigns"]["success"][0]["campaignId"] for name in ("Spring", "Summer")]
        denied = ask(running, 900)
        console = Console(browser, running)
        console.open(f"/approvals/{denied}")
        sign_in(console, ANN)
        console.see(f"#because-{denied}").send_keys("Not before the sale" + Keys.ENTER)
        console.see("[role=status]", "ann denied")
        status, _ = write(running, "PUT", *({"campaignId": each, "budget": daily(120)} for each in made))
        assert status == 403
        for name, look in PICTURES.items():
            look_at(browser, look)
            console.open("/approvals")
            rows = console.see(".approval tbody").text
            assert [f"campaign/{each}" in rows for each in made] == [True, True]
            assert ("40" in rows, "120" in rows) == (True, True)
            taken = shot(browser, look)
            browser.execute_script("document.querySelector('.approvals').remove()")
            without, image = shot(browser, look), IMAGES / f"{name}.png"
            (tmp_path / image.name).write_bytes(small(browser, taken))
            if os.environ.get("WRITE_SCREENSHOTS"):
                image.write_bytes((tmp_path / image.name).read_bytes())
            assert image.stat().st_size < MOST_BYTES
            assert differing(browser, image.read_bytes(), taken) < MOST_DIFFERING, f"run `make screenshots`: {name}"
            assert differing(browser, image.read_bytes(), without) > MOST_DIFFERING
