"""How often Amazon takes orders for reports, learned from its 429s, and the queues in which further orders wait.

Amazon limits orders by region and by the length of its own queue, in tiers that change slowly, and often without a
Retry-After (docs/development/amazon.md, Rate limits). So after a 429 the orders of that login in that region leave one
at a time: the interval grows with each further 429, and shrinks with each order that Amazon takes. Nothing is sent
here. Moments are of the event loop's clock, in seconds.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.errors import Throttled
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST_INTERVAL: Final = 2.0
"""Seconds between two orders after the first 429."""
SHORTEST_INTERVAL: Final = 0.1
LONGEST_INTERVAL: Final = 300.0
"""Five minutes, which others found to be enough where Amazon throttles for hours."""
LONGEST_PAUSE: Final = 3600.0
"""Seconds of a Retry-After that count."""
_MUCH_SLOWER, _SLOWER = 2.0, 1.5
"""After a 429 that follows a 429, and after one that follows orders which Amazon took: the limit is near then."""
_LITTLE_FASTER, _FASTER, _NEAR = 0.97, 0.8, 15
"""After each of the first `_NEAR` orders that Amazon takes, and after the others: the limit may have been lifted."""
MEMORY: Final = 3600.0
"""Seconds after the last 429 for which an interval is remembered while no order waits."""


# --- What is learned ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pace:
    """Orders leave `interval` seconds apart, the next one at `opens_at`. Amazon throttles `since`, and made the pace
    slower at `slowed_at`: orders that left before say nothing about it. It has `taken` so many since then."""

    interval: float
    opens_at: float
    since: float
    slowed_at: float
    taken: int = 0

    def is_over(self, now: float) -> bool:
        """Whether it says nothing any more."""
        return self.interval <= SHORTEST_INTERVAL or now - self.slowed_at > MEMORY

    def left(self, now: float) -> Pace:
        """After an order left."""
        return replace(self, opens_at=max(now, self.opens_at) + self.interval)


def slow_down(pace: Pace | None, sent_at: float, now: float, retry_after: float | None) -> Pace:
    """The pace after a 429 to an order that left at `sent_at`."""
    if pace is None:
        pace = Pace(FIRST_INTERVAL, now + FIRST_INTERVAL, now, now)
    elif sent_at >= pace.slowed_at:
        interval = min(pace.interval * (_SLOWER if pace.taken else _MUCH_SLOWER), LONGEST_INTERVAL)
        pace = Pace(interval, max(pace.opens_at, now + interval), pace.since, now)
    pause = min(retry_after or 0.0, LONGEST_PAUSE)
    return replace(pace, opens_at=max(pace.opens_at, now + pause))


def speed_up(pace: Pace, sent_at: float) -> Pace:
    """The pace after Amazon took an order that left at `sent_at`."""
    if sent_at < pace.slowed_at:
        return pace
    taken = pace.taken + 1
    factor = _LITTLE_FASTER if taken <= _NEAR else _FASTER
    return replace(pace, interval=max(pace.interval * factor, SHORTEST_INTERVAL), taken=taken)


# --- Who waits ---------------------------------------------------------------------------------------------------


class OrderLimit(NamedTuple):
    """What is throttled together: the orders of one login in one region."""

    account: str
    client_id: str
    region: str


class QueuedOrder(NamedTuple):
    """An order of a client that may have to wait for its turn. `days` are the last and the first day that it covers; it
    waits for `patience` seconds at most."""

    limit: OrderLimit
    client: str
    days: tuple[str, str]
    patience: float


class PaceStatus(NamedTuple):
    """What was learned, for people to look at; `next_in` and `throttled_for` are in seconds."""

    limit: OrderLimit
    interval: float
    next_in: float
    throttled_for: float
    waiting: int


class _Waiting(NamedTuple):
    days: tuple[str, str]
    turn: asyncio.Future[None]


class OrderQueue:
    """The orders of one limit that wait, and its pace. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pace: Pace | None = None
        self._paused_until = self._left_at = -math.inf
        self._waiting: dict[str, list[_Waiting]] = {}
        self._served: dict[str, int] = {}
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        pace = "no limit" if self._pace is None else f"one order in {self._pace.interval:g} s"
        return f"<OrderQueue: {pace}, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """How many orders wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def interval(self) -> float:
        """Seconds between two orders; 0 before the first 429."""
        return self._pace.interval if self._pace is not None else 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it can be forgotten."""
        return not self._waiting and (self._pace is None or self._pace.is_over(self._loop.time()))

    def status(self, limit: OrderLimit) -> PaceStatus | None:
        """What was learned; None if orders are not throttled."""
        now, pace = self._loop.time(), self._pace
        if pace is None:
            return None
        return PaceStatus(limit, pace.interval, max(0.0, pace.opens_at - now), now - pace.since, self.waiting)

    # --- what Amazon answers

    def throttled(self, sent_at: float, retry_after: float | None) -> None:
        """Amazon answered 429 to an order that left at `sent_at`."""
        now = self._loop.time()
        self._pace = slow_down(self._pace, sent_at, now, retry_after)
        self._paused_until = max(self._paused_until, now + min(retry_after or 0.0, LONGEST_PAUSE))
        self._plan()

    def taken(self, sent_at: float) -> None:
        """Amazon took an order that left at `sent_at`."""
        if self._pace is not None:
            self._pace = speed_up(self._pace, sent_at)

    # --- orders

    async def wait(self, client: str, days: tuple[str, str], patience: float) -> None:
        """Return when it is the turn of an order of this client. Raises `Throttled` if that is later than `patience`
        seconds from now."""
        now, pace = self._loop.time(), self._pace
        if pace is None or (not self._waiting and pace.opens_at <= now):
            self._let_go(client)
            return
        if pace.opens_at - now > patience:
            raise self._refusal()
        waiting = _Waiting(days, self._loop.create_future())
        self._waiting.setdefault(client, []).append(waiting)
        self._plan()
        try:
            async with asyncio.timeout(patience if math.isfinite(patience) else None):
                await waiting.turn
        except TimeoutError:
            if waiting.turn.cancelled():  # else it came at the last moment
                raise self._refusal() from None
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self.give_back()
            raise
        finally:
            self._forget(client, waiting)
            self._plan()

    def give_back(self, left_at: float = math.inf) -> None:
        """An order whose turn came at `left_at`, or just now, was not sent: the next one may leave now, or after
        Amazon's Retry-After. Not if another one left since, or Amazon slowed them down."""
        if self._pace is not None and left_at >= max(self._left_at, self._pace.slowed_at):
            self._pace = replace(self._pace, opens_at=max(self._loop.time(), self._paused_until))
            self._plan()

    def _let_go(self, client: str) -> None:
        """An order of this client leaves now."""
        self._left_at = self._loop.time()
        if self._pace is not None:
            self._pace = self._pace.left(self._left_at)
        self._turns += 1
        self._served[client] = self._turns

    def _forget(self, client: str, waiting: _Waiting) -> None:
        of_client = self._waiting.get(client, [])
        if waiting in of_client:
            of_client.remove(waiting)
        if not of_client:
            self._waiting.pop(client, None)
        if not self._waiting:
            self._served.clear()

    def _plan(self) -> None:
        """Wake up when the next order may leave."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._pace is not None:
            self._timer = self._loop.call_at(self._pace.opens_at, self._release)

    def _release(self) -> None:
        """Let the next one leave: of the client whose last turn is longest ago, the order of the newest days."""
        self._timer = None
        if not self._waiting:
            return
        client = min(self._waiting, key=lambda name: self._served.get(name, 0))
        waiting = max(self._waiting[client], key=lambda each: each.days)
        self._forget(client, waiting)
        if not waiting.turn.done():
            self._let_go(client)
            waiting.turn.set_result(None)
        self._plan()

    def _refusal(self) -> Throttled:
        pace, now = self._pace, self._loop.time()
        wait = 1.0 if pace is None else max(pace.opens_at - now, pace.interval)
        seconds = max(1, math.ceil(round(wait, 3)))  # a sum of moments is a little more or less than what was added
        return Throttled(
            f"Amazon throttles orders for reports of this login in this region: send it again in {seconds} s.",
            retry_after=float(seconds),
        )


class OrderQueues:
    """The queues of all limits that Amazon has shown: as a rule there are none. Belongs to one event loop."""

    def __init__(self) -> None:
        self._queues: dict[OrderLimit, OrderQueue] = {}
        self.paced: Callable[[OrderLimit, float, bool], None] = lambda limit, interval, slower: None
        """Called with each new interval, in seconds, and whether it is longer; 0 once a limit is forgotten."""

    def __repr__(self) -> str:
        return f"<OrderQueues: {len(self._queues)} limits>"

    async def wait(self, limit: OrderLimit, client: str, days: tuple[str, str], patience: float) -> None:
        """See `OrderQueue.wait`; `patience` may be `math.inf`."""
        self._sweep()
        queue = self._queues.get(limit)
        if queue is not None:
            await queue.wait(client, days, patience)

    def give_back(self, limit: OrderLimit, left_at: float = math.inf) -> None:
        """See `OrderQueue.give_back`."""
        queue = self._queues.get(limit)
        if queue is not None:
            queue.give_back(left_at)

    def throttled(self, limit: OrderLimit, sent_at: float, retry_after: float | None) -> None:
        """Amazon answered 429 to an order that left at `sent_at`."""
        self._sweep()
        queue = self._queues.get(limit)
        if queue is None:
            queue = self._queues[limit] = OrderQueue(asyncio.get_running_loop())
        before = queue.interval
        queue.throttled(sent_at, retry_after)
        if queue.interval != before:
            self.paced(limit, queue.interval, True)

    def taken(self, limit: OrderLimit, sent_at: float) -> None:
        """Amazon took an order that left at `sent_at`."""
        queue = self._queues.get(limit)
        if queue is None:
            return
        before = queue.interval
        queue.taken(sent_at)
        if queue.is_idle:
            self._forget(limit)
        elif queue.interval != before:
            self.paced(limit, queue.interval, False)

    def snapshot(self) -> tuple[PaceStatus, ...]:
        """What was learned of each limit."""
        self._sweep()
        return tuple(self._statuses())

    def _statuses(self) -> Iterator[PaceStatus]:
        for limit, queue in self._queues.items():
            status = queue.status(limit)
            if status is not None:
                yield status

    def _sweep(self) -> None:
        for limit in [limit for limit, queue in self._queues.items() if queue.is_idle]:
            self._forget(limit)

    def _forget(self, limit: OrderLimit) -> None:
        del self._queues[limit]
        self.paced(limit, 0.0, False)
