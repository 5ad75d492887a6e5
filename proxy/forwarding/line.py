"""Those who wait for one limit of Amazon's to let them pass: in turns by client, at the pace that was learned.

Who may wait does; who may not is told for how long, and keeps its turn for a moment. The client that was served longest
ago is next, so that one that asks seldom is served at once, however greedy the others are.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import Throttled
from proxy.forwarding import pace as paces

if TYPE_CHECKING:
    from proxy.forwarding.pace import Pace, Steps

_GRACE = 1.0
"""Seconds for which a turn is kept beyond the time that was told."""
_MAX_CLIENTS = 1024
_MIN_MEMORY = 10.0
"""Seconds for which it is remembered at least who was served, and for ten rounds."""
_NEARLY, _LATE = 0.75, 1.6
"""Rounds after which a client has asked for less than its share, and got less."""
_LEAST_WAIT = 0.001
"""Seconds: the event loop's timers are no finer."""


class Line:
    """See the module's docstring. Moments are of the event loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, steps: Steps, pace: Pace) -> None:
        self._loop = loop
        self._steps = steps
        self._served: dict[str, float] = {}
        self._claims: dict[str, float] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.pace = pace

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<Line: {self.pace.rate:.2f}/s, {waiting} waiting, {len(self._claims)} turns kept>"

    # --- what Amazon says

    def refused(self, retry_after: float | None, left_at: float) -> None:
        """Amazon answered 429 to a request that left at this moment."""
        self.pace = paces.refused(self.pace, self._steps, self._loop.time(), retry_after, left_at)
        self._plan()

    def passed(self) -> None:
        """Amazon answered anything else."""
        self.pace = paces.passed(self.pace, self._steps, self._loop.time())

    # --- those who ask

    def leave(self, client: str, patience: float) -> bool:
        """Whether a request of this client may leave now; if not, it may wait for its turn.

        Raises `Throttled` where that would take longer than `patience` seconds.
        """
        now = self._loop.time()
        needed = min(self._needed(client, now), self.pace.capacity)
        if not self._waiting and self.pace.level_at(now) >= needed:
            self._serve(client, now)
            self._claims.pop(client, None)
            return True
        wait = self._expected_wait(client, now) if self._waiting or patience else self.pace.wait(now, needed)
        if wait <= patience:
            return False
        if client not in self._waiting:
            self._claim(client, now + wait + _GRACE)
        raise Throttled(f"Amazon limits how often this may be asked: wait {wait:.0f} s.", retry_after=max(wait, 0.001))

    async def turn(self, client: str, patience: float) -> None:
        """Wait until this client's turn has come. Raises `Throttled` where it does not within `patience` seconds."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        self._claims[client] = math.inf
        if self._timer is None:
            self._plan()
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            self._forget(client, turn)
            wait = self._expected_wait(client, self._loop.time())
            raise Throttled("Amazon limits how often this may be asked.", retry_after=max(wait, 0.001)) from None
        finally:
            self._forget(client, turn)

    def release(self) -> None:
        """What was learned is forgotten: all those who wait may leave."""
        if self._timer is not None:
            self._timer.cancel()
        for turns in self._waiting.values():
            for turn in turns:
                if not turn.done():
                    turn.set_result(None)

    # --- turns

    def _needed(self, client: str, now: float) -> int:
        """How many must be allowed to leave for this one to be: one for each who is ahead, and one that is kept for
        those who ask seldom. Whoever was not refused a moment ago, and had no turn in this round, is one of these."""
        ahead = self._ahead_of(client, now)
        rounds = (now - self._served.get(client, -math.inf)) / self._round
        if client not in self._claims and rounds > _NEARLY:
            return 1
        return 1 + ahead + (len(self._served) > 1 and rounds < _LATE)

    @property
    def _round(self) -> float:
        """Seconds in which each client can be served once."""
        return max(1, len(self._served)) / self.pace.rate

    def _ahead_of(self, client: str, now: float) -> int:
        """Others whose turn is kept and who were served before this one was."""
        if len(self._claims) > _MAX_CLIENTS or any(until < now for until in self._claims.values()):
            self._claims = {name: until for name, until in self._claims.items() if until >= now}
        mine = self._served.get(client, -math.inf)
        return sum(self._served.get(name, -math.inf) < mine for name in self._claims if name != client)

    def _serve(self, client: str, now: float) -> None:
        self.pace = self.pace.taken(now)
        self._served.pop(client, None)
        self._served[client] = now
        oldest = now - max(_MIN_MEMORY, 10 * self._round)
        while len(self._served) > _MAX_CLIENTS or next(iter(self._served.values())) < oldest:
            del self._served[next(iter(self._served))]

    def _claim(self, client: str, until: float) -> None:
        if client in self._claims or len(self._claims) < _MAX_CLIENTS:
            self._claims[client] = until

    def _expected_wait(self, client: str, now: float) -> float:
        """Seconds until one more request of this client has its turn."""
        own = len(self._waiting.get(client, ())) + 1
        before = sum(min(len(turns), own) for name, turns in self._waiting.items() if name != client)
        return self.pace.wait(now, before + own)

    # --- time

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            wait = max(_LEAST_WAIT, self.pace.wait(self._loop.time()))
            self._timer = self._loop.call_later(wait, self._grant)

    def _grant(self) -> None:
        """Let those leave whose turn it is."""
        now = self._loop.time()
        while self._waiting and self.pace.level_at(now) >= 1:
            client = min(self._waiting, key=lambda name: self._served.get(name, -math.inf))
            turns = self._waiting[client]
            turn = turns.popleft()
            if not turns:
                del self._waiting[client]
                self._claims.pop(client, None)
            if not turn.done():
                turn.set_result(None)
                self._serve(client, now)
        self._timer = None
        self._plan()

    def _forget(self, client: str, turn: asyncio.Future[None]) -> None:
        """Whoever waited is served, or has left."""
        turns = self._waiting.get(client)
        if turns is not None and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[client]
                self._claims.pop(client, None)
