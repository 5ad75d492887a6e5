"""Those who wait for one outcome that all of them share: how many they are, and their release."""

from __future__ import annotations

import asyncio


class Waiters:
    """Belongs to the event loop that runs when it is made."""

    def __init__(self) -> None:
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0

    def __repr__(self) -> str:
        return f"<Waiters: {self.count}>"

    async def wait(self, seconds: float) -> None:
        """Until the next release, or so many seconds."""
        self.count += 1
        try:
            await asyncio.wait({self._outcome}, timeout=max(0.0, seconds))
        finally:
            self.count -= 1

    def release(self) -> None:
        """Something came of it: everybody looks for himself. Who comes later waits for the next."""
        outcome, self._outcome = self._outcome, asyncio.get_running_loop().create_future()
        outcome.set_result(None)
