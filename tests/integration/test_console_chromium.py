"""A real browser uses the console: sign-in through to a served request, an account that turns red and recovers.

Screenshots are written to SCREENSHOTS_DIR, if it is set, for people to look at.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.integration.rig import Rig, rig
from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.programs import require_program
from tests.support.redis_server import KEY as STATE_KEY
from tests.support.redis_server import redis_server
from tests.support.running import REGIONS, Serving, simulated_amazon

pytestmark = [pytest.mark.integration, pytest.mark.chromium]
KEY = "the-admin-key-of-this-test"
FIND_VISIBLE = """
    for (const part of document.querySelectorAll("details.part")) part.open = true;
    const shown = element => element.checkVisibility({visibilityProperty: true}) && element.getClientRects().length;
    const holds = element => element.innerText.replace(/\\s+/g, " ").includes(arguments[1]);
    return [...document.querySelectorAll(arguments[0])].find(element => shown(element) && holds(element));
"""
"""The first visible element of a selector with a text, once all parts of the page are open. WebDriver's own commands
take three calls per element."""


class Console:
    """The console as a person meets it."""

    def __init__(self, browser: webdriver.Chrome, running: Rig) -> None:
        self.browser, self.rig = browser, running
        self.url = running.admin.replace("127.0.0.1", "localhost")

    def open(self, path: str = "/") -> None:
        self.browser.get(self.url + path)

    def see(self, selector: str, text: str = "", patience: float = PATIENCE) -> WebElement:
        """Waits until an element is visible, and holds a text."""

        def look() -> Any:
            return self.browser.execute_script(FIND_VISIBLE, selector, text)

        found: WebElement = until(look, lambda: self.browser.find_element(By.TAG_NAME, "body").text, patience)
        return found

    def read(self, selector: str, text: str) -> str:
        """All that an element says that is visible and holds a text, at one moment: the page may show another row in
        it later."""
        words = f"return (() => {{{FIND_VISIBLE}}})(...arguments)?.innerText"
        found: str = until(lambda: self.browser.execute_script(words, selector, text))
        return " ".join(found.split())

    def press(self, selector: str, text: str = "") -> None:
        self.see(f"{selector}:not(:disabled)", text).click()

    def picture(self, name: str) -> None:
        folder = os.environ.get("SCREENSHOTS_DIR")
        if folder:
            self.browser.save_screenshot(str(Path(folder) / f"{name}.png"))

    def complaints(self) -> list[Any]:
        """What the browser's own log holds against our pages: policy violations, script errors, missing files."""
        entries = self.browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
        elsewhere = tuple(self.rig.simulator["api_urls"].values())
        bad = [entry["message"] for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]
        return [message for message in bad if not message.startswith(elsewhere)]

    def copies(self, label: str) -> list[str]:
        """What the buttons of this label put on the clipboard, in one look at the page."""
        script = (
            "return [...document.querySelectorAll('#profile-rows button')].map(b => [b.textContent, b.dataset.copies])"
        )
        pairs: list[tuple[str, str]] = self.browser.execute_script(script)
        return [text for name, text in pairs if name == label]

    def tone(self) -> str:
        return self.see("[data-account=acme]").get_attribute("class") or ""


def test_a_person_signs_in_and_a_tool_is_served(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """From "Not connected" over the sign-in page and Allow to a served request and a copied curl that works."""
    with rig(tmp_path, signed_in=False) as running:
        console = Console(browser, running)
        assert running.get("/v2/profiles")[0] == 503
        console.open()
        console.see("[data-account=acme] .state", "Not connected")
        console.see("[data-account=acme] .advice", "Press Connect")
        told = running.log.wait_for(lambda line: line.get("event") == "sign_in_needed")
        assert f"{running.admin}/login/acme" in told["advice"]
        assert not any("profiles_failed" in line for line in running.log.lines)
        console.picture("1-not-connected")
        console.press("[data-account=acme] .connect", "Connect")
        console.press("#allow")
        console.see("h1", "acme is connected")
        console.see("table", running.simulator["profiles"]["na"][0])
        console.picture("2-connected")
        assert "code=" not in browser.find_element(By.TAG_NAME, "main").text
        status, body = running.get("/v2/profiles")
        assert status == 200
        assert [str(profile["profileId"]) for profile in json.loads(body)] == running.simulator["profiles"]["na"]
        console.press("a", "To the console")
        console.see("[data-account=acme] .state", "Working")
        console.see("[data-account=acme] .left", "min")
        console.see("#failures .name", "503 no-usable-token")
        wanted = running.simulator["profiles"]["eu"][1]
        console.see("#words").send_keys(wanted)
        console.see("#found", "1 found")
        console.picture("3-working")
        (command,) = console.copies("curl")
        (base,) = console.copies("Base URL")
        assert base == f"{running.proxy_url}/@acme/eu"
        done = subprocess.run([require_program("curl"), *shlex.split(command)[1:]], capture_output=True, check=True)
        assert "campaigns" in json.loads(done.stdout)
        assert console.complaints() == []


def test_ads_accounts_are_found_and_copied(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Name, countries, regions and profiles of each; a profile's id finds its ads account, whose header is copied."""
    with rig(tmp_path) as running:
        until(lambda: set(running.account("acme")["ads_accounts"]) == set(REGIONS))
        listed = json.loads(running.admin_get("/status")[1])["ads_accounts"]
        wanted = next(each for each in listed if len(each["regions"]) > 1 and each["profiles"])
        console = Console(browser, running)
        console.open()
        console.see("#ads-rows code", wanted["id"])
        console.see("#ads-words").send_keys(wanted["profiles"][0])
        console.see("#ads-found", "1 found")
        row = console.see("#ads-rows tr", wanted["id"]).text
        assert all(
            text in row for text in (wanted["name"], *wanted["countries"], *wanted["regions"], *wanted["profiles"])
        )
        console.press("#ads-rows button", "Header")
        console.see("#ads-found", f"Copied: Amazon-Ads-AccountId: {wanted['id']}")
        console.picture("9-ads-accounts")
        console.see("#ads-words").send_keys("nobody")
        console.see("#ads-found", "0 found")
        assert not browser.find_element(By.ID, "ads-box").is_displayed()
        assert console.complaints() == []


def test_denied_consent_has_its_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Who presses Deny reads what happened and may try again; nothing is connected."""
    with rig(tmp_path, signed_in=False) as running:
        console = Console(browser, running)
        console.open("/login/acme")
        console.press("#deny")
        console.see("h1", "Access was not granted")
        console.see("a", "Try again")
        console.picture("4-denied")
        assert running.account("acme")["state"] == "pending"
        event = running.log.wait_for(lambda line: line.get("event") == "sign_in_finished")
        assert (event["outcome"], event["account"]) == ("denied", "acme")


def test_a_revoked_account_turns_red_and_recovers(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Amazon revokes the refresh token: the card turns red and says what to do; restored, it turns green again."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=acme] .state", "Working")
        assert "good" in console.tone()
        running.control("/control/credentials/revoke")
        console.press("[data-account=acme] .refresh")
        console.see("[data-account=acme] .state", "Sign-in needed")
        console.see("[data-account=acme] .advice", "What to do")
        assert "bad" in console.tone()
        console.picture("5-revoked")
        running.control("/control/credentials/restore")
        console.press("[data-account=acme] .refresh")
        console.see("[data-account=acme] .state", "Working")
        assert "good" in console.tone()
        assert running.get("/v2/profiles")[0] == 200


def test_another_persons_login_is_refused_unless_insisted(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A person reconnects as a user with other profiles: the present login stays until the account's name is typed."""
    with rig(tmp_path) as running:
        until(lambda: len(running.account("acme")["profiles"]) == 3)
        other = json.loads(running.control("/control/users", {"user": "second"}))["profiles"]["na"][0]
        console = Console(browser, running)
        console.open()
        console.press("[data-account=acme] .connect", "Reconnect")
        Select(console.see("select")).select_by_visible_text("second")
        console.press("#allow")
        console.see("h1", "This is another login")
        console.see("table", running.simulator["profiles"]["na"][0])
        console.picture("8-another-login")
        assert running.account("acme")["generation"] == 1
        console.see("#insisted").send_keys("acne", Keys.ENTER)
        console.see("[role=alert]", "not the name of the account")
        assert running.get("/v2/profiles")[0] == 200
        console.see("#insisted").send_keys("acme", Keys.ENTER)
        console.see("h1", "acme is connected")
        console.see("table", other)
        assert [str(profile["profileId"]) for profile in json.loads(running.get("/v2/profiles")[1])] == [other]
        running.log.wait_for(lambda line: line.get("outcome") == "connected")
        outcomes = [json.loads(line)["outcome"] for line in running.log.lines if '"sign_in_finished"' in line]
        assert outcomes == ["refused", "connected"]
        assert [complaint for complaint in console.complaints() if "409 (Conflict)" not in complaint] == []


def test_a_list_that_fails_is_told_with_its_reason(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The card, `/status` and the refused request say why profiles are missing; once they are listed, all is calm."""
    forbidden = {"match": {"path": "/v2/profiles"}, "times": None, "fault": {"status": 403}}
    with rig(tmp_path, signed_in=False) as running:
        running.control("/control/faults", forbidden)
        console = Console(browser, running)
        console.open("/login/acme")
        console.press("#allow")
        console.see("h1", "acme is connected")
        until(lambda: {each["region"] for each in running.account("acme")["listing_failures"]} == set(REGIONS))
        console.open()
        shown = console.see("[data-account=acme] .listing", "(403)").text
        told = [line.partition(": ") for line in shown.split(" · ")]  # a line for those that failed in the same second
        assert {region for names, _, _ in told for region in names.split(", ")} == set(REGIONS)
        assert all(reason.startswith("Amazon refuses") for _, _, reason in told)
        console.picture("7-not-listed")
        status, body = running.get("/sd/campaigns")
        problem = json.loads(body)
        assert (status, problem["retryable"]) == (503, False)
        assert "cannot be read: Amazon refuses" in problem["detail"]
        assert console.complaints() == []


def test_the_key_opens_the_console(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """With an admin key a browser gets the form first, a wrong key is told, the right one lasts until signing out."""
    with rig(tmp_path, admin={"key": KEY}) as running:
        console = Console(browser, running)
        console.open()
        console.see("#key").send_keys("wrong", Keys.ENTER)
        console.see("[role=alert]", "not the admin key")
        console.see("#key").send_keys(KEY, Keys.ENTER)
        console.see("[data-account=acme] .state", "Working")
        console.press("#leave button")
        console.see("#key")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_link_of_the_log_leads_to_amazon_behind_the_key(
    browser: webdriver.Chrome, tmp_path: Path, host: str
) -> None:
    """The form asks for the key, leads on to Amazon's page, and asks no more, at whichever host the link leads to."""
    with rig(tmp_path, signed_in=False, admin={"key": KEY}) as running:
        told = running.log.wait_for(lambda line: line.get("event") == "sign_in_needed")
        assert f"{running.admin}/login/acme" in told["advice"]
        console = Console(browser, running)
        browser.get(f"{running.admin}/login/acme".replace("127.0.0.1", host))
        console.see("#key").send_keys(KEY, Keys.ENTER)
        console.press("#allow")
        console.see("h1", "acme is connected")
        assert running.get("/v2/profiles")[0] == 200
        console.press("a", "To the console")
        console.see("[data-account=acme] .state", "Working")
        assert [complaint for complaint in console.complaints() if "401 (Unauthorized)" not in complaint] == []


def test_connect_asks_for_no_second_key(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The session goes along from 127.0.0.1 to the redirect address's localhost, as far as the question about another
    person's login."""
    with rig(tmp_path, admin={"key": KEY}) as running:
        running.control("/control/users", {"user": "second"})
        console = Console(browser, running)
        browser.get(running.admin)
        console.see("#key").send_keys(KEY, Keys.ENTER)
        console.see("[data-account=acme] .profiles", "in fe")
        console.press("[data-account=acme] .connect", "Reconnect")
        Select(console.see("select")).select_by_visible_text("second")
        console.press("#allow")
        field = console.see("#insisted")
        assert urlsplit(browser.current_url).hostname == "localhost"
        field.send_keys("acme", Keys.ENTER)
        console.see("h1", "acme is connected")
        console.press("a", "To the console")
        console.see("[data-account=acme] .state", "Working")


def test_the_console_works_by_keyboard_and_fits_a_phone(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Tab reaches every control in order with a visible focus, Enter works, and nothing sticks out of 360 pixels."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=acme] .state", "Working")
        console.see("#profile-rows tr")
        reached = []
        for _ in range(36):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            active = browser.switch_to.active_element
            reached.append(active.get_attribute("id") or active.get_attribute("class") or active.text)
            outline = active.value_of_css_property("outline-style")
            assert outline == "solid", reached
        assert reached[0] == "skip"
        assert {"button connect plain", "refresh", "words", "profile-box"} <= set(reached)
        assert {"account-box", "filter-client", "filter-operation", "filter-status", "pause"} <= set(reached)
        browser.find_element(By.CSS_SELECTOR, "summary:has(#traffic)").send_keys(Keys.ENTER)
        assert not browser.find_element(By.ID, "bars").is_displayed()
        browser.find_element(By.CSS_SELECTOR, "[data-account=acme] .refresh").send_keys(Keys.ENTER)
        until(lambda: "has a new token" in (browser.find_element(By.ID, "said").get_attribute("textContent") or ""))
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
        )
        wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert browser.execute_script(wide)
        console.picture("6-phone")
        assert console.complaints() == []


def test_nothing_is_nameless_to_a_screen_reader(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Every button, link, field and picture of the page has a name in the accessibility tree."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("#profile-rows tr")
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "link", "searchbox", "textbox", "image", "region", "table"}
        seen = [node for node in nodes if node.get("role", {}).get("value") in roles and not node["ignored"]]
        nameless = [node["role"]["value"] for node in seen if not node.get("name", {}).get("value")]
        assert len(seen) > 10
        assert nameless == []
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


@pytest.mark.alone
def test_a_store_that_is_away_is_shown_at_once(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The replica goes on alone, and the page shows it until the store is back."""
    with simulated_amazon() as amazon, redis_server(tmp_path) as server, contextlib.ExitStack() as ending:
        running = Serving(tmp_path / "c.yaml", amazon.configuration(state={"url": server.url, "key": STATE_KEY}))
        ending.callback(running.process.end)

        def notices() -> str:
            return browser.find_element(By.TAG_NAME, "main").text

        browser.get(running.admin)
        until(lambda: "acme" in notices() and "Degraded" not in notices(), notices)
        server.kill()
        until(lambda: "Degraded: The state store at" in notices() and "goes on alone" in notices(), notices)
        server.restart()
        until(lambda: "Degraded" not in notices(), notices)
