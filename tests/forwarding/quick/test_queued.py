"""A request that is known again waits for a connection like any other, in its turn, and costs little meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.errors import Draining
from proxy.events import FamilyHeldBack
from proxy.forwarding.quick.queued import QueuedExchange
from proxy.upstream.connection import UpstreamConnection
from tests.forwarding.quick.test_exchange import HELLO, learned, outcomes
from tests.forwarding.quick.test_recognition import KEYED, ask, clients
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, Wire

POST = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


class Gate:
    """An upstream that answers three requests at once, and each later one when it is let."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.allowed = asyncio.Semaphore(0)
        self.dies = False

    async def script(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.asked.append(head + body)
            if len(self.asked) > 3:
                await self.allowed.acquire()
            if self.dies:
                self.dies = False
                return
            wire.send(HELLO)


async def crowd(bench: ProxyBench, gate: Gate, size: int, request: bytes = GET) -> list[Wire]:
    """So many tools, of which the first has the only connection, and the others wait for it in this order."""
    tools = [await learned(bench, request), *[await bench.tool() for _ in range(size - 1)]]
    for number, tool in enumerate(tools, 1):
        tool.send(request)
        await bench.settled(lambda: bench.accounting.in_flight == number)  # noqa: B023 - awaited within the turn
    await bench.settled(lambda: len(gate.asked) == 4)
    return tools


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.mark.parametrize("request_", [GET, POST])
async def test_those_who_wait_are_served_in_their_order(running: Running, gate: Gate, request_: bytes) -> None:
    """Whole, body and all; none of them becomes ordinary, and waiting is nobody's work."""
    async with running(gate.script, pool_limit=1) as bench:
        tools = await crowd(bench, gate, 4, request_)
        for number, tool in enumerate(tools, 4):
            gate.allowed.release()
            assert (await tool.answer()).status == 200
            await bench.settled(lambda: len(bench.events.finished) == number)  # noqa: B023 - as above
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 5}
        assert [each.partition(b"\r\n")[0] for each in gate.asked] == [request_.partition(b"\r\n")[0]] * 7
        assert len({each.partition(b"\r\n\r\n")[2] for each in gate.asked}) == 1
        last = bench.events.finished[-1]
        assert (last.attempts, last.bytes_in, last.upstream > 0) == (1, 2 * (request_ is POST), True)
        assert last.duration - last.overhead - last.upstream > 0


async def test_who_leaves_waits_no_longer(running: Running, gate: Gate) -> None:
    """And is told of as one that left before anything was sent; the others go on."""
    async with running(gate.script, pool_limit=1) as bench:
        first, second, third = await crowd(bench, gate, 3)
        second.abort()
        event = await bench.events.last(4)
        assert (event.status, event.fault, event.attempts) == (0, "client-gone", 0)
        gate.allowed.release()
        gate.allowed.release()
        assert [(await tool.answer()).status for tool in (first, third)] == [200, 200]
        assert outcomes(bench)["connection"] == 1
        assert len(gate.asked) == 5


async def test_nobody_waits_longer_than_for_an_answer(running: Running, gate: Gate) -> None:
    """Then it is told what there is too little of."""
    async with running(gate.script, pool_limit=1, response_timeout=50.0) as bench:
        _, second = await crowd(bench, gate, 2, POST)
        waiting = next(item for item in bench.deadlines._items if isinstance(item, QueuedExchange))
        waiting.expire(0.0)
        answer = await second.answer()
        assert answer.status == 504
        assert b"None of the 1 connections" in answer.body
        assert (await bench.events.last(4)).refusal == "upstream-timeout"
        assert waiting not in bench.deadlines._items
        gate.allowed.release()


async def test_a_connection_that_dies_makes_room_for_those_who_wait(running: Running, gate: Gate) -> None:
    """They begin anew, and a new connection is made."""
    async with running(gate.script, pool_limit=1) as bench:
        first, second, third = await crowd(bench, gate, 3, POST.replace(b"/list", b""))
        gate.dies = True
        for _ in range(3):
            gate.allowed.release()
        assert [(await tool.answer()).status for tool in (first, second, third)] == [502, 200, 200]
        assert outcomes(bench)["connection"] >= 1
        assert len(bench.upstream.wires) == 2


async def test_a_connection_that_may_have_died_is_for_the_ordinary_exchange(
    running: Running, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which knows what to do about it."""
    async with running(gate.script, pool_limit=1) as bench:
        first, second = await crowd(bench, gate, 2)
        monkeypatch.setattr(UpstreamConnection, "was_used_within", lambda self, seconds: False)
        gate.allowed.release()
        gate.allowed.release()
        assert [(await tool.answer()).status for tool in (first, second)] == [200, 200]
        assert outcomes(bench)["connection"] == 1
        assert (await bench.events.last(5)).attempts == 1


async def test_the_end_of_the_program_ends_waiting(running: Running, gate: Gate) -> None:
    """With an answer that says so."""
    async with running(gate.script, pool_limit=1) as bench:
        _, second = await crowd(bench, gate, 2)
        waiting = next(item for item in bench.deadlines._items if isinstance(item, QueuedExchange))
        waiting.client_writable(False)
        waiting.client_writable(True)
        assert waiting.paced and not waiting.endless
        waiting.request_broken(Draining("The proxy stopped.", retry_after=1, close=True))
        assert waiting.paced and not waiting.endless
        waiting.client_writable(True)
        assert (await second.answer()).status == 503
        gate.allowed.release()


async def test_what_waits_costs_its_client_its_budget(running: Running, gate: Gate) -> None:
    """Before it waits, as any other."""
    async with running(gate.script, pool_limit=1, clients=clients(requests_per_minute=5)) as bench:
        tools = await crowd(bench, gate, 2, KEYED)
        third = await bench.tool()
        assert await ask(third, KEYED) == [429]
        gate.allowed.release()
        gate.allowed.release()
        assert [(await tool.answer()).status for tool in tools] == [200, 200]
        assert bench.accounting.of_client("reader") == 0


async def test_a_defect_is_its_own(running: Running, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever had the connection before is answered."""
    told: list[str] = []
    async with running(gate.script, pool_limit=1) as bench:
        first, second = await crowd(bench, gate, 2)
        send: Callable[..., None] = UpstreamConnection.send_whole

        def failing(self: UpstreamConnection, *arguments: object) -> None:
            monkeypatch.setattr(UpstreamConnection, "send_whole", send)
            raise AssertionError("a defect")

        monkeypatch.setattr(UpstreamConnection, "send_whole", failing)
        gate.allowed.release()
        assert [(await tool.answer()).status for tool in (first, second)] == [200, 500]
        told = bench.events.defects[:]
        bench.events.events = [event for event in bench.events.events if "DefectMet" not in repr(event)]
    assert len(told) == 1 and "a defect" in told[0]


@pytest.mark.parametrize("fast_path", [True, False])
async def test_who_waits_behind_its_own_family_is_told_of(running: Running, fast_path: bool) -> None:
    """As the ordinary exchange tells of it."""
    gate = Gate()
    async with running(gate.script, pool_limit=8, fast_path=fast_path) as bench:
        tools = [await bench.tool() for _ in range(9)]
        await ask(tools[0], GET, 3)
        for number, tool in enumerate(tools, 1):
            tool.send(GET)
            await bench.settled(lambda: bench.accounting.in_flight == number)  # noqa: B023 - awaited within the turn
        await bench.events.until(lambda: len(bench.events.of(FamilyHeldBack)) == 3)
        told = bench.events.of(FamilyHeldBack)
        assert [(event.held, event.limit, event.first) for event in told] == [(6, 8, n == 0) for n in range(3)]
        for _ in tools:
            gate.allowed.release()
        assert [(await tool.answer()).status for tool in tools] == [200] * 9
