"""A request that waits for a connection is served in its turn, and costs little meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.events import DefectMet
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import Pool
from tests.support.memory_bench import OK, MemoryBench
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire

pytestmark = pytest.mark.usefixtures("still_ages")
POST = b"POST /sp/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


class Gate:
    """An upstream that answers each request when it is let."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.allowed = asyncio.Semaphore(0)

    async def script(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.asked.append(head.partition(b"\r\n")[0] + body)
            await self.allowed.acquire()
            if wire.transport.is_closing():
                return
            wire.send(HELLO)


async def crowd(bench: ProxyBench, gate: Gate, requests: list[bytes]) -> list[Wire]:
    """A client for each request; the first has the only connection, and the others wait for it in this order."""
    clients = []
    for number, request in enumerate(requests, 1):
        clients.append(await bench.client(request))
        await bench.settled(lambda: bench.accounting.in_flight == number)  # noqa: B023 - awaited within the turn
    await bench.settled(lambda: len(gate.asked) == 1)
    return clients


async def test_requests_that_wait_for_a_connection_leave_whole_and_in_their_order(running: Running) -> None:
    """Body and all, and each is counted with one attempt."""
    gate, bodies = Gate(), [b"{}", b"[]", b"10", b"20"]
    async with running(gate.script, pool_limit=1) as bench:
        clients = await crowd(bench, gate, [POST.replace(b"{}", body) for body in bodies])
        for client in clients:
            gate.allowed.release()
            assert (await client.answer()).status == 200
        assert gate.asked == [b"POST /sp/campaigns HTTP/1.1" + body for body in bodies]
        last = await bench.events.last(4)
        assert (last.attempts, last.bytes_in, last.upstream > 0) == (1, 2, True)


async def test_a_client_that_disconnects_while_it_waits_has_sent_nothing(running: Running) -> None:
    """It is counted without an attempt; the others go on."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        first, second, third = await crowd(bench, gate, [GET] * 3)
        second.abort()
        event = await bench.events.last()
        assert (event.status, event.fault, event.attempts) == (0, "client-gone", 0)
        for client in (first, third):
            gate.allowed.release()
            assert (await client.answer()).status == 200
        assert len(gate.asked) == 2


async def test_the_end_of_the_program_ends_waiting(running: Running) -> None:
    """With a 503."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        waiting = (await crowd(bench, gate, [GET] * 2))[1]
        for connection in tuple(bench.server.connections):
            connection.end()
        assert (await waiting.answer()).status == 503
        gate.allowed.release()


async def test_many_that_wait_need_no_task_each(running: Running) -> None:
    """However many wait, the event loop has no more tasks than while the first one alone is served."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        clients_ = await crowd(bench, gate, [GET])
        tasks = len(asyncio.all_tasks())
        for number in range(2, 21):
            clients_.append(await bench.client(GET))
            await bench.settled(lambda: bench.accounting.in_flight == number)  # noqa: B023 - awaited within the turn
        assert len(asyncio.all_tasks()) == tasks
        for client in clients_:
            gate.allowed.release()
            assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    "request_", [GET.replace(b"GET", b"HEAD"), POST.replace(b"/sp/campaigns", b"/sp/campaigns/list")]
)
async def test_every_kind_of_request_waits(running: Running, request_: bytes) -> None:
    """A HEAD and a POST as well."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        first, second = await crowd(bench, gate, [GET, request_])
        gate.allowed.release()
        gate.allowed.release()
        assert (await first.answer()).status == 200
        assert (await second.answer(to_head=request_.startswith(b"HEAD"))).status == 200


async def test_a_body_that_arrives_while_its_request_waits_is_sent_with_it(running: Running) -> None:
    """All of it, also where it is more than is sent before its end."""
    gate, body = Gate(), b"a" * 200_000
    async with running(gate.script, pool_limit=1) as bench:
        head = POST.replace(b"Content-Length: 2", b"Content-Length: %d" % len(body))[:-2]
        first, second = await crowd(bench, gate, [GET, head + body[:100_000]])
        second.send(body[100_000:])
        gate.allowed.release()
        gate.allowed.release()
        assert [(await client.answer()).status for client in (first, second)] == [200, 200]
        assert gate.asked[1].endswith(b"HTTP/1.1" + body)


async def test_no_request_waits_longer_than_for_a_response(running: Running) -> None:
    """Then the client is told which setting to raise, and nothing of its request was sent."""
    gate = Gate()
    async with running(gate.script, pool_limit=1, response_timeout=50.0) as bench:
        _, second = await crowd(bench, gate, [GET, POST])
        bench.sweep(50.5)
        answer = await second.answer()
        assert answer.status == 504
        assert b"None of the 1 connections" in answer.body and b"upstream.max_connections" in answer.body
        event = next(each for each in bench.events.finished if each.method == "POST")
        assert (event.refusal, event.attempts) == ("upstream-timeout", 0)
        assert len(gate.asked) == 1


async def test_a_connection_that_dies_makes_room_for_those_who_wait(running: Running) -> None:
    """A new connection is made in its place, and serves all of them in their order."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        first, second, third = await crowd(bench, gate, [POST, GET, GET])
        bench.upstream.wires[0].drop()
        assert (await first.answer()).status == 502
        for client in (second, third):
            gate.allowed.release()
            gate.allowed.release()
            assert (await client.answer()).status == 200
        assert len(bench.upstream.wires) == 2


async def test_a_request_that_ends_before_its_connection_is_begun_returns_the_place(running: Running) -> None:
    """The next request finds room."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        _, second = await crowd(bench, gate, [POST, GET])
        pool = bench.pools.find("api", "na")
        lost = pool.lost

        def lost_and_ended(connection: UpstreamConnection) -> None:
            lost(connection)
            for each in tuple(bench.server.connections):
                each.end()

        pool.lost = lost_and_ended  # type: ignore[method-assign]  # of this one object alone
        bench.upstream.wires[0].drop()
        assert (await second.answer()).status == 503
        await bench.settled(lambda: not bench.accounting.in_flight)
        pool.lost = lost  # type: ignore[method-assign]  # as above
        assert pool.free == 1
        gate.allowed.release()
        gate.allowed.release()
        assert (await bench.ask()).status == 200


async def test_a_connection_that_cannot_be_made_is_told_to_the_one_that_waited(running: Running) -> None:
    """With the error of any failed connection."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        _, second = await crowd(bench, gate, [POST, GET])
        await bench.upstream.stop()
        bench.upstream.wires[0].drop()
        assert (await second.answer()).status == 502


async def test_a_defect_of_the_request_that_waited_is_its_own(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request that released the connection is answered, and so is the next one in line."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        first, second, third = await crowd(bench, gate, [GET] * 3)
        send: Callable[..., None] = UpstreamConnection.send_whole

        def failing(self: UpstreamConnection, *arguments: object, **named: object) -> None:
            monkeypatch.setattr(UpstreamConnection, "send_whole", send)
            raise AssertionError("a defect")

        monkeypatch.setattr(UpstreamConnection, "send_whole", failing)
        for _ in range(3):
            gate.allowed.release()
        assert [(await client.answer()).status for client in (first, second, third)] == [200, 500, 200]
        (defect,) = bench.events.of(DefectMet)
        assert "a defect" in repr(defect)
        bench.events.events = [event for event in bench.events.events if not isinstance(event, DefectMet)]


def clients_named(*names: str, requests_per_minute: int) -> Clients:
    """Clients whose keys are their names."""
    keys = [(name, ClientKey(hashlib.sha256(name.encode()).hexdigest())) for name in names]
    policies = [Policy(name, (key,), requests_per_minute=requests_per_minute) for name, key in keys]
    return Clients(policies, Placeholders(b"key"), Budgets())


def asked_by(name: str) -> bytes:
    return GET[:-2] + b"X-Ads-Proxy-Key: %b\r\n\r\n" % name.encode()


async def test_clients_wait_in_turns(running: Running) -> None:
    """A client with many waiting requests delays another client's first one by one."""
    gate, names = Gate(), ["greedy client"] * 5 + ["modest client"]
    clients = clients_named("greedy client", "modest client", requests_per_minute=100)
    async with running(gate.script, pool_limit=1, clients=clients) as bench:
        wires = await crowd(bench, gate, [asked_by(name) for name in names])
        for _ in range(3):
            gate.allowed.release()
        assert (await wires[-1].answer()).status == 200
        assert len(bench.events.finished) <= 3
        for _ in range(3):
            gate.allowed.release()
        assert [(await wire.answer()).status for wire in wires[:-1]] == [200] * 5


async def test_a_request_costs_its_budget_before_it_waits(running: Running) -> None:
    """So one beyond the budget is refused, and does not wait."""
    gate = Gate()
    clients = clients_named("a limited client", requests_per_minute=2)
    async with running(gate.script, pool_limit=1, clients=clients) as bench:
        wires = await crowd(bench, gate, [asked_by("a limited client")] * 2)
        assert (await bench.ask(asked_by("a limited client"))).status == 429
        for wire in wires:
            gate.allowed.release()
            assert (await wire.answer()).status == 200


async def test_a_request_that_waits_is_served_through_a_reload(running: Running) -> None:
    """It goes on under the rules under which it was admitted."""
    gate = Gate()
    async with running(gate.script, pool_limit=1) as bench:
        wires = await crowd(bench, gate, [GET] * 2)
        bench.apply(replay_bytes=1)
        for wire in wires:
            gate.allowed.release()
            assert (await wire.answer()).status == 200


async def test_a_defect_behind_one_response_leaves_the_next_request_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection was given to the request that waited for it before the defect, and serves that."""
    bench = MemoryBench()
    settings = replace(bench.rules.pool_settings, max_connections=1)
    bench.apply(replace(bench.rules, pool_settings=settings))
    bench.reach()
    first, second = bench.client(), bench.client()
    for _ in range(4):
        first.send(GET)
        await bench.rest(first)
    bench.answer = lambda message: []
    for client in (first, second):
        client.send(GET)
        await bench.rest(first, second)
    grant = Pool._grant

    def fail_once(pool: Pool) -> None:
        monkeypatch.setattr(Pool, "_grant", grant)
        grant(pool)
        raise RuntimeError("a defect")

    monkeypatch.setattr(Pool, "_grant", fail_once)
    for _ in range(2):
        bench.upstreams[-1].send(OK)
        await bench.rest(first, second)
    assert second.pipe.written.startswith(b"HTTP/1.1 200 OK")
    assert [event.where for event in bench.events.events if isinstance(event, DefectMet)] == ["exchange"]
