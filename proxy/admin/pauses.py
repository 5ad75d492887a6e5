"""Long work on the event loop, a piece at a time: requests of clients are served in between."""

from __future__ import annotations

import asyncio
import os
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_SECONDS: Final = 0.00025
"""A request waits twice for what runs: when it comes, and when its response does."""
LONGEST_PIECE_SECONDS: Final = 0.02
_SHARE: Final = 4
"""A piece may take a quarter of the time that all others took since the last one. During a start with ten thousand
accounts thousands of tasks are due, and short pieces would take minutes."""


_yield_processor: Final[Callable[[], None]] = getattr(os, "sched_yield", lambda: None)  # Windows has no such call
"""A process that waits for this processor, another replica or a client on the same machine, gets it in each pause, and
not after the 3 ms that Linux gives a busy process at a time."""


class Pauses:
    """Call it often; it pauses once the work since the last pause took its time."""

    def __init__(self) -> None:
        self._piece = PIECE_SECONDS
        self._since = perf_counter()

    def __repr__(self) -> str:
        return "<Pauses>"

    async def __call__(self) -> None:
        now = perf_counter()
        if now - self._since > self._piece:
            _yield_processor()
            await asyncio.sleep(0)
            self._since = perf_counter()
            self._piece = next_piece(self._since - now)


def next_piece(away: float) -> float:
    """How long a piece may take after all others took `away` seconds. Pure."""
    return min(max(PIECE_SECONDS, away / _SHARE), LONGEST_PIECE_SECONDS)
