"""When lists are read again, and the time and chance that it takes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIST_INTERVAL = 3600.0
FIRST_RETRY = 5.0
MAX_RETRY = 300.0
"""In seconds."""
AWAITED_RETRY = 1.5
"""Seconds between attempts while requests get 503 because nothing was ever listed: these are told to wait for 2."""
LONG_AWAITED_RETRY = 10.0
"""The same, when a minute of them was in vain."""


async def wait(seconds: float, wake: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(wake.wait(), seconds)


@dataclass(frozen=True, slots=True)
class Pacing:
    """Time and chance, as given: `pause` returns after so many seconds, or when the event is set."""

    pause: Callable[[float, asyncio.Event], Awaitable[None]] = wait
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


def next_listing(failures: int, retry_after: float | None, chance: float, *, awaited: bool = False) -> float:
    """Seconds until the next listing; `chance`, 0 to 1, only makes it earlier, but never before Retry-After.

    `awaited` tells that requests cannot be served until there is one.
    """
    if failures == 0:
        return LIST_INTERVAL * (1 - 0.2 * chance)
    backoff = min(MAX_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 16))
    if awaited:
        backoff = AWAITED_RETRY if failures * AWAITED_RETRY <= 60 else LONG_AWAITED_RETRY
    backoff *= 1 - 0.3 * chance
    return max(backoff, min(retry_after or 0.0, LIST_INTERVAL))
