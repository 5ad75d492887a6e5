"""Copies on this machine of refresh tokens that a shared store could not take: one encrypted file for each account.

Amazon may replace a refresh token while the store is away, and the replaced one dies. A copy outlives the process; the
next start reads it and writes it to the store. It never replaces a newer token of the store: `store.outranks`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from proxy.errors import StateError
from proxy.tokens import state_directory
from proxy.tokens.sealing import UNREADABLE, decode_entry, digest, encode_entry
from proxy.tokens.store import outranks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cryptography.fernet import MultiFernet

    from proxy.tokens.store import StoredToken

SPILLED: Final = "spilled-"
_ADVICE: Final = "Set state.spill to a directory that this user can write, or to off."
PATIENCE: Final = 0.25
"""Seconds that a write to the store may take before a copy is made. The process may be killed while a store hangs."""


class Spill:
    """The copies of one store's entries. Several processes may use one directory."""

    def __init__(self, directory: Path, cipher: MultiFernet, store: str) -> None:
        self._directory, self._cipher, self._store = directory, cipher, store
        self._kept: dict[str, StoredToken] = {}
        self._changing = asyncio.Lock()
        self.notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Spill in {self._directory}: {len(self._kept)} copies>"

    @classmethod
    def open(cls, directory: str, cipher: MultiFernet, store: str) -> Spill:
        """Blocks. `store` is the address of the store, without its password. Raises `StateError`."""
        place = state_directory.locate(directory, _ADVICE)
        with state_directory.locked(place):
            state_directory.sweep(place)
            if state_directory.read(place / state_directory.CHECK) is None:
                state_directory.replace(place / state_directory.CHECK, b"spill")
        spill = cls(place, cipher, store)
        spill._read_all()
        return spill

    @staticmethod
    def check_before_start(directory: str) -> None:
        """Blocks. Raise the `StateError` of a directory that `open` would refuse; make and change nothing."""
        state_directory.look(directory, _ADVICE)

    def copy_of(self, account: str) -> StoredToken | None:
        """What an earlier run or this one left here."""
        return self._kept.get(account)

    @contextlib.asynccontextmanager
    async def guarding(self, account: str, entry: StoredToken) -> AsyncIterator[None]:
        """Makes a copy if the write in this block fails or takes long, and removes it after a write that succeeded.

        A `StateError` of the write tells where the copy is, or why there is none.
        """
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        copying = asyncio.create_task(self._copy_unless(written, account, entry), name=f"spill {account}")
        try:
            yield
        except BaseException as error:
            written.set_result(False)
            outcome = await copying
            if isinstance(error, StateError):
                raise type(error)(f"{error} {outcome}") from None
            raise
        written.set_result(True)
        await copying
        if account in self._kept:
            await self.remove(account, entry)

    async def remove(self, account: str, entry: StoredToken) -> None:
        """The store has this entry, or a newer one: an older copy is not needed any more."""
        with contextlib.suppress(StateError):
            await self._change(self._remove, account, entry)

    async def _copy_unless(self, written: asyncio.Future[bool], account: str, entry: StoredToken) -> str:
        await asyncio.wait({written}, timeout=PATIENCE)
        if (written.done() and written.result()) or self._kept.get(account) == entry:
            return f"A copy is in {self._directory}."
        try:
            await self._change(self._keep, account, entry)
        except StateError as error:
            return f"No copy could be made: {error}"
        return f"A copy is in {self._directory}."

    async def _change(self, change: Callable[[str, StoredToken], None], account: str, entry: StoredToken) -> None:
        async with self._changing:
            await asyncio.to_thread(change, account, entry)

    # --- blocking ------------------------------------------------------------------------------------------

    def _keep(self, account: str, entry: StoredToken) -> None:
        with state_directory.locked(self._directory):
            there = self._read(self._path(account))
            if there is None or not outranks(there[1], entry):
                state_directory.replace(self._path(account), self._cipher.encrypt(encode_entry(account, entry)))
        self._kept[account] = entry

    def _remove(self, account: str, entry: StoredToken) -> None:
        with state_directory.locked(self._directory):
            there = self._read(self._path(account))
            if there is None or not outranks(there[1], entry):
                state_directory.remove(self._path(account))
        self._kept.pop(account, None)

    def _read_all(self) -> None:
        unreadable = 0
        for path in state_directory.files(self._directory, SPILLED):
            found = self._read(path)
            if found is None:
                unreadable += 1
            elif path == self._path(found[0]):
                self._kept[found[0]] = found[1]
        if unreadable:
            self.notes = (
                f"state.spill: {unreadable} copies of refresh tokens in {self._directory} are damaged or encrypted "
                "with another key, and are unchanged: add the missing key to state.key (a list), or "
                "remove the files.",
            )

    def _read(self, path: Path) -> tuple[str, StoredToken] | None:
        """The account and its entry; None where there is no file, or one that cannot be read."""
        content = state_directory.read(path)
        if content is None:
            return None
        try:
            return decode_entry(self._cipher.decrypt(content))
        except UNREADABLE:
            return None

    def _path(self, account: str) -> Path:
        """The name also stands for the store: programs with other stores may use the directory, too."""
        return self._directory / (SPILLED + digest(f"{self._store}\0{account}"))
