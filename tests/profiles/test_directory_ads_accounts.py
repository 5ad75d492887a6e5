"""Ads accounts in the profile directory: listed behind the profiles, kept, and found early on a miss."""

from __future__ import annotations

import asyncio

import pytest

from proxy.events import (
    AdsAccountsFailed,
    AdsAccountsListed,
    ProfilesListed,
)
from proxy.profiles.first_lists import LONGEST_WAIT
from proxy.profiles.listing import (
    AWAITED_RETRY,
    FIRST_RETRY,
    LIST_INTERVAL,
)
from proxy.profiles.reach_reader import MAX_PARALLEL
from tests.profiles.test_directory import ADS_ACCOUNT, LISTED
from tests.support.listings import RunningDirectory


async def test_ads_accounts_and_hidden_profiles_are_known_after_the_profiles(running: RunningDirectory) -> None:
    """By the id of an ads account, of a DSP advertiser, and of profiles that only other lists have."""
    running.further["na", "adsAccounts/list"] = LISTED
    running.further["na", "managerAccounts"] = {"managerAccounts": [{"linkedAccounts": [{"dspAdvertiserId": "58"}]}]}
    running.further["na", "v2/profiles?apiProgram=report"] = [{"profileId": 13}]
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)
    assert running.directory.ads_account_owners("58") == (("acme", "na"),)
    assert [running.directory.owners(each) for each in ("11", "13", "22")] == [
        (("acme", "na"),),
        (("acme", "na"),),
        (("acme", "eu"),),
    ]
    assert running.directory.ads_account_profiles(ADS_ACCOUNT, "acme") == (("22", "eu"),)
    known = running.directory.describe("13", "acme", "na")
    assert known is not None and known.id == "13"
    told = {running.events.of_ads_accounts.get_nowait() for _ in range(2)}
    assert AdsAccountsListed("acme", "na", 1, 1) in told
    assert [each.id for each in running.directory.ads_accounts("acme")] == [ADS_ACCOUNT, "58"]


async def test_an_ads_account_that_nobody_knows_makes_one_early_listing(running: RunningDirectory) -> None:
    """Off the request's path; what is no id makes none."""
    await running.directory.start([running.source("acme", "na")])
    await running.settle(1)
    running.further["na", "adsAccounts/list"] = LISTED
    assert running.directory.ads_account_owners("no id") == ()
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == ()
    await running.settle(1)
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)
    assert len(running.asked) == 2


@pytest.mark.parametrize("status", [429, 500])
async def test_ads_accounts_that_are_known_stay_while_their_list_fails(running: RunningDirectory, status: int) -> None:
    """The failure is told once, and it is tried again soon; the profiles are no concern of it."""
    running.further["na", "adsAccounts/list"] = LISTED
    await running.directory.start([running.source("acme", "na")])
    await running.settle(1)
    assert running.events.of_ads_accounts.get_nowait() == AdsAccountsListed("acme", "na", 1, 1)
    running.further_status = status
    running.pauses.end()
    assert await running.settle(1) == [FIRST_RETRY]
    running.pauses.end()
    assert await running.settle(1) == [2 * FIRST_RETRY]
    told = running.events.of_ads_accounts
    assert isinstance(told.get_nowait(), AdsAccountsFailed)
    assert told.empty()
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)
    assert running.directory.failures() == ()


async def test_what_was_read_before_another_list_failed_is_told(running: RunningDirectory) -> None:
    """The list is in use: metrics count it, and workers get it, once, as long as it stays the same."""
    running.further["na", "adsAccounts/list"] = LISTED
    running.further["na", "managerAccounts"] = []
    await running.directory.start([running.source("acme", "na")])
    assert await running.settle(1) == [AWAITED_RETRY]
    running.now += LONGEST_WAIT
    running.pauses.end()
    assert await running.settle(1) == [2 * FIRST_RETRY]
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)
    told = running.events.of_ads_accounts
    assert told.get_nowait() == AdsAccountsListed("acme", "na", 1, 1)
    assert isinstance(told.get_nowait(), AdsAccountsFailed)
    assert told.empty()


async def test_a_list_that_was_never_read_is_not_an_empty_one(running: RunningDirectory) -> None:
    """Who must know all ads accounts of a login sees the difference."""
    running.further["na", "adsAccounts/list"] = LISTED
    running.further_status = 500
    await running.directory.start([running.source("acme", "na")])
    assert (running.directory.reading("acme", "na"), running.directory.is_failing("acme", "na")) == (None, False)
    await running.settle(1)
    assert (running.directory.reading("acme", "na"), running.directory.is_failing("acme", "na")) == (None, True)
    running.further_status = 200
    running.pauses.end()
    await running.settle(1)
    assert running.directory.ads_account_counts("acme") == {"na": 1}
    assert not running.directory.is_failing("acme", "na")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_list_that_is_not_for_a_login_is_empty(running: RunningDirectory, status: int) -> None:
    """To ask again soon would change nothing."""
    running.further_status = status
    await running.directory.start([running.source("acme", "na")])
    assert await running.settle(1) == [LIST_INTERVAL]
    assert running.events.of_ads_accounts.get_nowait() == AdsAccountsListed("acme", "na", 0, 0)


async def test_a_token_that_ends_in_the_wait_is_not_taken_for_a_refusal(running: RunningDirectory) -> None:
    """Three regions are read at once: with a thousand accounts, the last one waits for longer than a token lives."""
    running.further["na", "adsAccounts/list"] = LISTED
    reading = [running.directory._reader._slots.acquire() for _ in range(MAX_PARALLEL)]
    await asyncio.gather(*reading)
    await running.directory.start([running.source("acme", "na")])
    assert isinstance(await running.events.next(), ProfilesListed)
    running.generation, running.ended = 2, {1}
    for _ in reading:
        running.directory._reader._slots.release()
    assert await running.settle(1) == [LIST_INTERVAL]
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)


async def test_without_a_token_behind_the_wait_the_lists_stay(running: RunningDirectory) -> None:
    """The directory looks for a token again soon."""
    running.further["na", "adsAccounts/list"] = LISTED
    await running.directory.start([running.source("acme", "na")])
    await running.settle(1)
    reading = [running.directory._reader._slots.acquire() for _ in range(MAX_PARALLEL)]
    await asyncio.gather(*reading)
    assert isinstance(await running.events.next(), ProfilesListed)
    running.pauses.end()
    assert isinstance(await running.events.next(), ProfilesListed)
    running.tokens.clear()
    for _ in reading:
        running.directory._reader._slots.release()
    assert await running.settle(1) == [FIRST_RETRY]
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)


async def test_a_restart_knows_the_ads_accounts(running: RunningDirectory) -> None:
    """Before Amazon is asked; of this application and address alone."""
    running.further["na", "adsAccounts/list"] = LISTED
    await running.directory.start([running.source()])
    await running.settle(1)
    await running.directory.stop()
    running.status = 500
    running.directory = running.open()
    await running.directory.start([running.source()])
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == (("acme", "eu"),)
    await running.directory.stop()
    running.directory = running.open()
    await running.directory.start([running.source(client_id="other")])
    assert running.directory.ads_accounts() == ()


async def test_a_login_that_left_takes_its_ads_accounts_along(running: RunningDirectory) -> None:
    """With its account's configuration."""
    running.further["na", "adsAccounts/list"] = LISTED
    await running.directory.start([running.source()])
    await running.settle(1)
    await running.directory.reconfigure([])
    assert running.directory.ads_account_owners(ADS_ACCOUNT) == ()
