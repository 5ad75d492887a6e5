"""Whoever looks after workers that stand still goes on looking, whatever a look meets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from proxy.app.workers.supervision import HANG_SECONDS, START_SECONDS, Vitals, WorkerEnd, WorkerPhase
from proxy.app.workers.watch import LOOKS_UNTIL_ELSEWHERE, WorkerWatch
from proxy.events import DefectMet, Event
from tests.support.tokens import virtual_time

NOW = 1000.0


class Watched:
    """Stands in for a `WorkerProcess`. With an `error` its vitals cannot be read."""

    def __init__(self, number: int, beat: float, phase: WorkerPhase = WorkerPhase.SERVING) -> None:
        self.number, self._vitals = number, Vitals(phase, NOW, beat)
        self.error = ""
        self.killed_for: WorkerEnd | None = None

    @property
    def vitals(self) -> Vitals:
        if self.error:
            raise ValueError(self.error)
        return self._vitals

    def kill(self, why: WorkerEnd) -> None:
        self.killed_for = why


class Bench:
    """A watch over these, at a time that is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *workers: Any) -> None:
        self.now, self.told, self.elsewhere = NOW, list[Event](), 0
        self.error = ""
        monkeypatch.setattr(time, "monotonic", lambda: NOW)
        self.watch = WorkerWatch(lambda: workers, self._look_elsewhere, self.told.append)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.5
            self.watch.look(self.now)

    def _look_elsewhere(self) -> None:
        self.elsewhere += 1
        if self.error:
            raise KeyError(self.error)


def test_one_that_stands_still_is_ended_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its last beat, or by how long it has been starting."""
    well, still = Watched(0, NOW + HANG_SECONDS), Watched(1, NOW)
    starting = Watched(2, 0.0, WorkerPhase.STARTING)
    bench = Bench(monkeypatch, well, still, starting)
    bench.look(10)
    assert [each.killed_for for each in (well, still, starting)] == [None, None, None]
    bench.look()
    assert [each.killed_for for each in (well, still, starting)] == [None, WorkerEnd.HUNG, None]
    bench.look(int(START_SECONDS / 0.5))
    assert starting.killed_for is WorkerEnd.NOT_READY
    assert bench.told == []


def test_a_look_that_fails_is_told_once_and_keeps_nobody_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next worker is judged, the next look is taken, and one that fails anew is told anew."""
    broken, still = Watched(0, NOW), Watched(1, NOW)
    broken.error = "no such number"
    bench = Bench(monkeypatch, broken, still)
    bench.look(20)
    assert still.killed_for is WorkerEnd.HUNG
    [told] = bench.told
    assert isinstance(told, DefectMet)
    assert told.where == "watch of worker 0"
    assert told.traceback.endswith("ValueError: no such number\n")
    assert repr(bench.watch) == "<WorkerWatch: 20 looks, 1 of them fail>"
    broken.error = ""
    bench.look()
    assert (broken.killed_for, repr(bench.watch)) == (WorkerEnd.HUNG, "<WorkerWatch: 21 looks, 0 of them fail>")
    broken.error = "no such number"
    bench.look()
    assert len(bench.told) == 2


def test_what_no_event_tells_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that fails it is told, and tried again."""
    bench = Bench(monkeypatch)
    bench.error = "acme"
    bench.look(LOOKS_UNTIL_ELSEWHERE - 1)
    assert bench.elsewhere == 0
    bench.look(LOOKS_UNTIL_ELSEWHERE + 1)
    assert bench.elsewhere == 2
    assert [(type(told), getattr(told, "where", "")) for told in bench.told] == [(DefectMet, "watch of lists")]


@virtual_time
async def test_it_looks_twice_a_second_until_it_is_ended() -> None:
    """Each look on the clock that beats are told on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", asyncio.get_running_loop().time)
        watch = WorkerWatch(lambda: (), lambda: None, lambda event: None)
        running = asyncio.create_task(watch.run())
        await asyncio.sleep(60.25)
        running.cancel()
    assert repr(watch) == "<WorkerWatch: 120 looks, 0 of them fail>"
