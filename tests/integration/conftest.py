"""What is started once and is for each test as if it had just been: the simulator that stands for Amazon, a browser.

A module whose simulator has other options says so by a `simulator` of its own, and one with another browser likewise.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.integration.browsing import chromium, forget
from tests.support.running import SimulatedAmazon, simulated_amazon


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture
def amazon(simulator: SimulatedAmazon) -> SimulatedAmazon:
    """The simulator as at its start."""
    simulator.control("reset")
    return simulator


@pytest.fixture(scope="session")
def kept_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with a profile of its own."""
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def browser(kept_browser: webdriver.Chrome) -> webdriver.Chrome:
    """It, with nothing of other tests."""
    forget(kept_browser)
    return kept_browser
