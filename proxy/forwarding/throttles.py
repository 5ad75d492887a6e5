"""What Amazon refused as too often: remembered for what it limits together, in bounded memory, for 15 minutes.

How fast requests may leave then is for `pace`, and who leaves next for `line`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache, TTLCache

from proxy.forwarding.advertiser import find_advertiser
from proxy.forwarding.line import Line
from proxy.forwarding.pace import MAX_PAUSE, first_refusal, steps_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.forwarding.decision import RequestContext

_MAX_LINES = 1024
_MIN_UNSAID = 4
"""Refusals without a Retry-After, within the memory of one, that make a limit of them: a few may be a passing trouble,
and nothing was asked for."""
_SWEEP = 60.0
"""Seconds between looks for what need not be remembered any longer."""


class ThrottleKey(NamedTuple):
    """What a 429 is kept for (docs/amazon.md, Rate limits)."""

    family: str
    advertiser: str
    region: str
    client_id: str


class KnownLimit(NamedTuple):
    """A limit for people to look at: seconds until one more request may leave, and the pace learned, a second."""

    key: ThrottleKey
    wait: float
    rate: float


def throttle_key(context: RequestContext, client_id: str) -> ThrottleKey:
    """That of a request which is sent for this application."""
    route = context.route
    return ThrottleKey(context.family, find_advertiser(context.request, route), route.region, client_id)


class Throttles:
    """The limits that are known, each with those who wait for it.

    `active` tells whether anything is remembered: as a rule nothing is, and no request needs to ask.
    """

    def __init__(self) -> None:
        self._lines: LRUCache[ThrottleKey, Line] = LRUCache(_MAX_LINES)
        self._unsaid: TTLCache[ThrottleKey, int] = TTLCache(_MAX_LINES, MAX_PAUSE)
        self._swept_at = 0.0
        self.active = False
        self.paused: Callable[[ThrottleKey, float], None] = lambda key, seconds: None
        """Called with each Retry-After, in seconds."""

    def __repr__(self) -> str:
        return f"<Throttles: {len(self._lines)} remembered>"

    def snapshot(self, now: float) -> tuple[KnownLimit, ...]:
        """Every limit that is remembered, at this moment of the loop's clock."""
        return tuple(KnownLimit(key, line.pace.wait(now), line.pace.rate) for key, line in self._lines.items())

    def find(self, key: ThrottleKey, now: float) -> Line | None:
        """The line before a limit, if one is known."""
        if now - self._swept_at > _SWEEP:
            self._swept_at = now
            for old in [key for key, line in self._lines.items() if now - line.pace.refused_at > MAX_PAUSE]:
                del self._lines[old]
            self.active = bool(self._lines)
        line: Line | None = self._lines.get(key)
        return line

    def note(
        self, key: ThrottleKey, loop: asyncio.AbstractEventLoop, retry_after: float | None, left_at: float
    ) -> None:
        """Amazon answered 429 to a request that left at this moment of the loop's clock."""
        if retry_after:
            self.paused(key, min(retry_after, MAX_PAUSE))
        line = self.find(key, loop.time())
        if line is None and retry_after is None and self._is_passing(key):
            return
        if line is None:
            steps = steps_of(key.family)
            self._lines[key] = Line(loop, steps, first_refusal(steps, loop.time(), retry_after))
            self.active = True
        else:
            line.refused(retry_after, left_at)

    def pause(self, key: ThrottleKey, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Amazon asked another replica to wait for so long: nothing leaves here until then, and no pace is learned."""
        line = self.find(key, loop.time())
        if line is not None:
            line.refused(seconds, -math.inf)
            return
        steps = steps_of(key.family)
        self._lines[key] = Line(loop, steps, first_refusal(steps, loop.time(), seconds))
        self.active = True

    def _is_passing(self, key: ThrottleKey) -> bool:
        """Whether too few refusals without a Retry-After came to learn a pace from."""
        self._unsaid[key] = self._unsaid.get(key, 0) + 1
        return self._unsaid[key] < _MIN_UNSAID

    def forget(self) -> None:
        """A reload: everything may be asked again."""
        for line in self._lines.values():
            line.release()
        self._lines.clear()
        self.active = False
        self._unsaid.clear()
