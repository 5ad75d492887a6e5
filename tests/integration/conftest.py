"""Programs that are started once and look new to each test: the simulator that stands for Amazon, a browser.

A module whose simulator has other options has a `simulator` fixture of its own, and one with another browser likewise.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.integration.browsing import chromium, forget
from tests.support.ready_program import ready
from tests.support.running import SimulatedAmazon, simulated_amazon

LONGEST_FIRST = (
    *("test_clients_unchanged_programs", "test_compose_fleet", "test_named_reports", "test_faults", "test_container"),
    *("test_clients_unchanged", "test_make", "test_prism", "test_contributing", "test_clients_unchanged_newman"),
    *("test_clients_mcp", "test_clients_unchanged_airbyte", "test_clients_airbyte", "test_clients_unchanged_mcp"),
    *(
        "test_fleet_live",
        "test_flood_memory",
        "test_bounded_memory",
        "test_console_upkeep",
        "test_profiles_live",
        "test_hostile",
    ),
    *("test_console_requests", "test_named_reports_version_1", "test_systemd_live", "test_console_pictures"),
    *("test_console_chromium", "test_approvals_fleet", "test_tokens_live", "test_ours", "test_clients_fastmcp"),
    *("test_drain", "test_console_approvals", "test_state_live", "test_store_returns_live", "test_tunnel"),
    *("test_client_certificates", "test_mcp", "test_reload", "test_rolling_restarts"),
    *("test_locks", "test_fairness", "test_report_clients", "test_browser_attacks"),
    *("test_jwt_live", "test_intercept_listen", "test_pods", "test_spend_ledger", "test_run_unchanged"),
    *("test_newman_unified", "test_attack_mcp", "test_console_accounts", "test_release", "test_clients_docs"),
    *("test_fleet_lists_live", "test_newman", "test_alerts_live", "test_wheel", "test_clients_python"),
)
"""Files that take half a minute and more, the longest first; those that make programs before all others. They begin in
this order, so that none is the last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of `LONGEST_FIRST`; all other files as they were."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Load the program once for all processes that are about to run tests."""
    if session.config.getoption("processes", 1) > 1:
        ready()


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture
def amazon(simulator: SimulatedAmazon) -> SimulatedAmazon:
    """The simulator as at its start."""
    simulator.control("reset")
    return simulator


@pytest.fixture(scope="module")
def kept_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with a profile of its own. It ends with the tests of its file: to keep it for others takes more
    of the processor, within two minutes, than to start another one."""
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def browser(kept_browser: webdriver.Chrome) -> webdriver.Chrome:
    """The browser, with nothing of other tests."""
    forget(kept_browser)
    return kept_browser
