"""What holds for every test: the examples of property tests, the event loops that tests with real sockets run on, that
nothing is left open, and which tests count for coverage.

A test run is to say the same twice on the same code, on a noisy machine too; `make fuzz` is where chance has its say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.left_open import pytest_collection, pytest_collection_finish, pytest_runtest_teardown
from tests.support.proxy_bench import every_loop, running
from tests.support.redis_server import kept_server, server

__all__ = [
    "every_loop",
    "kept_server",
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_runtest_teardown",
    "running",
    "server",
]

settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both for what requests `every_loop`, by itself or with the bench on sockets; asyncio's own for the rest."""
    if isinstance(item, pytest.Function) and "every_loop" in item.fixturenames:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Coverage counts what a plain test reaches: not the examples of property tests, and one of the two event loops.

    Otherwise a line would pass for tested that chance came by; and counting is what costs most time. With the option
    `--cov-context` all tests count: `make mutants` asks which of them run a line.

    What speaks through the bench on sockets runs in `make check` on the loop that the program has, uvloop, and on
    asyncio's own with the long tests. What requests `every_loop` itself tries transports, and always runs on both.
    """
    counts_all = config.getoption("cov_context", None) is not None
    for item in items:
        if "[asyncio" in item.name and {"every_loop", "running"} <= set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.long)
        function = getattr(item, "obj", None)
        if not counts_all and (getattr(function, "is_hypothesis_test", False) or "[uvloop" in item.name):
            item.add_marker(pytest.mark.no_cover)
