"""What is learned from 429s to orders, and who may send the next order."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from proxy.errors import Throttled
from proxy.reports.pace import (
    FIRST_INTERVAL,
    LONGEST_INTERVAL,
    LONGEST_PAUSE,
    MEMORY,
    SHORTEST_INTERVAL,
    OrderLimit,
    OrderQueues,
    Pace,
    slow_down,
    speed_up,
)
from tests.support.tokens import virtual_time

if TYPE_CHECKING:
    from collections.abc import Coroutine

LIMIT = OrderLimit("acme", "amzn1.app", "na")
NOVEMBER, OCTOBER = ("2026-11-07", "2026-11-01"), ("2026-10-07", "2026-10-01")


# --- what is learned


def test_the_first_429_sets_the_first_interval() -> None:
    """The next order leaves after it."""
    assert slow_down(None, 90.0, 100.0, None) == Pace(FIRST_INTERVAL, 102.0, 100.0, 100.0)


def test_a_retry_after_counts_up_to_a_bound() -> None:
    """It moves the next order, not the interval."""
    assert slow_down(None, 90.0, 100.0, 60.0) == Pace(FIRST_INTERVAL, 160.0, 100.0, 100.0)
    assert slow_down(None, 90.0, 100.0, 1e6).opens_at == 100.0 + LONGEST_PAUSE


def test_each_429_that_follows_a_429_doubles_the_interval() -> None:
    """Up to five minutes."""
    pace = slow_down(None, 90.0, 100.0, None)
    intervals = []
    for now in range(200, 1200, 100):
        pace = slow_down(pace, float(now - 1), float(now), None)
        intervals.append(pace.interval)
    assert intervals[:4] == [4.0, 8.0, 16.0, 32.0]
    assert intervals[-1] == LONGEST_INTERVAL
    assert (pace.since, pace.slowed_at) == (100.0, 1100.0)


def test_a_429_to_an_order_that_left_before_says_nothing_about_the_new_interval() -> None:
    """Ten orders that left together are one refusal."""
    pace = slow_down(None, 90.0, 100.0, None)
    assert slow_down(pace, 99.0, 101.0, None) == pace
    assert slow_down(pace, 99.0, 101.0, 30.0) == Pace(FIRST_INTERVAL, 131.0, 100.0, 100.0)
    assert speed_up(pace, 99.0) is pace


def test_each_order_that_amazon_takes_shrinks_the_interval() -> None:
    """Until it says nothing any more."""
    pace = slow_down(None, 90.0, 100.0, None)
    intervals = []
    for _ in range(40):
        pace = speed_up(pace, 100.0)
        intervals.append(pace.interval)
    assert intervals[0] == pytest.approx(0.97 * FIRST_INTERVAL)
    assert intervals[14] == pytest.approx(0.97**15 * FIRST_INTERVAL)
    assert intervals[15] == pytest.approx(0.8 * 0.97**15 * FIRST_INTERVAL)
    assert intervals[-1] == SHORTEST_INTERVAL
    assert pace.is_over(101.0)


def test_a_429_after_orders_that_amazon_took_slows_them_less() -> None:
    """The limit is near then."""
    pace = speed_up(slow_down(None, 90.0, 100.0, None), 101.0)
    slower = slow_down(pace, 102.0, 103.0, None)
    assert slower.interval == pytest.approx(1.5 * 0.97 * FIRST_INTERVAL)
    assert slow_down(slower, 104.0, 105.0, None).interval == pytest.approx(2 * slower.interval)


@pytest.mark.parametrize("spacing", [1.0, 3.0, 10.0, 60.0])
def test_few_orders_are_refused_once_the_interval_is_known(spacing: float) -> None:
    """Before an Amazon that takes one in `spacing` seconds: one in eight at most, in less than half again the time."""
    now, last, pace, refused, taken = 0.0, -math.inf, None, 0, 0
    while taken < 200:
        if pace is not None:
            now = max(now, pace.opens_at)
            pace = pace.left(now)
        sent, now = now, now + 0.3
        if sent < last + spacing:
            refused += 1
            pace = slow_down(pace, sent, now, None)
        else:
            last, taken = sent, taken + 1
            pace = speed_up(pace, sent) if pace is not None else None
    assert refused <= 25
    assert now < 1.5 * 200 * spacing


def test_an_interval_is_remembered_for_an_hour() -> None:
    """After the last 429."""
    pace = slow_down(None, 90.0, 100.0, None)
    assert not pace.is_over(100.0 + MEMORY)
    assert pace.is_over(100.1 + MEMORY)


# --- who waits


class Orders:
    """Orders that wait in one queue; `left` are those that left, with the seconds since the 429."""

    def __init__(self, retry_after: float | None = None) -> None:
        self.queues = OrderQueues()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.queues.throttled(LIMIT, self._began, retry_after)
        self.left: list[tuple[str, float]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, client: str, days: tuple[str, str] = NOVEMBER, patience: float = 60.0) -> None:
        self._tasks[name] = self._loop.create_task(self._wait(name, self.queues.wait(LIMIT, client, days, patience)))

    async def _wait(self, name: str, waiting: Coroutine[None, None, None]) -> None:
        await waiting
        self.left.append((name, round(self._loop.time() - self._began, 3)))

    async def end(self) -> list[tuple[str, float]]:
        await asyncio.gather(*self._tasks.values())
        return self.left

    async def leave(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])


@virtual_time
async def test_without_a_429_no_order_waits() -> None:
    """And nothing is remembered."""
    queues = OrderQueues()
    await queues.wait(LIMIT, "a", NOVEMBER, 0.0)
    queues.taken(LIMIT, 0.0)
    assert queues.snapshot() == ()


@virtual_time
async def test_orders_leave_one_at_a_time() -> None:
    """At the interval that was learned."""
    orders = Orders()
    for name in "abc":
        orders.begin(name, "client")
    assert await orders.end() == [("a", 2.0), ("b", 4.0), ("c", 6.0)]


@virtual_time
async def test_clients_take_turns() -> None:
    """One that orders a lot does not delay the others."""
    orders = Orders()
    for name in ("a1", "a2", "a3"):
        orders.begin(name, "a")
    orders.begin("b1", "b")
    assert [name for name, _ in await orders.end()] == ["a1", "b1", "a2", "a3"]


@virtual_time
async def test_the_newest_days_of_a_client_go_first() -> None:
    """What a backfill orders waits for today's report."""
    orders = Orders()
    orders.begin("old", "a", OCTOBER)
    orders.begin("unknown", "a", ("", ""))
    orders.begin("new", "a", NOVEMBER)
    assert [name for name, _ in await orders.end()] == ["new", "old", "unknown"]


@virtual_time
async def test_a_client_that_leaves_loses_its_place() -> None:
    """The next one has it."""
    orders = Orders()
    orders.begin("a", "a")
    orders.begin("b", "b")
    await asyncio.sleep(1)
    await orders.leave("a")
    assert await orders.end() == [("b", 2.0)]


@virtual_time
async def test_a_turn_of_a_client_that_left_with_it_is_the_next_ones() -> None:
    """It has sent nothing."""
    orders = Orders()
    orders.begin("a", "a")
    orders.begin("b", "b")
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(2.0, orders._tasks["a"].cancel)  # as the turn comes, and before it is taken
    await asyncio.wait(orders._tasks.values())
    assert orders.left in ([("b", 2.0)], [("a", 2.0), ("b", 4.0)])


@virtual_time
async def test_a_turn_that_is_given_back_ends_no_retry_after() -> None:
    """Amazon may have asked for the pause after the turn came."""
    queues, loop = OrderQueues(), asyncio.get_running_loop()
    queues.throttled(LIMIT, loop.time(), None)
    await queues.wait(LIMIT, "a", NOVEMBER, 60.0)
    queues.throttled(LIMIT, loop.time() - 3.0, 600.0)
    queues.give_back(LIMIT)
    assert queues.snapshot()[0].next_in == 600.0
    await asyncio.sleep(600)
    await queues.wait(LIMIT, "a", NOVEMBER, 0.0)
    queues.give_back(LIMIT)
    assert queues.snapshot()[0].next_in == 0.0


@virtual_time
async def test_a_turn_that_is_given_back_late_lets_nobody_leave_early() -> None:
    """Its order waited for a token: another one left since, or Amazon slowed orders down."""
    queues, clock = OrderQueues(), asyncio.get_running_loop().time
    queues.throttled(LIMIT, clock(), None)
    left_at = []
    for _ in range(2):
        await queues.wait(LIMIT, "a", NOVEMBER, 60.0)
        left_at.append(clock())
    await asyncio.sleep(0.5)
    queues.give_back(LIMIT, left_at[0])
    assert queues.snapshot()[0].next_in == pytest.approx(1.5)
    queues.give_back(LIMIT, left_at[1])
    assert queues.snapshot()[0].next_in == 0.0
    queues.throttled(LIMIT, clock(), None)
    queues.give_back(LIMIT, left_at[1])
    assert queues.snapshot()[0].next_in == pytest.approx(4.0)


@virtual_time
async def test_a_turn_that_comes_at_the_last_moment_is_taken() -> None:
    """It is lost to nobody."""
    queues, loop = OrderQueues(), asyncio.get_running_loop()
    queues.throttled(LIMIT, loop.time(), None)
    began = loop.time()
    await queues.wait(LIMIT, "a", NOVEMBER, FIRST_INTERVAL)
    assert loop.time() - began == FIRST_INTERVAL


@virtual_time
async def test_an_order_waits_no_longer_than_its_patience() -> None:
    """Then its client is told when to come again."""
    orders = Orders()
    orders.begin("first", "a")
    await asyncio.sleep(0)
    with pytest.raises(Throttled) as caught:
        await orders.queues.wait(LIMIT, "b", OCTOBER, 3.0)
    assert caught.value.retry_after == 2.0
    assert "send it again in 2 s" in caught.value.detail
    assert await orders.end() == [("first", 2.0)]


@virtual_time
async def test_a_pause_beyond_the_patience_is_refused_at_once() -> None:
    """Nobody waits for what cannot come."""
    orders = Orders(retry_after=600.0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Throttled) as caught:
        await orders.queues.wait(LIMIT, "b", NOVEMBER, 60.0)
    assert caught.value.retry_after == 600.0
    assert asyncio.get_running_loop().time() == began


@virtual_time
async def test_a_refusal_tells_no_second_more_than_amazon_asked_for() -> None:
    """Whatever the moment: added to it and taken from it again, 600 s may be a little more."""
    clock = asyncio.get_running_loop().time
    while clock() + 600.0 - clock() <= 600.0:
        await asyncio.sleep(0.1)
    orders = Orders(retry_after=600.0)
    with pytest.raises(Throttled) as caught:
        await orders.queues.wait(LIMIT, "b", NOVEMBER, 60.0)
    assert caught.value.retry_after == 600.0


@virtual_time
async def test_endless_patience_waits_for_its_turn() -> None:
    """The proxy's own orders have it."""
    orders = Orders(retry_after=600.0)
    orders.begin("own", "", patience=math.inf)
    assert await orders.end() == [("own", 600.0)]


@virtual_time
async def test_a_429_moves_those_who_wait() -> None:
    """By the longer interval."""
    orders = Orders()
    orders.begin("a", "a")
    orders.begin("b", "b")
    await asyncio.sleep(2.5)
    orders.queues.throttled(LIMIT, asyncio.get_running_loop().time() - 0.5, None)
    assert await orders.end() == [("a", 2.0), ("b", 6.5)]


@virtual_time
async def test_orders_that_amazon_takes_end_the_limit() -> None:
    """It is forgotten then."""
    orders = Orders()
    taken = 0
    while orders.queues.snapshot():
        await orders.queues.wait(LIMIT, "a", NOVEMBER, 60.0)
        orders.queues.taken(LIMIT, asyncio.get_running_loop().time())
        taken += 1
    assert taken == 27
    assert repr(orders.queues) == "<OrderQueues: 0 limits>"


@virtual_time
async def test_a_limit_is_forgotten_after_an_hour() -> None:
    """Amazon's tiers change slowly, but they change."""
    orders = Orders()
    await asyncio.sleep(MEMORY + 1)
    assert orders.queues.snapshot() == ()


@virtual_time
async def test_a_limit_is_forgotten_also_if_nobody_looks() -> None:
    """Of the orders that come after an hour, none waits for the interval from before."""
    orders = Orders()
    await asyncio.sleep(MEMORY + 1)
    for _ in range(2):
        await orders.queues.wait(LIMIT, "a", NOVEMBER, 0.0)


@virtual_time
async def test_what_was_learned_can_be_looked_at() -> None:
    """The interval, the next turn, since when, and who waits; other logins and regions have limits of their own."""
    orders = Orders()
    orders.begin("a", "a")
    await asyncio.sleep(1)
    (status,) = orders.queues.snapshot()
    assert (status.limit, status.interval, status.waiting) == (LIMIT, 2.0, 1)
    assert [status.next_in, status.throttled_for] == pytest.approx([1.0, 1.0])
    await orders.queues.wait(LIMIT._replace(region="eu"), "a", NOVEMBER, 0.0)
    await orders.end()


@virtual_time
async def test_each_new_interval_is_told() -> None:
    """Whether it is longer, and the end of the limit."""
    told: list[tuple[str, float, bool]] = []
    orders, loop = OrderQueues(), asyncio.get_running_loop()
    orders.paced = lambda limit, interval, slower: told.append((limit.region, round(interval, 2), slower))
    orders.throttled(LIMIT, loop.time(), None)
    assert told == [("na", 2.0, True)]
    orders.throttled(LIMIT, loop.time() - 1, None)
    assert len(told) == 1
    orders.taken(LIMIT, loop.time() - 1)
    orders.taken(LIMIT, loop.time())
    await asyncio.sleep(MEMORY + 1)
    orders.snapshot()
    assert told == [("na", 2.0, True), ("na", 1.94, False), ("na", 0.0, False)]
