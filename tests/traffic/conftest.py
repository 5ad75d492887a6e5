"""On which event loops the tests of this directory run: those with real sockets on both that the program may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

ON_SOCKETS = frozenset(
    (
        "test_answer",
        "test_dialing",
        "test_exchange",
        "test_forward",
        "test_local",
        "test_passing",
        "test_pool",
        "test_streaming",
        "test_tool",
        "test_upstream",
    )
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both for what touches a transport, asyncio's own for the rest."""
    if item.path.stem in ON_SOCKETS:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
