"""Long work on the event loop, a piece at a time: requests of clients are served in between."""

from __future__ import annotations

import asyncio
import time
from typing import Final

PIECE_SECONDS: Final = 0.001


class Turns:
    """Call it often; it pauses once the work since the last pause took its time."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def __repr__(self) -> str:
        return "<Turns>"

    async def __call__(self) -> None:
        if time.perf_counter() - self._since > PIECE_SECONDS:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
