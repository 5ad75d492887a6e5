"""How many token requests a second a token endpoint takes, learned from its refusals (429). Pure: times are given.

Before the first refusal there is no limit. Then the pace begins below what was granted in the last second, doubles each
second until the next refusal, falls by a fifth with each refusal from there on, and grows by a twentieth each second in
between. So it stays close to a limit that nobody publishes, and follows it when it changes.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOWERED: Final = 0.8
_SEARCHING, _STEADY = math.log(2), 0.05
"""The growth in a second, as a part of the pace."""
_MOST_AT_ONCE: Final = 0.5
"""The largest growth after one grant, as a part of the pace."""
SLOWEST: Final = 0.5
"""Requests a second; an endpoint that refuses everything is still asked so often."""
_LONGEST_PAUSE: Final = 120.0


class EndpointPace:
    """The pace of one endpoint. `rate` is in requests a second, None without a limit. `lowered` is told the pace and
    the pause, in seconds, after a refusal that made it slower."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self.lowered: Callable[[float, float], None] = lambda rate, pause: None
        self._next = self._paused_until = 0.0
        self._lowered_at = -math.inf
        self._searching = self._waited_for = False
        self._grants: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<EndpointPace: {'no limit' if self.rate is None else f'{self.rate:.1f} requests a second'}>"

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent."""
        return max(self._next, self._paused_until) - now

    def take(self, now: float) -> None:
        """A request is about to be sent."""
        if self.rate is not None:
            self._waited_for = now < self._next + 1 / self.rate
            self._next = max(now, self._next) + 1 / self.rate

    def give_back(self) -> None:
        """It was not sent after all."""
        if self.rate is not None:
            self._next -= 1 / self.rate

    def granted(self, now: float) -> None:
        """A request was answered with a token."""
        if self.rate is None:
            self._grants.append(now)
            self._forget_grants(now)
        elif self._waited_for:  # a pace that nobody needs says nothing about the limit
            growth = _SEARCHING if self._searching else _STEADY
            self.rate *= 1 + min(growth / self.rate, _MOST_AT_ONCE)

    def refused(self, sent_at: float, now: float, retry_after: float | None) -> None:
        """A request was answered with 429. Those sent before the pace fell say nothing about the new pace."""
        pause = min(retry_after or 0.0, _LONGEST_PAUSE)
        self._paused_until = max(self._paused_until, now + pause)
        if sent_at < self._lowered_at:
            return
        if self.rate is None:
            self._forget_grants(now)
            rate, self._searching = float(len(self._grants)), True
            self._grants.clear()
        else:
            rate, self._searching = self.rate, False
        self._set(rate * _LOWERED, now)
        assert self.rate is not None
        self.lowered(self.rate, pause)

    def hear(self, rate: float, pause: float, now: float, chance: float) -> None:
        """Another replica found this pace, and was asked for this pause. `chance` keeps replicas from sending at one
        time."""
        self._paused_until = max(self._paused_until, now + min(pause, _LONGEST_PAUSE))
        if self.rate is None or rate < self.rate:
            self._searching = self._searching or self.rate is None
            self._set(rate, now, chance)

    def _set(self, rate: float, now: float, part: float = 1.0) -> None:
        self.rate, self._lowered_at = max(rate, SLOWEST), now
        self._next = now + part / self.rate

    def _forget_grants(self, now: float) -> None:
        while self._grants and self._grants[0] <= now - 1:
            self._grants.popleft()
