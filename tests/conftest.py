"""What holds for every test: the examples of property tests, the event loops that tests with real sockets run on, that
nothing is left open, that a test that hangs ends the run, and which tests count for coverage.

A test run is to say the same twice on the same code, on a noisy machine too; `make fuzz` is where chance has its say,
with many more examples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from coverage import Coverage
from hypothesis import HealthCheck, settings

from tests.support.garbage import garbage
from tests.support.hanging import pytest_configure
from tests.support.integrated import MARKS, is_integrated
from tests.support.left_open import pytest_collection, pytest_collection_finish, pytest_runtest_teardown
from tests.support.plain_coverage import PlainCoverage
from tests.support.proxy_bench import every_loop, running
from tests.support.redis_server import kept_server, server

__all__ = [
    "every_loop",
    "garbage",
    "kept_server",
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_runtest_teardown",
    "running",
    "server",
]

settings.register_profile(
    "steady",
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    max_examples=500,
    derandomize=False,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("steady")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loops of a test: both if it requests `every_loop`, by itself or with the bench on sockets; asyncio's
    own otherwise."""
    if isinstance(item, pytest.Function) and "every_loop" in item.fixturenames:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let only plain tests count for the coverage of chosen modules, but with `--cov-context` all: `make mutants` asks
    which tests run a line."""
    coverage = Coverage.current()
    if coverage is None or session.config.getoption("cov_context", None) is not None:
        return
    chosen = coverage.get_option("run:include")
    if isinstance(chosen, list):
        session.config.pluginmanager.register(PlainCoverage(coverage, chosen))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose which cases are long.

    What speaks through the bench on sockets runs in `make check` on the loop that the program has, uvloop, and on
    asyncio's own with the long tests. What requests `every_loop` itself tries transports, and always runs on both.
    """
    for item in items:
        if "[asyncio" in item.name and {"every_loop", "running"} <= set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.long)
        if any(item.get_closest_marker(mark) for mark in MARKS) and not is_integrated(item.path):
            raise pytest.UsageError(
                f"{item.nodeid}: `make integration` does not find it; see tests/support/integrated.py"
            )
