"""Clients' budgets in memory that all processes share: each takes from the same bucket, under a lock on its bytes."""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING, Final

from proxy.access.clients import ROW_LENGTH, SPENT, Budgets, Spending, settle_row, spend_one, take_spending
from proxy.app.workers.byte_locks import locked
from proxy.observability.number_memory import SharedCell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
        """Of the file, in bytes."""
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
        """One more is about to begin."""
        self._numbers[0] += 1
        self._claimed = True

    def release(self) -> None:
        """It does not; nor does one that was claimed before and never began."""
        if self._claimed:
            self._numbers[0] -= 1
            self._claimed = False


class SharedBudgets(Budgets):
    """As `Budgets`, for clients that have a slot; others are counted here alone. `number` is this worker's, None for
    the supervisor."""

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

    def take_spendings(self) -> tuple[Spending, ...]:
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
