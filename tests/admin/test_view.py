"""The running program as the admin listener sees it, in front of the simulator: what a login would reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from proxy.admin.view import AdminView, SignInSource
from proxy.app.program import Program
from proxy.config import load
from proxy.profiles.replacement import ReachedProfile
from proxy.reports.pace import OrderLimit
from proxy.secret import Secret
from proxy.simulator import Fault, Match, Simulator, SimulatorSettings
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.token_response import Grant
from proxy.upstream.throttles import ThrottleKey


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorSettings()) as started:
        yield started


@pytest.fixture
async def program(simulator: Simulator) -> AsyncIterator[Program]:
    """Without a refresh token: nothing is listed by itself."""
    variables = {
        "AMAZON_ADS_CLIENT_ID": simulator.app.client_id,
        "AMAZON_ADS_CLIENT_SECRET": simulator.app.client_secret,
        "ADS_PROXY_LISTEN": "127.0.0.1:0",
        "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
        "ADS_PROXY_STATE__URL": "memory:",
        "ADS_PROXY_LOG__LEVEL": "error",
    }
    for region in ("na", "eu", "fe"):
        variables[f"ADS_PROXY_REGIONS__{region.upper()}__API_URL"] = simulator.api_urls[region]
        variables[f"ADS_PROXY_REGIONS__{region.upper()}__TOKEN_URL"] = simulator.token_urls[region]
    started = Program(load(None, variables))
    await started.start()
    yield started
    await started.stop()


async def granted(program: Program, refresh_token: str) -> tuple[SignInSource, Grant]:
    """A grant that is not in force, and the application that it is for."""
    source = AdminView(program).sign_in_source("default")
    assert source is not None
    credentials = AppCredentials(source.client_id, source.client_secret)
    return source, await program.lwa.refresh(source.token_url, credentials, Secret(refresh_token))


async def test_the_console_answers_under_its_public_name(program: Program) -> None:
    """A TLS proxy in front passes this Host through; without the key `admin.url` it is another site's."""
    admin = program.config.admin
    for url, status in ((None, 421), ("https://ads.test:8443", 200)):
        config = program.config.model_copy(update={"admin": admin.model_copy(update={"url": url})})
        await program.apply(config)
        async with (
            ClientSession() as session,
            session.get(f"http://{program.admin_listening}/status", headers={"Host": "ads.test"}) as answer,
        ):
            assert answer.status == status


async def test_what_a_grant_reaches_is_listed_in_every_region(simulator: Simulator, program: Program) -> None:
    """Every region's profiles, under the account's name, and nothing of it is in force afterwards."""
    view = AdminView(program)
    found = await view.profiles_of(*await granted(program, simulator.refresh_token))
    expected = {(region, profile) for region in ("na", "eu", "fe") for profile in simulator.profiles[region]}
    assert {(profile.region, profile.id) for profile in found.profiles} == expected
    assert {each.account for each in found.profiles if isinstance(each, ReachedProfile)} == {"default"}
    assert found.unlisted == {}
    assert (view.profiles("acme"), view.ready()) == ((), False)


async def test_a_region_that_does_not_list_is_told_apart(simulator: Simulator, program: Program) -> None:
    """The region's reason is there, and the others' profiles are."""
    simulator.state.add_fault(Fault(status=403, body=b"{}"), Match(region="eu", path="/v2/profiles"))
    found = await AdminView(program).profiles_of(*await granted(program, simulator.refresh_token))
    assert {profile.region for profile in found.profiles} == {"na", "fe"}
    assert list(found.unlisted) == ["eu"]
    assert "403" in found.unlisted["eu"]


async def test_what_amazon_limits_is_told_with_the_accounts_of_the_application(
    simulator: Simulator, program: Program
) -> None:
    """The longest wait first; an application that is not configured any longer has no account."""
    loop = asyncio.get_running_loop()
    key = ThrottleKey("sp/campaigns:read", "1", "na", simulator.app.client_id)
    program.throttles.note(key, loop, 60.0)
    program.throttles.note(key._replace(family="sp/ads:read", client_id="gone"), loop, 600.0)
    gone, known = AdminView(program).throttles()
    assert (gone.family, gone.accounts) == ("sp/ads:read", ())
    assert (known.family, known.accounts, known.region, known.advertiser) == (key.family, ("default",), "na", "1")
    assert gone.wait > known.wait > 0


async def test_what_was_learned_of_throttled_orders_is_told(program: Program) -> None:
    """For each account and region that Amazon throttles."""
    assert AdminView(program).throttled_orders() == ()
    now = asyncio.get_running_loop().time()
    for region in ("na", "eu"):
        program.reports.throttled(OrderLimit("default", "amzn1.app", region), now, 60.0)
    first, second = AdminView(program).throttled_orders()
    assert (first.limit.account, first.limit.region, second.limit.region) == ("default", "eu", "na")
    assert (first.interval, first.waiting) == (2.0, 0)
    assert 50 < first.next_in <= 60
