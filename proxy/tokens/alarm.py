"""A sleep that can be cut short, and that never lasts so long that a suspended machine would go unnoticed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

MAX_SLEEP: Final = 30.0
"""A sleep does not notice a suspended machine; the clock is looked at again at least this often."""


class Alarm:
    """Belongs to one sleeper and one event loop."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Alarm: {'rung' if self._rung.is_set() else 'silent'}>"

    def ring(self) -> None:
        """Something changed: the sleeper looks at once."""
        self._rung.set()

    def silence(self) -> None:
        """The sleeper is about to look: what rang before is seen then."""
        self._rung.clear()

    async def sleep(self, seconds: float) -> None:
        """Until it rings, or at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(MAX_SLEEP, max(0.001, seconds))):
                await self._rung.wait()
