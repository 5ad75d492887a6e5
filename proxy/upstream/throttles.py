"""The limits of Amazon's that are known: one for each 429 with Retry-After, in bounded memory.

`Throttle` decides which requests wait and which may leave.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cachetools import LRUCache

from proxy.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_MAX_THROTTLES = 1024
_MEMORY = 60.0
"""Seconds for which an open limit is remembered, and between looks for those that need not be."""


class ThrottleKey(NamedTuple):
    """What a 429 is kept for (docs/development/amazon.md, Rate limits)."""

    family: str
    advertiser: str
    region: str
    client_id: str


class ThrottleStatus(NamedTuple):
    """A limit for people to look at: seconds until requests may leave again."""

    key: ThrottleKey
    wait: float


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

    def snapshot(self, now: float) -> tuple[ThrottleStatus, ...]:
        """Every limit that is remembered, at this moment of the loop's clock."""
        return tuple(ThrottleStatus(key, max(0.0, each.closed_until - now)) for key, each in self._throttles.items())

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


# --- One limit of Amazon's -------------------------------------------------------------------------------

MAX_PAUSE = 900.0
"""Seconds for which a Retry-After is kept at most."""
HOLD = 1.25
"""Seconds for which any request may wait: a second, the least that Retry-After can ask for, and a round trip."""
_FIRST_ALLOWANCE = 10
"""How many requests leave at once after the first opening: how many Amazon takes is not known yet."""
_BURST = 1.0
"""Seconds after the first request of an opening in which requests count as one burst."""
_MAX_CLIENTS = 1024
_LEAST_WAIT = 0.001
"""Seconds: the event loop's timers are no finer."""


class LimitedRequest(Protocol):
    """A request that is subject to a limit."""

    @property
    def client(self) -> str: ...


class _WaitingRequest(NamedTuple):
    turn: asyncio.Future[None]
    deadline: float


class Throttle:
    """One limit of Amazon's, and the requests that wait for it. Moments are of the event loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.closed_until = -math.inf
        self._closed = False
        self._openings = 0
        self._allowance = self._free = _FIRST_ALLOWANCE
        self._passed: int | None = None
        self._burst_until = math.inf
        self._burst: set[LimitedRequest] = set()
        self._beyond: set[LimitedRequest] = set()
        self._window = 1
        self._sent = 0
        self._served: dict[str, int] = {}
        self._waiting: dict[str, dict[LimitedRequest, _WaitingRequest]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        state = "closed" if self.is_closed(self._loop.time()) else "open"
        return f"<Throttle: {state}, {sum(map(len, self._waiting.values()))} waiting>"

    def is_closed(self, now: float) -> bool:
        """Whether Amazon's Retry-After still runs."""
        if self._closed and now >= self.closed_until:
            self._open()
        return self._closed

    # --- what Amazon answers

    def close(self, seconds: float) -> None:
        """Amazon asked to wait for so long."""
        now = self._loop.time()
        self.is_closed(now)
        self._closed = True
        self.closed_until = max(self.closed_until, now + min(seconds, MAX_PAUSE))
        for waiting in self._each_waiting():
            if waiting.deadline < self.closed_until and not waiting.turn.done():
                waiting.turn.set_exception(self._refusal(now))
        self._cancel_timer()
        self._plan()

    def passed(self, request: LimitedRequest) -> None:
        """Amazon answered anything but 429."""
        if request in self._burst:
            self._passed = (self._passed or 0) + 1
        if request in self._beyond:
            self._window += 1
        self.ended(request)

    def ended(self, request: LimitedRequest) -> None:
        """The request is no longer under way."""
        self._burst.discard(request)
        if request in self._beyond:
            self._beyond.remove(request)
            if self._waiting:
                self._release()

    # --- requests

    def admit(self, request: LimitedRequest, patience: float) -> bool:
        """Whether the request may leave now; if not, it may wait. Raises `Throttled` if it would be for longer than
        `patience` seconds, and than any request may wait."""
        now = self._loop.time()
        if self.is_closed(now):
            if self.closed_until - now > max(HOLD, patience):
                raise self._refusal(now)
            return False
        if self._waiting or not self._has_room:
            return False
        self._send(request, now)
        return True

    async def wait(self, request: LimitedRequest, patience: float) -> None:
        """Wait until the request may leave. Raises `Throttled` if the limit is closed for longer than it may wait."""
        deadline = self._loop.time() + max(HOLD, patience)
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(request.client, {})[request] = _WaitingRequest(turn, deadline)
        self._plan()
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            now = self._loop.time()
            if self.is_closed(now):
                raise self._refusal(now) from None
            self._send(request, now)
        finally:
            self._forget(request)

    def dissolve(self) -> None:
        """The limit is no longer known: all those who wait may leave."""
        self._closed, self.closed_until = False, -math.inf
        self._cancel_timer()
        for waiting in self._each_waiting():
            if not waiting.turn.done():
                waiting.turn.set_result(None)

    # --- openings

    def _open(self) -> None:
        self._closed = False
        self._openings += 1
        if self._passed is not None:
            self._allowance = max(1, self._passed)
        self._free, self._window, self._passed = self._allowance, 1, None
        self._burst_until = math.inf
        self._burst.clear()
        self._beyond.clear()

    @property
    def _has_room(self) -> bool:
        return self._free > 0 or len(self._beyond) < self._window

    def _send(self, request: LimitedRequest, now: float) -> None:
        if self._passed is None:
            self._passed, self._burst_until = 0, now + _BURST
        if now <= self._burst_until:
            self._burst.add(request)
        if self._free > 0:
            self._free -= 1
        else:
            self._beyond.add(request)
        self._sent += 1
        self._served.pop(request.client, None)
        self._served[request.client] = self._sent
        if len(self._served) > _MAX_CLIENTS:
            del self._served[next(iter(self._served))]

    # --- those who wait

    def _each_waiting(self) -> Iterator[_WaitingRequest]:
        return (waiting for waitings in self._waiting.values() for waiting in waitings.values())

    def _plan(self) -> None:
        if self._waiting and self._timer is None:
            wait = max(_LEAST_WAIT, self.closed_until - self._loop.time()) if self._closed else HOLD
            self._timer = self._loop.call_later(wait, self._look, self._openings)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, openings: int) -> None:
        """Let those leave who may; all of them if they waited within one opening, for answers that did not come."""
        self._timer = None
        if not self.is_closed(self._loop.time()) and openings == self._openings:
            self._free = sum(map(len, self._waiting.values()))
        self._release()
        self._plan()

    def _release(self) -> None:
        """Let those leave whose turn it is, if the limit is open."""
        now = self._loop.time()
        while self._waiting and not self.is_closed(now) and self._has_room:
            client = min(self._waiting, key=lambda name: self._served.get(name, 0))
            request, waiting = next(iter(self._waiting[client].items()))
            self._forget(request)
            if not waiting.turn.done():
                waiting.turn.set_result(None)
                self._send(request, now)

    def _forget(self, request: LimitedRequest) -> None:
        waitings = self._waiting.get(request.client, {})
        if waitings.pop(request, None) is not None and not waitings:
            del self._waiting[request.client]

    def _refusal(self, now: float) -> Throttled:
        """Tells whole seconds, rounded down: a client that comes back then waits here for the rest."""
        left = max(1, math.floor(self.closed_until - now))
        detail = f"Amazon asked to wait before more requests like this: send it again in {left} s."
        return Throttled(detail, retry_after=float(left))
