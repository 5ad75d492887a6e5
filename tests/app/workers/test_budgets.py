"""Clients' budgets that several processes share: one bucket, whoever takes from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.access.clients import Budgets, Spending
from proxy.app.workers.budgets import BudgetMemory, SharedBudgets
from proxy.observability.number_memory import make_memory_file

SPENDER = """
import sys
from proxy.app.workers.budgets import BudgetMemory, SharedBudgets
budgets = SharedBudgets(BudgetMemory(int(sys.argv[1]), 2), 0)
budgets.take_slots({"tool": 0})
print(sum(budgets.spend("tool", 3000, 5.0) == 0.0 for _ in range(3000)))
"""

CLAIMER = """
import sys
from proxy.app.workers.budgets import BudgetMemory, SharedBudgets
budgets = SharedBudgets(BudgetMemory(int(sys.argv[1]), 2), int(sys.argv[2]))
budgets.take_slots({"tool": 0})
cell, had = budgets.in_flight_cell("tool"), 0
for _ in range(3000):
    if budgets.claim("tool", 3000, had):
        cell.value += 1
        had += 1
print(had)
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
    """The same answers in the same order as without sharing, refills and another limit included."""
    _, first, second = of_three(descriptor)
    alone = Budgets()
    asked = [(6, 10.0)] * 8 + [(6, 15.0)] * 3 + [(6, 80.0)] * 8 + [(3, 90.0)] * 5
    for number, (per_minute, now) in enumerate(asked):
        shared = (first, second)[number % 2]
        assert shared.spend("tool", per_minute, now) == alone.spend("tool", per_minute, now)


def test_processes_at_once_spend_no_more_than_there_is(descriptor: int) -> None:
    """Three thousand were there, and three processes that ask for as many each get them between them."""
    command = [sys.executable, "-c", SPENDER, str(descriptor)]
    started = [subprocess.Popen(command, pass_fds=(descriptor,), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in started) == 3000


def test_the_supervisor_settles_for_all(descriptor: int) -> None:
    """It hears of what each spent, and what a fleet has left holds for each."""
    supervisor, first, second = of_three(descriptor)
    for budgets in (first, second, second):
        assert budgets.spend("tool", 60, 1.0) == 0.0
    assert supervisor.take_spendings() == (Spending("tool", 60.0, 1.0, 3),)
    assert supervisor.take_spendings() == ()
    first.spend("tool", 60, 1.0)
    supervisor.settle("tool", 1.5, 1.0)
    assert second.spend("tool", 60, 1.0) == pytest.approx(0.5)


def test_a_client_without_a_place_is_counted_by_each_alone(descriptor: int) -> None:
    """As without workers."""
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
    """Nobody else has it before the request is counted as begun, which then counts it no second time."""
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


def test_processes_at_once_have_no_more_under_way_than_the_limit(descriptor: int) -> None:
    """Two that ask for three thousand places each get as many between them, and each place once."""
    command = [sys.executable, "-c", CLAIMER, str(descriptor)]
    started = [
        subprocess.Popen([*command, str(number)], pass_fds=(descriptor,), stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    assert sum(int(process.communicate(timeout=60)[0]) for process in started) == 3000
