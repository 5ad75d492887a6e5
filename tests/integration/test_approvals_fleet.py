"""One approval passes one write over replicas with one Valkey, whatever becomes of the store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch, until
from tests.support.redis_server import KEY as STATE_KEY
from tests.support.redis_server import RedisServer, redis_server
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

KEY, APPROVER = "key-of-the-agent-that-asks", "the-approver-key-of-anna"
AT_ONCE = 100
MEDIA_TYPE = "application/vnd.spCampaign.v3+json"
HEADERS = {
    "X-Ads-Proxy-Key": KEY,
    "Amazon-Advertising-API-Scope": "1110000000000001",
    "Content-Type": MEDIA_TYPE,
    "Accept": MEDIA_TYPE,
}
CREATE = {"state": "PAUSED", "targetingType": "MANUAL", "startDate": "2099-01-01"}


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that loses nothing when it is killed."""
    (tmp_path / "valkey").mkdir()
    with redis_server(tmp_path / "valkey", "--appendonly", "yes", "--appendfsync", "always") as started:
        yield started


class Fleet:
    """Two replicas."""

    def __init__(self, amazon: SimulatedAmazon, replicas: list[Serving]) -> None:
        self.amazon, self.replicas = amazon, replicas

    @property
    def created(self) -> int:
        """How many campaigns the simulator has created."""
        writes = json.loads(fetch(f"{self.amazon.facts['control_url']}/_sim/spend")[1])["writes"]
        return sum(write["action"] == "create" for write in writes)

    async def send(self, name: str, times: int = AT_ONCE) -> Counter[int]:
        """The statuses of identical creates that are sent at once, to all replicas, each on a connection of its own."""
        campaign = {"name": name, "budget": {"budget": 500, "budgetType": "DAILY"}, **CREATE}
        body = json.dumps({"campaigns": [campaign]}).encode()
        connector = aiohttp.TCPConnector(limit=times, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(PATIENCE):

            async def send(number: int) -> int:
                url = f"{self.replicas[number % 2].proxy_url}/sp/campaigns"
                async with session.post(url, data=body, headers=HEADERS) as answer:
                    await answer.read()
                    return answer.status

            return Counter(await asyncio.gather(*map(send, range(times))))

    async def asked(self, name: str) -> str:
        """The id of a write that waits for an approval, once that is asked for."""
        while True:
            await self.send(name, 4)
            for each in await asyncio.to_thread(self.pending):
                changes = [change["after"] for change in each["changes"]]
                if json.dumps(name) in changes:
                    return str(each["id"])

    def pending(self) -> list[dict[str, Any]]:
        status, body = self.replicas[1].admin_get("/console/approvals")[:2]
        return json.loads(body)["approvals"] if status == 200 else []

    async def approve(self, name: str) -> str:
        """Approve at the other replica."""
        identifier = await self.asked(name)
        headers = {
            "X-Ads-Proxy-Console": "1",
            "X-Ads-Proxy-Approver-Key": APPROVER,
            "Content-Type": "application/json",
        }
        body = json.dumps({"decision": "approve"}).encode()
        url = f"{self.replicas[0].admin}/console/approvals/{identifier}"
        assert (await asyncio.to_thread(fetch, url, body, headers))[0] == 200
        return identifier

    async def send_until_passed(self, name: str) -> Counter[int]:
        """The statuses until one passes, while the store comes back."""
        statuses: Counter[int] = Counter()
        while not statuses[207]:
            statuses += await self.send(name, 4)
        return statuses


@pytest.fixture
def fleet(amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    client = {
        "name": "agent",
        "key_sha256": digest_of(KEY),
        "spend": {"budget": {"USD": 50, "EUR": 50, "GBP": 50}, "beyond": "approve"},
    }
    approvers = [{"name": "anna", "keys": [{"sha256": digest_of(APPROVER)}]}]
    settings = amazon.configuration(
        clients=[client], approvals={"approvers": approvers}, state={"url": store.url, "key": STATE_KEY}
    )
    with contextlib.ExitStack() as opened:
        replicas = [opened.enter_context(serving(tmp_path / f"{name}.yaml", settings)) for name in ("one", "two")]
        for each in replicas:
            each.until_ready()
            each.until_listed()
        yield Fleet(amazon, replicas)


async def test_of_a_hundred_writes_at_once_one_passes(fleet: Fleet) -> None:
    """To both replicas; the others ask again, for one other approval."""
    asked = await fleet.send("a")
    assert asked[403]
    assert asked[403] + asked[503] == AT_ONCE  # on a busy machine, the store is too slow for some
    assert len(fleet.pending()) == 1
    await fleet.approve("a")
    statuses = await fleet.send("a")
    assert (statuses[207], fleet.created) == (1, 1), statuses
    assert statuses[207] + statuses[403] + statuses[503] == AT_ONCE
    assert (await fleet.send("a"))[207] == 0
    assert fleet.created == 1


async def test_one_write_passes_through_the_death_of_the_store(fleet: Fleet, store: RedisServer) -> None:
    """The store is killed while a hundred writes ask; a store that keeps everything lets one pass, before or after."""
    await fleet.approve("a")
    sending = asyncio.create_task(fleet.send("a"))
    await asyncio.to_thread(store.restart)
    statuses = await sending
    while not statuses[207] and fleet.created == 0:
        statuses += await fleet.send("a", 4)
        if any(each["state"] == "pending" for each in await asyncio.to_thread(fleet.pending)):
            break  # the use was kept and its answer lost: the write was not sent
    assert fleet.created == statuses[207] <= 1, statuses


async def test_a_store_that_is_away_or_full_or_slow_passes_nothing(fleet: Fleet, store: RedisServer) -> None:
    """503 each time; once it answers again, one write passes."""
    await fleet.approve("a")
    store.set("maxmemory", "1")
    assert (await fleet.send("a", 8))[207] == 0
    store.set("maxmemory", "0")
    store.process.signal(signal.SIGSTOP)
    assert (await fleet.send("a", 8))[207] == 0
    store.process.signal(signal.SIGCONT)
    store.kill()
    statuses = await fleet.send("a", 8)
    assert statuses == {503: 8}
    assert fleet.created == 0
    await asyncio.to_thread(store.restart)
    await fleet.send_until_passed("a")
    assert (await fleet.send("a", 8))[207] == 0
    assert fleet.created == 1


async def test_a_flushed_store_passes_nothing(fleet: Fleet, store: RedisServer) -> None:
    """The write is asked for again, under another id."""
    identifier = await fleet.approve("a")
    store.client.flushall()
    assert (await fleet.send("a", 8))[207] == 0
    again = await fleet.asked("a")
    assert again != identifier
    assert fleet.created == 0


async def test_a_used_approval_stays_used_through_a_restart(fleet: Fleet) -> None:
    """One replica is killed; the other one goes on."""
    await fleet.approve("a")
    await fleet.send_until_passed("a")
    one = fleet.replicas[0]
    one.process.signal(signal.SIGKILL)
    until(lambda: one.process.child.poll() is not None)
    fleet.replicas[0] = fleet.replicas[1]
    assert (await fleet.send("a", 8))[207] == 0
    assert fleet.created == 1
