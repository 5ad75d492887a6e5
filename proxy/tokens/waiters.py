"""Those who wait for one outcome that all of them share: how many they are, and their release."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiters:
    """Belongs to the event loop that runs when it is made. `called` is told of each who begins to wait."""

    def __init__(self) -> None:
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self.called: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Waiters: {self.count}>"

    async def wait(self, seconds: float) -> None:
        """Until the next release, or so many seconds."""
        self.count += 1
        if self.called is not None:
            self.called()
        try:
            await asyncio.wait({self._outcome}, timeout=max(0.0, seconds))
        finally:
            self.count -= 1

    def release(self) -> None:
        """Something came of it: everybody looks for himself. Who comes later waits for the next."""
        outcome, self._outcome = self._outcome, asyncio.get_running_loop().create_future()
        outcome.set_result(None)
