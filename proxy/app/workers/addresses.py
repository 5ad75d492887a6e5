"""Connections by the address that they come from, counted by all workers in memory that they share.

The memory is a table of rows, each for one address, with a number for every worker. An address may stand in one of a
few rows, which its digest chooses; a row whose numbers are all zero is anybody's. The digest has a key, so that nobody
can choose addresses that all want the same rows.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from typing import TYPE_CHECKING, Final

from proxy.app.workers.byte_locks import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

BUCKETS: Final = 4096
_WAYS: Final = 16
_ROWS: Final = BUCKETS * _WAYS
_KEY_BYTES: Final = 16
_DIGEST_BYTES, _COUNT_BYTES = 8, 4
_DIGESTS_AT: Final = 64
_COUNTS_AT: Final = _DIGESTS_AT + _ROWS * _DIGEST_BYTES


class AddressMemory:
    """The memory, from `start` of the file on; it is locked by the bytes from `first_lock` on."""

    def __init__(self, descriptor: int, workers: int, *, start: int = 0, first_lock: int = 0) -> None:
        self._descriptor, self._first_lock = descriptor, first_lock
        self._memory = mmap.mmap(descriptor, self.size(workers), offset=start)
        whole = memoryview(self._memory)
        self.digests = whole[_DIGESTS_AT:_COUNTS_AT].cast("Q")
        counts = whole[_COUNTS_AT:].cast("I")
        self.counts = [counts[number * _ROWS : (number + 1) * _ROWS] for number in range(workers)]

    def __repr__(self) -> str:
        return f"<AddressMemory for {len(self.counts)} workers>"

    @staticmethod
    def size(workers: int) -> int:
        """In bytes."""
        return _COUNTS_AT + workers * _ROWS * _COUNT_BYTES

    def choose_key(self) -> None:
        """Before anybody counts."""
        self._memory[:_KEY_BYTES] = os.urandom(_KEY_BYTES)

    def digest(self, address: str) -> int:
        """A number of an address, never 0."""
        key = self._memory[:_KEY_BYTES]
        made = hashlib.blake2b(address.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES, key=key).digest()
        return int.from_bytes(made) or 1

    def find(self, digest: int) -> int | None:
        """The row of an address, which may have to be a new one; None where there is no room. Under its lock."""
        first = digest % BUCKETS * _WAYS
        free: int | None = None
        for row in range(first, first + _WAYS):
            if self.total(row):
                if self.digests[row] == digest:
                    return row
            elif free is None:
                free = row
        if free is not None:
            self.digests[free] = digest
        return free

    def total(self, row: int) -> int:
        """Over all workers."""
        return sum(counts[row] for counts in self.counts)

    def locked(self, digest: int) -> AbstractContextManager[None]:
        """The rows where this address may be are this process's alone."""
        return locked(self._descriptor, self._first_lock + digest % BUCKETS)

    def forget(self, number: int) -> None:
        """A worker has ended, and its connections with it."""
        self.counts[number][:] = memoryview(bytes(_ROWS * _COUNT_BYTES)).cast("I")


class SharedAddresses:
    """One worker's connections, beside those of the others. Implements `downstream.AddressCounts`."""

    def __init__(self, memory: AddressMemory, number: int) -> None:
        self._memory, self._counts = memory, memory.counts[number]
        self._own: dict[str, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"<SharedAddresses: {len(self._own)} connected here, {len(self._own) - len(self._rows)} without a row>"

    def enter(self, address: str) -> int:
        """One more; gives how many there are now. An address for which there is no room is counted here alone."""
        own = self._own[address] = self._own.get(address, 0) + 1
        memory = self._memory
        known = self._rows.get(address)
        digest = known[0] if known is not None else memory.digest(address)
        with memory.locked(digest):
            row = known[1] if known is not None else memory.find(digest)
            if row is None:
                return own
            self._rows[address] = digest, row
            self._counts[row] = own
            return memory.total(row)

    def leave(self, address: str) -> None:
        """One less. A row that is left is free by that alone, so no lock is needed."""
        own = self._own[address] = self._own[address] - 1
        known = self._rows.get(address)
        if known is not None:
            self._counts[known[1]] = own
        if not own:
            del self._own[address]
            self._rows.pop(address, None)
