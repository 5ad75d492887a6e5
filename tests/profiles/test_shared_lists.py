"""Directories of several replicas before one real Redis or Valkey: who asks Amazon, and who takes what it said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import StateUnavailable
from proxy.events import AdsAccountsFailed, AdsAccountsListed, Event, ProfilesFailed, ProfilesListed, SharedListDamaged
from proxy.profiles.directory import MISS_INTERVAL
from proxy.profiles.listing import FIRST_RETRY, LIST_INTERVAL, ProfilesUnavailable
from proxy.profiles.stored_lists import attempt_after, failure_elsewhere
from proxy.secret import Secret
from proxy.tokens import redis_store
from proxy.tokens.leases import FailedAttempt
from proxy.tokens.redis_connection import RedisConnection
from proxy.tokens.redis_store import RedisStore
from tests.support.listings import RunningDirectory
from tests.support.redis_server import KEY, RedisServer

Join = Callable[[], Awaitable["Replica"]]


class Replica(RunningDirectory):
    """One that shares a store, and hears its news. Amazon is the one of the `running` directory."""

    def __init__(self, amazon: RunningDirectory, server: RedisServer) -> None:
        self.connection = RedisConnection(parse_redis_address(server.url))
        self.store = RedisStore(self.connection, (Secret(KEY),))
        super().__init__(amazon.session, amazon.url)
        self.directory = self.open(self.store)
        self._hearing: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    async def join(self) -> None:
        self._hearing = asyncio.create_task(self._hear())
        await self._heard.wait()

    async def _hear(self) -> None:
        async for _ in self.store.changes():
            self._heard.set()

    async def stop(self) -> None:
        await self.directory.stop()
        if self._hearing is not None:
            self._hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._hearing
        await self.store.close()

    async def told(self, kind: type[Event]) -> Any:
        """The next event of this kind."""
        while not isinstance(event := await self.events.next(), kind):
            pass
        return event


@pytest.fixture
async def join(running: RunningDirectory, server: RedisServer) -> AsyncIterator[Join]:
    """Makes replicas."""
    async with contextlib.AsyncExitStack() as ending:

        async def make() -> Replica:
            replica = Replica(running, server)
            ending.push_async_callback(replica.stop)
            await replica.join()
            return replica

        yield make


def key_of(server: RedisServer, kind: str = "profiles") -> bytes:
    (key,) = server.client.keys("{ads-proxy}:" + kind + ":*")
    found: bytes = key
    return found


async def test_a_list_is_asked_for_once(running: RunningDirectory, join: Join) -> None:
    """A replica that starts later takes it, and lists again when the one that listed it would."""
    first, second = await join(), await join()
    await first.directory.start([first.source()])
    await first.settle(1)
    assert await first.told(ProfilesListed) == ProfilesListed("acme", "na", 2)
    await second.directory.start([second.source()])
    (pause,) = await second.settle(1)
    assert LIST_INTERVAL - 60 < pause < LIST_INTERVAL
    assert await second.told(ProfilesListed) == ProfilesListed("acme", "na", 2, taken_over=True)
    assert running.asked == [("acme", "na")]
    assert second.directory.owners("12") == (("acme", "na"),)
    assert second.directory.first("acme", "na") == "11"


async def test_a_list_that_was_read_long_ago_is_listed_again_in_time(
    running: RunningDirectory, join: Join, server: RedisServer
) -> None:
    """A replica that takes it waits only for what is left of its hour."""
    first, second = await join(), await join()
    await first.directory.start([first.source()])
    await first.settle(1)
    server.client.hincrby(key_of(server), "expires", -3_000_000)
    await second.directory.start([second.source()])
    (pause,) = await second.settle(1)
    assert 0 < pause <= 600


async def test_those_who_start_together_ask_once(running: RunningDirectory, join: Join) -> None:
    """The others wait for the list of the one that asks."""
    replicas = [await join() for _ in range(3)]
    running.gate = asyncio.Event()
    for replica in replicas:
        await replica.directory.start([replica.source("acme", "na", "eu")])
    running.gate.set()
    for replica in replicas:
        assert {(await replica.told(ProfilesListed)).region for _ in range(2)} == {"na", "eu"}
        assert replica.directory.owners("21") == (("acme", "eu"),)
    assert sorted(running.asked) == [("acme", "eu"), ("acme", "na")]


async def test_a_newer_list_is_heard_of(running: RunningDirectory, join: Join) -> None:
    """The newer list is in use at once, with its first profile, and puts the next listing off."""
    first, second = await join(), await join()
    for replica in (first, second):
        await replica.directory.start([replica.source()])
        await replica.settle(1)
        await replica.told(ProfilesListed)
    running.ids["na"] = [13, 12]
    version = second.directory.version
    first.pauses.end()
    assert await second.told(ProfilesListed) == ProfilesListed("acme", "na", 2, taken_over=True)
    assert [second.directory.owners(each) for each in ("11", "13")] == [(), (("acme", "na"),)]
    assert second.directory.first("acme", "na") == "13"
    assert second.directory.version != version
    assert running.asked == [("acme", "na")] * 2


async def test_a_search_for_a_profile_has_it_listed_again(running: RunningDirectory, join: Join) -> None:
    """Whatever is shared, it was not in that."""
    replica = await join()
    await replica.directory.start([replica.source()])
    await replica.settle(1)
    running.ids["na"] = [11, 12, 14]
    assert replica.directory.owners("14") == ()
    await replica.settle(1)
    assert replica.directory.owners("14") == (("acme", "na"),)
    assert running.asked == [("acme", "na")] * 2


async def test_replicas_list_early_for_what_nobody_knows_at_the_pace_of_one(
    running: RunningDirectory, join: Join
) -> None:
    """What another one just read is not asked for again before it is ten seconds old."""
    first, second = await join(), await join()
    for replica in (first, second):
        await replica.directory.start([replica.source()])
        await replica.settle(1)
    running.ids["na"] = [11, 12, 14]
    assert second.directory.owners("14") == ()
    (pause,) = await second.settle(1)
    assert MISS_INTERVAL - 5 < pause < MISS_INTERVAL
    assert running.asked == [("acme", "na")]
    second.pauses.end()
    await first.told(ProfilesListed)
    assert (await first.told(ProfilesListed)).taken_over
    assert first.directory.owners("14") == (("acme", "na"),)
    assert running.asked == [("acme", "na")] * 2
    second.directory.list_again("acme")
    await second.settle(2)
    assert running.asked == [("acme", "na")] * 3, "a person who signs in waits for nothing"


@pytest.mark.parametrize("changed", [{"lineage": "e" * 64}, {"client_id": "another"}])
async def test_who_asks_with_something_else_asks_itself(
    running: RunningDirectory, join: Join, changed: dict[str, str]
) -> None:
    """Another refresh token or application may get another list: an earlier one is not used for it."""
    first, second = await join(), await join()
    await first.directory.start([first.source()])
    await first.settle(1)
    running.ids["na"] = [31]
    second.lineage = changed.get("lineage", second.lineage)
    source = second.source(**{name: value for name, value in changed.items() if name != "lineage"})
    await second.directory.start([source])
    await second.settle(1)
    assert second.directory.first("acme", "na") == "31"
    assert running.asked == [("acme", "na")] * 2
    assert first.directory.first("acme", "na") == "11"


async def test_what_was_asked_for_before_a_sign_in_is_shared_with_nobody(running: RunningDirectory, join: Join) -> None:
    """The old list is dropped when it comes; the new login's list is shared with all replicas that know the login."""
    first, second, third = [await join() for _ in range(3)]
    running.gate = asyncio.Event()
    await first.directory.start([first.source()])
    await running.asked_for(1)
    first.lineage, first.generation = "e" * 64, 2
    running.ids["na"] = [41]
    listing = asyncio.ensure_future(first.directory.ensure_listed("acme"))
    await running.asked_for(2)
    running.gate.set()
    assert [profile.id for _, _, profile in await listing] == ["41"]
    second.lineage = first.lineage
    await second.directory.start([second.source()])
    assert (await second.told(ProfilesListed)).taken_over
    assert second.directory.first("acme", "na") == "41"
    await third.directory.start([third.source()])
    assert not (await third.told(ProfilesListed)).taken_over
    assert len(running.asked) == 3


@pytest.mark.parametrize("damage", ["nonsense", "cut", "another account's"])
async def test_what_is_damaged_is_told_once_and_replaced(
    running: RunningDirectory, join: Join, server: RedisServer, damage: str
) -> None:
    """A replica that starts then lists, and the next one takes that list."""
    first, second, third = [await join() for _ in range(3)]
    await first.directory.start([first.source()])
    await first.settle(1)
    key = key_of(server)
    content = server.client.hget(key, "token")
    if damage == "another account's":
        await second.directory.start([second.source("zeta")])
        await second.settle(1)
        (other,) = set(server.client.keys("{ads-proxy}:profiles:*")) - {key}
        content = server.client.hget(other, "token")
    server.client.hset(key, "token", {"nonsense": b"nonsense", "cut": content[:-20]}.get(damage, content))
    asked = len(running.asked)
    await third.directory.start([third.source()])
    await third.settle(1)
    url = third.source().api_urls["na"]
    assert await third.told(SharedListDamaged) == SharedListDamaged("acme", url)
    assert isinstance(await third.events.next(), ProfilesListed)
    assert third.events.events.empty()
    assert len(running.asked) == asked + 1
    fourth = await join()
    await fourth.directory.start([fourth.source()])
    await fourth.settle(1)
    assert (await fourth.told(ProfilesListed)).taken_over
    assert len(running.asked) == asked + 1


async def test_a_failure_holds_all_back(running: RunningDirectory, join: Join) -> None:
    """Amazon is asked at the pace of one; the others say why they do not ask."""
    first, second = await join(), await join()
    running.status, running.headers = 503, {"Retry-After": "30"}
    for replica in (first, second):
        await replica.directory.start([replica.source(pins_first=False)])
    pauses = [*await first.settle(1), *await second.settle(1)]
    assert running.asked == [("acme", "na")]
    assert all(FIRST_RETRY <= pause <= 30 for pause in pauses)
    details = {(await replica.told(ProfilesFailed)).detail for replica in (first, second)}
    assert details == {"Amazon answered (503)", "another replica was answered 503 by Amazon"}


async def test_without_the_store_each_lists_for_itself(
    running: RunningDirectory, join: Join, server: RedisServer
) -> None:
    """Each replica does what a program without a shared store does."""
    first, second = await join(), await join()
    for replica in (first, second):
        replica.connection.note(StateUnavailable("The store is away."))
        await replica.directory.start([replica.source()])
        await replica.settle(1)
    assert running.asked == [("acme", "na")] * 2


async def test_an_emptied_store_gets_the_next_list(running: RunningDirectory, join: Join, server: RedisServer) -> None:
    """The others learn of that list, though they have seen later numbers than an empty store would give."""
    first, second = await join(), await join()
    for replica in (first, second):
        await replica.directory.start([replica.source()])
        await replica.settle(1)
        await replica.told(ProfilesListed)
    server.client.delete(key_of(server))
    running.ids["na"] = [15]
    first.pauses.end()
    await second.told(ProfilesListed)
    assert second.directory.owners("15") == (("acme", "na"),)
    assert running.asked == [("acme", "na")] * 2


async def test_a_removed_account_leaves_no_list(running: RunningDirectory, join: Join, server: RedisServer) -> None:
    """A later account of that name is listed again."""
    first, second = await join(), await join()
    await first.directory.start([first.source()])
    await first.settle(1)
    await first.directory.reconfigure([])
    assert server.client.hget(key_of(server), "token") == b""
    await second.directory.start([second.source()])
    await second.settle(1)
    assert running.asked == [("acme", "na")] * 2


async def test_a_long_list_is_shared_and_one_that_is_too_long_is_not(
    running: RunningDirectory, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5,000 profiles are written and read aside; what the server should not hold each lists for itself."""
    running.ids["na"] = [*range(10**12, 10**12 + 5000)]
    replicas = [await join() for _ in range(4)]
    for replica in replicas[:2]:
        await replica.directory.start([replica.source()])
        await replica.settle(1)
    assert (await replicas[1].told(ProfilesListed)).taken_over
    assert len(replicas[1].directory.snapshot()) == 5000
    monkeypatch.setattr(redis_store, "MAX_CONTENT", 1000)
    for replica in replicas[2:]:
        replica.lineage = "e" * 64
        await replica.directory.start([replica.source()])
        await replica.settle(1)
        assert not (await replica.told(ProfilesListed)).taken_over


ADS_ACCOUNTS = "adsAccounts/list"


def ads_accounts(*names: str) -> dict[str, object]:
    return {"adsAccounts": [{"adsAccountId": name, "accountName": name} for name in names]}


async def test_ads_accounts_are_asked_for_once(running: RunningDirectory, join: Join) -> None:
    """One replica reads them with everything else next to the usual profiles; others learn of a newer reading."""
    running.further["na", ADS_ACCOUNTS] = ads_accounts("A1", "A2")
    first, second = await join(), await join()
    for replica in (first, second):
        await replica.directory.start([replica.source()])
        await replica.settle(1)
    assert running.asked_further.count(ADS_ACCOUNTS) == 1
    asked = len(running.asked_further)
    assert second.directory.ads_account_owners("A2") == (("acme", "na"),)
    told = [await replica.events.next_of_ads_accounts() for replica in (first, second)]
    assert told == [AdsAccountsListed("acme", "na", 2, 2), AdsAccountsListed("acme", "na", 2, 2, taken_over=True)]
    running.further["na", ADS_ACCOUNTS] = ads_accounts("A3")
    first.pauses.end()
    assert await second.events.next_of_ads_accounts() == AdsAccountsListed("acme", "na", 1, 1, taken_over=True)
    assert second.directory.ads_account_owners("A3") == (("acme", "na"),)
    assert len(running.asked_further) == 2 * asked


async def test_a_failure_to_read_ads_accounts_holds_all_back(running: RunningDirectory, join: Join) -> None:
    """The known lists stay, and more replicas do not ask sooner."""
    running.further_status = 503
    first, second = await join(), await join()
    for replica in (first, second):
        await replica.directory.start([replica.source()])
        await replica.settle(1)
    assert running.asked_further == [ADS_ACCOUNTS]
    told = await second.events.next_of_ads_accounts()
    assert isinstance(told, AdsAccountsFailed)
    assert told.detail == "another replica was answered 503 by Amazon"


async def test_ads_accounts_of_a_removed_account_are_forgotten(
    running: RunningDirectory, join: Join, server: RedisServer
) -> None:
    """With its profiles."""
    replica = await join()
    await replica.directory.start([replica.source()])
    await replica.settle(1)
    assert server.client.hget(key_of(server, "ads-accounts"), "token")
    await replica.directory.reconfigure([])
    assert server.client.hget(key_of(server, "ads-accounts"), "token") == b""


async def test_shared_lists_show_what_was_seen(join: Join) -> None:
    """The `repr` holds no refresh token's fingerprint."""
    replica = await join()
    await replica.directory.start([replica.source()])
    await replica.settle(1)
    shown = repr(replica.directory._shared)
    assert shown.startswith("<SharedLists: 1 seen, <RedisLeases of ")
    assert replica.lineage not in shown


def test_failures_are_counted_over_the_fleet() -> None:
    """Each waits longer than the one before; what Amazon asked for is kept, and requests that wait shorten it."""
    first = attempt_after(ProfilesUnavailable("", status=500), None, 0.0)
    assert first == FailedAttempt("500", False, 1, 5.0, 1.5)
    second = attempt_after(ProfilesUnavailable(""), first, 0.0)
    assert second == FailedAttempt("no-list", False, 2, 10.0, 1.5)
    assert attempt_after(ProfilesUnavailable("", status=429, retry_after=60.0), second, 0.0).sooner == 60.0


def test_what_amazon_told_another_counts_here() -> None:
    """The answer counts with its duration, and with its kind if it was no list."""
    attempt = FailedAttempt("403", True, 1, 5.0, 1.5)
    told = failure_elsewhere(attempt, awaited=True)
    assert (told.status, told.retryable, told.retry_after) == (403, False, 1.5)
    told = failure_elsewhere(FailedAttempt("no-list", False, 1, 5.0, 1.5), awaited=False)
    assert (told.status, told.retryable, told.retry_after) == (0, True, 5.0)
