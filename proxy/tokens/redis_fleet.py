"""What replicas tell each other beside tokens, through Redis or Valkey, and how the server is. Nothing here is on a
request's path.

What is told is encrypted, kept for `MEMORY` seconds, and heard by whoever comes later, too. What it means is for those
who tell it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import InvalidToken

from proxy.errors import StateError
from proxy.tokens.fleet import StoreHealth
from proxy.tokens.redis_connection import digest
from proxy.tokens.redis_scripts import SETTLE, SHARE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cryptography.fernet import MultiFernet

    from proxy.tokens.redis_connection import RedisConnection

MEMORY: Final = 900.0
"""Seconds for which what was told is of interest."""
_TOLD: Final = "told"
_PAUSE: Final = 0.5
_FORM: Final = (InvalidToken, ValueError, KeyError, TypeError)


class RedisFleet:
    """One replica's side; see `fleet.Fleet`."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet) -> None:
        self._connection = connection
        self._cipher = cipher

    def __repr__(self) -> str:
        return f"<RedisFleet of {self._connection.replicas} at {self._connection.address}>"

    @property
    def health(self) -> StoreHealth:
        trouble = self._connection.trouble
        return StoreHealth(str(trouble) if trouble is not None else "", self._connection.replicas)

    def follow(self, changed: Callable[[], None]) -> None:
        self._connection.changed = changed

    async def share(self, told: dict[str, Any]) -> None:
        try:
            content = self._cipher.encrypt(json.dumps(told).encode())
            await self._connection.run(SHARE, (_TOLD,), int(MEMORY * 1000), content)
        except StateError:
            return

    async def heard(self) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        last = ""
        while True:
            try:
                if not last:
                    last = f"{await self._now() - int(MEMORY * 1000)}-0"
                for _, id_, fields in await self._connection.news({_TOLD: last}):
                    last = id_
                    told = self._open(fields)
                    if told is not None:
                        yield (await self._now() - int(id_.partition("-")[0])) / 1000, told
            except StateError:
                await asyncio.sleep(_PAUSE)

    async def settle(self, name: str, capacity: float, interval: float, spent: int) -> float | None:
        words = capacity, interval * 1000, spent
        try:
            return float(await self._connection.run(SETTLE, (f"budget:{digest(name)}",), *words))
        except StateError:
            return None

    async def _now(self) -> int:
        """The server's clock, in milliseconds."""
        seconds, micros = await self._connection.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def _open(self, fields: dict[bytes, bytes]) -> dict[str, Any] | None:
        """What cannot be read was told by nobody of ours."""
        try:
            told = json.loads(self._cipher.decrypt(fields[b"content"]))
        except _FORM:
            return None
        return told if isinstance(told, dict) else None
