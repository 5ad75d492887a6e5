"""Lists that outlast the program: read from the store's documents at a start, and written a moment after a change.

Losing them is harmless. When lists change is for `directory`; which document holds what is for `index` and `reach`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from proxy.errors import StateError
from proxy.profiles import reach
from proxy.profiles.index import DOCUMENTS, ProfileIndex, document_of, read_document
from proxy.profiles.reach import ReachIndex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.profiles.pacing import Pacing
    from proxy.profiles.source import ProfileSource
    from proxy.tokens.leases import Form, Leases, T

EARLIER_DOCUMENT, EARLIER_REACH = "profiles", "ads-accounts"
"""Held all lists in the versions before; empty, once they are in `index.DOCUMENTS` and `reach.DOCUMENTS`."""
SAVE_DELAY = 2.0
"""Seconds from a change until it is written."""
_SAVE_SHARE = 0.05
"""At most this part of the time is spent on writing: lists of many accounts change all the time after a start."""


class ListStore(Protocol):
    """Where lists are kept, and shared: see `proxy.tokens.store.Store`."""

    async def read_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...

    def leases_for(self, form: Form[T]) -> Leases[T]: ...


class KeptLists:
    """Keeps what is in two indexes. `load`, `begin` and `stop` are called one after another."""

    def __init__(self, documents: ListStore, profiles: ProfileIndex, further: ReachIndex, pacing: Pacing) -> None:
        self._documents, self._profiles, self._further, self._pacing = documents, profiles, further, pacing
        self._unsaved: set[str] = set()
        self._dirty = asyncio.Event()
        self._never = asyncio.Event()
        self._saver: asyncio.Task[None] | None = None
        self.version = 0

    def __repr__(self) -> str:
        return f"<KeptLists: {self.version} changes, {len(self._unsaved)} documents to write>"

    async def load(self, wanted: Mapping[str, ProfileSource]) -> None:
        """Take what the store knows of the accounts that there are, if it was asked for as it would be now."""
        with contextlib.suppress(StateError):
            for name in (EARLIER_DOCUMENT, *DOCUMENTS):
                for account, region, listing in read_document(await self._documents.read_document(name)):
                    if _is_of(wanted.get(account), region, listing.origin):
                        self._profiles.put(account, region, listing)
                    if name == EARLIER_DOCUMENT:
                        self.changed(document_of(account), EARLIER_DOCUMENT)
            for name in (EARLIER_REACH, *reach.DOCUMENTS):
                for account, region, reading in reach.read_document(await self._documents.read_document(name)):
                    if _is_of(wanted.get(account), region, reading.origin):
                        self._further.put(account, region, reading)
                    if name == EARLIER_REACH:
                        self.changed(document_of(account, reach.DOCUMENTS), EARLIER_REACH)

    def begin(self) -> None:
        """Write what changes from now on."""
        self._saver = asyncio.create_task(self._save())

    async def stop(self) -> None:
        """Write what is not written yet."""
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.wait((self._saver,))
        if self._dirty.is_set():
            await self._write()

    def changed(self, *documents: str) -> None:
        """What is in these documents is other now."""
        self.version += 1
        self._unsaved.update(documents)
        self._dirty.set()

    async def _save(self) -> None:
        delay, now = SAVE_DELAY, self._pacing.clock
        while True:
            await self._dirty.wait()
            await self._pacing.pause(delay, self._never)
            began = now()
            await self._write()
            delay = max(SAVE_DELAY, (now() - began) / _SAVE_SHARE)

    async def _write(self) -> None:
        self._dirty.clear()
        names, self._unsaved = self._unsaved, set()
        with contextlib.suppress(StateError):
            for name in sorted(names.intersection(DOCUMENTS)):
                await self._documents.write_document(name, self._profiles.to_document(name))
            if EARLIER_DOCUMENT in names:
                await self._documents.write_document(EARLIER_DOCUMENT, ProfileIndex().to_document())
            for name in sorted(names.intersection(reach.DOCUMENTS)):
                await self._documents.write_document(name, self._further.to_document(name))
            if EARLIER_REACH in names:
                await self._documents.write_document(EARLIER_REACH, ReachIndex().to_document())


def _is_of(source: ProfileSource | None, region: str, origin: str) -> bool:
    return source is not None and region in source.api_urls and origin == source.origin(region)
