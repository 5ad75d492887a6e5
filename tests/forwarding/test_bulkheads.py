"""One operation that hangs, on a pool of eight connections: the others notice nothing, and it is told."""

from __future__ import annotations

import pytest

from proxy.errors import UpstreamTimeout
from proxy.events import FamilyHeldBack
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Wire

LIMIT, SHARE = 8, 6
HUNG_FAMILY = "sp/campaigns:read"


def post(path: bytes) -> bytes:
    """A POST of this path, without a body."""
    return b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


HUNG = post(b"/sp/campaigns/list")
OTHERS = (
    b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    post(b"/sb/v4/campaigns/list"),
    post(b"/sp/keywords"),
)


class HungOperation:
    """An upstream that answers all but one operation; that one when the test says so, and from then on."""

    def __init__(self) -> None:
        self.hung: list[Wire] = []
        self.hanging = True

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if self.hanging and head.startswith(b"POST /sp/campaigns/list "):
                self.hung.append(wire)
            else:
                wire.send(HELLO)

    def go_on(self) -> None:
        self.hanging = False
        for wire in self.hung:
            if not wire.transport.is_closing():
                wire.send(HELLO)


async def hang(bench: ProxyBench, upstream: HungOperation, requests: int) -> list[Wire]:
    """Tools that asked for what hangs; as many as may be are at Amazon, the others wait."""
    clients = [await bench.client(HUNG) for _ in range(requests)]
    waiting = bench.pools.find("api", "na")._waiting
    await bench.settled(lambda: len(upstream.hung) + len(waiting) == requests)
    return clients


def held_back(bench: ProxyBench) -> list[FamilyHeldBack]:
    """Who waited although there were connections left."""
    return bench.events.of(FamilyHeldBack)


async def test_a_hung_operation_costs_the_others_nothing(running: Running) -> None:
    """Thirty requests of it take three quarters of the pool; every request of another is served, and none waits."""
    upstream = HungOperation()
    async with running(upstream, pool_limit=LIMIT) as bench:
        clients = await hang(bench, upstream, 30)
        assert len(upstream.hung) == SHARE
        for _ in range(20):
            for request in OTHERS:
                assert (await bench.ask(request)).status == 200
        assert {event.family for event in held_back(bench)} == {HUNG_FAMILY}
        assert len(held_back(bench)) == 30 - SHARE
        assert len(upstream.hung) == SHARE
        upstream.go_on()
        assert [(await client.answer()).status for client in clients] == [200] * 30


async def test_several_at_once_are_served_beside_it(running: Running) -> None:
    """Who asks while the rest is in use waits for that, and not for what hangs."""
    upstream = HungOperation()
    async with running(upstream, pool_limit=LIMIT) as bench:
        clients = await hang(bench, upstream, 30)
        others = [await bench.client(request) for _ in range(10) for request in OTHERS]
        assert [(await client.answer()).status for client in others] == [200] * 30
        assert len(upstream.hung) == SHARE
        upstream.go_on()
        assert [(await client.answer()).status for client in clients] == [200] * 30


async def test_two_hung_operations_leave_something_too(running: Running) -> None:
    """The second gets its part of what the first has left, and no more."""
    upstream = HungOperation()
    second: list[Wire] = []

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if head.startswith(b"POST /sp/keywords "):
                second.append(wire)
            elif head.startswith(b"POST /sp/campaigns/list "):
                upstream.hung.append(wire)
            else:
                wire.send(HELLO)

    async with running(script, pool_limit=LIMIT) as bench:
        await hang(bench, upstream, 10)
        for _ in range(3):
            await bench.client(OTHERS[2])
        await bench.settled(lambda: len(bench.pools.find("api", "na")._waiting) == 10 - SHARE + 2 and len(second) > 0)
        assert (len(upstream.hung), len(second)) == (SHARE, 1)
        for _ in range(5):
            assert (await bench.ask(OTHERS[0])).status == 200


async def test_who_is_held_back_is_told_once_in_the_log_and_counted_each_time(running: Running) -> None:
    """With what it holds, of how many; the first of those who wait is marked."""
    upstream = HungOperation()
    async with running(upstream, pool_limit=LIMIT) as bench:
        await hang(bench, upstream, SHARE + 3)
        told = held_back(bench)
        host = f"127.0.0.1:{bench.upstream.port}"
        assert [event.first for event in told] == [True, False, False]
        assert told[0] == FamilyHeldBack(host, HUNG_FAMILY, held=SHARE, limit=LIMIT, first=True)


async def test_who_waits_too_long_is_told_what_holds_the_connections(running: Running) -> None:
    """Its family, and how many connections serve it, though two are left."""
    async with running(HungOperation(), pool_limit=LIMIT) as bench:
        pool = bench.pools.find("api", "na")
        held = [await pool.acquire(fresh=False, patience=60, family=HUNG_FAMILY) for _ in range(SHARE)]
        told = "of the 8 connections .* for sp/campaigns:read within 0.01 s, while 6 of them"
        try:
            with pytest.raises(UpstreamTimeout, match=told):
                held.append(await pool.acquire(fresh=False, patience=0.01, family=HUNG_FAMILY))
        finally:
            for connection in held:
                connection.close()


async def test_what_a_family_held_is_counted_down_to_nothing(running: Running) -> None:
    """However it ended: answered, cut, refused a connection, or left by its client."""
    upstream = HungOperation()
    async with running(upstream, pool_limit=LIMIT) as bench:
        clients = await hang(bench, upstream, 10)
        pool = bench.pools.find("api", "na")
        assert pool.held_by(HUNG_FAMILY) == SHARE
        upstream.hung[0].drop()
        clients[1].abort()
        await bench.settled(lambda: len(upstream.hung) == SHARE + 2)
        upstream.go_on()
        for client in (clients[0], *clients[2:]):
            assert (await client.answer()).status == 200
        await bench.settled(lambda: pool.held_by(HUNG_FAMILY) == 0)
        assert not any(pool._held.values())
