"""What holds for every test: the examples of property tests, and the event loops that tests with real sockets run on.

A test run is to say the same twice on the same code, on a noisy machine too; `make fuzz` is where chance has its say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

ON_SOCKETS = frozenset(
    (
        "downstream/test_accept_queue",
        "downstream/test_connection",
        "downstream/test_stopping",
        "forwarding/test_early_answers",
        "forwarding/test_exchange",
        "forwarding/test_forwarder",
        "forwarding/test_local",
        "forwarding/test_passing",
        "forwarding/test_relay",
        "forwarding/test_streaming",
        "net/test_dialing",
        "upstream/test_connection",
        "upstream/test_pool",
    )
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both for what touches a transport, asyncio's own for the rest."""
    if f"{item.path.parent.name}/{item.path.stem}" in ON_SOCKETS:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
