"""The console's accounts, its menu on a phone, and what it does not say: seen by a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

from tests.integration.rig import rig
from tests.integration.test_console_chromium import Console

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

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
