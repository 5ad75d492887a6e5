"""Ads accounts, DSP advertisers and hidden profiles find account and region by themselves in the running program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.ready_program import ready
from tests.support.running import REGIONS, Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

SCOPE, ADS_ACCOUNT = "Amazon-Advertising-API-Scope", "Amazon-Ads-AccountId"
QUERY, SCOPED = "/adsApi/v1/query/campaigns", "/sd/campaigns"
"""Operations that take an ads account or a profile, and a profile alone; Amazon refuses what is not of that host."""
NEVER_LISTED = 2
"""The place of the hidden profile, in each region, that no list shows: it never had a campaign."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    """Each region hides five profiles; four ads accounts live in one or two regions."""
    with simulated_amazon("--hidden-profiles", "5") as started:
        yield started


def campaigns(running: Serving, prefix: str = "", **headers: str) -> tuple[int, Any]:
    """A query of campaigns, for whomever the headers name."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}'
    status, answer = fetch(running.proxy_url + prefix + QUERY, body, {"Content-Type": "application/json", **named})
    return status, json.loads(answer)


def arrived(amazon: SimulatedAmazon, path: str) -> str:
    """The region of a client's newest request."""
    seen: list[dict[str, Any]] = amazon.look("requests", listener="api", last=1000)
    region: str = next(each["region"] for each in reversed(seen) if each["target"] == path)
    return region


def in_regions(amazon: SimulatedAmazon, *regions: str) -> str:
    """The first ads account that lives just there."""
    accounts: dict[str, list[str]] = amazon.facts["ads_accounts"]
    return next(identifier for identifier, homes in accounts.items() if homes == list(regions))


def test_hidden_profiles_reach_their_own_hosts(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Each that shows in any of Amazon's lists; one that shows in none goes home, and Amazon decides."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        reached = {}
        for region in REGIONS:
            for profile in amazon.facts["hidden_profiles"][region]:
                status, _ = running.get(SCOPED, {SCOPE: profile})
                reached[profile] = (status, arrived(amazon, SCOPED))
    for region in REGIONS:
        hidden = amazon.facts["hidden_profiles"][region]
        never = hidden.pop(NEVER_LISTED)
        assert {profile: reached[profile] for profile in hidden} == dict.fromkeys(hidden, (200, region))
        assert reached[never] == ((200, "na") if region == "na" else (401, "na"))


def test_an_ads_account_leads_to_a_region_where_it_lives(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The only region is taken; of several the chosen one, or that of a Scope in the same request, or the account's
    home."""
    here, both, away = in_regions(amazon, "na"), in_regions(amazon, "na", "eu"), in_regions(amazon, "eu", "fe")
    of_eu = amazon.facts["profiles"]["eu"][0]
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        tried = [
            (campaigns(running, prefix, **headers)[0], arrived(amazon, QUERY))
            for prefix, headers in (
                ("", {ADS_ACCOUNT: here}),
                ("", {ADS_ACCOUNT: both}),
                ("/eu", {ADS_ACCOUNT: both}),
                ("", {ADS_ACCOUNT: both, "X-Ads-Region": "eu"}),
                ("", {ADS_ACCOUNT: both, SCOPE: of_eu}),
                ("/fe", {ADS_ACCOUNT: away}),
            )
        ]
        status, problem = campaigns(running, **{ADS_ACCOUNT: away})
    assert tried == [(200, region) for region in ("na", "na", "eu", "eu", "eu", "fe")]
    assert (status, problem["type"]) == (400, "urn:ads-proxy:error:region-required")
    assert "eu, fe" in problem["detail"]
    assert amazon.counts()["refusals"] == 0


def test_dsp_advertisers_reach_the_host_that_lists_them(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """By the manager accounts of each region; the ads account's profiles, too, lead by its countries."""
    account_countries = [
        account_country for account in amazon.look("ads-accounts") for account_country in account["presences"]
    ]
    advertisers = {each["advertiser_id"]: each["region"] for each in account_countries if each["advertiser_id"]}
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        running.until(lambda: running.account()["ads_accounts"])
        reached = {}
        for identifier in advertisers:
            assert campaigns(running, **{ADS_ACCOUNT: identifier})[0] == 200
            reached[identifier] = arrived(amazon, QUERY)
    assert len(advertisers) == 3
    assert reached == advertisers


def test_an_ads_account_of_another_login_with_a_scope_is_refused(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """400 before anything is sent, whichever of the two is selected; alone each finds its own login."""
    second = amazon.control("users", {"user": "second"})
    theirs = next(each for each in amazon.look("ads-accounts") if each["users"] == ["second"])
    accounts = {"acme": amazon.account(), "globex": amazon.account(refresh_token=second["refresh_token"])}
    ours = amazon.facts["profiles"]["na"][0]
    with serving(tmp_path, amazon.configuration(accounts=accounts)) as running:
        for name in accounts:
            running.until_listed(name)
        for prefix in ("", "/@acme", "/@globex"):
            status, problem = campaigns(running, prefix, **{ADS_ACCOUNT: theirs["account_id"], SCOPE: ours})
            assert status == 400
            assert "acme" in problem["detail"]
            assert "globex" in problem["detail"]
        assert campaigns(running, **{ADS_ACCOUNT: theirs["account_id"]})[0] == 200
        assert campaigns(running, **{SCOPE: ours})[0] == 200


def test_an_ads_account_that_appeared_meanwhile_is_found_after_a_miss(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The first request goes home, where Amazon speaks; soon after, the ads account's own region is known."""
    new = "amzn1.ads-account.g.meanwhile"
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        amazon.control("ads-accounts", {"account_id": new, "presences": [{"region": "fe", "country": "JP"}]})
        assert campaigns(running, **{ADS_ACCOUNT: new})[0] == 403
        assert arrived(amazon, QUERY) == "na"
        running.until(lambda: campaigns(running, **{ADS_ACCOUNT: new})[0] == 200)
        assert arrived(amazon, QUERY) == "fe"


def test_ads_accounts_are_kept_across_a_restart_and_shown(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A restarted program knows them while Amazon's lists fail; metric, /status and command show them."""
    away = in_regions(amazon, "eu", "fe")
    configuration = amazon.configuration(state={"url": f"file:{tmp_path / 'state'}"})
    with serving(tmp_path, configuration) as running:
        running.until_listed()
        assert running.stop()[0] == 0
    command = ready("profiles", "--accounts", "--config", str(tmp_path / "proxy.yaml"))
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    assert all(identifier in shown for identifier in amazon.facts["ads_accounts"])
    amazon.fault({"status": 500}, path="/adsAccounts/list")
    with serving(tmp_path, configuration) as running:
        running.until_ready()
        assert campaigns(running, "/fe", **{ADS_ACCOUNT: away})[0] == 200
        assert campaigns(running, **{ADS_ACCOUNT: away})[0] == 400
        assert running.metric("ads_accounts", account="acme") >= len(amazon.facts["ads_accounts"])
        assert sum(running.account()["ads_accounts"].values()) == 7
