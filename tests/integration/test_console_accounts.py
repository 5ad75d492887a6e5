"""The console's accounts, its menu on a phone, and what it does not say: seen by a real browser."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.pictures import Look, look_at
from tests.integration.rig import Rig, rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_console_requests import serious
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, until
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

SHOPS = tuple(f"shop-{number:02}" for number in range(24))
PHONE = Look(360, 740, "light", 2)
COVERED = """
const [nav, heading] = [document.querySelector("nav"), arguments[0]].map(each => each.getBoundingClientRect());
return heading.top - nav.bottom;
"""
"""How far below the menu a heading is."""
CARDS = "return [...document.querySelectorAll('#cards > li')].map(card => card.dataset.account)"


def shown(browser: webdriver.Chrome) -> list[str]:
    """The accounts whose cards are on the page, in their order."""
    found: list[str] = browser.execute_script(CARDS)
    return found


def test_more_than_twenty_accounts_have_a_search(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """By a part of the name; the field keeps its text and its focus while the page is refreshed, and Escape empties
    it."""
    with rig(tmp_path, beside=SHOPS) as running:
        console = Console(browser, running)
        console.open()
        console.see("[data-account=shop-23] .state", "Working")
        field = console.see("#account-words")
        field.send_keys("SHOP 07")
        console.see("#account-found", "1 account found.")
        until(lambda: shown(browser) == ["shop-07"])
        assert browser.switch_to.active_element == field
        field.send_keys("x")
        console.see("#account-found", "0 accounts found.")
        until(lambda: shown(browser) == [])
        field.clear()
        field.send_keys("acm")
        until(lambda: shown(browser) == ["acme"])
        field.clear()
        field.send_keys(Keys.ENTER)
        until(lambda: shown(browser) == ["acme", *SHOPS])
        assert console.complaints() == []


def test_a_phone_has_a_menu(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The menu lists each part that is shown, leads to it, and goes out of the way; with twenty accounts nothing is
    searched, and a wide page needs no menu."""
    with rig(tmp_path) as running:
        console = Console(browser, running)
        console.open()
        console.see("#profile-rows tr")
        assert not browser.find_element(By.ID, "menu").is_displayed()
        assert not browser.find_element(By.ID, "account-search").is_displayed()
        look_at(browser, PHONE)
        menu = console.see("#menu summary", "Menu")
        menu.click()
        names = [link.text for link in browser.find_elements(By.CSS_SELECTOR, "#menu-parts a")]
        headings = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "main h2") if each.is_displayed()]
        assert names == headings
        assert {"Accounts", "What failed?", "Last requests"} <= set(names)
        console.picture("b-menu")
        assert serious(browser) == []
        console.press("#menu-parts a", "Last requests")
        heading = console.see("#requests")
        until(lambda: 0 <= browser.execute_script(COVERED, heading) < 100)
        assert not browser.find_element(By.ID, "menu-parts").is_displayed()
        menu.send_keys(Keys.ENTER)
        console.see("#menu-parts a", "Accounts").send_keys(Keys.ESCAPE)
        assert not browser.find_element(By.ID, "menu-parts").is_displayed()
        assert browser.switch_to.active_element == menu
        assert console.complaints() == []


WITH_KEYS = """
const marked = (value) => {
  if (typeof value === "string") return value.includes(" ") ? `${value} Set \\`a.key\\`.` : value;
  if (Array.isArray(value)) return value.map(marked);
  return value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, marked(each)])) : value;
};
state = marked(state);
state.config = { problems: ["accounts: `x` is wrong"], needs_restart: ["`listen`"] };
state.accounts[0].last_failure = { detail: "Set `a.key`.", reason: "network", at: state.now };
state.accounts[0].listing_failures = [{ region: "na", detail: "Set `a.key`.", at: state.now }];
state.accounts[0].state = "degraded";
show();
say("Set `a.key`.");
notice("test", "Set `a.key`.", true);
const said = document.body.innerText + document.getElementById("said").textContent;
return [said.includes("`"), document.querySelectorAll(".failure code, #verdict code, #notices code").length];
"""
"""Gives every sentence of the state a key between backticks, and shows it."""


def test_no_backtick_is_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Whatever sentence names a key or a command: it is set as code, and read out without it."""
    with rig(tmp_path) as running:
        running.until_listed()
        running.get("/nowhere/else", {"X-Ads-Account": "nobody"})
        console = Console(browser, running)
        console.open()
        console.see("#failures .failure")
        console.see("#profile-rows tr")
        raw, codes = browser.execute_script(WITH_KEYS)
        assert not raw
        assert codes >= 5


def mcp(running: Rig, method: str) -> int:
    """What an MCP client gets that asks for a stream (GET), or ends its session (DELETE)."""
    connection = http.client.HTTPConnection(urlsplit(running.proxy_url).netloc, timeout=PATIENCE)
    with closing(connection):
        connection.request(method, "/mcp", headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
        response.read()
        return response.status


def test_a_405_to_an_mcp_client_is_no_refusal(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A client asks in passing for a stream that the server does not have, and for the end of a session that stays: no
    failure and no refusal is counted. The request is among the last ones."""
    with rig(tmp_path) as running:
        running.until_listed()
        fault = {"match": {"target": "mcp", "method": "DELETE"}, "times": None, "fault": {"status": 405}}
        running.control("/control/faults", fault)
        assert [mcp(running, method) for method in ("GET", "DELETE")] == [405, 405]
        console = Console(browser, running)
        console.open()
        assert "refused" not in (console.see("#request-rows tr .tag", "405").get_attribute("class") or "")
        console.see("#client-words", "none with errors")
        console.see("#refused-words", "No client was refused")
        console.see("#none-failed", "Nothing failed")
        status = json.loads(running.admin_get("/status")[1])
        assert (status["failures"], status["refused"]) == ([], [])
        assert [(each["requests"], each["refused"]) for each in status["clients"]] == [(2, 0)]


def dead(running: Serving) -> dict[str, Any]:
    """The account, once the proxy knows that both of its tokens are refused."""
    headers = {"X-Ads-Account": "acme"}
    until(lambda: fetch(f"{running.proxy_url}/v2/profiles", headers=headers)[0] == 503)
    account: dict[str, Any] = json.loads(fetch(f"{running.admin}/status")[1])["accounts"][0]
    return account


def test_what_was_revoked_does_not_expire_later(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Neither the consent in 364 days nor the token that Amazon refuses is shown as expiring: not on the card, not in
    the list of what expires next, and not in `/status`."""
    with simulated_amazon() as amazon:
        account = amazon.account(consented_on=str(datetime.now(UTC).date()))
        with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
            running.until_listed("acme")
            assert json.loads(fetch(f"{running.admin}/console/state")[1])["expiring"][0]["days"] == 364
            amazon.control("credentials/revoke", {"access_tokens": True})
            found = dead(running)
            assert (found["state"], found["refused"]) == ("revoked", True)
            assert (found["consent"]["phase"], found["consent"]["ends_at"]) == ("revoked", None)
            browser.get(running.admin)
            card = until(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-account=acme]"))[0]
            until(lambda: "refused by Amazon" in card.find_element(By.CSS_SELECTOR, ".left").text)
            assert not card.find_element(By.CSS_SELECTOR, ".consenting").is_displayed()
            assert card.find_element(By.CSS_SELECTOR, ".failure").text.startswith("invalid_grant, ")
            assert card.text.count("refused by Amazon") + card.text.count("no longer accepts") == 2
            until(lambda: "Nothing expires" in browser.find_element(By.ID, "expiring-words").text)
