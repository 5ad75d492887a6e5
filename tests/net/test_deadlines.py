"""One sweep keeps the deadlines of everything that has one."""

from __future__ import annotations

import asyncio

import pytest

from proxy.net.deadlines import NEVER, Deadlines
from tests.support.patience import PATIENCE


class Item:
    """Something with a deadline; what expires with it can be given."""

    def __init__(self, deadline: float, *, taking: Item | None = None, failing: bool = False) -> None:
        self.deadline = deadline
        self.expired: list[float] = []
        self.done = asyncio.Event()
        self._taking = taking
        self._failing = failing

    def expire(self, now: float) -> None:
        self.deadline = NEVER
        self.expired.append(now)
        self.done.set()
        if self._taking is not None:
            self._taking.deadline = NEVER
        if self._failing:
            raise ZeroDivisionError


async def test_a_sweep_expires_what_is_due_once() -> None:
    """Items with a later deadline or without one stay."""
    deadlines = Deadlines(asyncio.get_running_loop())
    due, later, never = Item(10.0), Item(10.1), Item(NEVER)
    for item in (due, later, never):
        deadlines.add(item)
    deadlines.sweep(10.0)
    deadlines.sweep(10.0)
    assert (due.expired, later.expired, never.expired) == ([10.0], [], [])
    deadlines.discard(later)
    deadlines.sweep(11.0)
    assert later.expired == []
    deadlines.stop()


async def test_what_another_expiry_put_off_does_not_expire() -> None:
    """One connection's end moves the other's deadline within the same sweep."""
    deadlines = Deadlines(asyncio.get_running_loop())
    first = Item(1.0)
    second = Item(1.0, taking=first)
    first._taking = second
    deadlines.add(first)
    deadlines.add(second)
    deadlines.sweep(2.0)
    assert len(first.expired) + len(second.expired) == 1
    deadlines.stop()


async def test_time_itself_sweeps() -> None:
    """By the loop's clock, and again after an expiry that failed."""
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    deadlines = Deadlines(loop)
    failing, fine = Item(loop.time(), failing=True), Item(loop.time() + 0.3)
    deadlines.add(failing)
    deadlines.add(fine)
    async with asyncio.timeout(PATIENCE):
        await fine.done.wait()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    deadlines.stop()
    deadlines.stop()


@pytest.mark.parametrize("left", [0, 1])
async def test_no_timer_runs_where_nothing_is_watched(left: int) -> None:
    """The timer stops with the last item and starts with the next."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    items = [Item(NEVER), Item(NEVER)]
    for item in items:
        deadlines.add(item)
    for item in items[left:]:
        deadlines.discard(item)
    assert deadlines._timer is not None
    deadlines._timer.cancel()
    deadlines._tick()
    assert (deadlines._timer is not None) is bool(left)
    deadlines.stop()
