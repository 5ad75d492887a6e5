"""A client's `new_per_day` over replicas with one Valkey: never more at Amazon, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.secret import Secret
from proxy.tokens.opening import open_store
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port
from tests.support.redis_server import KEY as STATE_KEY
from tests.support.redis_server import RedisServer, redis_server
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

KEY = "key-of-the-agent-that-spends"
LIMIT = 50
CREATES = 200
WAVE = 12
"""Creates that are under way at a death."""
AT_ONCE = 24
MEDIA_TYPE = "application/vnd.spCampaign.v3+json"
SCOPE = "1110000000000001"
"""A profile of the simulator's."""
HEADERS = {
    "X-Ads-Proxy-Key": KEY,
    "Amazon-Advertising-API-Scope": SCOPE,
    "Content-Type": MEDIA_TYPE,
    "Accept": MEDIA_TYPE,
}


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


def configuration(amazon: SimulatedAmazon, **changes: Any) -> dict[str, Any]:
    """A client with a limit on a day, and none on anything else."""
    spend = {"new_per_day": LIMIT}
    client = {"name": "agent", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "spend": spend}
    return amazon.configuration(clients=[client], **changes)


class Fleet:
    """Two replicas on one port."""

    def __init__(self, amazon: SimulatedAmazon, folder: Path, store: RedisServer) -> None:
        shared = {"listen": f"127.0.0.1:{free_port()}", "reuse_port": True}
        shared["state"] = {"url": store.url, "key": STATE_KEY}
        self._folder = folder
        self._settings = [configuration(amazon, **shared, admin_listen=f"127.0.0.1:{free_port()}") for _ in range(2)]
        self.replicas: list[Serving] = []
        for number in range(2):
            self.replicas.append(self._start(number))

    def _start(self, number: int) -> Serving:
        started = Serving(self._folder / f"{number}.yaml", self._settings[number])
        started.until_ready()
        started.until_listed()
        return started

    def kill(self, number: int) -> None:
        """Without a word."""
        self.replicas[number].process.signal(signal.SIGKILL)
        self.replicas[number].process.end()

    def start_again(self, number: int) -> None:
        self.replicas[number] = self._start(number)

    def end(self) -> None:
        for each in self.replicas:
            each.process.end()


@pytest.fixture
def fleet(amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(amazon, tmp_path, store)
    try:
        yield made
    finally:
        made.end()


def campaigns(number: int) -> bytes:
    """A create of one campaign; every fifth has another one, which Amazon refuses."""
    campaign = {
        "name": f"campaign {number}",
        "state": "PAUSED",
        "targetingType": "MANUAL",
        "startDate": "2099-01-01",
        "budget": {"budget": 10, "budgetType": "DAILY"},
    }
    refused = {**campaign, "name": f"refused {number}", "state": "NONSENSE"}
    return json.dumps({"campaigns": [campaign, refused] if number % 5 == 0 else [campaign]}).encode()


@dataclass
class Creating:
    """Clients that create campaigns at all replicas, each until it has an answer other than 503.

    `unknown` counts the objects of creates that lost their connection, and those that Amazon refused while a replica
    `is_dying`: their counts are taken back after the answer, by a replica that may be dead by then."""

    replicas: list[Serving]
    is_dying: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    succeeded: int = 0
    unknown: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 503)

    async def until_ended(self, number: int) -> None:
        """Until so many creates have an answer."""
        while self.ended < number:
            self.answered.clear()
            await self.answered.wait()

    async def create(self, session: aiohttp.ClientSession, number: int) -> int:
        """The last status; 0 for a connection that was lost."""
        body = campaigns(number)
        while True:
            serving = self.replicas[number % len(self.replicas)]
            try:
                async with session.post(f"{serving.proxy_url}/sp/campaigns", data=body, headers=HEADERS) as answer:
                    status, content = answer.status, await answer.read()
            except aiohttp.ClientError:
                status = 0
                self.unknown += len(json.loads(body)["campaigns"])
            self.statuses[status] += 1
            self.answered.set()
            if status == 207:
                told = json.loads(content)["campaigns"]
                self.succeeded += len(told["success"])
                self.unknown += len(told["error"]) * self.is_dying
            if status != 503:
                return status
            await asyncio.sleep(float(answer.headers["Retry-After"]) / 10)


@contextlib.asynccontextmanager
async def clients() -> Any:
    """A session whose connections serve one request each, so that none is retried."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(PATIENCE):
        yield session


def created(amazon: SimulatedAmazon) -> int:
    """How many campaigns the simulator has created."""
    writes = json.loads(fetch(f"{amazon.facts['control_url']}/_sim/spend")[1])["writes"]
    return sum(write["action"] == "create" for write in writes)


async def counted(url: str) -> int:
    """How many objects the ledger in the store counts for the client."""
    store = open_store(Secret(url), Secret(STATE_KEY))
    try:
        return sum(total.get("created", 0) for total in (await store.counts.totals()).values())
    finally:
        await store.close()


async def test_a_limit_holds_through_the_deaths_of_replicas_and_of_the_store(
    amazon: SimulatedAmazon, store: RedisServer, fleet: Fleet
) -> None:
    """Each replica is killed while it serves, and so is the store. Amazon never has more than the limit, and the ledger
    counts what it has and what is unknown, but not what Amazon refused."""
    creating = Creating(fleet.replicas)
    disasters = (lambda: fleet.kill(0), lambda: fleet.kill(1), store.restart)
    async with clients() as session:
        first = 0
        for at, strike in enumerate(disasters):
            numbers = range(first, first + WAVE)
            first = numbers.stop
            creating.is_dying = at < len(fleet.replicas)
            tasks = [asyncio.create_task(creating.create(session, number)) for number in numbers]
            await creating.until_ended(creating.ended + WAVE // 3)
            await asyncio.to_thread(strike)
            await asyncio.gather(*tasks)
            assert created(amazon) <= LIMIT
            if at < len(fleet.replicas):
                await asyncio.to_thread(fleet.start_again, at)
        creating.is_dying = False
        await asyncio.gather(*(creating.create(session, number) for number in range(first, CREATES)))
        number = CREATES + 1
        while await creating.create(session, number) == 207:
            number += 5
    made = created(amazon)
    assert creating.succeeded <= made <= LIMIT
    total = await counted(store.url)
    assert total == LIMIT
    assert made <= total <= made + creating.unknown
    assert creating.statuses[403] > CREATES - LIMIT - creating.unknown
    assert creating.statuses[503] > 0, creating.statuses


async def test_a_limit_holds_through_the_death_of_a_program(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The next one on the same state directory goes on where it was; what was under way stays counted."""
    settings = configuration(amazon, state={"url": f"file:{tmp_path / 'state'}", "key": STATE_KEY})
    for life in range(2):
        with serving(tmp_path / "proxy.yaml", settings) as running:
            running.until_listed()
            creating = Creating([running])
            async with clients() as session:
                numbers = range(life * CREATES, (life + 1) * CREATES)
                tasks = [asyncio.create_task(creating.create(session, number)) for number in numbers]
                if life == 0:
                    await creating.until_ended(20)
                    running.process.signal(signal.SIGKILL)
                    for task in tasks:
                        task.cancel()
                await asyncio.gather(*tasks, return_exceptions=life == 0)
        assert 0 < created(amazon) <= LIMIT
    assert creating.statuses[403] > CREATES - LIMIT
    assert creating.statuses[207] < LIMIT - 10, "the first program's writes were forgotten"
