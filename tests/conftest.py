"""What holds for every test: the examples of property tests, and the event loops that tests with real sockets run on.

A test run is to say the same twice on the same code, on a noisy machine too; `make fuzz` is where chance has its say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.proxy_bench import every_loop, running
from tests.support.redis_server import kept_server, server

__all__ = ["every_loop", "kept_server", "running", "server"]

SHARED = ("podman",)
"""Marks of tests that share what is made once for all of them: two processes would make it twice."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a file's tests run in one process, one after the other, and so do those that share more.

    What a module makes for its tests is made once then, as without other processes.
    """
    for item in items:
        shared = next((mark for mark in SHARED if item.get_closest_marker(mark)), None)
        item.add_marker(pytest.mark.xdist_group(shared or item.path.as_posix()))
