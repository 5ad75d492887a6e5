"""A sleep that can be cut short."""

from __future__ import annotations

import asyncio

from proxy.tokens.alarm import MAX_SLEEP, Alarm
from tests.support.tokens import virtual_time


@virtual_time
async def test_it_ends_when_it_rings_and_is_never_long() -> None:
    """After its seconds, after half a minute at most, or at once."""
    alarm, time = Alarm(), asyncio.get_running_loop().time
    begun = time()
    await alarm.sleep(2)
    assert 2 <= time() - begun < 2.1
    await alarm.sleep(3600)
    assert MAX_SLEEP + 2 <= time() - begun < MAX_SLEEP + 2.2
    asyncio.get_running_loop().call_later(1, alarm.ring)
    await alarm.sleep(3600)
    assert MAX_SLEEP + 3 <= time() - begun < MAX_SLEEP + 3.3
    assert repr(alarm) == "<Alarm: rung>"
    alarm.silence()
    assert repr(alarm) == "<Alarm: silent>"
