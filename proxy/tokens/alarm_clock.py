"""Sleeps until a moment that an event can end early, for any number of accounts.

One timer serves all of them. The clock counts suspended time, which no timer notices, so it must be looked at now and
then. When each of ten thousand accounts did so in a sleep of its own, this made 150,000 objects every half a minute
and the garbage collector held requests up for 0.2 s.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SLEEP: Final = 30.0
"""Seconds until the clock is looked at again."""
_MIN_SLEEP: Final = 0.001


class AlarmClock:
    """Rings each alarm at its moment. `clock` gives seconds, suspended time included."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moments: list[tuple[float, int, Alarm]] = []
        """A heap. An entry whose alarm has another moment by now is out of date."""
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<AlarmClock: {len(self._moments)} moments>"

    def wake_at(self, moment: float, alarm: Alarm) -> None:
        """Ring it then."""
        heappush(self._moments, (moment, next(self._numbers), alarm))
        if self._timer is None or self._moments[0][-1] is alarm:
            self._plan()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = max(_MIN_SLEEP, min(MAX_SLEEP, self._moments[0][0] - self._clock()))
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        while self._moments and self._moments[0][0] <= now:
            moment, _, alarm = heappop(self._moments)
            if alarm.moment == moment:
                alarm.moment = None
                alarm.ring()
        if self._moments:
            self._plan()


class Alarm:
    """Belongs to one sleeper and one event loop."""

    def __init__(self, alarm_clock: AlarmClock) -> None:
        self._alarm_clock = alarm_clock
        self._rung = asyncio.Event()
        self.moment: float | None = None
        """When the alarm clock rings it, if it is to."""

    def __repr__(self) -> str:
        return f"<Alarm: {'rung' if self._rung.is_set() else 'silent'}>"

    def ring(self) -> None:
        """Something changed, or it is time: the sleeper looks at once."""
        self._rung.set()

    def silence(self) -> None:
        """The sleeper is about to look: what rang before is seen then."""
        self._rung.clear()

    async def sleep_until(self, moment: float) -> None:
        """Wait until the alarm rings: at this moment at the latest. Infinity stands for never."""
        if moment != self.moment:
            self.moment = moment
            if moment < math.inf:
                self._alarm_clock.wake_at(moment, self)
        await self._rung.wait()
