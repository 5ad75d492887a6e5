"""The limits of Amazon's that are known: one for each 429 with Retry-After, in bounded memory.

Which requests wait, and which may leave, is for `throttle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from proxy.forwarding.advertiser import find_advertiser
from proxy.forwarding.throttle import MAX_PAUSE, Throttle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.forwarding.decision import RequestContext

_MAX_THROTTLES = 1024
_MEMORY = 60.0
"""Seconds for which an open limit is remembered, and between looks for those that need not be."""


class ThrottleKey(NamedTuple):
    """What a 429 is kept for (docs/amazon.md, Rate limits)."""

    family: str
    advertiser: str
    region: str
    client_id: str


class KnownLimit(NamedTuple):
    """A limit for people to look at: seconds until requests may leave again."""

    key: ThrottleKey
    wait: float


def throttle_key(context: RequestContext, client_id: str) -> ThrottleKey:
    """That of a request which is sent for this application."""
    route = context.route
    return ThrottleKey(context.family, find_advertiser(context.request, route), route.region, client_id)


class Throttles:
    """The limits that are known.

    `active` tells whether anything is remembered: as a rule nothing is, and no request needs to ask.
    """

    def __init__(self) -> None:
        self._throttles: LRUCache[ThrottleKey, Throttle] = LRUCache(_MAX_THROTTLES)
        self._swept_at = 0.0
        self.active = False
        self.paused: Callable[[ThrottleKey, float], None] = lambda key, seconds: None
        """Called with each Retry-After, in seconds."""

    def __repr__(self) -> str:
        return f"<Throttles: {len(self._throttles)} remembered>"

    def snapshot(self, now: float) -> tuple[KnownLimit, ...]:
        """Every limit that is remembered, at this moment of the loop's clock."""
        return tuple(KnownLimit(key, max(0.0, each.closed_until - now)) for key, each in self._throttles.items())

    def find(self, key: ThrottleKey, now: float) -> Throttle | None:
        """The limit of these requests, if one is known."""
        if now - self._swept_at > _MEMORY:
            self._swept_at = now
            for old in [key for key, each in self._throttles.items() if now - each.closed_until > _MEMORY]:
                del self._throttles[old]
            self.active = bool(self._throttles)
        throttle: Throttle | None = self._throttles.get(key)
        return throttle

    def note(self, key: ThrottleKey, loop: asyncio.AbstractEventLoop, retry_after: float | None) -> None:
        """Amazon answered 429. Without a Retry-After nothing is known, and nothing is remembered."""
        if retry_after:
            self.paused(key, min(retry_after, MAX_PAUSE))
            self._close(key, retry_after, loop)

    def pause(self, key: ThrottleKey, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Amazon asked to wait for so long, here or at another replica: nothing leaves until then."""
        self._close(key, seconds, loop)

    def _close(self, key: ThrottleKey, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        throttle = self.find(key, loop.time())
        if throttle is None:
            throttle = self._throttles[key] = Throttle(loop)
            self.active = True
        throttle.close(seconds)

    def forget(self) -> None:
        """A reload: everything may be asked again."""
        for throttle in self._throttles.values():
            throttle.dissolve()
        self._throttles.clear()
        self.active = False
