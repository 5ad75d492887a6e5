"""When failed writes of refresh tokens are tried again. The pace is the store's, not an account's.

While writes fail, one of them is tried each second, in turns. The first write that succeeds, and every sign that the
store has returned, releases all others at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

EVERY: Final = 1.0
"""Seconds between two attempts while the store takes no writes."""


class WriteRetries:
    """Shared by the keepers of all accounts; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<WriteRetries: {len(self._waiting)} waiting>"

    async def wait(self, account: str) -> None:
        """Returns when this account's write may be tried again."""
        loop = asyncio.get_running_loop()
        self._waiting[account] = released = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(EVERY, self._release_next)
        try:
            await released
        finally:
            self._waiting.pop(account, None)

    def release(self, account: str) -> None:
        """Lets one account's write be tried now."""
        released = self._waiting.pop(account, None)
        if released is not None and not released.done():
            released.set_result(None)

    def release_all(self) -> None:
        """The store takes writes, or may do so again."""
        for account in tuple(self._waiting):
            self.release(account)

    def _release_next(self) -> None:
        self._timer = None
        account = next(iter(self._waiting), None)
        if account is None:
            return
        self.release(account)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._release_next)
