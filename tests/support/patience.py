"""How long a test waits for an event that must come, and for a condition. This ends a hang; no test judges by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds. A busy machine starts a program in 30 of them."""
_TURNS = 50


async def settled(condition: Callable[[], object]) -> None:
    """Let the event loop run until the condition holds: for what tells nobody that it happened.

    What takes more than a few turns waits for a thread or a timer, and turns would only keep these from the core.
    """
    turns = 0
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0 if turns < _TURNS else 0.001)
            turns += 1
