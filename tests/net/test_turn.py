"""The turn of the event loop from which the proxy's own time is counted."""

from __future__ import annotations

import asyncio

import pytest

from proxy.net import deadlines
from proxy.net.deadlines import NEVER, Deadlines
from proxy.net.turn import TURN, LoopTurn


class Alarm:
    """Notes at which turn it rang."""

    deadline = 1.0
    rang = 0.0

    def expire(self, now: float) -> None:
        self.deadline, self.rang = NEVER, TURN.began


async def test_each_timer_begins_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that takes long for one request costs the next one nothing."""
    moments = iter((100.0, 107.0))
    monkeypatch.setattr(deadlines, "perf_counter", lambda: next(moments))
    timers, alarms = Deadlines(asyncio.get_running_loop()), [Alarm(), Alarm()]
    for alarm in alarms:
        timers.add(alarm)
    timers.sweep(2.0)
    timers.stop()
    assert sorted(alarm.rang for alarm in alarms) == [100.0, 107.0]


def test_a_turn_shows_when_it_began() -> None:
    """The moment is one of `perf_counter`."""
    assert repr(LoopTurn()) == "<LoopTurn since 0.0>"
