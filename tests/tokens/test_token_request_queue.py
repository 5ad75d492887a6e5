"""How many token requests run at once, and who goes first of those that wait."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from proxy.errors import TokenThrottled
from proxy.events import RefreshFailed
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.token_request_queue import (
    AT_ONCE,
    SLOWEST,
    EndpointQueue,
    EndpointRate,
    TokenRequestQueue,
    TokenWaiters,
)
from proxy.tokens.token_response import Grant
from proxy.tokens.values import TokenSettings
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time


class Work:
    """What takes turns: `going` are those that run, in the order in which they began."""

    def __init__(self, at_once: int) -> None:
        self.request_queue = EndpointQueue(at_once)
        self.going: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def begin(self, name: str, waiters: TokenWaiters | None = None) -> asyncio.Task[str | None]:
        return asyncio.create_task(self.request_queue.run(waiters or TokenWaiters(), self._work, name))

    async def _work(self, name: str) -> str:
        self.going.append(name)
        self.ends[name] = asyncio.Event()
        await self.ends[name].wait()
        return name

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    """Let the event loop do all that can be done now."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_and_the_others_in_their_order() -> None:
    """Each begins when another is over, and gives what it came to."""
    work = Work(2)
    tasks = [work.begin(name) for name in "abcd"]
    await settle()
    assert (work.going, repr(work.request_queue)) == (["a", "b"], "<EndpointQueue: 0 free, 2 waiting>")
    await work.end("b")
    assert work.going == ["a", "b", "c"]
    for name in "acd":
        await work.end(name)
    assert await asyncio.gather(*tasks) == ["a", "b", "c", "d"]
    assert repr(work.request_queue) == "<EndpointQueue: 2 free, 0 waiting>"


async def test_an_account_that_is_waited_for_goes_first() -> None:
    """An account goes first even if requests begin to wait only while it is queued; among such accounts the order of
    the calls counts."""
    work, wanted, late = Work(1), TokenWaiters(), TokenWaiters()
    tasks = [work.begin("a"), work.begin("b"), work.begin("c", late)]
    await settle()
    waiting = [asyncio.create_task(late.wait(60)), asyncio.create_task(wanted.wait(60))]
    await settle()
    tasks.append(work.begin("d", wanted))
    await settle()
    for name in "acdb":
        await work.end(name)
    assert work.going == ["a", "c", "d", "b"]
    await asyncio.gather(*tasks)
    for each in waiting:
        each.cancel()


async def test_a_refused_account_goes_behind_the_renewals_of_others() -> None:
    """Even if requests wait for its token. Those without a token that nobody waits for follow, and last of all come
    accounts that were refused more than once."""
    work, names = Work(1), ("held", "patient", "twice", "once", "renewed", "awaited")
    waiters = {name: TokenWaiters(name) for name in names}
    for name in ("twice", "twice", "once"):
        work.request_queue.rate_limit.refused(name, 0.0, 0.0, None)
    waiters["renewed"].ends_at = asyncio.get_running_loop().time() + 60
    waiting = [asyncio.create_task(waiters[name].wait(60)) for name in ("twice", "once", "awaited")]
    await settle()
    tasks = [work.begin(name, waiters[name]) for name in names]
    await settle()
    order = ["held", "awaited", "renewed", "once", "patient", "twice"]
    for name in order:
        await work.end(name)
    assert work.going == order
    await asyncio.gather(*tasks)
    for each in waiting:
        each.cancel()


async def test_one_that_is_given_up_or_cancelled_takes_no_turn() -> None:
    """The cancelled one begins nothing, and none behind it waits longer; also if the turn had just become its own."""
    work, gone = Work(1), TokenWaiters()
    first, given_up, cancelled, last = (work.begin("a"), work.begin("b", gone), work.begin("c"), work.begin("d"))
    await settle()
    work.request_queue.give_up(gone)
    work.ends["a"].set()
    while not first.done():
        await asyncio.sleep(0)
    cancelled.cancel()
    await settle()
    assert (work.going, await given_up) == (["a", "d"], None)
    await work.end("d")
    assert (await last, repr(work.request_queue)) == ("d", "<EndpointQueue: 1 free, 0 waiting>")


async def test_each_endpoint_has_turns_of_its_own() -> None:
    """An endpoint always has the same turns; an account that is given up is so wherever it waits."""
    queue, gone = TokenRequestQueue(), TokenWaiters()
    here, there = queue.at("https://here.test/"), queue.at("https://there.test/")
    assert (queue.at("https://here.test/") is here, here is there, repr(queue)) == (
        True,
        False,
        "<TokenRequestQueue at 2 endpoints>",
    )
    running = [asyncio.create_task(there.run(TokenWaiters(), asyncio.Event().wait)) for _ in range(AT_ONCE)]
    waiting = asyncio.create_task(there.run(gone, asyncio.Event().wait))
    await settle()
    queue.give_up(gone)
    assert await waiting is None
    for each in running:
        each.cancel()


async def test_work_that_fails_gives_its_turn_back() -> None:
    """Whatever it raises."""
    queue = EndpointQueue(1)

    async def fail() -> None:
        raise KeyError("acme")

    with pytest.raises(KeyError):
        await queue.run(TokenWaiters(), fail)
    assert repr(queue) == "<EndpointQueue: 1 free, 0 waiting>"


# --- and what a start with many accounts is like

SLOW = 7.0
"""Seconds, one less than a token request may take."""


class SlowLogin(ScriptedLogin):
    """A slow Login with Amazon that knows how many asked at once, and for which accounts. An endpoint with `hangs` in
    its name never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = self.most = 0
        self.order: list[str] = []

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        self.order.append(refresh_token.reveal())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(NEVER if "hangs" in token_url else SLOW)
            return grant("access", client=credentials.client_id)
        finally:
            self.at_once -= 1


NEVER = 1e6
MANY = tuple(source(f"a{number:03}", f"refresh-{number:03}") for number in range(100))


@virtual_time
async def test_a_start_with_many_accounts_asks_for_some_tokens_at_a_time() -> None:
    """No time-out counts the waiting: the last account asks three rounds later, and nothing fails."""
    async with RunningManager(SlowLogin()) as running:
        login = running.login
        assert isinstance(login, SlowLogin)
        await running.manager.start(MANY)
        await asyncio.sleep(3.5 * SLOW)
        assert (login.most, AT_ONCE) == (32, 32)
        assert [running.state(each.account) for each in MANY].count("valid") == 96
        await asyncio.sleep(SLOW)
        assert {running.state(each.account) for each in MANY} == {"valid"}
        assert len(login.order) == 100
        assert not running.events.of(RefreshFailed)


@virtual_time
async def test_an_account_that_is_asked_for_does_not_wait_for_all_the_others() -> None:
    """The account has the next turn that is free."""
    settings = replace(TokenSettings(), request_wait=30.0)
    async with RunningManager(SlowLogin(), settings=settings) as running:
        await running.manager.start(MANY)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        assert (await running.manager.get("a099")).account == "a099"
        assert asyncio.get_running_loop().time() - began == pytest.approx(2 * SLOW - 1)
        assert isinstance(running.login, SlowLogin)
        assert running.login.order[32] == "refresh-099"


@virtual_time
async def test_an_endpoint_that_hangs_holds_up_no_other() -> None:
    """All of its turns are taken, and those of the others are free."""
    hanging = tuple(replace(each, account=f"h{each.account}", token_url="http://hangs.test/") for each in MANY)
    async with RunningManager(SlowLogin()) as running:
        await running.manager.start((*hanging, *MANY[:20]))
        await asyncio.sleep(SLOW + 0.5)
        assert {running.state(each.account) for each in MANY[:20]} == {"valid"}


@virtual_time
async def test_a_stop_during_such_a_start_waits_for_those_alone_that_ask() -> None:
    """No other account begins any more."""
    async with RunningManager(SlowLogin()) as running:
        await running.manager.start(MANY)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await running.manager.stop()
        assert asyncio.get_running_loop().time() - began == pytest.approx(SLOW - 1)
        assert isinstance(running.login, SlowLogin)
        assert len(running.login.order) == 32


RATE, ACCOUNTS = 50.0, 1000


class LimitedLogin(ScriptedLogin):
    """Login with Amazon with a token bucket: 50 a second, and `burst` at once; 429 beyond, with `retry_after`."""

    def __init__(self, burst: float, retry_after: float | None) -> None:
        super().__init__()
        self.burst = self.level = burst
        self.retry_after = retry_after
        self.at = 0.0
        self.grants: list[float] = []
        self.refusals = 0

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        await asyncio.sleep(0.1)
        now = asyncio.get_running_loop().time()
        self.level = min(self.burst, self.level + (now - self.at) * RATE)
        self.at = now
        if self.level < 1:
            self.refusals += 1
            raise TokenThrottled("too many", retry_after=self.retry_after)
        self.level -= 1
        self.grants.append(now)
        return grant(f"access-{len(self.grants)}")


class Replica(RunningManager):
    """One of a fleet, with accounts of its own."""

    def __init__(self, login: LimitedLogin, number: int) -> None:
        super().__init__(login)
        self.dice = random.Random(number)

    def roll(self) -> float:
        return self.dice.random()


@asynccontextmanager
async def replicas(login: LimitedLogin, count: int) -> AsyncIterator[list[Replica]]:
    """A number of replicas that begin at once, and tell each other the rate limit."""
    running = [Replica(login, number) for number in range(count)]
    for each in running:
        each.manager.request_queue.rate_lowered = functools.partial(
            tell, [other for other in running if other is not each]
        )
    await configure(running, "s")
    try:
        yield running
    finally:
        for each in running:
            await each.manager.stop()


def tell(others: list[Replica], token_url: str, rate: float, pause: float) -> None:
    for other in others:
        other.manager.request_queue.hear(token_url, rate, pause)


async def configure(running: list[Replica], secret: str) -> None:
    """Give each its part of the accounts; with another secret, all of their tokens are due at once."""
    for number, each in enumerate(running):
        sources = [source(f"a{n}", secret=secret) for n in range(number, ACCOUNTS, len(running))]
        await (each.manager.reconfigure(sources) if each.manager.statuses() else each.manager.start(sources))


async def all_granted(login: LimitedLogin, count: int) -> float:
    """Seconds until there are so many grants."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(600):
        while len(login.grants) < count:
            await asyncio.sleep(0.25)
    return login.grants[count - 1] - began


@pytest.mark.parametrize(
    ("count", "burst", "retry_after"),
    [
        (3, 50, 1.0),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in ((1, 50, None), (1, 50, 1.0), (1, 1, None), (1, 500, 1.0), (3, 50, None))
        ),
    ],
)
@virtual_time
async def test_a_thousand_accounts_get_tokens_at_the_pace_of_their_endpoint(
    count: int, burst: float, retry_after: float | None
) -> None:
    """At a start, and when all are due at once later: with at most one refusal for five grants, and nearly as soon as
    the endpoint allows."""
    login = LimitedLogin(burst, retry_after)
    async with replicas(login, count) as running:
        soonest = (ACCOUNTS - burst) / RATE
        assert await all_granted(login, ACCOUNTS) <= 2 * soonest + 5
        assert login.refusals <= 0.2 * len(login.grants)
        before = login.refusals
        await asyncio.sleep(120)
        await configure(running, "changed")
        assert await all_granted(login, 2 * ACCOUNTS) <= 2 * soonest + 5
        assert login.refusals - before <= 0.2 * ACCOUNTS


def limited(rate: float) -> EndpointRate:
    """A rate limit that the refusals of two accounts set, at the moment 10, to this many requests a second."""
    rate_limit = EndpointRate()
    for _ in range(round(rate / 0.8)):
        rate_limit.granted("acme", 9.4, 9.5)
    refuse_two(rate_limit, 9.9, 10.0)
    return rate_limit


def refuse_two(rate_limit: EndpointRate, sent_at: float, now: float, retry_after: float | None = None) -> None:
    """Two accounts are refused for the first time."""
    for account in (f"one {now}", f"two {now}"):
        rate_limit.refused(account, sent_at, now, retry_after)


def test_before_a_refusal_there_is_no_limit() -> None:
    """However many are sent at once."""
    rate_limit = EndpointRate()
    for _ in range(1000):
        rate_limit.take(1.0)
        rate_limit.granted("acme", 0.9, 1.0)
    assert (rate_limit.wait(1.0) <= 0, repr(rate_limit)) == (True, "<EndpointRate: no limit>")


def test_refusals_of_one_account_set_no_limit() -> None:
    """The refusals hold back no other account, however many they are, and whatever Retry-After says; nor does another
    account's refusal much later."""
    rate_limit = EndpointRate()
    for moment in (1.0, 2.0, 30.0):
        rate_limit.refused("acme", moment - 0.1, moment, 60.0)
    rate_limit.granted("acme", 30.1, 30.2)
    rate_limit.refused("acme", 30.3, 30.4, 60.0)
    assert (rate_limit.wait(30.4) <= 0, rate_limit.rate) == (True, None)
    rate_limit.refused("zeta", 40.4, 40.5, 60.0)
    assert (rate_limit.wait(40.5) <= 0, rate_limit.rate) == (True, None)


def test_an_account_that_is_refused_again_says_nothing_of_the_endpoint() -> None:
    """Neither is the endpoint paused nor the pace lowered; after a token the account's next refusal counts again."""
    rate_limit = limited(40)
    rate_limit.refused("one 10.0", 12.0, 12.1, 60.0)
    rate_limit.refused("two 10.0", 12.0, 12.1, 60.0)
    assert rate_limit.rate == pytest.approx(40.0)
    assert rate_limit.wait(12.1) <= 0
    for account in ("one 10.0", "two 10.0"):
        rate_limit.granted(account, 19.9, 20.0)
    rate_limit.refused("one 10.0", 20.9, 21.0, 60.0)
    assert rate_limit.rate == pytest.approx(32.0)
    assert rate_limit.wait(21.0) < 1
    rate_limit.refused("two 10.0", 20.9, 21.0, 60.0)
    assert rate_limit.wait(21.0) == pytest.approx(60.0)


async def test_an_account_that_is_removed_is_forgotten() -> None:
    """The refused accounts are as many as there are accounts at most."""
    queue, waiters = EndpointQueue(), TokenWaiters("acme")
    queue.rate_limit.refused("acme", 1.0, 2.0, None)
    assert repr(queue.rate_limit.refusals) == "<RefusedAccounts: 1>"
    queue.give_up(waiters)
    assert repr(queue.rate_limit.refusals) == "<RefusedAccounts: 0>"


def test_a_grant_during_a_pause_ends_it() -> None:
    """A token for a request that was sent before the pause does not end it."""
    rate_limit = limited(40)
    refuse_two(rate_limit, 11.0, 11.1, 60.0)
    rate_limit.granted("acme", 11.05, 11.2)
    assert rate_limit.wait(11.2) == pytest.approx(59.9)
    rate_limit.granted("acme", 11.7, 11.8)
    assert rate_limit.wait(11.8) < 1


def test_when_a_request_may_be_sent_during_a_pause() -> None:
    """Half a second after its beginning, and five seconds after the last one."""
    rate_limit = EndpointRate()
    assert rate_limit.try_in(10.0) == float("inf")
    refuse_two(rate_limit, 9.9, 10.0, 60.0)
    assert rate_limit.try_in(10.0) == pytest.approx(0.5)
    rate_limit.tried(10.7)
    assert rate_limit.try_in(10.7) == pytest.approx(5.0)
    assert rate_limit.try_in(70.1) == float("inf")


def test_the_first_pace_is_below_what_was_granted_in_the_last_second() -> None:
    """Older grants do not count, and a rate limit that would be nothing is one request in two seconds."""
    rate_limit = EndpointRate()
    for moment in (1.0, 8.9, 9.1, 9.2, 9.3, 9.4, 9.5):
        rate_limit.granted("acme", moment - 0.1, moment)
    refuse_two(rate_limit, 9.9, 10.0)
    assert rate_limit.rate == pytest.approx(4.0)
    assert repr(rate_limit) == "<EndpointRate: 4.0 requests a second>"
    assert limited(0).rate == SLOWEST


def test_the_first_pace_counts_the_tokens_that_were_on_their_way() -> None:
    """A refusal is often faster than a token. Requests sent later, or after another refusal, do not count."""
    rate_limit = EndpointRate()
    refuse_two(rate_limit, 9.9, 10.0)
    for _ in range(10):
        rate_limit.granted("acme", 9.9, 10.2)
    assert rate_limit.rate == pytest.approx(8.0)
    assert rate_limit.wait(10.2) == pytest.approx(1 / 8)
    rate_limit.granted("acme", 10.1, 10.3)
    assert rate_limit.rate == pytest.approx(8.0)
    rate_limit.refused("third", 10.3, 10.4, None)
    rate_limit.granted("acme", 9.9, 10.5)
    assert rate_limit.rate == pytest.approx(6.4)


def test_requests_are_sent_one_after_another_at_the_pace() -> None:
    """A request that was not sent after all leaves its moment to the next one."""
    rate_limit = limited(4)
    assert rate_limit.wait(10.0) == pytest.approx(0.25)
    rate_limit.take(10.25)
    assert rate_limit.wait(10.25) == pytest.approx(0.25)
    rate_limit.give_back()
    assert rate_limit.wait(10.25) <= 0


def test_a_refusal_lowers_the_pace_once_for_all_that_were_sent_before() -> None:
    """By a fifth, and tells it with the pause that was asked for: that of one account alone is none for the others."""
    rate_limit, told = limited(40), []
    rate_limit.lowered = lambda rate, pause: told.append((round(rate, 3), pause))
    rate_limit.refused("acme", 10.5, 10.6, 2.0)
    rate_limit.refused("zeta", 10.55, 10.7, None)
    assert told == [(32.0, 2.0)]
    assert rate_limit.wait(10.6) == pytest.approx(2.0)
    rate_limit.refused("other", 31.0, 31.1, 1000.0)
    assert told[1:] == [(25.6, 0.0)]
    assert rate_limit.wait(31.1) < 1
    rate_limit.refused("fourth", 32.0, 32.1, 1000.0)
    assert told[2:] == [(20.48, 120.0)]
    assert rate_limit.wait(32.1) == pytest.approx(120.0)


def test_the_pace_grows_where_requests_wait_for_it() -> None:
    """The pace doubles in a second until the second refusal, and grows by a twentieth in a second after it."""
    rate_limit = limited(40)
    found = []
    for _ in range(2):
        before, now = rate_limit.rate or 0.0, 10.0
        while (wait := rate_limit.wait(now)) < 1 and now < 11.0:
            now += max(wait, 0.0)
            rate_limit.take(now)
            rate_limit.granted("acme", now, now)
        found.append((rate_limit.rate or 0.0) / before)
        rate_limit.refused("acme", 11.0, 10.0, None)
    assert found == [pytest.approx(2.0, rel=0.1), pytest.approx(1.05, rel=0.01)]


@pytest.mark.parametrize(("every", "grows"), [(0.45, True), (0.55, False), (1.0, False)])
def test_a_pace_that_nobody_waits_for_does_not_grow(every: float, grows: bool) -> None:
    """A request in a while says nothing about the limit: it came when two could have been sent, four a second."""
    rate_limit = limited(4)
    for number in range(20):
        rate_limit.take(20.0 + number * every)
        rate_limit.granted("acme", 20.0 + number * every, 20.0 + number * every)
    assert rate_limit.rate is not None
    assert (rate_limit.rate > 4.001) is grows


def test_a_slower_pace_of_another_replica_counts_here() -> None:
    """From a moment on that differs by chance; a faster one does not, but the pause does."""
    rate_limit = EndpointRate()
    rate_limit.hear(10.0, 0.0, 5.0, 0.5)
    assert rate_limit.rate == 10.0
    assert rate_limit.wait(5.0) == pytest.approx(0.05)
    refuse_two(rate_limit, 4.9, 5.1)
    assert rate_limit.rate == 10.0
    rate_limit.hear(20.0, 3.0, 6.0, 0.5)
    assert rate_limit.rate == 10.0
    assert rate_limit.wait(6.0) == pytest.approx(3.0)


@virtual_time
async def test_turns_are_given_at_the_pace_and_to_the_urgent_first() -> None:
    """A turn in which nothing is asked costs nothing of the rate limit."""
    queue, begun, wanted, loop = EndpointQueue(), [], TokenWaiters(), asyncio.get_running_loop()
    queue.rate_limit.hear(1.0, 0.0, loop.time(), 1.0)
    start = loop.time()

    async def work(name: str) -> None:
        begun.append((name, round(loop.time() - start, 3)))
        if name != "shared":
            with queue.request(name):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(queue.run(TokenWaiters(), work, name)) for name in ("shared", "b", "c")]
    waiting = asyncio.create_task(wanted.wait(60))
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(queue.run(wanted, work, "urgent")))
    await asyncio.gather(*tasks)
    waiting.cancel()
    assert [name for name, _ in begun] == ["urgent", "shared", "b", "c"]
    moments = [moment for _, moment in begun]
    assert moments[:3] == [1.0, pytest.approx(2.0, abs=0.1), pytest.approx(2.0, abs=0.1)]
    assert moments[3] - moments[2] > 0.5


class Paused:
    """A queue in a pause of a minute, and who has its turn when, in seconds from the beginning of the pause."""

    def __init__(self) -> None:
        self.queue, self.loop = EndpointQueue(), asyncio.get_running_loop()
        self.began = self.loop.time()
        refuse_two(self.queue.rate_limit, self.began - 0.1, self.began, 60.0)
        self.turns: list[tuple[str, float]] = []
        self.refusing = True
        self.tasks: list[asyncio.Task[None]] = []

    def join(self, account: str, ends_in: float) -> None:
        waiters = TokenWaiters(account)
        waiters.ends_at = self.began + ends_in
        self.tasks.append(asyncio.create_task(self._ask(waiters)))

    async def _ask(self, waiters: TokenWaiters) -> None:
        with contextlib.suppress(TokenThrottled):
            await self.queue.run(waiters, self._work, waiters.account)

    async def _work(self, account: str) -> None:
        self.turns.append((account, round(self.loop.time() - self.began, 1)))
        with self.queue.request(account):
            await asyncio.sleep(0.1)
            if self.refusing:
                raise TokenThrottled("too many", retry_after=20.0)


@virtual_time
async def test_an_account_whose_token_ends_during_a_pause_may_try() -> None:
    """One at a time and five seconds apart; not those whose tokens live longer, nor those that were refused."""
    paused = Paused()
    refused = f"one {paused.began}"
    for account, ends_in in (("long", 90.0), (refused, 0.0), ("first", 30.0), ("second", 30.0), ("later", 70.0)):
        paused.join(account, ends_in)
    await asyncio.sleep(20)
    assert paused.turns == [("first", 0.5), ("second", 5.6)]
    await asyncio.gather(*paused.tasks)
    assert [account for account, _ in paused.turns[2:]] == ["long", "later", refused]
    assert all(moment >= 60.0 for _, moment in paused.turns[2:])


@pytest.mark.parametrize(("ends_in", "turns"), [(67.0, [("fifth", 0.5)]), (69.0, [])])
@virtual_time
async def test_a_token_that_lives_until_its_turn_is_no_reason_to_try(
    ends_in: float, turns: list[tuple[str, float]]
) -> None:
    """The fifth in the queue has its turn eight seconds after the pause at the pace of one request in two seconds."""
    paused = Paused()
    for number in range(4):
        paused.join(f"long-{number}", 300.0)
    paused.join("fifth", ends_in)
    await asyncio.sleep(30)
    assert paused.turns == turns
    for task in paused.tasks:
        task.cancel()


@virtual_time
async def test_a_try_that_brings_a_token_ends_the_pause() -> None:
    """The others have their turns at the pace."""
    paused = Paused()
    paused.refusing = False
    for account in ("a", "b", "c"):
        paused.join(account, 30.0)
    await asyncio.gather(*paused.tasks)
    assert [account for account, _ in paused.turns] == ["a", "b", "c"]
    assert all(moment < 7 for _, moment in paused.turns)


@virtual_time
async def test_an_account_that_is_refused_again_and_again_goes_last() -> None:
    """The account goes last even if a request waits for it."""
    queue, going, wanted = EndpointQueue(1), [], TokenWaiters("throttled")
    for _ in range(2):
        queue.rate_limit.refused("throttled", 1.0, 2.0, None)

    async def work(account: str) -> None:
        going.append(account)
        await asyncio.sleep(1)

    waiting = asyncio.create_task(wanted.wait(60))
    await asyncio.sleep(0)
    everybody = TokenWaiters("a"), wanted, TokenWaiters("b")
    await asyncio.gather(*(queue.run(each, work, each.account) for each in everybody))
    waiting.cancel()
    assert going == ["a", "b", "throttled"]


def test_each_endpoint_has_its_own_pace() -> None:
    """Each endpoint reports its pace with its name."""
    queue, told = TokenRequestQueue(), []
    queue.rate_lowered = lambda *words: told.append(words)
    refuse_two(queue.at("http://one").rate_limit, 1.0, 2.0, 3.0)
    assert told == [("http://one", SLOWEST, 3.0)]
    assert queue.at("http://two").rate_limit.rate is None


@virtual_time
async def test_a_release_lets_all_go_and_no_one_who_comes_later() -> None:
    """Each outcome is that of those who waited for it."""
    waiters = TokenWaiters()
    first = [asyncio.create_task(waiters.wait(60)) for _ in range(2)]
    await asyncio.sleep(1)
    assert repr(waiters) == "<TokenWaiters: 2>"
    waiters.release()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*first)
    assert asyncio.get_running_loop().time() == began
    await waiters.wait(5)
    assert asyncio.get_running_loop().time() == began + 5
    assert waiters.count == 0
