"""Alarms ring at their moments, by one timer, and what rings them early ends a sleep at once."""

from __future__ import annotations

import asyncio
import gc
import math

from proxy.tokens.alarm_clock import MAX_SLEEP, Alarm, AlarmClock
from tests.support.tokens import virtual_time


class SuspendedClock:
    """The loop's time, and whatever time the machine was suspended for."""

    def __init__(self) -> None:
        self.suspended = 0.0
        self._time = asyncio.get_running_loop().time

    def __call__(self) -> float:
        return self._time() + self.suspended


def make_alarms(count: int) -> tuple[list[Alarm], SuspendedClock]:
    clock = SuspendedClock()
    alarm_clock = AlarmClock(clock)
    return [Alarm(alarm_clock) for _ in range(count)], clock


@virtual_time
async def test_a_sleep_ends_at_its_moment() -> None:
    """However far away it is, and at once if it has passed."""
    [alarm], clock = make_alarms(1)
    for seconds in (2.0, 3600.0, 0.0, -5.0):
        begun = clock()
        await alarm.sleep_until(begun + seconds)
        assert max(0.0, seconds) <= clock() - begun < max(0.0, seconds) + 0.1
        assert repr(alarm) == "<Alarm: rung>"
        alarm.silence()
        assert repr(alarm) == "<Alarm: silent>"


@virtual_time
async def test_what_rings_ends_a_sleep_at_once() -> None:
    """A sleep without an end is rung as well; the former moment does not end the next sleep."""
    [alarm], clock = make_alarms(1)
    begun = clock()
    for moment in (begun + 10, math.inf, begun + 100):
        alarm.silence()
        asyncio.get_running_loop().call_later(1, alarm.ring)
        await alarm.sleep_until(moment)
    assert 3 <= clock() - begun < 3.1
    alarm.silence()
    await alarm.sleep_until(begun + 50)
    assert 50 <= clock() - begun < 50.1


@virtual_time
async def test_each_alarm_rings_at_its_own_moment() -> None:
    """In whichever order they were set."""
    alarms, clock = make_alarms(200)
    begun, rung = clock(), list[float]()

    async def sleep(alarm: Alarm, seconds: float) -> None:
        await alarm.sleep_until(begun + seconds)
        assert seconds <= clock() - begun < seconds + 0.1
        rung.append(seconds)

    planned = [(number * 37) % 200 * 7.0 for number in range(200)]
    await asyncio.gather(*(sleep(alarm, seconds) for alarm, seconds in zip(alarms, planned, strict=True)))
    assert rung == sorted(planned)


@virtual_time
async def test_a_suspended_machine_is_noticed() -> None:
    """A moment that passed while the machine was suspended is noticed within half a minute."""
    [alarm], clock = make_alarms(1)
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def suspend() -> None:
        clock.suspended = 3600.0

    loop.call_later(1, suspend)
    await alarm.sleep_until(clock() + 1800)
    assert loop.time() - begun <= MAX_SLEEP + 0.1


@virtual_time
async def test_sleepers_make_no_objects_while_they_sleep() -> None:
    """What the garbage collector must look at does not grow with the number of sleepers."""
    alarms, clock = make_alarms(100)
    begun = clock()
    sleepers = [asyncio.create_task(alarm.sleep_until(begun + 36_000)) for alarm in alarms]
    await asyncio.sleep(MAX_SLEEP / 2)
    gc.collect()
    gc.freeze()
    try:
        await asyncio.sleep(100 * MAX_SLEEP)
        assert len(gc.get_objects()) < len(alarms)
    finally:
        gc.unfreeze()
    assert not any(sleeper.done() for sleeper in sleepers)
    for alarm in alarms:
        alarm.ring()
    await asyncio.gather(*sleepers)


@virtual_time
async def test_a_sleep_that_is_rung_early_again_and_again_leaves_little() -> None:
    """The clock notes the same moment once."""
    alarm_clock, moment = AlarmClock(SuspendedClock()), asyncio.get_running_loop().time() + 1000
    alarm = Alarm(alarm_clock)
    for _ in range(50):
        alarm.silence()
        asyncio.get_running_loop().call_later(1, alarm.ring)
        await alarm.sleep_until(moment)
    assert repr(alarm_clock) == "<AlarmClock: 1 moments>"
