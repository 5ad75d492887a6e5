"""What the workers count together, in one file of memory that each of them is given: budgets, and connections."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from typing import TYPE_CHECKING, Any, Final

from proxy.access.clients import ROW_LENGTH, SPENT, Budgets, BudgetUsage, settle_row, spend_one, take_spending
from proxy.observability.number_memory import SharedCell, make_memory_file
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from proxy.net.dialing import Origin


# --- Budgets of clients ---------------------------------------------------------------------------------------

MAX_CLIENTS: Final = 8192


class BudgetMemory:
    """The memory: for each client its bucket, and how many of its requests each worker has under way."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self._descriptor, self._width = descriptor, ROW_LENGTH + workers
        self._memory = mmap.mmap(descriptor, MAX_CLIENTS * self._width * 8)
        self._numbers = memoryview(self._memory).cast("d")

    def __repr__(self) -> str:
        return f"<BudgetMemory for {self._width - ROW_LENGTH} workers>"

    @staticmethod
    def size(workers: int) -> int:
        """The size of the file, in bytes."""
        return MAX_CLIENTS * (ROW_LENGTH + workers) * 8

    def row(self, slot: int) -> memoryview[float]:
        return self._numbers[slot * self._width : (slot + 1) * self._width]

    @contextlib.contextmanager
    def locked(self, slot: int) -> Iterator[memoryview[float]]:
        """The row of a client, for this process alone."""
        with locked(self._descriptor, slot):
            yield self.row(slot)


class ClaimedCell(SharedCell):
    """Counts a client's requests. One that was claimed is counted already: what adds it afterwards changes nothing."""

    __slots__ = ("_claimed",)

    def __init__(self, numbers: memoryview[float]) -> None:
        super().__init__(numbers)
        self._claimed = False

    @property
    def value(self) -> int:
        return int(self._numbers[0])

    @value.setter
    def value(self, value: float) -> None:
        if self._claimed and value > self._numbers[0]:
            self._claimed = False
        else:
            self._numbers[0] = value

    def claim(self) -> None:
        """Count a request that is about to begin."""
        self._numbers[0] += 1
        self._claimed = True

    def release(self) -> None:
        """Take back a claim for a request that never began."""
        if self._claimed:
            self._numbers[0] -= 1
            self._claimed = False


class SharedBudgets(Budgets):
    """Budgets shared by all workers, for clients that have a slot; other clients are counted here alone. `number` is
    this worker's, None for the supervisor."""

    def __init__(self, memory: BudgetMemory, number: int | None = None) -> None:
        super().__init__()
        self._memory, self._number = memory, number
        self._slots: dict[str, int] = {}
        self._cells: dict[str, ClaimedCell] = {}

    def __repr__(self) -> str:
        return f"<SharedBudgets of {len(self._slots)} clients>"

    def take_slots(self, slots: Mapping[str, int]) -> None:
        """Which client has which slot; one keeps it for good."""
        self._slots.update(slots)

    def give_slots(self, names: Iterable[str]) -> dict[str, int]:
        """A slot for each client that has none yet. Gives all; what there is no room for is counted by each alone."""
        for name in names:
            if name not in self._slots and len(self._slots) < MAX_CLIENTS:
                self._slots[name] = len(self._slots)
        return dict(self._slots)

    def spend(self, name: str, per_minute: int, now: float) -> float:
        slot = self._slots.get(name)
        if slot is None:
            return super().spend(name, per_minute, now)
        with self._memory.locked(slot) as row:
            return spend_one(row, per_minute, now)

    # --- what the supervisor does

    def take_spendings(self) -> tuple[BudgetUsage, ...]:
        spendings = list(super().take_spendings())
        for name, slot in self._slots.items():
            if self._memory.row(slot)[SPENT]:
                with self._memory.locked(slot) as row:
                    spendings.append(take_spending(name, row))
        return tuple(spendings)

    def settle(self, name: str, left: float, now: float) -> None:
        slot = self._slots.get(name)
        if slot is None:
            super().settle(name, left, now)
            return
        with self._memory.locked(slot) as row:
            settle_row(row, left, now)

    def forget_in_flight(self, number: int) -> None:
        """A worker has ended, and its requests with it."""
        for slot in self._slots.values():
            self._memory.row(slot)[ROW_LENGTH + number] = 0.0

    # --- requests under way

    def in_flight_cell(self, name: str) -> ClaimedCell | None:
        """Where this worker counts a client's requests, for all to see; None for a client without a slot."""
        slot = self._slots.get(name)
        if slot is None or self._number is None:
            return None
        cell = self._cells.get(name)
        if cell is None:
            numbers = self._memory.row(slot)[ROW_LENGTH + self._number : ROW_LENGTH + self._number + 1]
            cell = self._cells[name] = ClaimedCell(numbers)
        return cell

    def claim(self, name: str, limit: int, in_flight: int) -> bool:
        cell = self.in_flight_cell(name)
        if cell is None:
            return super().claim(name, limit, in_flight)
        with self._memory.locked(self._slots[name]) as row:
            cell.release()
            if sum(row[ROW_LENGTH:]) >= limit:
                return False
            cell.claim()
            return True


# --- Connections ----------------------------------------------------------------------------------------------

_HOSTS: Final = 256
"""Hosts with a row of their own, which they keep. One beyond them shares a row, and so its limit, with another one."""
_COUNTED: Final = 3
"""Numbers that each worker has in a row."""
_RING_SECONDS: Final = 0.01
"""The least time between two messages of a worker about places."""


class ConnectionMemory:
    """The memory, from `start` of the file on; it is locked by the bytes from `first_lock` on.

    `clients` and each row of `hosts` hold a list of `workers` numbers for each thing that is counted.
    """

    def __init__(self, descriptor: int, workers: int, *, start: int, first_lock: int) -> None:
        self._descriptor, self._first_lock = descriptor, first_lock
        self.workers = workers
        numbers = memoryview(mmap.mmap(descriptor, self.size(workers), offset=start)).cast("Q")
        parts = [numbers[at : at + workers] for at in range(_HOSTS, len(numbers), workers)]
        self.names = numbers[:_HOSTS]
        self.clients, *self.hosts = [parts[at : at + _COUNTED] for at in range(0, len(parts), _COUNTED)]

    def __repr__(self) -> str:
        return f"<ConnectionMemory for {self.workers} workers>"

    @staticmethod
    def size(workers: int) -> int:
        """The size of the file, in bytes."""
        return (_HOSTS + (1 + _HOSTS) * _COUNTED * workers) * 8

    def locked(self, row: int) -> AbstractContextManager[None]:
        """Lock a row for this process alone; row -1 holds the counts of clients' connections."""
        return locked(self._descriptor, self._first_lock + 1 + row)

    def row_of(self, origin: Origin) -> int:
        """The row of a host, the same in every worker."""
        name = f"{origin.scheme} {origin.host} {origin.port}"
        digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) or 1
        with self.locked(-1):
            for step in range(_HOSTS):
                row = (digest + step) % _HOSTS
                if self.names[row] in (0, digest):
                    self.names[row] = digest
                    return row
        return digest % _HOSTS

    def forget(self, number: int) -> None:
        """A worker has ended, and its connections with it."""
        for row in (self.clients, *self.hosts):
            for counts in row:
                counts[number] = 0


class SharedConnectionCounts:
    """Clients' connections of one worker, next to those of the others. Implements `downstream.ConnectionCounts`."""

    def __init__(self, memory: ConnectionMemory, number: int) -> None:
        self._memory, self._number = memory, number
        self._open, self._connected, self._accepts = memory.clients

    def __repr__(self) -> str:
        return f"<SharedConnectionCounts: {self._open[self._number]} of {sum(self._open)} here>"

    def begin(self) -> None:
        """Declare that this worker accepts connections from now on."""
        self._accepts[self._number] = 1

    def count(self, opened: int, connected: int) -> tuple[int, int]:
        with self._memory.locked(-1):
            self._open[self._number], self._connected[self._number] = opened, connected
            return sum(self._open), sum(self._connected)

    @property
    def gives_way(self) -> bool:
        """Whether a worker with clearly fewer connections should accept the next one."""
        accepting = [count for count, accepts in zip(self._open, self._accepts, strict=True) if accepts]
        fewest = min(accepting, default=0)
        return self._open[self._number] > fewest + fewest // 8


class SlotSharing:
    """Makes this worker's `SharedSlots`. `tell` sends the others a message: look at the places again."""

    def __init__(
        self, memory: ConnectionMemory, number: int, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]
    ) -> None:
        self.memory, self.number = memory, number
        self._loop, self._tell = loop, tell
        self._told = 0.0
        self._telling: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<SlotSharing of worker {self.number}>"

    def slots(self, origin: Origin, limit: int) -> SharedSlots:
        return SharedSlots(self, self.memory.row_of(origin), limit)

    def tell(self) -> None:
        """Soon, and not more often than is of use."""
        if self._telling is not None:
            return
        wait = self._told + _RING_SECONDS - self._loop.time()
        if wait > 0:
            self._telling = self._loop.call_later(wait, self._tell_now)
        else:
            self._tell_now()

    def _tell_now(self) -> None:
        self._telling, self._told = None, self._loop.time()
        self._tell()


class SharedSlots:
    """The places for connections to one host, shared by all workers. Implements `upstream.Places`."""

    def __init__(self, sharing: SlotSharing, row: int, limit: int) -> None:
        self.limit, self.processes = limit, sharing.memory.workers
        self._sharing, self._row, self._number = sharing, row, sharing.number
        self._taken, self._wants, self._used = sharing.memory.hosts[row]
        self._wanted = False

    def __repr__(self) -> str:
        return f"<SharedSlots: {self._taken[self._number]} here, {self.free} of {self.limit} free>"

    @property
    def used(self) -> int:
        return self._used[self._number]

    @used.setter
    def used(self, used: int) -> None:
        self._used[self._number] = used

    @property
    def used_everywhere(self) -> int:
        return sum(self._used)

    @property
    def free(self) -> int:
        return self.limit - sum(self._taken)

    def take(self) -> bool:
        with self._sharing.memory.locked(self._row):
            own = self._taken[self._number]
            if self.free <= 0 or any(self._taken[asker] < own for asker in self._askers):
                return False
            self._taken[self._number] += 1
            return True

    def give(self) -> None:
        self._taken[self._number] -= 1
        if self._askers:
            self._sharing.tell()

    def want(self, wanted: bool) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._wants[self._number] += 1 if wanted else -1  # a pool that a reload replaced may want places, too
            if wanted:
                self._sharing.tell()

    @property
    def _askers(self) -> list[int]:
        """The numbers of the other workers that wait for a place."""
        return [number for number, wants in enumerate(self._wants) if wants and number != self._number]

    @property
    def wanted_elsewhere(self) -> bool:
        return bool(self._askers)

    @property
    def exceed_share(self) -> bool:
        own, scarce = self._taken[self._number], self.limit < self.processes
        return any(self._taken[asker] < own - 1 or (scarce and not self._taken[asker]) for asker in self._askers)

    @property
    def turn(self) -> int:
        first = min(self._askers, default=self._number)
        return (self._number - first) % self.processes


# --- Connections by client address ----------------------------------------------------------------------------

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
        """The size of the file, in bytes."""
        return _COUNTS_AT + workers * _ROWS * _COUNT_BYTES

    def choose_key(self) -> None:
        """Choose the key that hides addresses, before any process counts."""
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
        """The sum of a row over all workers."""
        return sum(counts[row] for counts in self.counts)

    def locked(self, digest: int) -> AbstractContextManager[None]:
        """The rows where this address may be are this process's alone."""
        return locked(self._descriptor, self._first_lock + digest % BUCKETS)

    def forget(self, number: int) -> None:
        """A worker has ended, and its connections with it."""
        self.counts[number][:] = memoryview(bytes(_ROWS * _COUNT_BYTES)).cast("I")


class SharedAddressCounts:
    """One worker's connections, next to those of the others. Implements `downstream.AddressCounts`."""

    def __init__(self, memory: AddressMemory, number: int) -> None:
        self._memory, self._counts = memory, memory.counts[number]
        self._own: dict[str, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return (
            f"<SharedAddressCounts: {len(self._own)} connected here, {len(self._own) - len(self._rows)} without a row>"
        )

    def enter(self, address: str) -> int:
        """Count one more connection; returns how many there are now. An address without room is counted here alone."""
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
        """Count one less. A row that is left is free by that alone, so no lock is needed."""
        own = self._own[address] = self._own[address] - 1
        known = self._rows.get(address)
        if known is not None:
            self._counts[known[1]] = own
        if not own:
            del self._own[address]
            self._rows.pop(address, None)


# --- All counts in one file -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """The shared counts, as the supervisor opens them."""

    descriptor: int
    budgets: SharedBudgets
    addresses: AddressMemory
    connections: ConnectionMemory

    @classmethod
    def make(cls, workers: int) -> SharedCounts:
        """All zero."""
        descriptor = make_memory_file()
        os.ftruncate(descriptor, _connections_at(workers) + ConnectionMemory.size(workers))
        budgets = SharedBudgets(BudgetMemory(descriptor, workers))
        counts = cls(descriptor, budgets, open_addresses(descriptor, workers), open_connections(descriptor, workers))
        counts.addresses.choose_key()
        return counts

    def forget(self, number: int) -> None:
        """A worker has ended: its requests and connections are none any more."""
        self.budgets.forget_in_flight(number)
        self.addresses.forget(number)
        self.connections.forget(number)

    def close(self) -> None:
        """The slot is no longer used."""
        os.close(self.descriptor)


def open_addresses(descriptor: int, workers: int) -> AddressMemory:
    """The connections in such a file; a client's budget is locked by the byte of its slot, which come first."""
    return AddressMemory(descriptor, workers, start=_addresses_at(workers), first_lock=MAX_CLIENTS)


def open_connections(descriptor: int, workers: int) -> ConnectionMemory:
    """The numbers of connections in such a file; their locks follow those of the addresses."""
    return ConnectionMemory(descriptor, workers, start=_connections_at(workers), first_lock=MAX_CLIENTS + BUCKETS)


def _addresses_at(workers: int) -> int:
    return _whole_pages(BudgetMemory.size(workers))


def _connections_at(workers: int) -> int:
    return _addresses_at(workers) + _whole_pages(AddressMemory.size(workers))


def _whole_pages(size: int) -> int:
    step = mmap.ALLOCATIONGRANULARITY
    return -(-size // step) * step


# --- Locks on single bytes of the file ------------------------------------------------------------------------

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

_ATTEMPTS: Final = 20_000
"""How often a lock that is held for a microsecond is tried."""


def are_possible() -> bool:
    """Whether this system has them."""
    return fcntl is not None


@contextlib.contextmanager
def locked(descriptor: int, byte: int) -> Iterator[None]:
    """What this byte stands for is this process's alone."""
    held = False
    for _ in range(_ATTEMPTS):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except BlockingIOError:
            continue
        held = True
        break
    try:
        yield
    finally:
        if held:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)
