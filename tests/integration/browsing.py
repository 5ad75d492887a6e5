"""Headless Chromium for tests. Nothing is asserted here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver

from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.programs import require_program


@contextlib.contextmanager
def chromium(profile: Path, *arguments: str) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, ended at the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = require_program("chromium")
    usual = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,1400")
    for argument in (*usual, f"--user-data-dir={profile}", *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=require_program("chromedriver"), port=free_port())
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def open_parts(driver: webdriver.Chrome) -> None:
    """Opens every part of the console, as a person does with its heading."""
    driver.execute_script("for (const part of document.querySelectorAll('details.part')) part.open = true;")


def forget(driver: webdriver.Chrome) -> None:
    """A new tab, and nothing of what was before: no other tab, no cookie, nothing stored or cached, no message."""
    before = driver.window_handles
    driver.switch_to.new_window("tab")
    fresh = driver.current_window_handle
    for handle in before:
        driver.switch_to.window(handle)
        driver.close()
    driver.switch_to.window(fresh)
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
