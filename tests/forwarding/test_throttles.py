"""What a 429 is remembered for: what Amazon limits together, for a while, and not beyond a reload."""

from __future__ import annotations

import asyncio

import pytest

from proxy.forwarding.throttles import ThrottleKey, Throttles
from tests.forwarding.test_throttle import Asking
from tests.support.proxy_bench import Running
from tests.support.tokens import virtual_time
from tests.support.wire import HELLO, answering

KEY = ThrottleKey("sp/campaigns:read", "1", "na", "amzn1.test")
THROTTLED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"


@virtual_time
async def test_a_limit_is_remembered_for_a_minute_after_it_opened() -> None:
    """Then no request needs to ask any longer."""
    loop, throttles = asyncio.get_running_loop(), Throttles()
    assert not throttles.active
    throttles.note(KEY, loop, 10.0)
    first = throttles.find(KEY, loop.time())
    await asyncio.sleep(69)
    assert throttles.find(KEY, loop.time()) is first
    await asyncio.sleep(62)
    assert throttles.find(KEY, loop.time()) is None
    assert not throttles.active


@virtual_time
async def test_a_refusal_without_retry_after_is_not_remembered() -> None:
    """Amazon named no moment until which requests would be hopeless."""
    loop, throttles = asyncio.get_running_loop(), Throttles()
    for _ in range(10):
        throttles.note(KEY, loop, None)
    assert not throttles.active


@virtual_time
async def test_the_memory_is_bounded() -> None:
    """The limits that were met longest ago are forgotten first."""
    loop, throttles = asyncio.get_running_loop(), Throttles()
    for number in range(2000):
        throttles.note(KEY._replace(advertiser=str(number)), loop, 10.0)
    assert repr(throttles) == "<Throttles: 1024 remembered>"
    assert throttles.find(KEY._replace(advertiser="1999"), loop.time()) is not None
    assert throttles.find(KEY._replace(advertiser="0"), loop.time()) is None


@virtual_time
async def test_what_is_known_can_be_looked_at() -> None:
    """Each limit with the time until requests may leave, which runs down."""
    loop, throttles = asyncio.get_running_loop(), Throttles()
    assert throttles.snapshot(loop.time()) == ()
    throttles.note(KEY, loop, 60.0)
    await asyncio.sleep(20)
    (limit,) = throttles.snapshot(loop.time())
    assert limit == (KEY, 40.0)
    await asyncio.sleep(50)
    assert throttles.snapshot(loop.time()) == ((KEY, 0.0),)


@virtual_time
async def test_a_reload_lets_everybody_go() -> None:
    """Those who wait as well."""
    loop, throttles = asyncio.get_running_loop(), Throttles()
    throttles.note(KEY, loop, 600.0)
    throttle = throttles.find(KEY, loop.time())
    assert throttle is not None
    waiting = asyncio.create_task(throttle.wait(Asking("a"), 900.0))
    await asyncio.sleep(1)
    began = loop.time()
    throttles.forget()
    await waiting
    assert loop.time() == began
    assert throttles.find(KEY, loop.time()) is None


def get(path: bytes, *lines: bytes) -> bytes:
    """A GET of this path, with these header lines."""
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: 127.0.0.1", *lines, b"", b""))


SCOPE = b"Amazon-Advertising-API-Scope: 1"


@pytest.mark.parametrize(
    ("request_", "held"),
    [
        (get(b"/sp/campaigns/1", SCOPE), True),
        (get(b"/sp/campaigns/2?x=1", SCOPE), True),
        (get(b"/sp/campaigns/1", SCOPE[:-1] + b"2"), False),
        (get(b"/sp/campaigns/1"), False),
        (get(b"/sp/campaigns/1", SCOPE, b"Amazon-Ads-AccountId: amzn1.x"), False),
        (get(b"/sd/campaigns", SCOPE), False),
        (get(b"/eu/sp/campaigns/1", SCOPE), False),
        (b"DELETE /sp/campaigns/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + SCOPE + b"\r\n\r\n", False),
    ],
)
async def test_a_refusal_holds_up_what_is_limited_together_and_nothing_else(
    running: Running, request_: bytes, held: bool
) -> None:
    """The same family of operations, for the same profile and account, in the same region; also without retry_wait."""
    async with running(answering(THROTTLED, HELLO)) as bench:
        bench.apply(api_urls={"eu": f"http://127.0.0.1:{bench.upstream.port}"})
        first = await bench.ask(get(b"/sp/campaigns/1", SCOPE))
        assert (first.status, first.value(b"proxy-status")) == (429, None)
        got = await bench.ask(request_)
        if held:
            assert (got.status, got.value(b"retry-after")) == (429, b"599")
            assert b"throttled" in got.body
            assert (await bench.events.last(2)).attempts == 0
        else:
            assert got.status == 200
        bench.apply()
        assert (await bench.ask(get(b"/sp/campaigns/1", SCOPE))).body == b"hello"


async def test_a_request_that_waited_for_its_token_waits_for_its_turn_as_well(running: Running) -> None:
    """The limit is that of the application, which is known from the token."""
    async with running(answering(THROTTLED, HELLO)) as bench:
        await bench.ask(get(b"/sp/campaigns/1", SCOPE))
        bench.tokens.cold = True
        assert (await bench.ask(get(b"/sp/campaigns/1", SCOPE))).status == 429
        assert (await bench.events.last(2)).attempts == 0
