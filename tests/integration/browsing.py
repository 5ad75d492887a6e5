"""Headless Chromium for tests. Nothing is asserted here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver

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
    service = webdriver.ChromeService(executable_path=require_program("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
