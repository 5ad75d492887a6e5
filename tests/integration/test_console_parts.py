"""The console's parts in a real browser: what is open at first, and the address of each part."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.integration.browsing import open_parts
from tests.integration.pictures import Look, look_at
from tests.support.processes import until
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

WIDE, PHONE = Look(1400, 1000, "light"), Look(375, 800, "light", 2)
IN_PARTS = """
    return [...document.querySelectorAll("details.part")].filter(part => part.checkVisibility())
        .filter(part => part.open === arguments[0]).map(part => part.querySelector("h2").id)
"""
IN_SIGHT = """
    const { top, bottom } = document.getElementById(arguments[0]).getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
"""


def opened(browser: webdriver.Chrome, running: Serving, fragment: str = "") -> None:
    """The console at an address, once it shows the state of the proxy."""
    browser.get("about:blank")  # else another fragment of the same address loads nothing
    browser.get(running.admin + fragment)
    until(lambda: browser.find_element(By.ID, "profiles-short").get_property("textContent"))


def height(browser: webdriver.Chrome) -> int:
    pixels: int = browser.execute_script("return document.querySelector('footer').getBoundingClientRect().bottom")
    return pixels


def open_ones(browser: webdriver.Chrome) -> list[str]:
    found: list[str] = browser.execute_script(IN_PARTS, True)
    return found


@pytest.mark.parametrize(
    ("look", "open_at_first", "most"),
    [(WIDE, ["expiring", "refused", "changes", "invitations"], 2200), (PHONE, [], 2600)],
)
def test_what_needs_few_words_comes_first(
    browser: webdriver.Chrome, tmp_path: Path, look: Look, open_at_first: list[str], most: int
) -> None:
    """With two accounts the page is short: long parts are closed, with a few words beside their headings."""
    with simulated_amazon() as amazon:
        accounts = {"acme": amazon.account(), "birch": amazon.account()}
        with serving(tmp_path, amazon.configuration(accounts=accounts)) as running:
            running.until_listed("acme")
            running.until_listed("birch")
            look_at(browser, look)
            opened(browser, running)
            assert open_ones(browser) == open_at_first
            profiles = browser.find_element(By.ID, "profiles-short").text
            assert int(profiles) == sum(sum(running.account(name)["profiles"].values()) for name in accounts)
            assert browser.find_element(By.ID, "failed-short").text == "nothing"
            short = height(browser)
            assert short < most
            open_parts(browser)
            assert height(browser) > short + 1000
            assert browser.find_element(By.ID, "profiles-short").is_displayed() is False


def test_each_part_has_an_address(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A heading that is pressed opens its part and gives its address, which opens it for others, too."""
    with simulated_amazon() as amazon, serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        look_at(browser, WIDE)
        opened(browser, running)
        browser.find_element(By.ID, "requests").click()
        assert "requests" in open_ones(browser)
        assert browser.current_url == f"{running.admin}/#requests"
        browser.find_element(By.ID, "requests").click()
        assert "requests" not in open_ones(browser)
        assert browser.current_url == f"{running.admin}/"
        for part in ("requests", "client", "profiles", "ads-accounts", "traffic", "failed"):
            opened(browser, running, f"#{part}")
            assert part in open_ones(browser)
            until(partial(browser.execute_script, IN_SIGHT, part))
        opened(browser, running, "#no-such-part")
        assert open_ones(browser) == ["expiring", "refused", "changes", "invitations"]
