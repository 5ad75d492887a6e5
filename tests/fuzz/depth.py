"""How long a property is tried: a short slice that is the same every time, or many examples of chance.

`make test` runs the slices, which are marked `long`; `make fuzz` runs the long ones again and again, with another seed
each time. Nothing is asserted here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    "print_blob": True,
    "phases": (Phase.explicit, Phase.generate, Phase.target, Phase.shrink),
}
BRIEF = settings(max_examples=100, derandomize=True, database=None, **_COMMON)
LONG = settings(max_examples=1500, derandomize=False, database=None, **_COMMON)
BRIEF_STEPS = settings(BRIEF, max_examples=30, stateful_step_count=25)
LONG_STEPS = settings(LONG, max_examples=400, stateful_step_count=60)


def briefly(test: Callable[..., None]) -> Callable[..., None]:
    """A slice of a property for `make test`."""
    marked: Callable[..., None] = pytest.mark.long(BRIEF(test))
    return marked


def at_length(test: Callable[..., None]) -> Callable[..., None]:
    """The property for `make fuzz`."""
    marked: Callable[..., None] = pytest.mark.fuzz(LONG(test))
    return marked


def run(work: Callable[[], Awaitable[None]]) -> None:
    """One example on an event loop of its own."""

    async def whole() -> None:
        async with asyncio.timeout(20):
            await work()

    with asyncio.Runner() as runner:
        runner.run(whole())
