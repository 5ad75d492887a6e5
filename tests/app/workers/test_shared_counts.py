"""Clients' budgets that several processes share: one bucket for all processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from proxy.access.clients import Budgets, BudgetUsage
from proxy.app.workers import shared_counts as module
from proxy.app.workers.shared_counts import (
    BudgetMemory,
    SharedBudgets,
    SharedConnectionCounts,
    SharedCounts,
    SharedSlots,
    SlotSharing,
)
from proxy.net.dialing import origin_of
from proxy.observability.number_memory import make_memory_file
from tests.support.patience import PATIENCE

SPENDER = """
import sys
from proxy.app.workers.shared_counts import BudgetMemory, SharedBudgets
budgets = SharedBudgets(BudgetMemory(int(sys.argv[1]), 2), 0)
budgets.take_slots({"tool": 0})
print(sum(budgets.spend("tool", 3000, 5.0) == 0.0 for _ in range(3000)))
"""

CLAIMER = """
import sys
from proxy.app.workers.shared_counts import BudgetMemory, SharedBudgets
budgets = SharedBudgets(BudgetMemory(int(sys.argv[1]), 2), int(sys.argv[2]))
budgets.take_slots({"tool": 0})
cell, had = budgets.in_flight_cell("tool"), 0
for _ in range(3000):
    if budgets.claim("tool", 3000, had):
        cell.value += 1
        had += 1
print(had)
"""

HOLDER = """
import sys
from proxy.app.workers.shared_counts import BudgetMemory, SharedBudgets
memory = BudgetMemory(int(sys.argv[1]), 2)
budgets = SharedBudgets(memory, 0)
budgets.take_slots({"tool": 0})
budgets.spend("tool", 60, 5.0)
with memory.locked(0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make_memory_file()
    os.ftruncate(made, BudgetMemory.size(2))
    yield made
    os.close(made)


def of_three(descriptor: int) -> tuple[SharedBudgets, SharedBudgets, SharedBudgets]:
    """The supervisor's and two workers'."""
    memory = BudgetMemory(descriptor, 2)
    supervisor, workers = SharedBudgets(memory), [SharedBudgets(memory, number) for number in range(2)]
    slots = supervisor.give_slots(["tool", "other"])
    for worker in workers:
        worker.take_slots(slots)
    return supervisor, workers[0], workers[1]


def test_workers_take_from_one_bucket_as_one_process_would(descriptor: int) -> None:
    """The answers come in the same order as without sharing, refills and another limit included."""
    _, first, second = of_three(descriptor)
    alone = Budgets()
    asked = [(6, 10.0)] * 8 + [(6, 15.0)] * 3 + [(6, 80.0)] * 8 + [(3, 90.0)] * 5
    for number, (per_minute, now) in enumerate(asked):
        shared = (first, second)[number % 2]
        assert shared.spend("tool", per_minute, now) == alone.spend("tool", per_minute, now)


@pytest.mark.long
def test_processes_at_once_spend_no_more_than_there_is(descriptor: int) -> None:
    """Three thousand were there, and three processes that ask for as many each get them between them."""
    command = [sys.executable, "-c", SPENDER, str(descriptor)]
    started = [subprocess.Popen(command, pass_fds=(descriptor,), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=PATIENCE)[0]) for process in started) == 3000


def test_a_worker_that_is_killed_while_it_counts_locks_nothing(descriptor: int) -> None:
    """The system takes its lock back, and what it spent is spent."""
    _, _, worker = of_three(descriptor)
    command = (sys.executable, "-c", HOLDER, str(descriptor))
    with subprocess.Popen(command, stdin=-1, stdout=-1, pass_fds=(descriptor,)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        take = module.fcntl.LOCK_EX | module.fcntl.LOCK_NB
        with pytest.raises(BlockingIOError):
            module.fcntl.lockf(descriptor, take, 1, 0)
        holder.kill()
        holder.wait(PATIENCE)
        module.fcntl.lockf(descriptor, take, 1, 0)
    module.fcntl.lockf(descriptor, module.fcntl.LOCK_UN, 1, 0)
    assert sum(worker.spend("tool", 60, 5.0) == 0.0 for _ in range(100)) == 59


def test_the_supervisor_settles_for_all(descriptor: int) -> None:
    """The supervisor hears what each worker spent, and what a fleet has left holds for each."""
    supervisor, first, second = of_three(descriptor)
    for budgets in (first, second, second):
        assert budgets.spend("tool", 60, 1.0) == 0.0
    assert supervisor.take_spendings() == (BudgetUsage("tool", 60.0, 1.0, 3),)
    assert supervisor.take_spendings() == ()
    first.spend("tool", 60, 1.0)
    supervisor.settle("tool", 1.5, 1.0)
    assert second.spend("tool", 60, 1.0) == pytest.approx(0.5)


def test_a_client_without_a_place_is_counted_by_each_alone(descriptor: int) -> None:
    """The worker counts as a program without workers does."""
    _, first, second = of_three(descriptor)
    assert [budgets.spend("stranger", 1, 1.0) for budgets in (first, second)] == [0.0, 0.0]
    assert first.spend("stranger", 1, 1.0) == 60.0
    assert first.in_flight_cell("stranger") is None
    assert [first.claim("stranger", 2, under_way) for under_way in (0, 1, 2)] == [True, True, False]


def test_requests_under_way_are_seen_by_the_other_workers(descriptor: int) -> None:
    """Each adds to its own number, and sees that of the others; those of a worker that ended are none."""
    supervisor, first, second = of_three(descriptor)
    ours, theirs = first.in_flight_cell("tool"), second.in_flight_cell("tool")
    assert ours is not None
    assert theirs is not None
    ours.value += 3
    theirs.value += 2
    assert not any(budgets.claim("tool", 5, 0) for budgets in (first, second))
    assert first.claim("other", 1, 0)
    supervisor.forget_in_flight(1)
    assert first.claim("tool", 4, 3)
    assert not second.claim("tool", 4, 0)
    assert repr(first) == "<SharedBudgets of 2 clients>"


def test_the_last_place_is_one_workers_from_the_moment_it_is_permitted(descriptor: int) -> None:
    """No other worker gets the place before the request is counted as begun, which then counts it no second time."""
    _, first, second = of_three(descriptor)
    ours = first.in_flight_cell("tool")
    assert ours is not None
    assert (first.claim("tool", 1, 0), second.claim("tool", 1, 0)) == (True, False)
    ours.value += 1
    assert ours.value == 1
    ours.value -= 1
    assert second.claim("tool", 1, 0)


def test_a_request_that_was_claimed_and_never_began_takes_no_place(descriptor: int) -> None:
    """The next one of the same worker has its place."""
    _, first, second = of_three(descriptor)
    assert first.claim("tool", 1, 0)
    assert not second.claim("tool", 1, 0)
    assert first.claim("tool", 1, 0)


@pytest.mark.long
def test_processes_at_once_have_no_more_under_way_than_the_limit(descriptor: int) -> None:
    """Two that ask for three thousand places each get as many between them, and each place once."""
    command = [sys.executable, "-c", CLAIMER, str(descriptor)]
    started = [
        subprocess.Popen([*command, str(number)], pass_fds=(descriptor,), stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    assert sum(int(process.communicate(timeout=PATIENCE)[0]) for process in started) == 3000


HOST, OTHER = origin_of("https://a.example"), origin_of("https://b.example")
WORKERS = 3

TAKER = """
import asyncio, sys
from proxy.app.workers.shared_counts import SlotSharing
from proxy.app.workers.shared_counts import open_connections
from proxy.net.dialing import origin_of
memory = open_connections(int(sys.argv[1]), 3)
sharing = SlotSharing(memory, int(sys.argv[2]), asyncio.new_event_loop(), lambda: None)
slots = sharing.slots(origin_of("https://a.example"), 1000)
print(sum(slots.take() for _ in range(2000)))
"""


@pytest.fixture
def counts() -> Iterator[SharedCounts]:
    made = SharedCounts.make(WORKERS)
    yield made
    made.close()


class Sharing:
    """What each worker has of the places for connections to one host, and how often it told the others."""

    def __init__(self, counts: SharedCounts, limit: int) -> None:
        self.told = [0] * WORKERS
        self.slots = [self._slots(counts, number, limit) for number in range(WORKERS)]

    def _slots(self, counts: SharedCounts, number: int, limit: int) -> SharedSlots:
        def tell() -> None:
            self.told[number] += 1

        loop = asyncio.get_running_loop()
        return SlotSharing(counts.connections, number, loop, tell).slots(HOST, limit)


# --- clients' connections


def test_connections_are_those_of_all_workers(counts: SharedCounts) -> None:
    """A worker that publishes its own numbers gets the sums, without those of a worker that ended."""
    first, second, _ = (SharedConnectionCounts(counts.connections, number) for number in range(WORKERS))
    assert first.count(3, 2) == (3, 2)
    assert second.count(5, 5) == (8, 7)
    assert first.count(1, 1) == (6, 6)
    counts.forget(1)
    assert first.count(1, 1) == (1, 1)
    assert repr(first) == "<SharedConnectionCounts: 1 of 1 here>"


@pytest.mark.parametrize(
    ("own", "others", "gives_way"),
    [
        (0, (0, 0), False),
        (1, (0, 1), True),
        (1, (1, 1), False),
        (8, (7, 9), True),
        (8, (8, 8), False),
        (72, (64, 80), False),
        (73, (64, 80), True),
    ],
)
def test_the_worker_with_the_fewest_accepts(
    counts: SharedCounts, own: int, others: tuple[int, int], gives_way: bool
) -> None:
    """All others give way, except when the difference is at most an eighth."""
    workers = [SharedConnectionCounts(counts.connections, number) for number in range(WORKERS)]
    for worker, count in zip(workers, (own, *others), strict=True):
        worker.begin()
        worker.count(count, count)
    assert workers[0].gives_way is gives_way


def test_nobody_gives_way_to_a_worker_that_does_not_accept(counts: SharedCounts) -> None:
    """One that starts, or has ended, has no connections and gets none."""
    first, second, _ = (SharedConnectionCounts(counts.connections, number) for number in range(WORKERS))
    first.begin()
    first.count(9, 9)
    seen = [first.gives_way]
    second.begin()
    seen.append(first.gives_way)
    counts.forget(1)
    assert [*seen, first.gives_way] == [False, True, False]


# --- places for connections to Amazon


async def test_places_are_taken_from_one_sum(counts: SharedCounts) -> None:
    """No worker gets one where the others have all; one that is given back, or was a dead worker's, is anybody's."""
    first, second, third = Sharing(counts, 3).slots
    assert [first.take(), first.take(), second.take(), third.take(), first.take()] == [True, True, True, False, False]
    assert first.free == third.free == 0
    second.give()
    assert (third.take(), second.take()) == (True, False)
    counts.forget(0)
    assert (second.free, repr(second)) == (2, "<SharedSlots: 0 here, 2 of 3 free>")


async def test_hosts_are_counted_apart(counts: SharedCounts) -> None:
    """Each has its own row, which is the same in every worker."""
    loop = asyncio.get_running_loop()
    sharing = [SlotSharing(counts.connections, number, loop, lambda: None) for number in range(2)]
    assert sharing[0].slots(HOST, 1).take()
    assert sharing[1].slots(OTHER, 1).take()
    assert not sharing[1].slots(HOST, 1).take()


async def test_hosts_beyond_the_rows_share_one(counts: SharedCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they have at most the limit of one host."""
    monkeypatch.setattr(module, "_HOSTS", 1)
    sharing = SlotSharing(counts.connections, 0, asyncio.get_running_loop(), lambda: None)
    assert sharing.slots(HOST, 1).take()
    assert not sharing.slots(OTHER, 1).take()


@pytest.mark.long
def test_processes_at_once_take_each_place_once(counts: SharedCounts) -> None:
    """Three that ask two thousand times each get a thousand places together."""
    command = [sys.executable, "-c", TAKER, str(counts.descriptor)]
    started = [
        subprocess.Popen([*command, str(n)], pass_fds=(counts.descriptor,), stdout=subprocess.PIPE, text=True)
        for n in range(WORKERS)
    ]
    assert sum(int(process.communicate(timeout=PATIENCE)[0]) for process in started) == 1000


async def test_a_worker_that_wants_a_place_tells_the_others_once(counts: SharedCounts) -> None:
    """A worker that gives a place back while another waits does so as well, and not otherwise."""
    sharing = Sharing(counts, 1)
    first, second, _ = sharing.slots
    assert first.take()
    first.give()
    assert first.take()
    assert sharing.told == [0, 0, 0]
    second.want(True)
    second.want(True)
    assert (sharing.told, first.wanted_elsewhere, second.wanted_elsewhere) == ([0, 1, 0], True, False)
    first.give()
    assert (sharing.told, first.wanted_elsewhere) == ([1, 1, 0], True)
    second.want(False)
    assert (sharing.told, first.wanted_elsewhere) == ([1, 1, 0], False)


class Timers:
    """The times of an event loop, as told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, wait: float, call: Callable[[], None]) -> object:
        self.due.append((wait, call))
        return call


def test_the_others_are_told_at_most_once_in_ten_milliseconds(counts: SharedCounts) -> None:
    """What happens meanwhile is told together afterwards."""
    timers, told = Timers(), []
    sharing = SlotSharing(counts.connections, 0, cast(Any, timers), lambda: told.append(timers.now))
    for _ in range(3):
        sharing.tell()
    [(wait, call)] = timers.due
    assert (told, round(wait, 6)) == ([100.0], 0.01)
    timers.now += wait
    call()
    assert told == [100.0, 100.01]
    timers.now += 1
    sharing.tell()
    assert (told, len(timers.due)) == ([100.0, 100.01, 101.01], 1)


@pytest.mark.parametrize(
    ("limit", "taken", "exceeds"),
    [
        (6, (4, 2, 0), True),
        (6, (3, 2, 1), True),
        (6, (2, 2, 2), False),
        (6, (3, 1, 2), False),
        (2, (1, 1, 0), True),
        (5, (2, 2, 1), False),
    ],
)
async def test_who_has_more_gives_to_a_worker_that_waits(
    counts: SharedCounts, limit: int, taken: tuple[int, int, int], exceeds: bool
) -> None:
    """The first worker, to the third: until they have the same number, and in turns where there are fewer places than
    workers."""
    workers = Sharing(counts, limit).slots
    for slots, number in zip(workers, taken, strict=True):
        for _ in range(number):
            assert slots.take()
    assert not workers[0].exceed_share
    workers[2].want(True)
    assert workers[0].exceed_share is exceeds


async def test_a_free_place_is_for_the_worker_that_waits_and_has_fewer(counts: SharedCounts) -> None:
    """The worker that gave it back does not take it again."""
    first, second, third = Sharing(counts, 3).slots
    assert [slots.take() for slots in (first, first, second)] == [True, True, True]
    third.want(True)
    first.give()
    assert [slots.take() for slots in (second, first, third)] == [False, False, True]
    second.give()
    assert first.take()


async def test_workers_give_in_turns(counts: SharedCounts) -> None:
    """The one after the asker comes first, so that one place is not given by all at once."""
    workers = Sharing(counts, 1).slots
    workers[1].want(True)
    assert [slots.turn for slots in workers] == [2, 0, 1]
