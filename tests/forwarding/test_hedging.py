"""What only reads is asked for once more where a connection that rested stays silent; what writes never is."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from proxy.clock import boot_time
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire

RESTED = 30.0
LATE = 30.0
"""Seconds: more than four times the median of answers, although a busy machine may take seconds for one."""
LIST = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
CREATE = LIST.replace(b"/list", b"")
STREAM = b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Dying:
    """Connections of which the first so many answer once, as soon as all are there, and then hear and say nothing."""

    def __init__(self, dying: int) -> None:
        self.dying = dying
        self.met = 0
        self.heard: list[bytes] = []
        self.all_here = asyncio.Event()

    async def __call__(self, wire: Wire) -> None:
        self.met += 1
        if self.met > self.dying:
            while True:
                await self._hear(wire)
                wire.send(HELLO)
        await self._hear(wire)
        if len(self.heard) == self.dying:
            self.all_here.set()
        await self.all_here.wait()
        wire.send(HELLO)
        await self._hear(wire)
        await wire.end()

    async def _hear(self, wire: Wire) -> None:
        head, body = await wire.request()
        self.heard.append(head + body)


async def rested(bench: ProxyBench, monkeypatch: pytest.MonkeyPatch, connections: int) -> None:
    """So many idle connections, half a minute old."""
    clients = [await bench.client(GET) for _ in range(connections)]
    for client in clients:
        assert (await client.answer()).status == 200
    before = boot_time()
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: before + RESTED)


@pytest.mark.parametrize("request_", [GET, LIST], ids=["GET", "a list by POST"])
async def test_connections_that_died_without_a_word_cost_no_reader_anything(
    running: Running, monkeypatch: pytest.MonkeyPatch, request_: bytes
) -> None:
    """Eight of them: each request is answered by a new connection, and counted as a replay that helped."""
    upstream = Dying(8)
    async with running(upstream) as bench:
        await rested(bench, monkeypatch, 8)
        clients = [await bench.client(request_) for _ in range(8)]
        await bench.settled(lambda: len(upstream.heard) >= 16)
        bench.sweep(LATE)
        for client in clients:
            assert (await client.answer()).body == b"hello"
        assert bench.events.replays == [("silence", "recovered")] * 8
        assert [event.attempts for event in bench.events.finished[8:]] == [2] * 8
        assert len(set(upstream.heard[8:])) == 1


async def test_where_both_connections_break_it_is_sent_once_more(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after any connection that was cut; each of the two is counted."""
    heard: list[Wire] = []

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            heard.append(wire)
            if len(heard) in (1, 4):
                wire.send(HELLO)

    async with running(script) as bench:
        await rested(bench, monkeypatch, 1)
        client = await bench.client(GET)
        await bench.settled(lambda: len(heard) == 2)
        bench.sweep(LATE)
        await bench.settled(lambda: len(heard) == 3)
        for wire in heard[1:]:
            wire.drop()
        assert (await client.answer()).status == 200
        assert bench.events.replays == [("silence", "failed"), ("connection", "recovered")]


async def test_a_replay_that_is_sent_twice_has_not_failed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of the two is counted once: the first of them may still be answered."""
    heard: list[Wire] = []
    both_here = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            heard.append(wire)
            number = len(heard)
            if number == 2:
                both_here.set()
            await both_here.wait()
            if number == 3:
                wire.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            elif number != 4:
                wire.send(HELLO)

    async with running(script) as bench:
        await rested(bench, monkeypatch, 2)
        client = await bench.client(GET)
        await bench.settled(lambda: len(heard) == 4)
        bench.sweep(LATE)
        assert (await client.answer()).status == 200
        assert bench.events.replays == [("silence", "recovered")]


@pytest.mark.parametrize("request_", [CREATE, STREAM], ids=["a write", "a stream of MCP's messages"])
async def test_what_writes_or_opens_a_stream_is_not_sent_twice(
    running: Running, monkeypatch: pytest.MonkeyPatch, request_: bytes
) -> None:
    """It waits for as long as `response_timeout` says. Of streams a session may have one, and the second is refused."""
    upstream = Dying(1)
    async with running(upstream) as bench:
        await rested(bench, monkeypatch, 1)
        client = await bench.client(request_)
        await bench.settled(lambda: len(upstream.heard) == 2)
        bench.sweep(30)
        assert len(bench.upstream.wires) == 1
        bench.sweep(61)
        assert (await client.answer()).status == 504
        assert not bench.events.replays


async def test_a_connection_that_was_just_used_is_not_doubted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late its answer is."""
    upstream, now = Dying(1), boot_time()
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: now)
    async with running(upstream) as bench:
        await bench.ask()
        client = await bench.client(GET)
        await bench.settled(lambda: len(upstream.heard) == 2)
        bench.sweep(30)
        assert len(bench.upstream.wires) == 1
        client.close()


async def test_the_budget_bounds_what_is_asked_twice(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is slow everywhere is not asked twice by everybody."""
    upstream = Dying(20)
    async with running(upstream) as bench:
        await rested(bench, monkeypatch, 20)
        clients = [await bench.client(GET) for _ in range(20)]
        await bench.settled(lambda: len(upstream.heard) >= 40)
        bench.sweep(LATE)
        await bench.settled(lambda: len(bench.upstream.wires) == 34)
        bench.sweep(30)
        assert len(bench.upstream.wires) == 34
        for client in clients:
            client.close()


async def test_a_second_sending_that_finds_no_connection_is_not_counted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one answers while the second still waits: it costs no budget and is no attempt."""
    heard: list[Wire] = []

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            heard.append(wire)
            if len(heard) == 1:
                wire.send(HELLO)

    async with running(script, pool_limit=1) as bench:
        await bench.ask()
        moments = count(boot_time() + RESTED, RESTED)
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: next(moments))
        for number in range(2, 14):
            client = await bench.client(GET)
            await bench.settled(lambda: len(heard) == len(bench.events.finished) + 1)
            bench.sweep(LATE)
            await bench.settled(lambda: len(bench.pools.find("api", "na")._waiting) == 1)
            heard[-1].send(HELLO)
            assert (await client.answer()).status == 200
            assert (await bench.events.last(number)).attempts == 1
        assert bench.events.replays == []
