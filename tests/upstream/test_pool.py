"""Connections to one host are used again, last first, and shared in the order in which they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from copy import deepcopy

import pytest

from proxy.clock import boot_time
from proxy.errors import UpstreamTimeout
from proxy.net.names import Names
from proxy.upstream.pool import FairQueue, Pools, PoolSettings, may_hold_another, unreserved
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering


def get(path: bytes) -> bytes:
    """A GET of this path."""
    return b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def write(path: bytes) -> bytes:
    """A request that is never sent twice."""
    return b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


class Gate:
    """An upstream that answers each request when the test says so, in the order in which they came."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Wire]] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            self.asked.append((head.split(b" ")[1], wire))

    def answer(self, number: int) -> None:
        self.asked[number][1].send(HELLO)

    async def until(self, bench: ProxyBench, number: int) -> None:
        await bench.settled(lambda: len(self.asked) >= number)

    @property
    def targets(self) -> list[bytes]:
        return [target for target, _ in self.asked]


def sizes(bench: ProxyBench) -> tuple[int, int]:
    """Connections to the API host, and the idle ones of them."""
    return bench.pools.sizes()[f"127.0.0.1:{bench.upstream.port}"]


async def test_the_connection_used_last_is_used_next(running: Running) -> None:
    """So the others grow old and go."""
    gate = Gate()
    async with running(gate) as bench:
        clients = []
        for number in range(2):
            clients.append(await bench.client(get(b"/%d" % number)))
            await gate.until(bench, number + 1)
        gate.answer(0)
        await clients[0].answer()
        gate.answer(1)
        await clients[1].answer()
        assert sizes(bench) == (2, 2)
        last = gate.asked[1][1]
        for number in (2, 3):
            clients[0].send(GET)
            await gate.until(bench, number + 1)
            assert gate.asked[number][1] is last
            gate.answer(number)
            await clients[0].answer()
        bench.sweep(51)
        await bench.settled(lambda: sizes(bench) == (0, 0))


async def test_an_old_connection_is_not_used_again(running: Running) -> None:
    """Addresses change; ten minutes are enough."""
    async with running(answering(HELLO)) as bench:
        await bench.ask()
        pool = bench.pools.find("api", "na")
        pool._idle[0].born -= 601
        await bench.ask()
        assert len(bench.upstream.wires) == 2
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


@pytest.mark.parametrize(("suspended", "connections"), [(49, 1), (51, 2), (3600, 2)])
async def test_time_that_the_machine_was_suspended_counts(
    monkeypatch: pytest.MonkeyPatch, suspended: float, connections: int, running: Running
) -> None:
    """The event loop's timers stand still meanwhile; Amazon closes what is idle for a minute."""
    before = boot_time()
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: before)
    async with running(answering(HELLO)) as bench:
        await bench.ask()
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: before + suspended)
        await bench.ask()
        assert len(bench.upstream.wires) == connections


async def test_an_idle_connection_is_as_old_on_a_machine_that_just_started(
    monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    """Its clock began at 0."""
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 100.0)
    async with running(answering(HELLO)) as bench:
        await bench.ask()
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 210.0)
        await bench.ask()
        assert len(bench.upstream.wires) == 2


async def test_no_more_connections_than_allowed_and_served_in_order(running: Running) -> None:
    """Whoever waits gets the next free one in turn; a newcomer does not overtake."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        clients = [await bench.client(get(b"/0"))]
        await gate.until(bench, 1)
        for number in range(1, 4):
            clients.append(await bench.client(get(b"/%d" % number)))
            await bench.settled(lambda number=number: bench.accounting.in_flight == number + 1)  # type: ignore[misc]  # not inferred: it has a default
            await bench.settled(lambda number=number: len(pool_of(bench)) == number)  # type: ignore[misc]  # not inferred: it has a default
        for number in range(4):
            await gate.until(bench, number + 1)
            gate.answer(number)
            await clients[number].answer()
        assert gate.targets == [b"/0", b"/1", b"/2", b"/3"]
        assert len(bench.upstream.wires) == 1


async def test_clients_wait_in_turns(running: Running) -> None:
    """One with twenty requests waiting holds up another's first by one."""
    async with running(answering(HELLO), pool_limit=1) as bench:
        pool = bench.pools.find("api", "na")
        busy = await pool.acquire(fresh=False, patience=10, client="greedy")
        order: list[str] = []

        async def wait(client: str) -> None:
            connection = await pool.acquire(fresh=False, patience=10, client=client)
            order.append(client)
            pool.release(connection)

        waiting = [asyncio.ensure_future(wait("greedy")) for _ in range(20)]
        await bench.settled(lambda: len(pool_of(bench)) == 20)
        waiting.append(asyncio.ensure_future(wait("modest")))
        await bench.settled(lambda: len(pool_of(bench)) == 21)
        pool.release(busy)
        await asyncio.gather(*waiting)
        assert order.index("modest") == 1


def pool_of(bench: ProxyBench) -> Sized:
    """Those who wait for a connection."""
    return bench.pools.find("api", "na")._waiting


async def test_a_connection_that_is_lost_makes_room_for_who_waits(running: Running) -> None:
    """They make one of their own."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        first, second = await bench.client(write(b"/0")), await bench.client()
        await gate.until(bench, 1)
        second.send(get(b"/1"))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        gate.asked[0][1].drop()
        assert (await first.answer()).status == 502
        await gate.until(bench, 2)
        gate.answer(1)
        assert (await second.answer()).status == 200


@pytest.mark.parametrize("handed", [False, True])
async def test_who_leaves_while_waiting_loses_no_connection(handed: bool, running: Running) -> None:
    """Not even in the moment in which it was their turn."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        first = await bench.client(get(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        leaving = asyncio.ensure_future(pool.acquire(fresh=False, patience=60))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        last = await bench.client(get(b"/2"))
        await bench.settled(lambda: len(pool_of(bench)) == 2)
        if handed:
            busy = next(iter(pool._all))
            release = pool.release

            def release_and_cancel(connection: object) -> None:
                release(busy)
                leaving.cancel()

            pool.release = release_and_cancel  # type: ignore[method-assign]  # of this one object alone
        else:
            leaving.cancel()
        gate.answer(0)
        await first.answer()
        await gate.until(bench, 2)
        gate.answer(1)
        assert (await last.answer()).status == 200
        assert gate.targets == [b"/0", b"/2"]
        assert leaving.cancelled()
        assert sizes(bench)[0] == 1


async def test_who_leaves_with_leave_to_connect_passes_it_on(running: Running) -> None:
    """The place that had been counted for them goes to the next."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        await bench.client(write(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        leaving = asyncio.ensure_future(pool.acquire(fresh=False, patience=60))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        last = await bench.client(get(b"/2"))
        await bench.settled(lambda: len(pool_of(bench)) == 2)
        lost = pool.lost

        def lost_and_cancel(connection: object) -> None:
            lost(connection)  # type: ignore[arg-type]  # as the pool calls it
            leaving.cancel()

        pool.lost = lost_and_cancel  # type: ignore[method-assign]  # of this one object alone
        gate.asked[0][1].drop()
        await gate.until(bench, 2)
        gate.answer(1)
        assert (await last.answer()).status == 200
        assert pool.free == pool.limit - pool.sizes[0]


async def test_who_waits_too_long_is_told_what_to_raise(running: Running) -> None:
    """A 504 with the setting's name."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        await bench.client(get(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        with pytest.raises(UpstreamTimeout, match=r"upstream\.max_connections"):
            await pool.acquire(fresh=False, patience=0.01)
        assert not pool._waiting


async def test_a_fresh_connection_takes_the_place_of_an_idle_one(running: Running) -> None:
    """At the limit, the oldest idle connection goes."""
    async with running(answering(HELLO), pool_limit=1) as bench:
        await bench.ask()
        pool = bench.pools.find("api", "na")
        old = pool._idle[0]
        connection = await pool.acquire(fresh=True, patience=10)
        assert connection is not old
        assert pool.sizes == (1, 0)
        connection.close()


async def test_who_wants_a_fresh_one_is_not_given_a_used_one(running: Running) -> None:
    """The used one goes, and makes room."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        first = await bench.client(get(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        used = next(iter(pool._all))
        waiting = asyncio.ensure_future(pool.acquire(fresh=True, patience=10))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        gate.answer(0)
        await first.answer()
        connection = await waiting
        assert connection is not used
        connection.close()


async def test_a_fresh_connection_takes_the_place_of_one_alone(running: Running) -> None:
    """However many become idle before the place of the first has come back; each of two makes room for itself."""
    async with running(answering(HELLO), pool_limit=8) as bench:
        pool = bench.pools.find("api", "na")
        busy = [await pool.acquire(fresh=False, patience=10, family=str(number)) for number in range(8)]
        waiting = [asyncio.ensure_future(pool.acquire(fresh=True, patience=10, family=each)) for each in "ab"]
        await bench.settled(lambda: len(pool_of(bench)) == 2)
        for connection in busy:
            pool.release(connection)
        made = [await each for each in waiting]
        left = pool.sizes
        for connection in made:
            connection.close()
        assert not set(made) & set(busy)
        assert left == (8, 6)


async def test_a_reload_that_changes_nothing_here_keeps_connections(running: Running) -> None:
    """And one that changes the address or the dialling does not: idle ones close, busy ones after their exchange."""
    gate = Gate()
    async with running(gate) as bench:
        client, busy = await bench.client(get(b"/0")), await bench.client()
        await gate.until(bench, 1)
        busy.send(get(b"/1"))
        await gate.until(bench, 2)
        gate.answer(0)
        await client.answer()
        bench.apply(replay_bytes=1)
        assert sizes(bench) == (2, 1)
        bench.apply(connect_timeout=3.0)
        assert sizes(bench) == (0, 0)
        idle, working = gate.asked[0][1], gate.asked[1][1]
        await idle.until(lambda: idle.ended)
        gate.answer(1)
        assert (await busy.answer()).status == 200
        await working.until(lambda: working.ended)


async def test_pools_say_how_many_there_are(running: Running) -> None:
    """Connections, idle ones, and who waits."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        first = await bench.client(get(b"/0"))
        await gate.until(bench, 1)
        second = await bench.client(get(b"/1"))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        pool = bench.pools.find("api", "na")
        name = f"127.0.0.1:{bench.upstream.port}"
        assert repr(pool) == f"<Pool {name}: 1 connections, 0 idle, 1 waiting>"
        gate.answer(0)
        await first.answer()
        await gate.until(bench, 2)
        gate.answer(1)
        await second.answer()
        assert repr(pool) == f"<Pool {name}: 1 connections, 1 idle, 0 waiting>"
        assert name in repr(bench.pools) and repr(bench.pools).startswith("<Pools of ")
    assert repr(pool) == f"<Pool {name}: 0 connections, 0 idle, 0 waiting, closed>"
    assert repr(Pools(bench.deadlines, Names())) == "<Pools of no host>"


ROWS = [
    # held, used, limit, may
    pytest.param(0, 0, 256, True, id="an empty pool is everybody's"),
    pytest.param(191, 191, 256, True, id="one family takes three quarters"),
    pytest.param(192, 192, 256, False, id="and no more"),
    pytest.param(0, 192, 256, True, id="another finds the rest"),
    pytest.param(63, 192, 256, True, id="also one that holds fewer than are left"),
    pytest.param(64, 192, 256, False, id="not one that holds as many as are left"),
    pytest.param(0, 255, 256, True, id="who holds nothing takes the last one"),
    pytest.param(1, 255, 256, False, id="who holds one does not"),
    pytest.param(0, 256, 256, False, id="nobody takes more than there is"),
    pytest.param(3, 3, 4, False, id="of four, one is for others"),
    pytest.param(0, 3, 4, True, id="who get it"),
    pytest.param(2, 2, 3, True, id="fewer than four are everybody's"),
    pytest.param(3, 3, 3, False, id="to the last"),
    pytest.param(0, 0, 1, True, id="a single one too"),
]


@pytest.mark.parametrize(("held", "used", "limit", "may"), ROWS)
def test_one_more(held: int, used: int, limit: int, may: bool) -> None:
    """Without end while more than a quarter is free; of that quarter, only who holds fewer than are left."""
    assert may_hold_another(held, used, limit) is may


@pytest.mark.parametrize(("limit", "expected"), [(256, 192), (8, 6), (4, 3), (3, 3), (1, 1)])
def test_below_three_quarters_each_family_may_have_one_more(limit: int, expected: int) -> None:
    """Even one that holds all that are used; from there on it may not."""
    assert unreserved(limit) == expected
    assert [may_hold_another(used, used, limit) for used in range(limit)].count(True) == expected


@pytest.mark.parametrize(("limit", "shares"), [(256, [192, 32, 16, 8, 4, 2, 1]), (8, [6, 1]), (16, [12, 2, 1])])
def test_what_families_come_to_hold_that_hang_one_after_another(limit: int, shares: list[int]) -> None:
    """Each gets half of what the one before has left, and after all of them one connection is there."""
    used, held = 0, []
    for _ in shares:
        mine = 0
        while may_hold_another(mine, used, limit):
            mine, used = mine + 1, used + 1
        held.append(mine)
    assert held == shares
    assert used == limit - 1
    assert may_hold_another(0, used, limit)


def joined(*names: str) -> FairQueue[str]:
    """`a1` is the first waiter of client `a`."""
    queue: FairQueue[str] = FairQueue()
    for name in names:
        queue.join(name[0], name)
    return queue


def all_of(queue: FairQueue[str]) -> list[str]:
    """Everybody in the order of their turns."""
    found = []
    while (waiter := queue.next()) is not None:
        found.append(waiter)
    return found


def test_clients_have_their_turns_one_after_another() -> None:
    """Three of one client do not go before the first of another; within a client the first goes first."""
    assert all_of(joined("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_client_that_comes_later_goes_behind_those_who_wait() -> None:
    """Not before them, and not behind all that the first has."""
    queue = joined("a1", "a2", "a3", "b1")
    assert queue.next() == "a1"
    queue.join("c", "c1")
    assert all_of(queue) == ["b1", "a2", "c1", "a3"]


def test_who_is_put_back_is_next_again() -> None:
    """Also where it was its client's last."""
    queue = joined("a1", "b1", "b2")
    assert queue.next() == "a1"
    queue.put_back("a", "a1")
    assert all_of(queue) == ["a1", "b1", "b2"]


def test_who_leaves_takes_nobodys_turn() -> None:
    """Nor does somebody who does not wait."""
    queue = joined("a1", "b1", "a2")
    queue.leave("a", "a1")
    queue.leave("b", "b1")
    queue.leave("c", "c1")
    assert (len(queue), repr(queue)) == (1, "<FairQueue of 1 clients, 1 waiting>")
    queue.leave("a", "nobody")
    assert all_of(queue) == ["a2"]
    assert len(queue) == 0


def test_who_may_not_go_on_is_passed_over() -> None:
    """The client's turn goes to its first of another family, and to the next client where it has none."""
    queue: FairQueue[str] = FairQueue()
    for name in ("a-hung1", "a-hung2", "a-swift1", "b-hung1", "c-swift1", "a-swift2"):
        queue.join(name[0], name, name[2:-1])
    assert queue.holds("hung") and not queue.holds("other")
    swift = [queue.next(lambda family: family != "hung") for _ in range(4)]
    assert swift == ["a-swift1", "c-swift1", "a-swift2", None]
    assert all_of(queue) == ["b-hung1", "a-hung1", "a-hung2"]
    assert not queue.holds("hung")


def test_within_a_client_families_keep_the_order_in_which_they_came() -> None:
    """Also behind one that was put back, and one that left."""
    queue: FairQueue[str] = FairQueue()
    for name in ("x1", "y1", "x2", "y2"):
        queue.join("a", name, name[0])
    assert all_of(deepcopy(queue)) == ["x1", "y1", "x2", "y2"]
    queue.leave("a", "y1", "y")
    queue.leave("a", "x2", "y")
    assert queue.next() == "x1"
    queue.put_back("a", "x1", "x")
    assert all_of(queue) == ["x1", "x2", "y2"]


PATIENCE = 20.0


async def test_a_family_leaves_a_quarter_to_others(running: Running) -> None:
    """Of sixteen connections, whether or not they are open: others find one at once."""
    async with running(answering(HELLO)) as bench:
        bench.pools.apply(PoolSettings(5.0, 16), {("api", "na"): f"http://127.0.0.1:{bench.upstream.port}"})
        pool = bench.pools.find("api", "na")
        while not pool.is_full("reports"):
            await pool.acquire(fresh=False, patience=PATIENCE, family="reports")
        assert (pool.held_by("reports"), pool.free) == (12, 4)
        assert not pool.is_full("campaigns")
        for connection in tuple(pool._all):
            connection.close()
