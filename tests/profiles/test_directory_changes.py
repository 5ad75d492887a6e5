"""The profile directory through reloads, sign-ins and a stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from proxy.errors import NoUsableToken, TokenServerError
from proxy.profiles.directory import ProfileDirectory, TokenObserver
from proxy.profiles.listing import ProfileSource, ProfilesUnavailable
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.manager import TokenManager
from proxy.tokens.store import MemoryStore
from proxy.tokens.token_response import Grant
from proxy.tokens.values import Timing, TokenSettings
from tests.support.garbage import in_cycles
from tests.support.listings import DocumentStore, RunningDirectory
from tests.support.patience import settled
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time


async def test_a_reload_leaves_alone_what_did_not_change(running: RunningDirectory) -> None:
    """Accounts come and go; another refresh token lists again and keeps what is known until then."""
    acme, zeta = running.source(refresh_token=Secret("a")), running.source("zeta", "eu")
    await running.directory.start([acme])
    await running.settle(1)
    await running.directory.reconfigure([acme, zeta])
    await running.settle(1)
    assert running.asked == [("acme", "na"), ("zeta", "eu")]
    running.ids["na"] = [31]
    await running.directory.reconfigure([replace(acme, refresh_token=Secret("b"))])
    assert running.directory.owners("21") == ()
    assert running.directory.first("acme", "na") == "11"
    await running.settle(1)
    assert running.directory.first("acme", "na") == "31"
    await running.directory.reconfigure([replace(acme, client_id="other")])
    assert running.directory.first("acme", "na") is None


async def test_each_list_is_asked_for_with_the_client_id_of_its_token(running: RunningDirectory) -> None:
    """A reload puts another application in force for the tokens first: what is listed in between has a new one."""
    await running.directory.start([running.source()])
    await running.settle(1)
    assert set(running.client_ids) == {"app-of-acme"}
    running.client_ids.clear()
    running.application, running.generation = "other", 2
    running.directory.list_again("acme")
    await running.settle(1)
    assert set(running.client_ids) == {"other-of-acme"}


@virtual_time
async def test_a_newly_configured_refresh_token_lists_again_once_its_access_token_is_there() -> None:
    """The one before serves until then, and lists what another person may reach; a rotation is the same person's."""
    listed_with = list[str]()

    def list_again(account: str) -> None:
        token = manager.current(account)
        assert token is not None
        listed_with.append(token.value.reveal())

    login = ScriptedLogin(grant("old"), grant("rotating", refresh="refresh-1"), grant("next"), grant("new"))
    clock = asyncio.get_running_loop().time
    told = list[str]()
    observer = TokenObserver(list_again, told.append)
    manager = TokenManager(login, MemoryStore(), observer, TokenSettings(), Timing(clock, clock))
    await manager.start([source()])
    await manager.get("acme")
    await manager.refresh_now("acme")
    await manager.refresh_now("acme")
    await manager.reconfigure([source(refresh="another")])
    assert listed_with == []
    await asyncio.sleep(1)
    assert (listed_with, told) == (["new"], ["acme"] * 4)
    await manager.stop()


class LoginAway(ScriptedLogin):
    """Answers 503."""

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        await super().refresh(token_url, credentials, refresh_token)
        raise TokenServerError("Login with Amazon answered 503.")


@pytest.mark.parametrize("regions", [(), ("na", "eu", "fe")])
@virtual_time
async def test_lists_that_wait_for_a_token_are_no_waiting_requests(regions: tuple[str, ...]) -> None:
    """While Login with Amazon is away, it is asked ever less often, whatever the directory has to list."""
    async with RunningManager(LoginAway()) as running:
        await running.manager.start([source()])
        session = ClientSession()
        directory = ProfileDirectory(session, running.manager.get, DocumentStore(), running.events)
        urls = dict.fromkeys(regions, "https://api.test")
        await directory.start([ProfileSource("acme", "c", urls, pins_first=False)])
        await asyncio.sleep(600)
        times = running.login.times
        assert times[-1] - times[-2] > 15
        await directory.stop()
        await session.close()


async def test_an_account_that_leaves_leaves_no_cycles(running: RunningDirectory, garbage: list[object]) -> None:
    """Nothing of it waits for the garbage collector."""
    await running.directory.start([running.source()])
    await running.settle(1)
    await running.directory.reconfigure([])
    assert in_cycles(garbage) == {}


async def test_an_account_is_listed_now_on_demand(running: RunningDirectory) -> None:
    """After a sign-in: every region, and what went wrong only if all did."""
    running.tokens = {"zeta"}
    await running.directory.start([running.source("acme", "na", "eu"), running.source("zeta", "na")])
    await running.settle(3)
    with pytest.raises(NoUsableToken):
        await running.directory.ensure_listed("acme")
    running.tokens = {"acme"}
    found = await running.directory.ensure_listed("acme")
    assert {(account, region, profile.id) for account, region, profile in found} == {
        ("acme", "na", "11"),
        ("acme", "na", "12"),
        ("acme", "eu", "21"),
    }
    running.status, running.generation = 500, 2
    with pytest.raises(ProfilesUnavailable):
        await running.directory.ensure_listed("acme")
    assert await running.directory.ensure_listed("nobody") == ()


@pytest.mark.parametrize("listed_first", [True, False])
async def test_a_sign_in_lists_each_region_once(running: RunningDirectory, listed_first: bool) -> None:
    """Requests that wait for the profiles get those of the listing that the sign-in began, under way or ended."""
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    running.generation, running.ids["eu"] = 2, [31]
    running.directory.list_again("acme")
    if listed_first:
        await running.settle(2)
    found = await running.directory.ensure_listed("acme")
    assert [profile.id for _, _, profile in found] == ["11", "12", "31"]
    if not listed_first:
        await running.settle(2)
    assert len(running.asked) == 4


async def test_a_listing_that_failed_does_not_do(running: RunningDirectory) -> None:
    """Who waits for the profiles after a sign-in gets another attempt at them."""
    running.status = 500
    await running.directory.start([running.source("acme", "na")])
    await running.settle(1)
    running.status = 200
    assert len(await running.directory.ensure_listed("acme")) == 2
    assert len(running.asked) == 2


async def test_a_late_list_of_another_person_is_dropped(running: RunningDirectory) -> None:
    """What was asked with the token before does not take the place of what the new one reaches."""
    running.gate = asyncio.Event()
    await running.directory.start([running.source("acme", "na")])
    await settled(lambda: running.asked)
    held, running.gate = running.gate, None
    running.generation, running.ids["na"] = 2, [31]
    assert [profile.id for _, _, profile in await running.directory.ensure_listed("acme")] == ["31"]
    held.set()
    await running.settle(1)
    assert running.directory.owners("31") == (("acme", "na"),)
    assert running.directory.owners("11") == ()


async def test_stopping_ends_a_listing_under_way(running: RunningDirectory) -> None:
    """Nothing is left running, and who waited for it is told."""
    running.gate = asyncio.Event()
    await running.directory.start([running.source("acme", "na")])
    waiting = asyncio.create_task(running.directory.ensure_listed("acme"))
    await settled(lambda: running.asked)
    await running.directory.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    running.gate.set()
