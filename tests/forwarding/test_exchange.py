"""A request's walk to Amazon and back: what leaves, expectations, pauses that Amazon asks for, and early answers."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phases import TRANSITIONS, Phase, follow
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering, value_of

POST = b"POST /v2/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n"
COUNTED = POST + b"Content-Length: 5\r\n\r\nabcde"
LISTING = COUNTED.replace(b"/v2/campaigns", b"/sp/campaigns/list")
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
EXPECTING = POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def exchange_of(bench: ProxyBench) -> Exchange:
    """The exchange of the only client."""
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
            b"Amazon-Advertising-API-Scope: 77\r\nVia: 1.1 x\r\nX-Forwarded-For: y\r\n"
            b"X-Ads-Proxy-Approver-Key: k\r\n\r\n"
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


async def test_no_field_of_the_proxys_own_leaves(running: Running) -> None:
    """An approver's key that is sent here by mistake stays here, in any spelling."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(
            b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Ads-Proxy-Approver-Key: canary\r\n"
            b"x_ads_proxy_approver_key: canary\r\nX-Ads-Proxy-Console: 1\r\nX-Ads: 2\r\n\r\n"
        )
        head = bytes(bench.upstream.wires[0].received)
        assert b"canary" not in head
        assert (value_of(head, b"x-ads-proxy-console"), value_of(head, b"x-ads")) == (None, b"2")


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
        client = await bench.client(EXPECTING)
        assert (await client.answer()).status == 100
        client.send(b"abcde")
        assert (await client.answer()).body == b"hello"


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"413 Content Too Large"])
async def test_a_body_that_is_refused_early_is_never_sent(status: bytes, running: Running) -> None:
    """The refusal comes whole, then the connection ends: the client's promise of a body was not kept."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
        assert await wire.end() == b""

    async with running(script) as bench:
        client = await bench.client(EXPECTING)
        assert (await client.answer()).body == b"no"
        assert await client.end() == b""
        assert not client.reset


async def test_an_expectation_outlives_a_401(running: Running) -> None:
    """The second attempt's 100 reaches the client, which has sent nothing yet."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        if b"Atza|0" in head:
            wire.send(UNAUTHORIZED)
        else:
            wire.send(CONTINUE)
            assert await wire.take(5) == b"abcde"
            wire.send(HELLO)

    async with running(script) as bench:
        client = await bench.client(EXPECTING)
        assert (await client.answer()).status == 100
        client.send(b"abcde")
        assert (await client.answer()).body == b"hello"
        assert bench.events.replays == [("unauthorized", "recovered")]


async def test_one_100_is_enough(running: Running) -> None:
    """Where both attempts ask for the body, the client hears it once."""

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            wire.send(CONTINUE)
            assert await wire.take(5) == b"abcde"
            wire.send(UNAUTHORIZED if b"Atza|0" in head else HELLO)

    async with running(script) as bench:
        client = await bench.client(EXPECTING)
        assert (await client.answer()).status == 100
        client.send(b"abcde")
        assert (await client.answer()).status == 200


async def test_no_body_timer_runs_while_a_tool_waits_for_100(running: Running) -> None:
    """Amazon may take its time to ask for the body; then the body's own timer begins."""
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await asked.wait()
        wire.send(CONTINUE)
        await wire.end()

    async with running(script, body_timeout=5.0, response_timeout=500.0) as bench:
        client = await bench.client(EXPECTING)
        await bench.settled(lambda: bool(bench.upstream.wires) and b"\r\n\r\n" in bench.upstream.wires[0].received)
        bench.sweep(60)
        asked.set()
        assert (await client.answer()).status == 100
        bench.sweep(60)
        assert (await client.answer()).status == 408


async def test_no_body_timer_runs_while_a_tool_waits_for_100_after_a_401(running: Running) -> None:
    """The request goes again with a newer token, and Amazon may take its time as before."""
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        if len(bench.upstream.wires) == 1:
            wire.send(UNAUTHORIZED)
            await wire.end()
            return
        await asked.wait()
        wire.send(CONTINUE)
        await wire.take(5)
        wire.send(HELLO)

    async with running(script, body_timeout=5.0, response_timeout=500.0) as bench:
        client = await bench.client(EXPECTING)
        await bench.settled(lambda: len(bench.upstream.wires) == 2 and exchange_of(bench).phase is Phase.SENT)
        bench.sweep(60)
        asked.set()
        assert (await client.answer()).status == 100
        client.send(b"abcde")
        assert (await client.answer()).body == b"hello"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_that_comes_without_its_100_during_a_renewal_is_kept_as_far_as_any(
    whole: bool, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to replay_bytes and one read, whether the refusal is here whole or not; then it goes on."""
    monkeypatch.setattr("proxy.forwarding.unauthorized.PATIENCE", 0.0)

    async def script(wire: Wire) -> None:
        await wire.head()
        if len(bench.upstream.wires) == 1:
            wire.send(UNAUTHORIZED if whole else UNAUTHORIZED[:-1])
            await wire.end()
            return
        await wire.take(2000)
        wire.send(HELLO)

    async with running(script, replay_bytes=1000) as bench:
        bench.tokens.gate.clear()
        client = await bench.client(POST, b"Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n")
        await bench.settled(lambda: bench.tokens.renewals == 1)
        client.send(bytes(1000))
        await bench.settled(lambda: bench.connection()._reads.paused)
        bench.tokens.gate.set()
        client.send(bytes(1000))
        assert (await client.answer()).body == b"hello"


# --- 429


async def test_retry_after_is_waited_out_where_that_is_wished(running: Running) -> None:
    """Within retry_wait seconds the request is sent again; the client hears the second answer."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(throttled, HELLO), retry_wait=5.0) as bench:
        assert (await bench.ask(LISTING)).body == b"hello"
        assert bench.events.replays == [("throttled", "recovered")]


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
async def test_no_pause_is_waited_out_for_a_write(status: bytes, running: Running) -> None:
    """A refusal does not prove that nothing was done: the client hears what Amazon said."""
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
        assert 0 < int(second.value(b"retry-after") or b"0") <= 60
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
    """Then the client's connection ends without tearing it, and Amazon's is not used again."""

    async def script(wire: Wire) -> None:
        await wire.head()
        wire.send(HELLO)
        await wire.end()

    async with running(script, replay_bytes=10) as bench:
        client = await bench.client(POST, b"Content-Length: 9000000\r\n\r\n", bytes(1000))
        got = await client.answer()
        assert got.body == b"hello"
        client.send(bytes(3_000_000))
        await client.until(lambda: client.ended)
        assert not client.reset
        client.close()
        assert (await bench.ask()).body == b"hello"
        assert len(bench.upstream.wires) == 2


async def test_an_answer_may_stream_while_the_body_still_uploads(running: Running) -> None:
    """Both directions go on until both are whole; the client's connection stays."""

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
        client = await bench.client(POST, b"Content-Length: 6\r\n\r\n")
        head = await client.head()
        assert b"200 OK" in head
        for piece in (b"ab", b"cd", b"ef"):
            client.send(piece)
            assert await client.take(7) == b"2\r\n" + piece + b"\r\n"
        assert await client.take(5) == b"0\r\n\r\n"
        client.send(GET)
        assert (await client.answer()).body == b"hello"
        assert len(bench.upstream.wires) == 2


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Phase, Phase)))
def test_only_what_the_table_has_may_follow(old: Phase, new: Phase) -> None:
    """Anything else is a defect, and said so."""
    if new in TRANSITIONS[old]:
        assert follow(old, new) is new
    else:
        with pytest.raises(AssertionError, match=f"from {old} to {new}"):
            follow(old, new)


def test_every_phase_can_end_and_nothing_follows_the_end() -> None:
    """However an exchange stands, its client may leave."""
    assert all(Phase.DONE in TRANSITIONS[phase] for phase in Phase if phase is not Phase.DONE)
    assert not TRANSITIONS[Phase.DONE]
    assert TRANSITIONS.keys() == set(Phase)
