"""Connections to one host are used again, last first, and shared in the order in which they are asked for."""

from __future__ import annotations

import asyncio

import pytest

from proxy.clock import boot_time
from proxy.errors import UpstreamTimeout
from proxy.net.names import Names
from proxy.upstream.pools import Pools
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
        tools = []
        for number in range(2):
            tools.append(await bench.tool(get(b"/%d" % number)))
            await gate.until(bench, number + 1)
        gate.answer(0)
        await tools[0].answer()
        gate.answer(1)
        await tools[1].answer()
        assert sizes(bench) == (2, 2)
        last = gate.asked[1][1]
        for number in (2, 3):
            tools[0].send(GET)
            await gate.until(bench, number + 1)
            assert gate.asked[number][1] is last
            gate.answer(number)
            await tools[0].answer()
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
    async with running(answering(HELLO)) as bench:
        await bench.ask()
        before = boot_time()
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: before + suspended)
        await bench.ask()
        assert len(bench.upstream.wires) == connections


async def test_no_more_connections_than_allowed_and_served_in_order(running: Running) -> None:
    """Whoever waits gets the next free one in turn; a newcomer does not overtake."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        tools = [await bench.tool(get(b"/0"))]
        await gate.until(bench, 1)
        for number in range(1, 4):
            tools.append(await bench.tool(get(b"/%d" % number)))
            await bench.settled(lambda number=number: bench.accounting.in_flight == number + 1)  # type: ignore[misc]  # not inferred: it has a default
            await bench.settled(lambda number=number: len(pool_of(bench)) == number)  # type: ignore[misc]  # not inferred: it has a default
        for number in range(4):
            await gate.until(bench, number + 1)
            gate.answer(number)
            await tools[number].answer()
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


def pool_of(bench: ProxyBench) -> list[object]:
    """Those who wait for a connection."""
    return list(bench.pools.find("api", "na")._waiting)


async def test_a_connection_that_is_lost_makes_room_for_who_waits(running: Running) -> None:
    """They make one of their own."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        first, second = await bench.tool(write(b"/0")), await bench.tool()
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
        first = await bench.tool(get(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        leaving = asyncio.ensure_future(pool.acquire(fresh=False, patience=60))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        last = await bench.tool(get(b"/2"))
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
        await bench.tool(write(b"/0"))
        await gate.until(bench, 1)
        pool = bench.pools.find("api", "na")
        leaving = asyncio.ensure_future(pool.acquire(fresh=False, patience=60))
        await bench.settled(lambda: len(pool_of(bench)) == 1)
        last = await bench.tool(get(b"/2"))
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
        assert pool.places.free == pool.limit - pool.sizes[0]


async def test_who_waits_too_long_is_told_what_to_raise(running: Running) -> None:
    """A 504 with the setting's name."""
    gate = Gate()
    async with running(gate, pool_limit=1) as bench:
        await bench.tool(get(b"/0"))
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
        first = await bench.tool(get(b"/0"))
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


async def test_a_reload_that_changes_nothing_here_keeps_connections(running: Running) -> None:
    """And one that changes the address or the dialling does not: idle ones close, busy ones after their exchange."""
    gate = Gate()
    async with running(gate) as bench:
        tool, busy = await bench.tool(get(b"/0")), await bench.tool()
        await gate.until(bench, 1)
        busy.send(get(b"/1"))
        await gate.until(bench, 2)
        gate.answer(0)
        await tool.answer()
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
        first = await bench.tool(get(b"/0"))
        await gate.until(bench, 1)
        second = await bench.tool(get(b"/1"))
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
