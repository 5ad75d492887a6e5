"""A limit of Amazon's, on virtual time: a token bucket that asks to wait, and polite and greedy clients."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxy.errors import Throttled
from proxy.forwarding.throttle import HOLD, MAX_PAUSE, Throttle
from tests.support.tokens import virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUND_TRIP = 0.01


@dataclass(eq=False)
class Asking:
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
        loop, request, waited = asyncio.get_running_loop(), Asking(client), 0.0
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
@pytest.mark.parametrize(("greedy", "rate"), [(8, 10.0), pytest.param(40, 50.0, marks=pytest.mark.no_cover)])
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
    loop, request = asyncio.get_running_loop(), Asking(client)
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
        throttle.admit(Asking("a"), 0.0)
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


async def taken(throttle: Throttle, requests: int) -> list[Asking]:
    """So many requests that were waiting, and left as soon as they could."""
    asking = [Asking("a") for _ in range(requests)]
    gone: list[Asking] = []

    async def ask(request: Asking) -> None:
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
