"""A store that lasts as long as the process: for containers whose tokens come from mounted secrets, and for tests."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from proxy.tokens.leases import AloneLeases
from proxy.tokens.store import StoreChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.tokens.leases import Form, T
    from proxy.tokens.store import StoredToken
    from proxy.tokens.token_response import Grant


class MemoryStore:
    """Keeps everything in two dictionaries."""

    def __init__(self) -> None:
        self._entries: dict[str, StoredToken] = {}
        self._documents: dict[str, str] = {}
        self._changed = asyncio.Event()
        self.leases: AloneLeases[Grant] = AloneLeases()
        self.fleet = None

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._entries)} accounts>"

    def leases_for(self, form: Form[T]) -> AloneLeases[T]:
        return AloneLeases()

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            "State is kept in memory only (state.url is memory:): sign-ins and new refresh tokens are lost at exit.",
        )

    async def read(self, account: str) -> StoredToken | None:
        return self._entries.get(account)

    async def write(self, account: str, entry: StoredToken) -> None:
        self._entries[account] = entry
        self._changed.set()

    async def unwritten(self, account: str) -> StoredToken | None:
        return None

    async def read_document(self, name: str) -> object | None:
        text = self._documents.get(name)
        document: object = json.loads(text) if text is not None else None
        return document

    async def write_document(self, name: str, data: object) -> None:
        self._documents[name] = json.dumps(data)

    async def changes(self) -> AsyncIterator[StoreChange]:
        while True:
            yield StoreChange()
            await self._changed.wait()
            self._changed.clear()

    async def close(self) -> None:
        """Nothing to let go of."""
