"""Programs before one real Redis and the simulator: who asks Amazon for lists, and what a death or damage costs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_fleet_live import Fleet
from tests.support.redis_server import RedisServer, redis_server, relay_to
from tests.support.running import REGIONS, Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as started:
        yield started


@pytest.fixture
def fleet(amazon: SimulatedAmazon, tmp_path: Path) -> Iterator[Fleet]:
    with contextlib.ExitStack() as ending:
        fleet = Fleet(amazon, tmp_path)
        ending.callback(fleet.end)
        yield fleet


LISTS = 3 * (8 + 2)
"""In each region: the usual profiles and the seven kinds that this list hides, ads accounts, manager accounts."""


def asked(amazon: SimulatedAmazon) -> Counter[tuple[str, str]]:
    """How often each list was asked for in each region."""
    seen = amazon.look("requests", listener="api", last=10_000)
    return Counter((each["region"], each["target"]) for each in seen)


def listings(amazon: SimulatedAmazon) -> dict[str, int]:
    """How often the usual profiles were asked for, by region."""
    found = asked(amazon)
    return {region: found[region, "/v2/profiles"] for region in REGIONS}


def is_listed(replica: Serving, count: int = 3) -> bool:
    """Whether it knows so many profiles in each region, and what else is listed."""
    account = replica.account()
    return account.get("profiles") == dict.fromkeys(REGIONS, count) and set(account["ads_accounts"]) == set(REGIONS)


def start(fleet: Fleet, url: str) -> Serving:
    return fleet.start(url, {"acme": fleet.amazon.account()})


def profile(replica: Serving, identifier: str) -> int:
    """The response to a client that asks for a profile by its Scope alone."""
    return replica.get("/sd/campaigns", {"Amazon-Advertising-API-Scope": identifier})[0]


def test_three_replicas_ask_for_lists_as_one(
    amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer, tmp_path: Path
) -> None:
    """Each list in each region once, as often as a program that is alone; all three know all of it."""
    with serving(tmp_path, amazon.configuration()) as alone:
        alone.until_listed()
        alone.until(lambda: len(asked(amazon)) == LISTS)
        expected = asked(amazon)
    amazon.control("reset")
    for _ in range(3):
        start(fleet, server.url)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: is_listed(replica))
    young = start(fleet, server.url)
    young.until(lambda: is_listed(young) and len(asked(amazon)) == LISTS)
    assert asked(amazon) == expected
    assert len(young.told("profiles_listed", 3, taken_over=True)) == 3


def test_what_one_lists_early_all_know_within_a_second(
    amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer
) -> None:
    """A profile that is new at Amazon, asked for at one replica, is known at the others without their asking.

    It may take ten seconds until the one asks, where another had just listed.
    """
    for _ in range(3):
        start(fleet, server.url)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: is_listed(replica))
    identifier = str(amazon.control("profiles", {"region": "eu"})["profileId"])
    profile(fleet.replicas[0], identifier)
    fleet.replicas[0].until(lambda: fleet.replicas[0].account()["profiles"]["eu"] == 4)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: replica.account()["profiles"]["eu"] == 4)
        assert profile(replica, identifier) == 200
    fleet.replicas[0].until(lambda: min(listings(amazon).values()) == 2)
    assert listings(amazon) == dict.fromkeys(REGIONS, 2)


def test_a_replica_that_is_killed_while_it_lists_holds_nobody_up(
    amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer
) -> None:
    """The replica dies with the leases of all regions, while Amazon keeps it waiting; another one lists."""
    amazon.fault({"delay": 30}, times=3, path="/v2/profiles")
    holder = start(fleet, server.url)
    holder.until(lambda: sum(listings(amazon).values()) == 3)
    others = [start(fleet, server.url) for _ in range(2)]
    fleet.kill(holder)
    for replica in others:
        replica.until(lambda replica=replica: is_listed(replica))
    assert listings(amazon) == dict.fromkeys(REGIONS, 2)


def test_an_emptied_store_costs_one_listing(amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer) -> None:
    """Running replicas go on with what they know; the next one that starts lists, for all that start after it."""
    for _ in range(2):
        start(fleet, server.url)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: is_listed(replica))
    server.client.flushall()
    for _ in range(2):
        young = start(fleet, server.url)
        young.until(lambda young=young: is_listed(young))
    assert listings(amazon) == dict.fromkeys(REGIONS, 2)


def test_a_replica_that_is_cut_off_lists_for_itself(amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer) -> None:
    """Nothing tells it that the way is cut; it knows all profiles, and shares again when it is back."""
    first = start(fleet, server.url)
    first.until(lambda: is_listed(first))
    with relay_to(server.port) as relay:
        relay.swallows = True
        cut = start(fleet, f"redis://127.0.0.1:{relay.port}/0")
        cut.until(lambda: is_listed(cut))
        assert cut.metric("state_degraded") == 1
        assert listings(amazon) == dict.fromkeys(REGIONS, 2)
        relay.swallows = False
        cut.until(lambda: cut.metric("state_degraded") == 0)
        amazon.control("profiles", {"region": "eu"})
        profile(first, "999999999999")
        cut.until(lambda: cut.account()["profiles"]["eu"] == 4)


def test_damaged_lists_are_told_and_replaced(amazon: SimulatedAmazon, fleet: Fleet, server: RedisServer) -> None:
    """A replica that starts then lists again, whatever the damage, and the next one takes that list."""
    first = start(fleet, server.url)
    first.until(lambda: is_listed(first))
    for key in server.client.keys("{ads-proxy}:profiles:*"):
        server.client.hset(key, "token", server.client.hget(key, "token")[:-7])
    second = start(fleet, server.url)
    second.until(lambda: is_listed(second))
    assert len(second.told("shared_list_damaged", 3)) == 3
    third = start(fleet, server.url)
    third.until(lambda: is_listed(third))
    assert listings(amazon) == dict.fromkeys(REGIONS, 2)
    assert third.events("shared_list_damaged") == []
