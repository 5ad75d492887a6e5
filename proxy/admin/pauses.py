"""Long work on the event loop, a piece at a time: requests of clients are served in between."""

from __future__ import annotations

import asyncio
import time
from typing import Final

PIECE_SECONDS: Final = 0.001
LONGEST_PIECE_SECONDS: Final = 0.02
_SHARE: Final = 4
"""A piece may take a quarter of the time that all others took since the last one. During a start with ten thousand
accounts thousands of tasks are due, and pieces of a millisecond would take minutes."""


class Pauses:
    """Call it often; it pauses once the work since the last pause took its time."""

    def __init__(self) -> None:
        self._piece = PIECE_SECONDS
        self._since = time.perf_counter()

    def __repr__(self) -> str:
        return "<Pauses>"

    async def __call__(self) -> None:
        now = time.perf_counter()
        if now - self._since > self._piece:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
            self._piece = next_piece(self._since - now)


def next_piece(away: float) -> float:
    """How long a piece may take after all others took `away` seconds. Pure."""
    return min(max(PIECE_SECONDS, away / _SHARE), LONGEST_PIECE_SECONDS)
