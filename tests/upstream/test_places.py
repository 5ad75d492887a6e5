"""Pools of two processes that share the places for connections to one host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from proxy.app.workers.connection_memory import PlaceSharing
from proxy.app.workers.shared_counts import SharedCounts
from proxy.net.deadlines import Deadlines
from proxy.net.names import Names
from proxy.upstream import pool as module
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.places import OwnPlaces
from proxy.upstream.pool import Pool
from proxy.upstream.pools import Pools, PoolSettings
from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, answering

PATIENCE = 20.0


class Two:
    """Two workers' pools before one host. What one tells reaches the other at the next turn of the event loop."""

    def __init__(self, counts: SharedCounts, port: int, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.counts, self.names, self.deadlines = counts, Names(), Deadlines(loop)
        self.all: list[Pools] = []
        self.tasks: list[asyncio.Task[UpstreamConnection]] = []
        for number in range(2):
            sharing = PlaceSharing(counts.connections, number, loop, partial(self._tell, 1 - number))
            pools = Pools(self.deadlines, self.names, sharing.places)
            pools.apply(PoolSettings(5.0, limit), {("api", "na"): f"http://127.0.0.1:{port}"})
            self.all.append(pools)

    def _tell(self, number: int) -> None:
        asyncio.get_running_loop().call_soon(self.all[number].heed)

    def pool(self, number: int) -> Pool:
        return self.all[number].find("api", "na")

    async def take(self, number: int, count: int = 1) -> list[UpstreamConnection]:
        """Each for another family, so that none has more than its share."""
        pool = self.pool(number)
        return [await pool.acquire(fresh=False, patience=PATIENCE, family=str(each)) for each in range(count)]

    async def rested(self, number: int, count: int) -> None:
        """A worker that has so many connections, none of them in use."""
        for connection in await self.take(number, count):
            self.pool(number).release(connection)

    def waiting(self, number: int, family: str = "waiting") -> asyncio.Task[UpstreamConnection]:
        acquiring = self.pool(number).acquire(fresh=False, patience=PATIENCE, family=family)
        self.tasks.append(asyncio.ensure_future(acquiring))
        return self.tasks[-1]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for pools in self.all:
            for connection in tuple(pools.find("api", "na")._all):
                connection.close()
        self.names.stop()
        self.deadlines.stop()


@asynccontextmanager
async def two(running: Running, limit: int) -> AsyncIterator[Two]:
    counts = SharedCounts.make(2)
    async with running(answering(HELLO)) as bench:
        both = Two(counts, bench.upstream.port, limit)
        try:
            yield both
        finally:
            await both.close()
            counts.close()


async def test_one_process_may_have_all(running: Running) -> None:
    """Where the other one has none; together they never have more."""
    async with two(running, 4) as both:
        await both.take(0, 4)
        assert both.pool(0).sizes == (4, 0)
        assert both.pool(1).is_full("another")


async def test_a_place_given_back_goes_to_the_process_that_waits(running: Running) -> None:
    """As soon as a connection of the other one is closed."""
    async with two(running, 2) as both:
        first, _ = await both.take(0, 2)
        waiting = both.waiting(1)
        await asyncio.sleep(0)
        first.close()
        assert (await waiting).usable
        assert (both.pool(0).sizes, both.pool(1).sizes) == ((1, 0), (1, 0))


async def test_a_connection_that_nobody_uses_makes_room_for_another_process(running: Running) -> None:
    """One only, of three, where one is wanted; the other two stay."""
    async with two(running, 3) as both:
        await both.rested(0, 3)
        assert (await both.waiting(1)).usable
        assert (both.pool(0).sizes, both.pool(1).sizes) == ((2, 2), (1, 0))


async def test_a_connection_in_use_all_the_time_is_not_spare(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    """It is closed for another process only once it has rested for a while."""
    monkeypatch.setattr(module, "_SPARE", 3600.0)
    async with two(running, 2) as both:
        await both.rested(0, 1)
        await both.take(1)
        both.waiting(1)
        await asyncio.sleep(0)
        both.pool(0).heed()
        assert both.pool(0).sizes == (1, 1)


async def test_the_process_with_more_gives_when_a_request_ends(running: Running) -> None:
    """Although its own requests wait, too: until both have the same number."""
    async with two(running, 4) as both:
        busy = await both.take(0, 4)
        own, others = ([both.waiting(each, f"waiting {n}") for n in range(2)] for each in range(2))
        await asyncio.sleep(0)
        both.pool(0).heed()
        for _ in range(2):
            both.pool(0).release(busy.pop())
            assert (await others.pop(0)).usable
        for each in (0, 1):
            assert both.pool(each).sizes == (2, 0)
        both.pool(0).release(busy.pop())
        assert (await own.pop(0)).usable


async def test_places_of_a_dead_process_are_used_by_the_others(running: Running) -> None:
    """Once the supervisor has set its numbers to zero and told them."""
    async with two(running, 2) as both:
        await both.take(0, 2)
        waiting = both.waiting(1)
        await asyncio.sleep(0)
        both.counts.forget(0)
        both.all[1].heed()
        assert (await waiting).usable


@pytest.mark.parametrize(("here", "there", "most"), [(8, 8, 8), (16, 0, 12), (12, 0, 12), (4, 8, 8)])
async def test_a_family_leaves_a_quarter_to_others(running: Running, here: int, there: int, most: int) -> None:
    """Of sixteen places: as long as it finds a connection at all, and no other process uses any."""
    async with two(running, 16) as both:
        await both.rested(0, here)
        await both.rested(1, there)
        pool = both.pool(0)
        while not pool.is_full("reports"):
            await pool.acquire(fresh=False, patience=PATIENCE, family="reports")
        assert pool.held_by("reports") == most
        assert pool.is_full("campaigns") is (most < 12)


def test_a_single_process_has_all_places() -> None:
    """And no other one to ask."""
    places = OwnPlaces(1)
    assert (places.take(), places.take(), places.free) == (True, False, 0)
    places.want(True)
    places.give()
    assert (places.free, places.wanted_elsewhere, places.exceed_share) == (1, False, False)
    assert repr(places) == "<OwnPlaces: 1 of 1 free>"
