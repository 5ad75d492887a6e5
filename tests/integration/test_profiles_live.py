"""Profiles find their account and region by themselves in the running program, at any number, and across restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.profiles.directory import MISS_INTERVAL
from tests.support.running import REGIONS, Serving, SimulatedAmazon, burst, serving, simulated_amazon

pytestmark = pytest.mark.integration

SCOPE = "Amazon-Advertising-API-Scope"
OPERATION = "/sd/campaigns"
"""An operation for which Amazon requires a Scope, and answers 401 where it is of another region or another user."""
CLOCK_OF_ALL_THREADS = 2
"""The kind of clock, in the lowest bits of its number: Linux, include/linux/posix-timers.h."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    """Three regions with forty profiles each."""
    with simulated_amazon("--profiles-per-region", "40") as started:
        yield started


def answer_of(running: Serving, path: str = OPERATION, **headers: str) -> tuple[int, Any]:
    status, body = running.get(path, {name.replace("_", "-"): value for name, value in headers.items()})
    return status, json.loads(body)


def listed(running: Serving) -> dict[str, list[str]]:
    """The ids of all profiles by region, in Amazon's order, as `/status` has them."""
    found: dict[str, list[str]] = {region: [] for region in REGIONS}
    for profile in running.status()["profiles"]:
        found[profile["region"]].append(profile["id"])
    return found


def last_request(amazon: SimulatedAmazon) -> dict[str, Any]:
    """The newest request of a client; the proxy's own lists may be read at any time."""
    seen: list[dict[str, Any]] = amazon.look("requests", listener="api", last=1000)
    return next(each for each in reversed(seen) if each["target"] == OPERATION)


def test_each_of_120_profiles_reaches_its_own_host(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A client that sends nothing but a Scope is answered by the right region, for every profile there is."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        before = amazon.counts()["api_by_region"]
        reached = {}
        for region in REGIONS:
            for profile in listed(running)[region]:
                status, _ = running.get(OPERATION, {SCOPE: profile})
                reached[profile] = (status, last_request(amazon)["region"])
        expected = {p: (200, region) for region in REGIONS for p in listed(running)[region]}
        assert len(expected) == 120
        assert reached == expected
        after = amazon.counts()
        assert {region: after["api_by_region"][region] - before[region] for region in REGIONS} == dict.fromkeys(
            REGIONS, 40
        )
        assert after["refusals"] == 0
        assert after["token_requests"] == 1
        assert {region: running.metric("profiles", region=region) for region in REGIONS} == dict.fromkeys(REGIONS, 40)


def test_a_profile_of_two_accounts_needs_a_choice(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """400 that names both accounts; with one of the two named, it is answered."""
    shared = amazon.facts["profiles"]["eu"][0]
    token = amazon.control("users", {"user": "second"})["refresh_token"]
    amazon.control("profiles", {"region": "eu", "profile_id": shared, "user": "second"})
    accounts = {"acme": amazon.account(), "globex": amazon.account(refresh_token=token, region="eu")}
    with serving(tmp_path, amazon.configuration(accounts=accounts)) as running:
        for name in accounts:
            running.until_listed(name)
        status, problem = answer_of(running, **{SCOPE: shared})
        assert status == 400
        assert "acme, globex" in problem["detail"]
        for name in accounts:
            assert answer_of(running, **{SCOPE: shared, "X-Ads-Account": name})[0] == 200
            assert last_request(amazon)["region"] == "eu"
        assert answer_of(running, f"/@globex{OPERATION}", **{SCOPE: shared})[0] == 200
        only_acmes = amazon.facts["profiles"]["fe"][0]
        assert answer_of(running, **{SCOPE: only_acmes})[0] == 200
        assert running.get("/v2/profiles")[0] == 400


WHOLE_LISTING = 3 * 8
"""The usual list and the seven kinds that it hides, in three regions. A profile is known before the last is read."""


def lists_read(amazon: SimulatedAmazon) -> int:
    """How many lists of profiles Amazon has given."""
    return int(amazon.counts()["paths"]["GET /v2/profiles"]["200"])


def test_a_profile_that_appeared_meanwhile_is_found_after_a_miss(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The first request goes to the home region, where Amazon speaks; soon after, the profile's own is known."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        amazon.control("profiles", {"region": "fe", "profile_id": "77"})
        since = time.monotonic()
        assert answer_of(running, **{SCOPE: "77"})[0] == 401
        assert last_request(amazon)["region"] != "fe"
        running.until(lambda: answer_of(running, **{SCOPE: "77"})[0] == 200)
        assert running.account()["profiles"]["fe"] == 41
        running.until(lambda: lists_read(amazon) >= 2 * WHOLE_LISTING)
        for unknown in range(1000, 1020):
            assert answer_of(running, **{SCOPE: str(unknown)})[0] == 401
        later = int((time.monotonic() - since) / MISS_INTERVAL)
        assert lists_read(amazon) <= (2 + later) * WHOLE_LISTING


def test_the_first_profile_is_the_default_once_it_is_known(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """503 with Retry-After before the list was read; the first listed of the request's region after."""
    amazon.fault({"status": 503}, path="/v2/profiles")
    account = amazon.account(default_profile="first")
    with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
        running.until_ready()
        status, problem = answer_of(running)
        assert status == 503
        assert problem["type"].endswith("profile-not-known-yet")
        assert running.told("profiles_failed")
        amazon.heal()
        running.until_listed()
        for prefix, region in (("", "na"), ("/eu", "eu"), ("/fe", "fe")):
            assert answer_of(running, prefix + OPERATION)[0] == 200
            sent = last_request(amazon)
            assert sent["region"] == region
            assert [v for n, v in sent["headers"] if n == SCOPE] == [amazon.facts["profiles"][region][0]]


def test_profiles_are_kept_across_a_restart_and_served_while_amazon_is_down(
    amazon: SimulatedAmazon, tmp_path: Path
) -> None:
    """With a state on disk, a restarted program routes by Scope before, and without, any new list."""
    profile = amazon.facts["profiles"]["fe"][7]
    configuration = amazon.configuration(state={"url": f"file:{tmp_path / 'state'}"})
    with serving(tmp_path, configuration) as running:
        running.until_listed()
        assert running.stop()[0] == 0
    amazon.fault({"status": 500}, path="/v2/profiles")
    with serving(tmp_path, configuration) as running:
        running.until_ready()
        assert answer_of(running, **{SCOPE: profile})[0] == 200
        assert last_request(amazon)["region"] == "fe"
        running.until(lambda: running.events("profiles_failed"))
        assert {entry["id"] for entry in running.status()["profiles"]} >= {profile}
        assert running.metric("profiles", region="fe") == 40
    assert profile.encode() not in b"".join(file.read_bytes() for file in (tmp_path / "state").rglob("*-*"))


def test_forty_accounts_are_told_apart_by_scope_alone(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Forty people, each with a profile in every region: 120 Scopes, each with the right token at the right host."""
    accounts: dict[str, Any] = {}
    profiles: dict[str, tuple[str, str]] = {}
    for number in range(40):
        user = amazon.control("users", {"user": f"user{number}"})
        accounts[f"account{number}"] = amazon.account(refresh_token=user["refresh_token"])
        profiles |= {user["profiles"][region][0]: (f"account{number}", region) for region in REGIONS}
    with serving(tmp_path, amazon.configuration(accounts=accounts)) as running:
        running.until(lambda: len(running.status()["profiles"]) == 120)
        assert amazon.counts()["token_requests"] == 40
        before = amazon.counts()["refusals"]
        for profile, (_, region) in profiles.items():
            assert answer_of(running, **{SCOPE: profile})[0] == 200
            assert last_request(amazon)["region"] == region
        assert amazon.counts()["refusals"] == before
        for account in accounts:
            running.until(lambda of=account: running.metric("requests_total", account=of, code="200") == 3)


@pytest.fixture(scope="module")
def large() -> Iterator[SimulatedAmazon]:
    """Three regions with 5,000 profiles each."""
    with simulated_amazon("--profiles-per-region", "5000") as started:
        yield started


def own_milliseconds(*programs: Serving, profiles: int = 40) -> list[float]:
    """The least that each proxy itself adds to the first request of a profile, which only a Scope routes.

    They are asked in turn, so that a machine that becomes slow is slow for all of them.
    """
    for those in zip(*(listed(running)["eu"][:profiles] for running in programs), strict=True):
        for running, profile in zip(programs, those, strict=True):
            assert running.get(OPERATION, {SCOPE: profile})[0] == 200
    return [min(line["overhead_ms"] for line in each.told("request", profiles, status=200)) for each in programs]


def test_fifteen_thousand_profiles_cost_a_request_nothing(
    amazon: SimulatedAmazon, large: SimulatedAmazon, tmp_path: Path
) -> None:
    """Found in memory without a search: a request costs what it costs with 120 profiles. The least is compared, as
    other work on the machine adds to most."""
    with (
        serving(tmp_path / "small.yaml", amazon.configuration()) as small,
        serving(tmp_path / "large.yaml", large.configuration()) as running,
    ):
        small.until_listed()
        running.until_listed()
        assert running.account()["profiles"] == dict.fromkeys(REGIONS, 5000)
        few, many = own_milliseconds(small, running)
    assert many < few + 0.5


def computed(running: Serving) -> float:
    """Seconds for which the program computed until now."""
    return time.clock_gettime(~running.process.pid << 3 | CLOCK_OF_ALL_THREADS)


def test_a_large_list_that_arrives_holds_nobody_up(large: SimulatedAmazon, tmp_path: Path) -> None:
    """While 15,000 profiles are read, requests go on: none waits for a quarter of the reading, whatever it takes.

    How long a request waits is measured by the time that the program computes, which goes on only while it does.
    """
    before = large.counts()["faults"]
    large.fault({"delay": 60}, path="/v2/profiles")
    with serving(tmp_path, large.configuration()) as running:
        running.until_ready()
        running.until(lambda: large.counts()["faults"] >= before + 3)
        assert running.account()["profiles"] == {}
        began, slowest = time.monotonic(), 0.0
        large.heal()
        while len(running.events("ads_accounts_listed")) < len(REGIONS):
            since = computed(running)
            assert running.get("/sim/status/200")[0] == 200
            slowest = max(slowest, computed(running) - since)
        assert slowest < (time.monotonic() - began) / 4


def test_a_burst_over_all_regions_is_answered_from_each(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Sixty requests at once over three prefixes: none is mixed up."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        before = amazon.counts()["api_by_region"]
        assert burst(running, ["/v2/profiles", "/eu/v2/profiles", "/fe/v2/profiles"] * 20) == [200] * 60
        after = amazon.counts()["api_by_region"]
        assert {region: after[region] - before[region] for region in REGIONS} == dict.fromkeys(REGIONS, 20)
