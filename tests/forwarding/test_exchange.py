"""A request's walk to Amazon and back: what leaves, what is sent again, and what happens when a side goes away."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phase import Phase
from proxy.tokens.suspicion import TokenUse
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering, value_of

POST = b"POST /v2/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n"
COUNTED = POST + b"Content-Length: 5\r\n\r\nabcde"
LISTING = COUNTED.replace(b"/v2/campaigns", b"/sp/campaigns/list")
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
EXPECTING = POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def exchange_of(bench: ProxyBench) -> Exchange:
    """The exchange of the only tool."""
    handler = bench.connection()._handler
    assert isinstance(handler, Exchange)
    return handler


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# --- what leaves


async def test_a_request_leaves_byte_for_byte(running: Running) -> None:
    """Target, names, values, case, order and repetition stay; the account's lines stand before them."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(
            b"GET /a//b/%2f?q=%20&x=\xff;y&&z=https://h//i HTTP/1.1\r\n"
            b"hOST: 127.0.0.1:1\r\nX-b: 2\r\nAccept: v/x;a=1,*/*\r\n"
            b"x-B:\xe9\xff \r\nX-B: 1\r\nCookie: c\r\nAuthorization: mine\r\namazon_ads_clientid: y\r\n"
            b"Amazon-Advertising-API-Scope: 77\r\nVia: 1.1 x\r\nX-Forwarded-For: y\r\n\r\n"
        )
        assert bytes(bench.upstream.wires[0].received) == (
            b"GET /a//b/%%2f?q=%%20&x=\xff;y&&z=https://h//i HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Authorization: Bearer Atza|0\r\nAmazon-Advertising-API-ClientId: amzn1.test\r\n"
            b"Amazon-Ads-ClientId: amzn1.test\r\nAmazon-Advertising-API-Scope: 77\r\n"
            b"X-b: 2\r\nAccept: v/x;a=1,*/*\r\nx-B: \xe9\xff\r\nX-B: 1\r\n\r\n" % bench.upstream.port
        )


async def test_hop_by_hop_fields_do_not_leave(running: Running) -> None:
    """Nor those that Connection lists; Content-Length stays even if it is listed."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(
            POST + b"Connection: X-Hop, content-length\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nKeep-Alive: 1\r\n"
            b"Content-Length: 2\r\n\r\nab"
        )
        head = bytes(bench.upstream.wires[0].received)
        for name in (b"connection", b"x-hop", b"te", b"upgrade", b"keep-alive"):
            assert value_of(head, name) is None
        assert value_of(head, b"content-length") == b"2"


async def test_a_chunked_body_leaves_chunked_with_its_trailers(running: Running) -> None:
    """Whatever the chunks were; nothing that frames or names an account hides among the trailers."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(CHUNKED.replace(b"T: v\r\n", b"T: v\r\nAuthorization: x\r\nContent-Length: 3\r\n"))
        wire = bench.upstream.wires[0]
        assert bytes(wire.received).endswith(b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nT: v\r\n\r\n")
        assert (await bench.events.last()).bytes_in == 5


async def test_a_request_of_http_1_0_leaves_as_1_1(running: Running) -> None:
    """Its Expect, which 1.0 does not have, stays behind."""
    async with running(answering(HELLO)) as bench:
        got = await bench.ask(b"POST /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na")
        assert got.status == 200
        head = bytes(bench.upstream.wires[0].received)
        assert head.startswith(b"POST /x HTTP/1.1\r\nHost: ")
        assert value_of(head, b"expect") is None


# --- expectations


async def test_expect_100_continue_works_end_to_end(running: Running) -> None:
    """The body is asked for by Amazon, not by the proxy."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        assert value_of(head, b"expect") == b"100-continue"
        wire.send(CONTINUE)
        assert await wire.take(5) == b"abcde"
        wire.send(HELLO)

    async with running(script) as bench:
        tool = await bench.tool(EXPECTING)
        assert (await tool.answer()).status == 100
        tool.send(b"abcde")
        assert (await tool.answer()).body == b"hello"


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"413 Content Too Large"])
async def test_a_body_that_is_refused_early_is_never_sent(status: bytes, running: Running) -> None:
    """The refusal comes whole, then the connection ends: the tool's promise of a body was not kept."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
        assert await wire.end() == b""

    async with running(script) as bench:
        tool = await bench.tool(EXPECTING)
        assert (await tool.answer()).body == b"no"
        assert await tool.end() == b""
        assert not tool.reset


async def test_an_expectation_outlives_a_401(running: Running) -> None:
    """The second attempt's 100 reaches the tool, which has sent nothing yet."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        if b"Atza|0" in head:
            wire.send(UNAUTHORIZED)
        else:
            wire.send(CONTINUE)
            assert await wire.take(5) == b"abcde"
            wire.send(HELLO)

    async with running(script) as bench:
        tool = await bench.tool(EXPECTING)
        assert (await tool.answer()).status == 100
        tool.send(b"abcde")
        assert (await tool.answer()).body == b"hello"
        assert bench.events.replays == [("unauthorized", "recovered")]


async def test_one_100_is_enough(running: Running) -> None:
    """Where both attempts ask for the body, the tool hears it once."""

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            wire.send(CONTINUE)
            assert await wire.take(5) == b"abcde"
            wire.send(UNAUTHORIZED if b"Atza|0" in head else HELLO)

    async with running(script) as bench:
        tool = await bench.tool(EXPECTING)
        assert (await tool.answer()).status == 100
        tool.send(b"abcde")
        assert (await tool.answer()).status == 200


async def test_no_body_timer_runs_while_a_tool_waits_for_100(running: Running) -> None:
    """Amazon may take its time to ask for the body; then the body's own timer begins."""
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await asked.wait()
        wire.send(CONTINUE)
        await wire.end()

    async with running(script, body_timeout=5.0, response_timeout=500.0) as bench:
        tool = await bench.tool(EXPECTING)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        bench.sweep(60)
        asked.set()
        assert (await tool.answer()).status == 100
        bench.sweep(60)
        assert (await tool.answer()).status == 408


# --- 401


@pytest.mark.parametrize(("request_", "body"), [(GET, b""), (COUNTED, b"abcde"), (CHUNKED, b"abcde")])
async def test_a_401_is_answered_by_one_renewal_and_one_replay(request_: bytes, body: bytes, running: Running) -> None:
    """The whole request goes again with the newer token; the tool never hears of it."""
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
        tool = await bench.tool(COUNTED)
        got = await tool.answer()
        assert (got.status, got.body) == (401, body)
        assert bench.tokens.renewals == 0
        assert bench.events.replays == []
        assert (await bench.events.last()).attempts == 1
        tool.send(GET)
        assert (await tool.answer()).body == b"hello"


async def test_a_401_that_convinces_is_a_503_while_login_is_away(running: Running) -> None:
    """Not Amazon's 401, which says that the tool is at fault; a write that was refused so may come again, too."""
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
        tool = await bench.tool(POST, b"Content-Length: 5000\r\n\r\n", body[:1000])
        await bench.settled(lambda: bool(bench.upstream.wires))
        tool.send(body[1000:])
        got = await tool.answer()
        assert (got.status, got.body) == (401, b"denied")
        assert bytes(bench.upstream.wires[0].received).endswith(b"\r\n\r\n" + body)
        assert bench.tokens.renewals == 0
        assert bench.events.replays == [("unauthorized", "impossible")]


async def test_a_large_body_waits_for_its_token_without_growing(running: Running) -> None:
    """While nothing can be sent, no more than replay_bytes and one read are taken from the tool."""
    async with running(answering(HELLO), replay_bytes=1000) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        tool = await bench.tool(POST, b"Content-Length: 20000000\r\n\r\n", bytes(20_000_000))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        connection = bench.connection()
        await bench.settled(lambda: connection._paused)
        assert isinstance(connection._handler, Exchange)
        assert sum(len(piece) for piece in connection._handler._body.data) < 1_000_000
        bench.tokens.gate.set()
        assert (await tool.answer()).body == b"hello"


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
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        assert not tool.received
        bench.tokens.gate.set()
        if not whole:
            await tool.until(lambda: b"den" in tool.received)
            rest.set()
        got = await tool.answer()
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
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        bench.sweep(10_000)
        bench.tokens.gate.set()
        assert (await tool.answer()).body == b"denied"


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
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.pools.sizes() != {} and bool(bench.upstream.wires))
        await bench.settled(lambda: bench.upstream.wires[0].lost)
        bench.tokens.gate.set()
        assert b"401" in await tool.end()
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_tool_that_leaves_while_a_renewal_is_awaited(running: Running) -> None:
    """The renewal goes on for others; this request is over and its connection to Amazon closed."""
    async with running(answering(UNAUTHORIZED[:-3])) as bench:
        bench.tokens.gate.clear()
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        tool.close()
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
        tool = await bench.tool(COUNTED[:-3])
        await bench.settled(lambda: bench.tokens.renewals == 1)
        tool.send(b"cde")
        bench.tokens.gate.set()
        got = await tool.answer()
        if fruitless:
            assert (got.status, got.body) == (401, b"denied")
            assert bodies == {b"Bearer Atza|0": b"abcde"}
        else:
            assert got.body == b"hello"
            assert bodies[b"Bearer Atza|1"] == b"abcde"


async def test_a_cold_token_is_waited_for(running: Running) -> None:
    """The request leaves when the token comes, body and all."""
    async with running(answering(HELLO)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        tool = await bench.tool(CHUNKED)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert not bench.upstream.wires
        bench.tokens.gate.set()
        assert (await tool.answer()).body == b"hello"
        assert bytes(bench.upstream.wires[0].received).endswith(b"5\r\nabcde\r\n0\r\nT: v\r\n\r\n")


async def test_a_tool_that_leaves_while_a_token_is_awaited(running: Running) -> None:
    """Nothing is sent for it."""
    async with running(answering(HELLO)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        tool.close()
        assert (await bench.events.last()).fault == "client-gone"
        bench.tokens.gate.set()
        bench.tokens.cold = False
        assert (await bench.ask()).body == b"hello"
        assert [bytes(wire.received).count(b"GET /") for wire in bench.upstream.wires] == [1]


# --- 429


async def test_retry_after_is_waited_out_where_that_is_wished(running: Running) -> None:
    """Within retry_wait seconds the request is sent again; the tool hears the second answer."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled, HELLO), retry_wait=5.0) as bench:
        assert (await bench.ask(LISTING)).body == b"hello"
        assert bench.events.replays == [("throttled", "recovered")]


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
async def test_no_pause_is_waited_out_for_a_write(status: bytes, running: Running) -> None:
    """A refusal does not prove that nothing was done: the tool hears what Amazon said."""
    throttled = b"HTTP/1.1 " + status + b"\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno"
    async with running(answering(throttled, HELLO), retry_wait=5.0) as bench:
        got = await bench.ask(COUNTED)
        assert (got.body, got.value(b"retry-after"), got.value(b"proxy-status")) == (b"no", b"0", None)
        assert bench.events.replays == [("throttled", "impossible")]
        assert (await bench.events.last()).attempts == 1


async def test_a_503_with_retry_after_is_waited_out_for_a_read(running: Running) -> None:
    """As a 429 is."""
    busy = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(busy, HELLO), retry_wait=5.0) as bench:
        assert (await bench.ask()).body == b"hello"
        assert bench.events.replays == [("throttled", "recovered")]


async def test_a_retry_after_that_runs_holds_the_next_requests_back(running: Running) -> None:
    """Too long to be waited out, it is told by the proxy itself: Amazon is not asked again before its time."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 2\r\n\r\nno"
    async with running(answering(throttled), retry_wait=5.0) as bench:
        first, second = await bench.ask(), await bench.ask()
        assert (first.status, first.body, first.value(b"proxy-status")) == (429, b"no", None)
        assert second.status == 429
        assert b"error=" in (second.value(b"proxy-status") or b"")
        assert int(second.value(b"retry-after") or b"0") in (59, 60)
        assert b"".join(bytes(wire.received) for wire in bench.upstream.wires).count(b"GET ") == 1


async def test_a_429_is_delivered_where_waiting_is_not_wished(running: Running) -> None:
    """As Amazon sent it."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
    async with running(answering(throttled)) as bench:
        got = await bench.ask()
        assert (got.status, got.value(b"retry-after"), got.body) == (429, b"1", b"no")
        assert bench.events.replays == []


# --- answers that come early


async def test_an_answer_before_the_whole_body_is_delivered_whole(running: Running) -> None:
    """Then the tool's connection ends without tearing it, and Amazon's is not used again."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(HELLO)
        await wire.end()

    async with running(script, replay_bytes=10) as bench:
        tool = await bench.tool(POST, b"Content-Length: 9000000\r\n\r\n", bytes(1000))
        got = await tool.answer()
        assert got.body == b"hello"
        tool.send(bytes(3_000_000))
        await tool.until(lambda: tool.ended)
        assert not tool.reset
        tool.close()
        assert (await bench.ask()).body == b"hello"
        assert len(bench.upstream.wires) == 2


async def test_an_answer_may_stream_while_the_body_still_uploads(running: Running) -> None:
    """Both directions go on until both are whole; the tool's connection stays."""

    async def script(wire: Wire) -> None:
        if len(bench.upstream.wires) > 1:
            await wire.request()
            wire.send(HELLO)
            return
        await wire.head()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            wire.send(b"2\r\n" + await wire.take(2) + b"\r\n")
        wire.send(b"0\r\n\r\n")
        assert await wire.end() == b""

    async with running(script, replay_bytes=0) as bench:
        tool = await bench.tool(POST, b"Content-Length: 6\r\n\r\n")
        head = await tool.head()
        assert b"200 OK" in head
        for piece in (b"ab", b"cd", b"ef"):
            tool.send(piece)
            assert await tool.take(7) == b"2\r\n" + piece + b"\r\n"
        assert await tool.take(5) == b"0\r\n\r\n"
        tool.send(GET)
        assert (await tool.answer()).body == b"hello"
        assert len(bench.upstream.wires) == 2


# --- sides that go away


@pytest.mark.parametrize("early", [True, False])
async def test_a_tool_that_leaves_closes_amazons_connection(early: bool, running: Running) -> None:
    """At once, before an answer or in the middle of one."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if not early:
            wire.send(HELLO[:-2])
        await wire.end()

    async with running(script) as bench:
        tool = await bench.tool(GET)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        if not early:
            await tool.until(lambda: b"hel" in tool.received)
        tool.drop()
        finished = await bench.events.last()
        assert (finished.status, finished.fault) == (0 if early else 200, "client-gone")
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


async def test_a_pooled_connection_that_dies_under_a_get_is_replaced(running: Running) -> None:
    """A fresh one serves the request, and the tool never hears of it."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)
        await wire.request()
        if len(bench.upstream.wires) == 1:
            wire.drop()
        else:
            wire.send(HELLO)

    async with running(script) as bench:
        assert (await bench.ask()).status == 200
        assert (await bench.ask()).status == 200
        assert bench.events.replays == [("connection", "recovered")]
        assert len(bench.upstream.wires) == 2


async def test_a_pooled_connection_that_dies_under_a_post_is_a_502(running: Running) -> None:
    """Whether Amazon read it cannot be known, so it is not sent twice."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(HELLO)
        await wire.request()
        wire.drop()

    async with running(script) as bench:
        assert (await bench.ask()).status == 200
        got = await bench.ask(COUNTED)
        assert got.status == 502
        assert b"upstream-closed" in got.body
        assert got.value(b"proxy-status") == b"ads-proxy; error=connection_terminated"
        said = json.loads(got.body)
        assert said["retryable"] is False
        assert "may have been carried out" in said["detail"]
        assert got.value(b"retry-after") is None
        assert len(bench.upstream.wires) == 1
        assert bench.events.replays == [("connection", "impossible")]


@pytest.mark.parametrize("request_", [GET, LISTING])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_read_that_was_cut_on_a_fresh_connection_is_sent_once_more(
    request_: bytes, answer: bytes, running: Running
) -> None:
    """Whatever its method, and also within the head of the answer; twice in a row it is a 502 that may be retried."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if len(bench.upstream.wires) == 2:
            wire.send(HELLO)
            await wire.end()
            return
        wire.send(answer)

    async with running(script) as bench:
        assert (await bench.ask(request_)).body == b"hello"
        assert bench.events.replays == [("connection", "recovered")]
        bench.pools.find("api", "na").close()
        got = await bench.ask(request_)
        assert got.status == 502
        assert json.loads(got.body)["retryable"] is True
        assert len(bench.upstream.wires) == 4
        assert bench.events.replays[1:] == [("connection", "failed")]


async def test_a_storm_of_cut_reads_is_bounded(running: Running) -> None:
    """A host that cuts everything is asked a few times more than the tools asked, not twice as often."""

    async def script(wire: Wire) -> None:
        await wire.request()

    async with running(script) as bench:
        for _ in range(40):
            assert (await bench.ask()).status == 502
        assert len(bench.upstream.wires) in range(40 + 10, 40 + 10 + 4 + 1)
        assert bench.events.replays.count(("connection", "impossible")) in range(40 - 14, 40 - 10 + 1)


async def test_a_write_that_amazon_does_not_answer_is_not_offered_again(running: Running) -> None:
    """A 504 that is not retryable and says why."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script, response_timeout=20.0) as bench:
        tool = await bench.tool(COUNTED)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"abcde" in bench.upstream.wires[0].received)
        bench.sweep(21)
        got = await tool.answer()
        said = json.loads(got.body)
        assert (got.status, said["retryable"]) == (504, False)
        assert "may have been carried out" in said["detail"]


async def test_an_answer_that_never_begins_is_a_504(running: Running) -> None:
    """After response_timeout; the connection is not used again."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script, response_timeout=20.0) as bench:
        tool = await bench.tool(GET)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        bench.sweep(19)
        assert not tool.received
        bench.sweep(21)
        got = await tool.answer()
        assert got.status == 504
        assert b"within 20 s" in got.body
        await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)


@pytest.mark.parametrize("kind", [b"application/json", b"Text/Event-Stream; charset=utf-8"])
async def test_an_answer_that_stops_is_broken_off_but_for_event_streams(kind: bytes, running: Running) -> None:
    """idle_timeout runs between the bytes of a body; events may take their time."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await more.wait()
        wire.send(b"0\r\n\r\n")

    more = asyncio.Event()
    async with running(script) as bench:
        tool = await bench.tool(GET)
        await tool.until(lambda: b"ab" in tool.received)
        bench.sweep(3000)
        more.set()
        await tool.until(lambda: tool.ended or tool.received.endswith(b"0\r\n\r\n"))
        whole = tool.received.endswith(b"0\r\n\r\n")
        assert whole is (kind != b"application/json")
        assert (await bench.events.last()).fault == ("" if whole else "upstream-timeout")


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
async def test_an_answer_that_cannot_be_understood_is_a_502(answer: bytes, running: Running) -> None:
    """And its connection ends."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answer)
        await wire.end()

    async with running(script) as bench:
        tool = await bench.tool(GET)
        got = await tool.answer()
        while got.status == 103:
            got = await tool.answer()
        assert got.status == 502
        assert b"upstream-malformed" in got.body


@pytest.mark.parametrize("ending", [b"Z\r\n", b"3\r\nabcX", b"0\r\nbad trailer\r\n\r\n", b"0\r\nT: \x00\r\n\r\n"])
async def test_a_chunked_answer_that_goes_wrong_is_broken_off(ending: bytes, running: Running) -> None:
    """A bad size, a chunk that is too long, trailers that are none: never a whole answer, never a tool that waits."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await bench.tools[0].until(lambda: b"ab" in bench.tools[0].received)
        wire.send(ending)
        await wire.end()

    async with running(script) as bench:
        tool = await bench.tool(GET)
        await tool.until(lambda: tool.ended)
        assert not tool.received.endswith(b"0\r\n\r\n")
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_defect_of_ours_is_a_500_and_is_told(running: Running) -> None:
    """Whoever asked is answered, on either way into the exchange."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(HELLO)

    async with running(script) as bench:
        await bench.ask()
        working = bench.tokens.current

        def broken(account: str) -> None:
            raise ZeroDivisionError

        bench.tokens.current = broken  # type: ignore[method-assign]  # of this one object alone
        got = await bench.ask()
        assert got.status == 500
        assert b"internal-error" in got.body
        bench.tokens.current = lambda account: None  # type: ignore[method-assign]  # of this one object alone
        bench.tokens.get = broken  # type: ignore[method-assign,assignment]  # of this one object alone
        assert (await bench.ask()).status == 500
        bench.tokens.current = working  # type: ignore[method-assign]  # of this one object alone
        assert (await bench.ask()).status == 200
        assert [text.count("ZeroDivisionError") > 0 for text in bench.events.defects] == [True, True]
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_held_401_that_goes_wrong_is_delivered_broken(running: Running) -> None:
    """Its chunks are none: known at once, told when there is no better answer."""
    bad = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\nZ\r\n"
    async with running(answering(bad)) as bench:
        bench.tokens.fruitless = True
        tool = await bench.tool(GET)
        assert b" 401 " in await tool.end()
        assert not tool.received.endswith(b"0\r\n\r\n")
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_defect_beneath_an_answer_is_a_500(running: Running) -> None:
    """It is met while Amazon's bytes are read; the tool does not wait for ever."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled)) as bench:

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        bench.throttles.note = broken  # type: ignore[method-assign,assignment]  # of this one object alone
        assert (await bench.ask()).status == 500
        assert len(bench.events.defects) == 1
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_pause_that_amazon_asked_for_holds_for_the_next_request(running: Running) -> None:
    """Where waiting is wished: one that is too long is refused here, and says for how long."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled, HELLO), retry_wait=5.0) as bench:
        first = await bench.ask()
        assert (first.status, first.value(b"retry-after")) == (429, b"50")
        second = await bench.ask()
        assert (second.status, second.value(b"retry-after")) == (429, b"50")
        assert b"throttled" in second.body
        assert len(bench.events.finished) == 2
        bench.apply()
        assert (await bench.ask()).body == b"hello"


async def test_a_large_answer_to_a_401_is_held_only_as_far_as_it_came(running: Running) -> None:
    """It is not read on while a renewal is awaited, and delivered whole if that gives nothing."""
    body = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with running(answering(answer)) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        tool = await bench.tool(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        connection = bench.connection()
        assert isinstance(connection._handler, Exchange)
        attempt = connection._handler._attempt
        assert attempt is not None and attempt.held
        assert sum(len(piece) for piece in attempt.pieces) < 1_000_000
        bench.tokens.gate.set()
        assert (await tool.answer()).body == body
