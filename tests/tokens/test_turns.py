"""How many token requests run at once, and who goes first of those that wait."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.events import RefreshFailed
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.token_response import Grant
from proxy.tokens.turns import AT_ONCE, EndpointTurns, TokenTurns
from proxy.tokens.values import TokenSettings
from proxy.tokens.waiters import Waiters
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time


class Work:
    """What takes turns: `going` are those that run, in the order in which they began."""

    def __init__(self, at_once: int) -> None:
        self.turns = EndpointTurns(at_once)
        self.going: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def begin(self, name: str, waiters: Waiters | None = None) -> asyncio.Task[str | None]:
        return asyncio.create_task(self.turns.run(waiters or Waiters(), self._work, name))

    async def _work(self, name: str) -> str:
        self.going.append(name)
        self.ends[name] = asyncio.Event()
        await self.ends[name].wait()
        return name

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    """Let everybody do what can be done now."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_and_the_others_in_their_order() -> None:
    """Each begins when another is over, and gives what it came to."""
    work = Work(2)
    tasks = [work.begin(name) for name in "abcd"]
    await settle()
    assert (work.going, repr(work.turns)) == (["a", "b"], "<EndpointTurns: 0 free, 2 waiting>")
    await work.end("b")
    assert work.going == ["a", "b", "c"]
    for name in "acd":
        await work.end(name)
    assert await asyncio.gather(*tasks) == ["a", "b", "c", "d"]
    assert repr(work.turns) == "<EndpointTurns: 2 free, 0 waiting>"


async def test_whoever_is_waited_for_goes_first() -> None:
    """Also where the waiting begins only after it had to wait itself; among those it is the order of the calls."""
    work, wanted, late = Work(1), Waiters(), Waiters()
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


async def test_one_that_is_given_up_or_cancelled_takes_no_turn() -> None:
    """It begins nothing, and nobody behind it waits longer; also where the turn had just become its own."""
    work, gone = Work(1), Waiters()
    first, given_up, cancelled, last = (work.begin("a"), work.begin("b", gone), work.begin("c"), work.begin("d"))
    await settle()
    work.turns.give_up(gone)
    work.ends["a"].set()
    while not first.done():
        await asyncio.sleep(0)
    cancelled.cancel()
    await settle()
    assert (work.going, await given_up) == (["a", "d"], None)
    await work.end("d")
    assert (await last, repr(work.turns)) == ("d", "<EndpointTurns: 1 free, 0 waiting>")


async def test_each_endpoint_has_turns_of_its_own() -> None:
    """The same ones each time; who is given up is so wherever it waits."""
    turns, gone = TokenTurns(), Waiters()
    here, there = turns.at("https://here.test/"), turns.at("https://there.test/")
    assert (turns.at("https://here.test/") is here, here is there, repr(turns)) == (
        True,
        False,
        "<TokenTurns at 2 endpoints>",
    )
    running = [asyncio.create_task(there.run(Waiters(), asyncio.Event().wait)) for _ in range(AT_ONCE)]
    waiting = asyncio.create_task(there.run(gone, asyncio.Event().wait))
    await settle()
    turns.give_up(gone)
    assert await waiting is None
    for each in running:
        each.cancel()


async def test_work_that_fails_gives_its_turn_back() -> None:
    """Whatever it raises."""
    turns = EndpointTurns(1)

    async def fail() -> None:
        raise KeyError("acme")

    with pytest.raises(KeyError):
        await turns.run(Waiters(), fail)
    assert repr(turns) == "<EndpointTurns: 1 free, 0 waiting>"


# --- and what a start with many accounts is like

SLOW = 7.0
"""Seconds, one less than a token request may take."""


class SlowLogin(ScriptedLogin):
    """Takes its time; knows how many asked at once, and who asked. An endpoint whose name says so never answers."""

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
    """And no time-out counts the waiting: the last is asked for three rounds later, and nothing fails."""
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
    """It has the next turn that is free."""
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
async def test_a_stop_amid_such_a_start_waits_for_those_alone_that_ask() -> None:
    """Nobody else begins any more."""
    async with RunningManager(SlowLogin()) as running:
        await running.manager.start(MANY)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await running.manager.stop()
        assert asyncio.get_running_loop().time() - began == pytest.approx(SLOW - 1)
        assert isinstance(running.login, SlowLogin)
        assert len(running.login.order) == 32
