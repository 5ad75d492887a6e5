"""What a 429 is remembered for: what Amazon limits together, for a while, and not beyond a reload."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxy.errors import Throttled
from proxy.upstream.throttles import HOLD, MAX_PAUSE, Throttle, ThrottleKey, Throttles
from tests.support.proxy_bench import Running
from tests.support.tokens import virtual_time
from tests.support.wire import HELLO, UNAUTHORIZED, Wire, answering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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
    waiting = asyncio.create_task(throttle.wait(FakeRequest("a"), 900.0))
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
            assert got.status == 429
            assert 0 < int(got.value(b"retry-after") or b"0") <= 600
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


@pytest.mark.parametrize("ending", [b"", b"Connection: close\r\n"], ids=["the same connection", "a new one"])
async def test_a_request_that_waited_for_a_connection_waits_for_its_turn_as_well(
    ending: bytes, running: Running
) -> None:
    """The pause began while it waited; another one behind it gets the connection."""
    limited, other, answers = get(b"/sp/campaigns/1", SCOPE), get(b"/sp/campaigns/1"), asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            await answers.wait()
            wire.send(THROTTLED.replace(b"\r\n\r\n", b"\r\n" + ending + b"\r\n") if SCOPE in head else HELLO)
            if ending:
                return

    async with running(script, pool_limit=1) as bench:
        clients = [await bench.client(limited)]
        pool = bench.pools.find("api", "na")
        for number, request in enumerate((limited, other, limited), 1):
            await bench.settled(lambda: pool.used == 1)
            clients.append(await bench.client(request))
            await bench.settled(lambda: len(pool._waiting) == number)  # noqa: B023 - awaited within the turn
        answers.set()
        assert [(await client.answer()).status for client in clients] == [429, 429, 200, 429]
        await bench.events.last(4)
        assert sorted(event.attempts for event in bench.events.finished) == [0, 0, 1, 1]
        assert pool.used == 0


async def test_a_request_that_waited_for_a_newer_token_waits_for_its_turn_as_well(running: Running) -> None:
    """The pause began during the renewal."""
    request = get(b"/sp/campaigns/1", SCOPE)
    async with running(answering(UNAUTHORIZED, THROTTLED, HELLO)) as bench:
        bench.tokens.gate.clear()
        client = await bench.client(request)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        assert (await bench.ask(request)).status == 429
        bench.tokens.gate.set()
        got = await client.answer()
        assert got.status == 429
        assert b"throttled" in got.body


ROUND_TRIP = 0.01


@dataclass(eq=False)
class FakeRequest:
    """A request of this client."""

    client: str


@dataclass
class Bucket:
    """Amazon's limiter: `rate` requests a second, as many at once; a refusal asks for whole seconds."""

    rate: float
    left: float = 0.0
    at: float = 0.0
    granted: int = 0
    refused: int = 0

    async def ask(self) -> float:
        """0 for a good response, else Retry-After."""
        now = asyncio.get_running_loop().time()
        self.left = min(self.rate, self.left + (now - self.at) * self.rate)
        self.at = now
        wait = 0.0
        if self.left >= 1:
            self.left -= 1
            self.granted += 1
        else:
            self.refused += 1
            wait = float(max(1, math.ceil((1 - self.left) / self.rate)))
        await asyncio.sleep(ROUND_TRIP)
        return wait


@dataclass
class Rig:
    """Clients of one limiter, directly or through a throttle."""

    bucket: Bucket
    served: Counter[str] = field(default_factory=Counter)
    throttle: Throttle | None = None

    async def direct(self, client: str) -> float:
        """As a client without the proxy sends a request."""
        wait = await self.bucket.ask()
        self.served[client] += not wait
        return wait

    async def through(self, retry_wait: float, client: str) -> float:
        """As an exchange sends a read: 0 for a good response, else Retry-After."""
        loop, request, waited = asyncio.get_running_loop(), FakeRequest(client), 0.0
        while True:
            throttle = self.throttle
            try:
                if throttle is not None and not throttle.admit(request, retry_wait - waited):
                    began = loop.time()
                    await throttle.wait(request, retry_wait - waited)
                    waited += loop.time() - began
            except Throttled as refusal:
                assert refusal.retry_after is not None
                return refusal.retry_after
            wait = await self.bucket.ask()
            if not wait:
                self.served[client] += 1
                if throttle is not None:
                    throttle.passed(request)
                return 0.0
            self.throttle = self.throttle or Throttle(loop)
            self.throttle.close(wait)
            if throttle is not None:
                throttle.ended(request)
            if waited + wait > retry_wait:
                return wait

    async def client(self, name: str, send: Callable[[str], Awaitable[float]]) -> None:
        """One request after the other; a polite client waits as long as it is told."""
        while True:
            wait = await send(name)
            if wait:
                await asyncio.sleep(0.02 if name.startswith("greedy") else wait)


async def run(names: list[str], rate: float, retry_wait: float | None) -> Rig:
    """What these clients get in a minute; directly without a `retry_wait`."""
    loop = asyncio.get_running_loop()
    rig = Rig(Bucket(rate, left=rate, at=loop.time()))
    send = rig.direct if retry_wait is None else partial(rig.through, retry_wait)
    tasks = [loop.create_task(rig.client(name, send)) for name in names]
    await asyncio.sleep(60)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rig


GREEDY = [f"greedy-{number}" for number in range(8)]


@pytest.mark.parametrize("retry_wait", [0.0, 10.0])
@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
@virtual_time
async def test_a_lone_polite_client_gets_as_much_as_directly(rate: float, retry_wait: float) -> None:
    """All but one burst in a minute at most: where the last one falls is chance."""
    direct = await run(["polite"], rate, None)
    through = await run(["polite"], rate, retry_wait)
    assert through.served["polite"] >= direct.served["polite"] - rate
    assert through.served["polite"] >= 0.95 * direct.served["polite"]


@pytest.mark.parametrize("retry_wait", [0.0, 10.0])
@virtual_time
async def test_a_polite_client_among_greedy_ones_gets_more_than_directly(retry_wait: float) -> None:
    """An equal share: directly the greedy clients leave it next to nothing."""
    names = [*GREEDY, "polite"]
    direct, through = await run(names, 10.0, None), await run(names, 10.0, retry_wait)
    assert through.served["polite"] > direct.served["polite"]
    assert through.served["polite"] >= 0.7 * max(through.served.values())


@pytest.mark.parametrize("retry_wait", [0.0, 10.0])
@pytest.mark.parametrize(("greedy", "rate"), [(8, 10.0), pytest.param(40, 50.0, marks=pytest.mark.long)])
@virtual_time
async def test_greedy_clients_get_their_shares_and_do_not_flood_amazon(
    greedy: int, rate: float, retry_wait: float
) -> None:
    """As much in all as one polite client gets, and hardly any request that Amazon refuses."""
    best = await run(["polite"], rate, None)
    through = await run([f"greedy-{number}" for number in range(greedy)], rate, retry_wait)
    assert through.bucket.granted >= 0.95 * best.bucket.granted
    assert through.bucket.refused <= 0.3 * through.bucket.granted
    assert min(through.served.values()) >= 0.8 * through.bucket.granted / greedy


# --- one limit


async def left(throttle: Throttle, client: str, patience: float = 60.0) -> tuple[str, float]:
    """The client, and after how many seconds its request left."""
    loop, request = asyncio.get_running_loop(), FakeRequest(client)
    began = loop.time()
    if not throttle.admit(request, patience):
        await throttle.wait(request, patience)
    return client, round(loop.time() - began, 2)


def closed(seconds: float) -> Throttle:
    """Amazon asked to wait for so long."""
    throttle = Throttle(asyncio.get_running_loop())
    throttle.close(seconds)
    return throttle


@virtual_time
async def test_all_leave_when_retry_after_has_passed() -> None:
    """In turns by client, whichever client has most requests."""
    throttle, order = closed(10.0), []

    async def ask(client: str) -> None:
        await left(throttle, client)
        order.append(client)

    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(ask(client) for client in "aaaabb"))
    assert order == ["a", "b", "a", "b", "a", "a"]
    assert asyncio.get_running_loop().time() == began + 10.0


@virtual_time
async def test_a_request_that_may_not_wait_is_told_how_long_rounded_down() -> None:
    """A client that comes back after that time waits here for the rest, and loses nothing to the rounding."""
    throttle = closed(10.0)
    await asyncio.sleep(0.3)
    with pytest.raises(Throttled) as refusal:
        throttle.admit(FakeRequest("a"), 0.0)
    assert refusal.value.retry_after == 9.0
    await asyncio.sleep(9.0)
    assert await left(throttle, "a", 0.0) == ("a", 0.7)


@virtual_time
async def test_any_request_may_wait_for_a_second() -> None:
    """Also without `retry_wait`."""
    assert await left(closed(1.0), "a", 0.0) == ("a", 1.0)
    with pytest.raises(Throttled):
        await left(closed(HOLD + 0.1), "a", 0.0)


@virtual_time
async def test_no_retry_after_counts_for_more_than_a_quarter_of_an_hour() -> None:
    """Whatever Amazon says."""
    throttle, loop = closed(1e9), asyncio.get_running_loop()
    assert throttle.closed_until == loop.time() + MAX_PAUSE == loop.time() + 900


@virtual_time
async def test_a_longer_retry_after_refuses_those_who_may_not_wait_that_long() -> None:
    """At once: more waiting would gain nothing. The others go on waiting."""
    throttle, loop = closed(1.0), asyncio.get_running_loop()
    began = loop.time()
    short, long = (asyncio.create_task(left(throttle, "a", patience)) for patience in (5.0, 50.0))
    await asyncio.sleep(0.5)
    throttle.close(20.0)
    with pytest.raises(Throttled) as refusal:
        await short
    assert (loop.time() - began, refusal.value.retry_after) == (0.5, 20.0)
    assert await long == ("a", 20.5)


async def taken(throttle: Throttle, requests: int) -> list[FakeRequest]:
    """So many requests that were waiting, and left as soon as they could."""
    asking = [FakeRequest("a") for _ in range(requests)]
    gone: list[FakeRequest] = []

    async def ask(request: FakeRequest) -> None:
        if not throttle.admit(request, 100.0):
            await throttle.wait(request, 100.0)
        gone.append(request)

    for request in asking:
        asyncio.get_running_loop().create_task(ask(request))
    await asyncio.sleep(1.1)
    return gone


@virtual_time
async def test_as_many_leave_at_once_as_passed_after_the_last_opening() -> None:
    """And one more, which finds out whether Amazon takes more by now; each that passes lets two more leave."""
    throttle = closed(1.0)
    first = await taken(throttle, 30)
    assert len(first) == 10 + 1
    for request in first[:4]:
        throttle.passed(request)
    throttle.close(1.0)
    await asyncio.sleep(1.1)
    assert len(first) == 11 + 4 + 1
    throttle.passed(first[-1])
    await asyncio.sleep(0)
    assert len(first) == 16 + 2


@virtual_time
async def test_a_request_that_ends_without_an_answer_lets_the_next_one_leave() -> None:
    """A client that disconnects, or a connection that breaks, holds nobody up."""
    throttle = closed(1.0)
    gone = await taken(throttle, 12)
    assert len(gone) == 11
    throttle.ended(gone[-1])
    await asyncio.sleep(0)
    assert len(gone) == 12


@virtual_time
async def test_an_open_limit_refuses_nothing() -> None:
    """A request leaves after a second, though nothing was answered meanwhile: Amazon may take long to answer."""
    throttle = closed(1.0)
    await taken(throttle, 11)
    assert await left(throttle, "b", 0.0) == ("b", HOLD)
    assert await left(throttle, "b", 50.0) == ("b", HOLD)


@virtual_time
async def test_a_client_that_disconnects_while_it_waits_takes_no_turn() -> None:
    """The next one leaves."""
    throttle = closed(10.0)
    gone, stays = (asyncio.create_task(left(throttle, client)) for client in "ab")
    await asyncio.sleep(1)
    gone.cancel()
    assert await stays == ("b", 10.0)
    assert repr(throttle) == "<Throttle: open, 0 waiting>"
