"""A connection to Amazon is taken when there is something to send on it, and by turns."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.audit.write_reading import WRITE_READER
from proxy.body_reader import READER
from proxy.net.sockets import queued
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering

POST = b"POST /v2/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"Content-Length: 5\r\n\r\nabcd", b"e"),
        (b"Content-Length: 5\r\n\r\n", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", b"0\r\n\r\n"),
    ],
)
async def test_slow_uploads_take_no_connection(running: Running, first: bytes, rest: bytes) -> None:
    """Ten of them are on their way while others are served on the only connection; then they go out whole."""
    async with running(answering(HELLO), pool_limit=1) as bench:
        slow = [await bench.client(POST, first) for _ in range(10)]
        await bench.settled(lambda: bench.accounting.in_flight == 10)
        assert (await bench.ask()).body == b"hello"
        (wire,) = bench.upstream.wires
        assert b"POST" not in wire.received
        for each in slow:
            each.send(rest)
        for each in slow:
            assert (await each.answer()).body == b"hello"
        assert wire.received.count(b"POST /v2/campaigns") == 10


async def test_a_large_body_takes_a_connection_once_its_first_part_is_here(running: Running) -> None:
    """As much as may be kept is read first; what follows is streamed."""
    async with running(answering(HELLO), replay_bytes=4) as bench:
        client = await bench.client(POST, b"Content-Length: 8\r\n\r\nabc")
        assert (await bench.ask()).body == b"hello"
        client.send(b"d")
        await bench.settled(lambda: bytes(bench.upstream.wires[0].received).endswith(b"abcd"))
        client.send(b"efgh")
        assert (await client.answer()).body == b"hello"


async def test_who_waits_for_a_100_is_led_to_amazon_at_once(running: Running) -> None:
    """It sends nothing before Amazon was asked (RFC 9110, 10.1.1)."""
    async with running(answering(HELLO)) as bench:
        await bench.client(POST, b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        await bench.settled(lambda: bool(bench.upstream.wires) and b"Expect" in bench.upstream.wires[0].received)


async def test_a_tool_that_leaves_in_its_upload_is_told_of_nowhere(running: Running) -> None:
    """Amazon hears nothing of it, and the account of it is kept."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(POST, b"Content-Length: 5\r\n\r\nabc")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        client.abort()
        assert (await bench.events.last()).fault == "client-gone"
        assert not bench.upstream.wires
        assert (await bench.ask(GET)).body == b"hello"


def key_of(name: str) -> ClientKey:
    """A client's key is its name."""
    return ClientKey(hashlib.sha256(name.encode()).hexdigest())


async def test_one_client_cannot_have_everything_under_way(running: Running) -> None:
    """Beyond `max_in_flight` it is 429; another is served meanwhile, and it itself once one of its requests ended."""
    names = ("greedy", "modest")
    policies = [Policy(name, (key_of(name),), max_in_flight=2) for name in names]
    clients = Clients(policies, Placeholders(b"key"), Budgets())
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if b"/slow" in head:
                await go.wait()
            wire.send(HELLO)

    def asking(name: str, path: str) -> bytes:
        return f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: {name}\r\n\r\n".encode()

    async with running(script, clients=clients) as bench:
        slow = [await bench.client(asking("greedy", "slow")) for _ in range(2)]
        await bench.settled(lambda: bench.accounting.client_cell("greedy").value == 2)
        refused = await bench.ask(asking("greedy", "quick"))
        assert (refused.status, refused.value(b"retry-after")) == (429, b"1")
        assert b"max_in_flight" in refused.body
        assert (await bench.ask(asking("modest", "quick"))).body == b"hello"
        go.set()
        for each in slow:
            assert (await each.answer()).body == b"hello"
        assert (await bench.ask(asking("greedy", "quick"))).body == b"hello"
        assert bench.accounting.client_cell("greedy").value == 0


@pytest.mark.parametrize("path", [b"/sp/campaigns", b"/mcp"])
async def test_a_client_that_has_its_response_may_send_the_next_request(path: bytes, running: Running) -> None:
    """Also while its account waits for a thread, which reads large bodies."""
    clients = Clients([Policy("one", (key_of("one"),), max_in_flight=1)], Placeholders(b"key"), Budgets())
    large = b"{" + b" " * 100_000 + b"}"
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: one\r\nContent-Type: application/json\r\n" % path
    sent = head + b"Content-Length: %d\r\n\r\n" % len(large) + large
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(large) + large
    go = threading.Event()
    busy = [reader.submit("", go.wait, PATIENCE) for reader in (READER, WRITE_READER)]
    try:
        async with running(answering(answer), clients=clients) as bench:
            assert [(await bench.ask(sent)).status for _ in range(2)] == [200, 200]
            assert not any(each.done() for each in busy)
            assert bench.accounting.in_flight == 2
            go.set()
            await bench.settled(lambda: not bench.accounting.in_flight)
            assert bench.accounting.client_cell("one").value == 0
    finally:
        go.set()


async def test_a_client_that_leaves_has_no_more_messages_read_than_it_may_have_requests(running: Running) -> None:
    """They wait for a thread, which names their tools: with a place each, the memory that they take has a bound."""
    clients = Clients([Policy("one", (key_of("one"),), max_in_flight=1)], Placeholders(b"key"), Budgets())
    large = b"{" + b" " * 100_000 + b"}"
    head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: one\r\nContent-Type: application/json\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n" % len(large) + large
    go = threading.Event()
    busy = READER.submit("", go.wait, PATIENCE)

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    try:
        async with running(script, clients=clients) as bench:
            client = await bench.client(sent)
            await bench.settled(lambda: bool(bench.upstream.wires) and bench.upstream.wires[0].received.endswith(b"}"))
            client.abort()
            await bench.settled(lambda: not bench.server.connections)
            assert (await bench.ask(sent)).status == 429
            assert not busy.done()
            go.set()
            await bench.settled(lambda: not bench.accounting.client_cell("one").value)
    finally:
        go.set()


async def unread(running: Running, kind: bytes, seconds: float) -> tuple[str, tuple[int, int]]:
    """A client asks for much and reads nothing for so long: what ended it, and the connections (all, idle) to
    Amazon."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\nContent-Type: " + kind + b"\r\n\r\n"

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answer, bytes(50_000_000))
        await wire.end()

    async with running(script, send_timeout=60.0) as bench:
        client = await bench.client()
        client.transport.pause_reading()
        client.send(GET)
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        await bench.settled(lambda: not connection.writable)
        taken: list[int] = []

        def rests() -> bool:
            taken.append(connection._download.sent - connection.unsent - queued(connection._transport))
            return len(taken) > 2 and taken[-1] == taken[-2] == taken[-3]

        await bench.settled(rests)  # the client's system may take more for a while
        connection._watch_sending()
        bench.sweep(seconds)
        fault = bench.events.finished[0].fault if bench.events.finished else ""
        await bench.settled(lambda: not fault or not any(size for size, _ in bench.pools.sizes().values()))
        sizes = list(bench.pools.sizes().values())
        return fault, (sum(total for total, _ in sizes), sum(idle for _, idle in sizes))


@pytest.mark.parametrize(
    ("kind", "seconds", "fault", "sizes"),
    [
        (b"application/json", 4, "", (1, 0)),
        (b"application/json", 11, "client-stalled", (0, 0)),
        (b"text/event-stream", 40, "", (1, 0)),
        (b"Text/Event-Stream; charset=utf-8", 61, "client-stalled", (0, 0)),
    ],
)
async def test_an_answer_that_nobody_reads_gives_its_connection_back(
    running: Running, kind: bytes, seconds: float, fault: str, sizes: tuple[int, int]
) -> None:
    """After the ten seconds of `min_body_rate`; an event stream's client has `send_timeout`."""
    assert await unread(running, kind, seconds) == (fault, sizes)


async def test_an_upload_that_trickles_is_408(running: Running) -> None:
    """A byte now and then was enough to stay for ever."""
    async with running(answering(HELLO), replay_bytes=1) as bench:
        client = await bench.client(POST, b"Content-Length: 100000\r\n\r\n" + bytes(5000))
        await bench.settled(
            lambda: bool(bench.upstream.wires) and bench.upstream.wires[0].received.endswith(bytes(5000))
        )
        bench.sweep(11)
        got = await client.answer()
        assert (got.status, b"limits.min_body_rate" in got.body) == (408, True)
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
