"""A first start in front of an Amazon whose lists come late: when the program is ready, and where requests go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.app.program import Program
from proxy.config import load
from proxy.profiles import first_lists
from proxy.simulator import Fault, Match, Simulator, SimulatorSettings
from proxy.simulator.ads_accounts import AccountCountry, AdsAccount
from tests.support.patience import PATIENCE, settled

LISTS = ("/v2/profiles", "/adsAccounts/list", "/managerAccounts")
HELD = Fault(delay=2 * PATIENCE)
"""The fault lasts until the faults are cleared."""
CAMPAIGNS = "/sd/campaigns"


@dataclass
class FirstStart:
    """The program, the simulator behind it, and a client in front of it."""

    program: Program
    simulator: Simulator
    client: aiohttp.ClientSession

    async def ready(self) -> tuple[int, str]:
        """What `/readyz` says."""
        async with self.client.get(f"http://{self.program.admin_listening}/readyz") as answer:
            return answer.status, (await answer.text()).strip()

    async def ask(self, path: str = CAMPAIGNS, method: str = "GET", **headers: str) -> int:
        """The status that a request gets."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b"{}" if method == "POST" else None
        url = f"http://{self.program.listening}{path}"
        async with self.client.request(method, url, headers=named, data=body) as answer:
            await answer.read()
            return answer.status

    async def asked_for(self, path: str, count: int) -> None:
        """Wait until the simulator has so many requests for this path."""
        await settled(lambda: len(self.regions(path)) >= count)

    def regions(self, path: str = CAMPAIGNS) -> list[str | None]:
        """The regions that requests for this path reached."""
        return [each.region for each in self.simulator.state.requests if each.target == path]

    async def waiting(self, count: int) -> None:
        """Wait until so many requests are in flight, and see that none is at Amazon."""
        await settled(lambda: self.program.in_flight == count)
        assert not self.regions()

    def let_lists_through(self) -> None:
        self.simulator.state.faults.clear()


@asynccontextmanager
async def first_start(
    tmp_path: Path, held: tuple[str, ...] = LISTS, accounts: tuple[str, ...] = ("acme",), **changes: Any
) -> AsyncIterator[FirstStart]:
    """A first start with these lists held; the content of the folder `state` outlives the program."""
    async with Simulator(SimulatorSettings()) as simulator, aiohttp.ClientSession() as client:
        for path in held:
            simulator.state.add_fault(HELD, Match(path=path))
        async with started(tmp_path, simulator, client, accounts, **changes) as running:
            yield running


@asynccontextmanager
async def started(
    tmp_path: Path, simulator: Simulator, client: aiohttp.ClientSession, accounts: tuple[str, ...], **changes: Any
) -> AsyncIterator[FirstStart]:
    account = {
        "client_id": simulator.app.client_id,
        "client_secret": simulator.app.client_secret,
        "refresh_token": simulator.refresh_token,
        "region": "na",
    }
    regions = {
        name: {
            "api_url": simulator.api_urls[name],
            "token_url": simulator.token_urls[name],
            "auth_grant_url": simulator.auth_grant_urls[name],
            "mcp_url": simulator.mcp_urls[name],
        }
        for name in ("na", "eu", "fe")
    }
    path = tmp_path / "proxy.yaml"
    settings = {
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "state": {"url": f"file:{tmp_path / 'state'}"},
        "log": {"level": "error"},
        "regions": regions,
        "accounts": dict.fromkeys(accounts, account),
        **changes,
    }
    path.write_text(json.dumps(settings))
    program = Program(load(path, {"HOME": str(tmp_path)}))
    try:
        await program.start()
        yield FirstStart(program, simulator, client)
    finally:
        await program.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds do not pass during a test, however busy the machine is."""
    monkeypatch.setattr(first_lists, "LONGEST_WAIT", PATIENCE)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("region", ["na", "eu", "fe"])
async def test_a_scope_goes_to_its_region_while_the_lists_take_long(region: str, method: str, tmp_path: Path) -> None:
    """With a body or without one; the program is ready only then, and a request without a Scope waits for nothing."""
    async with first_start(tmp_path) as running:
        path = CAMPAIGNS if method == "GET" else "/sp/campaigns/list"
        kind = {"Content-Type": "application/vnd.spCampaign.v3+json", "Accept": "application/vnd.spCampaign.v3+json"}
        profile = running.simulator.profiles[region][0]
        asking = asyncio.create_task(
            running.ask(path, method, Amazon_Advertising_API_Scope=profile, **(kind if method == "POST" else {}))
        )
        await running.asked_for("/v2/profiles", 3)
        await running.waiting(1)
        assert await running.ready() == (503, "the first lists of profiles are not read yet")
        assert await running.ask("/v2/stores", Amazon_Advertising_API_Scope="") in (200, 400, 401, 404)
        assert not running.regions(path)
        running.let_lists_through()
        assert (await asking, running.regions(path)) == (200, [region])
        assert (await running.ready())[0] == 200


@pytest.mark.usefixtures("patient")
async def test_an_account_id_goes_to_its_region_while_the_lists_take_long(tmp_path: Path) -> None:
    """Ads accounts are read after the profiles: the program is ready before, and a request waits for them, too."""
    async with first_start(tmp_path, ("/adsAccounts/list",)) as running:
        identifier = "amzn1.ads-account.g.in-europe"
        europe = AccountCountry("eu", "DE", "ENTITYEUROPE", running.simulator.profiles["eu"][0])
        running.simulator.state.ads_accounts.add(AdsAccount(identifier, "Europe", (europe,), users={"default"}))
        path = "/adsApi/v1/query/campaigns"
        asking = asyncio.create_task(
            running.ask(path, "POST", Amazon_Ads_AccountId=identifier, Content_Type="application/json")
        )
        await running.asked_for("/adsAccounts/list", 3)
        await running.waiting(1)
        assert (await running.ready())[0] == 200
        running.let_lists_through()
        await asking
        assert running.regions(path) == ["eu"]


@pytest.mark.usefixtures("patient")
async def test_mcp_with_a_scope_goes_to_its_region_while_the_lists_take_long(tmp_path: Path) -> None:
    """Each region has an MCP endpoint of its own."""
    async with first_start(tmp_path) as running:
        headers = {
            "Amazon_Advertising_API_Scope": running.simulator.profiles["eu"][0],
            "Amazon_Ads_AI_Account_Selection_Mode": "FIXED",
            "Content_Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        asking = asyncio.create_task(running.ask("/mcp", "POST", **headers))
        await running.waiting(1)
        assert not running.regions("/mcp")
        running.let_lists_through()
        await asking
        assert running.regions("/mcp") == ["eu"]


@pytest.mark.usefixtures("patient")
async def test_of_several_accounts_the_first_lists_choose_one(tmp_path: Path) -> None:
    """The request waits for the lists of all of them; both have the profile, so that one must be named."""
    async with first_start(tmp_path, accounts=("acme", "zeta")) as running:
        profile = running.simulator.profiles["eu"][0]
        unnamed = asyncio.create_task(running.ask(Amazon_Advertising_API_Scope=profile))
        named = asyncio.create_task(running.ask(Amazon_Advertising_API_Scope=profile, X_Ads_Account="zeta"))
        await running.waiting(2)
        running.let_lists_through()
        assert (await unnamed, await named, running.regions()) == (400, 200, ["eu"])


@pytest.mark.usefixtures("patient")
async def test_a_list_that_fails_once_is_awaited(tmp_path: Path) -> None:
    """A list that failed is tried again soon, and the request goes where that list says."""
    async with Simulator(SimulatorSettings()) as simulator, aiohttp.ClientSession() as client:
        simulator.state.add_fault(Fault(status=503), Match(path="/v2/profiles", region="eu"), times=1)
        async with started(tmp_path, simulator, client, ("acme",)) as running:
            assert await running.ask(Amazon_Advertising_API_Scope=simulator.profiles["eu"][0]) == 200
            assert running.regions() == ["eu"]


async def test_lists_that_never_come_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the program nor a request waits longer: the home region is taken when the time is over."""
    monkeypatch.setattr(first_lists, "LONGEST_WAIT", 0.2)
    async with first_start(tmp_path) as running:
        assert await running.ask(Amazon_Advertising_API_Scope=running.simulator.profiles["na"][0]) == 200
        assert running.regions() == ["na"]
        await settled(lambda: running.program.can_serve)
        assert (await running.ready())[0] == 200


@pytest.mark.usefixtures("patient")
async def test_after_a_restart_nothing_is_waited_for(tmp_path: Path) -> None:
    """The store has the lists."""
    async with first_start(tmp_path, ()) as running:
        await settled(lambda: running.program.directory.settled)
        simulator = running.simulator
        profile = simulator.profiles["fe"][0]
        await running.program.stop()
        for path in LISTS:
            simulator.state.add_fault(HELD, Match(path=path))
        async with started(tmp_path, simulator, running.client, ("acme",)) as again:
            assert await again.ask(Amazon_Advertising_API_Scope=profile) == 200
            assert again.regions() == ["fe"]
            assert (await again.ready())[0] == 200
            again.let_lists_through()
