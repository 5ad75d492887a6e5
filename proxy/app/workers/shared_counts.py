"""What the workers count together, in one file of memory that each of them is given: budgets, and connections."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

from proxy.app.workers.budgets import MAX_CLIENTS, BudgetMemory, SharedBudgets
from proxy.app.workers.connection_memory import BUCKETS, AddressMemory, ConnectionMemory
from proxy.observability.number_memory import make_memory_file


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """As the supervisor has them."""

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
        """Nobody is given it any more."""
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
