"""What an exchange makes of a 401: a renewal and one replay, or the answer as it came; and waiting for a token."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phases import Phase
from proxy.net.deadlines import NEVER
from proxy.tokens.token_rejections import TokenUse
from proxy.upstream.connection import UpstreamConnection
from tests.forwarding.test_exchange import CHUNKED, COUNTED, EXPECTING, POST, exchange_of
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering, value_of


@pytest.mark.parametrize(("request_", "body"), [(GET, b""), (COUNTED, b"abcde"), (CHUNKED, b"abcde")])
async def test_a_401_is_answered_by_one_renewal_and_one_replay(request_: bytes, body: bytes, running: Running) -> None:
    """The whole request goes again with the newer token; the client never hears of it."""
    seen: list[tuple[bytes | None, bytes]] = []

    async def script(wire: Wire) -> None:
        while True:
            head, payload = await wire.request()
            seen.append((value_of(head, b"authorization"), payload))
            wire.send(UNAUTHORIZED if b"Atza|0" in head else HELLO)

    async with running(script) as bench:
        assert (await bench.ask(request_)).body == b"hello"
        assert seen == [(b"Bearer Atza|0", body), (b"Bearer Atza|1", body)]
        assert bench.tokens.renewals == 1
        assert bench.events.replays == [("unauthorized", "recovered")]
        assert (await bench.events.last()).attempts == 2


@pytest.mark.parametrize(
    "words",
    [
        b"No matching advertiser found for scope: 12",
        b"Scope header is missing",
        b"Not authorized to access scope 77",
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_a_401_about_the_scope_costs_no_renewal_and_no_replay(words: bytes, late: bool, running: Running) -> None:
    """The body is read first, as far as it needs be, and passes unchanged; it may come behind its head."""
    body = b'{"code":"401","details":"%b"}' % words
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(head if late else head + body)
        if late:
            await bench.settled(lambda: exchange_of(bench).phase is Phase.HOLDING)
            wire.send(body)
        await wire.request()
        wire.send(HELLO)

    async with running(script) as bench:
        client = await bench.client(COUNTED)
        got = await client.answer()
        assert (got.status, got.body) == (401, body)
        assert bench.tokens.renewals == 0
        assert bench.events.replays == []
        assert (await bench.events.last()).attempts == 1
        client.send(GET)
        assert (await client.answer()).body == b"hello"


async def test_a_401_that_convinces_is_a_503_while_login_is_away(running: Running) -> None:
    """Not Amazon's 401, which says that the client is at fault; a write that was refused so may come again, too."""
    async with running(answering(UNAUTHORIZED)) as bench:
        bench.tokens.away = True
        got = await bench.ask(COUNTED)
        said = json.loads(got.body)
        assert (got.status, got.value(b"retry-after"), said["retryable"]) == (503, b"3", True)
        assert said["type"].endswith("no-usable-token")
        assert bench.events.replays == [("unauthorized", "impossible")]


async def test_who_presents_a_token_for_whom_is_told_with_a_401_and_with_what_works_after_it(running: Running) -> None:
    """By client, and by profile and ads account; nothing is told while nobody wants to know."""
    request = GET.replace(b"\r\n\r\n", b"\r\nAmazon-Advertising-API-Scope: 77\r\nAmazon-Ads-AccountId: amzn1.x\r\n\r\n")
    async with running(answering(HELLO, UNAUTHORIZED, HELLO, HELLO)) as bench:
        await bench.ask(request)
        assert bench.tokens.uses == []
        bench.tokens.watchful = True
        await bench.ask(request)
        await bench.ask()
        named = TokenUse("anonymous", "77 amzn1.x")
        assert bench.tokens.uses == [named, named, TokenUse("anonymous", "")]


async def test_the_second_401_is_delivered_as_it_is(running: Running) -> None:
    """One replay is all."""
    async with running(answering(UNAUTHORIZED)) as bench:
        got = await bench.ask()
        assert (got.status, got.body) == (401, b"denied")
        assert bench.tokens.renewals == 1
        assert bench.events.replays == [("unauthorized", "failed")]


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answers", "replays"),
    [
        ((b"", UNAUTHORIZED, HELLO), [("connection", "recovered"), ("unauthorized", "recovered")]),
        ((b"", BUSY, HELLO), [("connection", "recovered"), ("throttled", "recovered")]),
        ((UNAUTHORIZED, b"", HELLO), [("unauthorized", "failed"), ("connection", "recovered")]),
        ((UNAUTHORIZED, BUSY, HELLO), [("unauthorized", "recovered"), ("throttled", "recovered")]),
        ((BUSY, BUSY, HELLO), [("throttled", "failed"), ("throttled", "recovered")]),
    ],
)
async def test_each_of_two_replays_is_counted(
    answers: tuple[bytes, ...], replays: list[tuple[str, str]], running: Running
) -> None:
    """With what came of it: the first one's end is the second one's cause."""
    coming = iter(answers)

    async def script(wire: Wire) -> None:
        await wire.request()
        while answer := next(coming):  # without a byte, the connection is cut
            wire.send(answer)
            await wire.request()

    async with running(script, retry_wait=5.0) as bench:
        assert (await bench.ask()).body == b"hello"
        assert bench.events.replays == replays
        assert (await bench.events.last()).attempts == 3


async def test_a_burst_of_401s_asks_for_each_renewal_once_per_request(running: Running) -> None:
    """Fifty requests, fifty answers; the token source makes one token of it."""

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            wire.send(UNAUTHORIZED if b"Atza|0" in head else HELLO)

    async with running(script) as bench:
        answers = await asyncio.gather(*(bench.ask() for _ in range(50)))
        assert [answer.status for answer in answers] == [200] * 50
        assert bench.tokens.number == 1


async def test_a_large_body_is_streamed_and_not_sent_again(running: Running) -> None:
    """Beyond replay_bytes the 401 is delivered, with its body."""
    async with running(answering(UNAUTHORIZED), replay_bytes=1000) as bench:
        body = bytes(5000)
        client = await bench.client(POST, b"Content-Length: 5000\r\n\r\n", body[:1000])
        await bench.settled(lambda: bool(bench.upstream.wires))
        client.send(body[1000:])
        got = await client.answer()
        assert (got.status, got.body) == (401, b"denied")
        assert bytes(bench.upstream.wires[0].received).endswith(b"\r\n\r\n" + body)
        assert bench.tokens.renewals == 0
        assert bench.events.replays == [("unauthorized", "impossible")]


async def test_a_large_body_waits_for_its_token_without_growing(running: Running) -> None:
    """While nothing can be sent, no more than replay_bytes and one read are taken from the client."""
    async with running(answering(HELLO), replay_bytes=1000) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(POST, b"Content-Length: 20000000\r\n\r\n", bytes(20_000_000))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        connection = bench.connection()
        await bench.settled(lambda: connection._reads.paused)
        assert isinstance(connection._handler, Exchange)
        assert sum(len(piece) for piece in connection._handler._body.data) < 1_000_000
        bench.tokens.gate.set()
        assert (await client.answer()).body == b"hello"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_renewal_that_gives_nothing_delivers_the_401_whole(whole: bool, running: Running) -> None:
    """Its body is kept meanwhile, or goes on arriving afterwards."""
    rest = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        if whole:
            wire.send(UNAUTHORIZED)
        else:
            wire.send(UNAUTHORIZED[:-3])
            await rest.wait()
            wire.send(UNAUTHORIZED[-3:])
        await wire.end()

    async with running(script) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        assert not client.received
        bench.tokens.gate.set()
        if not whole:
            await client.until(lambda: b"den" in client.received)
            rest.set()
        got = await client.answer()
        assert (got.status, got.body) == (401, b"denied")
        assert bench.events.replays == [("unauthorized", "impossible")]


async def test_a_held_401_is_not_timed_out(running: Running) -> None:
    """Its connection is not read meanwhile: no byte of it can come, and no timer may say that none came."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(UNAUTHORIZED[:-3])
        await bench.settled(lambda: bench.tokens.renewals == 1)
        wire.send(UNAUTHORIZED[-3:])
        await wire.end()

    async with running(script) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        bench.sweep(10_000)
        bench.tokens.gate.set()
        assert (await client.answer()).body == b"denied"


async def test_a_held_401_that_breaks_is_delivered_broken(running: Running) -> None:
    """There is no better answer, and this one is not whole."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(UNAUTHORIZED[:-3])
        await bench.settled(lambda: bench.tokens.renewals == 1)
        wire.drop()

    async with running(script) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.pools.sizes() != {} and bool(bench.upstream.wires))
        await bench.settled(lambda: bench.upstream.wires[0].lost)
        bench.tokens.gate.set()
        assert b"401" in await client.end()
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_tool_that_leaves_while_a_renewal_is_awaited(running: Running) -> None:
    """The renewal goes on for others; this request is over and its connection to Amazon closed."""
    async with running(answering(UNAUTHORIZED[:-3])) as bench:
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        client.close()
        finished = await bench.events.last()
        assert (finished.status, finished.fault) == (0, "client-gone")
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)
        bench.tokens.gate.set()


@pytest.mark.parametrize("fruitless", [False, True])
async def test_a_401_while_the_body_still_uploads(fruitless: bool, running: Running) -> None:
    """The body so far is kept and sent again, the rest follows; without a newer token it all goes where it began."""
    bodies: dict[bytes | None, bytes] = {}

    async def script(wire: Wire) -> None:
        head = await wire.head()
        token = value_of(head, b"authorization")
        if token == b"Bearer Atza|0":
            bodies[token] = await wire.take(2)
            wire.send(UNAUTHORIZED[:-3])
            bodies[token] += await wire.take(3)
            wire.send(UNAUTHORIZED[-3:])
        else:
            bodies[token] = await wire.take(5)
            wire.send(HELLO)

    async with running(script, replay_bytes=2) as bench:
        bench.tokens.fruitless = fruitless
        bench.tokens.gate.clear()
        client = await bench.client(COUNTED[:-3])
        await bench.settled(lambda: bench.tokens.renewals == 1)
        client.send(b"cde")
        bench.tokens.gate.set()
        got = await client.answer()
        if fruitless:
            assert (got.status, got.body) == (401, b"denied")
            assert bodies == {b"Bearer Atza|0": b"abcde"}
        else:
            assert got.body == b"hello"
            assert bodies[b"Bearer Atza|1"] == b"abcde"


async def test_a_replay_asks_for_no_body_before_amazon_does(running: Running) -> None:
    """A client that waits for the 100 is not slow meanwhile; its time begins with the 100."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        if b"Atza|0" in await wire.head():
            wire.send(UNAUTHORIZED)
            return
        await go.wait()
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await wire.take(5) == b"abcde"
        wire.send(HELLO)
        await wire.end()

    async with running(script) as bench:
        client = await bench.client(EXPECTING)
        await bench.settled(lambda: len(bench.upstream.wires) == 2 and exchange_of(bench).phase is Phase.SENT)
        assert bench.connection().deadline == NEVER
        go.set()
        assert (await client.answer()).status == 100
        assert bench.connection().deadline < NEVER
        client.send(b"abcde")
        assert (await client.answer()).body == b"hello"


async def test_a_cold_token_is_waited_for(running: Running) -> None:
    """The request leaves when the token comes, body and all."""
    async with running(answering(HELLO)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(CHUNKED)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert not bench.upstream.wires
        bench.tokens.gate.set()
        assert (await client.answer()).body == b"hello"
        assert bytes(bench.upstream.wires[0].received).endswith(b"5\r\nabcde\r\n0\r\nT: v\r\n\r\n")


async def test_a_tool_that_leaves_while_a_token_is_awaited(running: Running) -> None:
    """Nothing is sent for it."""
    async with running(answering(HELLO)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        client.close()
        assert (await bench.events.last()).fault == "client-gone"
        bench.tokens.gate.set()
        bench.tokens.cold = False
        assert (await bench.ask()).body == b"hello"
        assert [bytes(wire.received).count(b"GET /") for wire in bench.upstream.wires] == [1]


@pytest.mark.usefixtures("still_ages")
@pytest.mark.parametrize("fruitless", [True, False])
async def test_a_client_that_takes_nothing_meanwhile_is_waited_for(fruitless: bool, running: Running) -> None:
    """Neither the response that was held nor the next one is read without limit for it."""
    body, more = b"x" * 9000, asyncio.Event()

    async def script(wire: Wire) -> None:
        head, _ = await wire.request()
        status = b"401 No" if b"Atza|0" in head else b"200 OK"
        wire.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), body[:5000])
        await more.wait()
        wire.send(body[5000:])

    async with running(script) as bench:
        bench.tokens.fruitless = fruitless
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        bench.connection().pause_writing()
        bench.tokens.gate.set()
        exchange = exchange_of(bench)
        await bench.settled(lambda: exchange.phase is Phase.RELAYING)
        assert exchange._attempt is not None
        connection = exchange._attempt._connection
        assert isinstance(connection, UpstreamConnection)
        assert connection._reads.paused
        bench.connection().resume_writing()
        more.set()
        assert (await client.answer()).body == body
