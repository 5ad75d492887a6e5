"""Whose first lists requests wait for, and until when."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.profiles.first_lists import LONGEST_WAIT, AwaitedId, AwaitedLists, FirstLists, is_refusal
from proxy.profiles.listing import AWAITED_RETRY, FIRST_RETRY, LIST_INTERVAL, ListingSchedule, wait
from tests.profiles.test_directory import ADS_ACCOUNT, LISTED
from tests.support.listings import RunningDirectory
from tests.support.tokens import virtual_time


def awaited() -> AwaitedLists:
    """On the event loop's clock; `acme` is to be listed in two regions, `zeta` in one."""
    loop = asyncio.get_running_loop()
    lists = AwaitedLists(ListingSchedule(wait, loop.time, loop.time, random.random))
    for account, region in (("acme", "na"), ("acme", "eu"), ("zeta", "na")):
        lists.expect(account, region, "profiles")
    return lists


async def seconds(lists: AwaitedLists, *accounts: str) -> float:
    """How long a request waits."""
    began = asyncio.get_running_loop().time()
    await lists.wait(accounts, lambda: False)
    return round(asyncio.get_running_loop().time() - began, 3)


async def after(delay: float, lists: AwaitedLists, *key: str) -> None:
    await asyncio.sleep(delay)
    lists.settle(*key)


@virtual_time
async def test_the_wait_ends_with_the_last_list() -> None:
    """The last list of the awaited accounts ends the wait; others do not count."""
    lists = awaited()
    reading = [
        asyncio.create_task(after(*each))
        for each in (
            (1.0, lists, "acme", "na", "profiles"),
            (1.5, lists, "acme", "eu", "profiles"),
            (2.0, lists, "zeta", "na", "profiles"),
        )
    ]
    waits = list(await asyncio.gather(*(seconds(lists, *each) for each in (("acme",), ("acme", "zeta"), ("other",)))))
    await asyncio.gather(*reading)
    assert waits == [1.5, 2.0, 0.0]
    assert (lists.settled, lists.state("acme")) == (True, FirstLists.SETTLED)


@virtual_time
async def test_nobody_waits_longer_than_five_seconds() -> None:
    """Neither a request waits longer, nor any later one for a list that was tried for so long without success."""
    lists = awaited()
    assert await seconds(lists, "acme") == LONGEST_WAIT
    assert lists.state("acme") is FirstLists.AWAITED
    lists.tried("acme", "na", "profiles")
    lists.tried("acme", "eu", "profiles")
    await asyncio.sleep(3)
    lists.tried("acme", "eu", "profiles")
    assert await seconds(lists, "acme") == LONGEST_WAIT - 3
    assert (await seconds(lists, "acme"), lists.state("acme")) == (0.0, FirstLists.SETTLED)


@virtual_time
async def test_nobody_waits_for_an_account_without_a_token() -> None:
    """A lack of the token found during the wait ends it; a token changes that."""
    lists = awaited()
    asyncio.get_running_loop().call_later(1.0, lists.lack_token, "acme")
    assert (await seconds(lists, "acme"), lists.state("acme")) == (1.0, FirstLists.WITHOUT_TOKEN)
    assert (lists.got_token("acme"), lists.got_token("acme")) == (True, False)
    assert lists.state("acme") is FirstLists.AWAITED


@virtual_time
async def test_lists_that_are_no_longer_wanted_are_not_waited_for() -> None:
    """In one region, and then in the last one."""
    lists = awaited()
    lists.drop("acme", "na")
    assert lists.state("acme") is FirstLists.AWAITED
    lists.drop("acme", "eu")
    assert (lists.state("acme"), repr(lists)) == (
        FirstLists.SETTLED,
        "<AwaitedLists of 1 accounts, 0 without a token>",
    )


@virtual_time
async def test_when_the_first_lists_of_a_kind_are_there() -> None:
    """The lists of every account with a token count, five seconds after the first try at the latest."""
    lists = awaited()
    lists.lack_token("zeta")
    lists.settle("acme", "na", "profiles")
    assert not lists.has_all("profiles")
    lists.expect("acme", "na", "ads-accounts")
    lists.settle("acme", "eu", "profiles")
    assert (lists.has_all("profiles"), lists.has_all("ads-accounts")) == (True, False)
    lists.got_token("zeta")
    assert not lists.has_all("profiles")
    lists.tried("acme", "na", "ads-accounts")
    await asyncio.sleep(LONGEST_WAIT)
    assert lists.has_all("profiles")


@pytest.mark.parametrize(
    ("status", "final"), [(0, False), (401, True), (403, True), (404, True), (429, False), (408, False), (503, False)]
)
def test_which_answers_would_be_the_same_soon(status: int, final: bool) -> None:
    """Answers that ask to try again are not among them, and neither is a missing answer."""
    assert is_refusal(status) is final


# --- and in the directory


async def test_first_lists_are_awaited_until_the_last_one_is_read(running: RunningDirectory) -> None:
    """The usual profiles, by which the program is ready, and then the ads accounts."""
    running.gate = asyncio.Event()
    directory = running.directory
    await directory.start([running.source("acme", "na", "eu")])
    assert (directory.settled, directory.has_first_profiles) == (False, False)
    waiting = asyncio.create_task(directory.wait_for_first_lists(AwaitedId(("acme",), "99")))
    await running.pauses.next()  # of the one that waits
    assert directory.first_lists("acme") is FirstLists.AWAITED
    running.gate.set()
    await waiting
    assert (directory.settled, directory.has_first_profiles) == (True, True)
    assert directory.owners("21") == (("acme", "eu"),)


@pytest.mark.parametrize("awaited", [AwaitedId(("acme",), "21"), AwaitedId(("acme", "zeta"), "", ADS_ACCOUNT)])
async def test_the_wait_ends_when_a_list_has_the_id(awaited: AwaitedId, running: RunningDirectory) -> None:
    """Other lists are still being read then. What another account lists does not count."""
    running.gates["na"] = asyncio.Event()
    running.further["eu", "adsAccounts/list"] = LISTED
    directory = running.directory
    await directory.start([running.source("acme", "na", "eu"), running.source("zeta", "na")])
    others = asyncio.create_task(directory.wait_for_first_lists(AwaitedId(("zeta",), "21")))
    await directory.wait_for_first_lists(awaited)
    assert directory.first_lists("acme") is FirstLists.AWAITED
    assert not others.done()
    running.gates["na"].set()
    await others


async def test_what_the_store_knows_is_not_awaited(running: RunningDirectory) -> None:
    """A restart is ready at once."""
    await running.directory.start([running.source()])
    await running.settle(1)
    await running.directory.stop()
    running.gate = asyncio.Event()
    running.directory = running.open()
    await running.directory.start([running.source()])
    assert (running.directory.settled, running.directory.has_first_profiles) == (True, True)
    running.gate.set()
    await running.settle(1)


async def test_a_new_account_and_a_new_application_are_awaited(running: RunningDirectory) -> None:
    """From the reload on; what was listed for another application does not count."""
    directory = running.directory
    await directory.start([running.source()])
    await running.settle(1)
    running.gate = asyncio.Event()
    await directory.reconfigure([running.source(client_id="other"), running.source("zeta")])
    assert directory.first_lists("acme") is directory.first_lists("zeta") is FirstLists.AWAITED
    await directory.reconfigure([running.source(client_id="other")])
    assert directory.first_lists("zeta") is FirstLists.SETTLED
    running.gate.set()
    await running.settle(1)
    assert directory.settled


async def test_an_unlisted_id_makes_no_second_listing_during_the_first(running: RunningDirectory) -> None:
    """Afterwards it makes an early one."""
    running.gate = asyncio.Event()
    await running.directory.start([running.source()])
    assert running.directory.owners("99", "acme") == ()
    running.gate.set()
    assert await running.settle(1) == [LIST_INTERVAL]
    assert running.asked == [("acme", "na")]
    assert running.directory.owners("99", "acme") == ()
    await running.settle(1)
    assert running.asked == 2 * [("acme", "na")]


@pytest.mark.parametrize(("status", "settled", "pause"), [(403, True, FIRST_RETRY), (503, False, AWAITED_RETRY)])
async def test_a_refused_list_is_not_awaited_and_a_failed_one_tried_again(
    status: int, settled: bool, pause: float, running: RunningDirectory
) -> None:
    """Soon, as requests may wait for it; with the refusal of the profiles, ads accounts are not asked for."""
    running.status = status
    await running.directory.start([running.source(pins_first=False)])
    assert await running.settle(1) == [pause]
    assert running.directory.settled is settled
    running.now += LONGEST_WAIT
    assert running.directory.first_lists("acme") is FirstLists.SETTLED
    assert running.directory.has_first_profiles


async def test_refused_ads_accounts_are_not_awaited(running: RunningDirectory) -> None:
    """Refused ads accounts are not awaited; the ones of other regions still are."""
    running.further_status = 400
    await running.directory.start([running.source()])
    await running.settle(1)
    assert running.directory.settled


async def test_a_token_that_came_late_has_the_first_lists_read_at_once(running: RunningDirectory) -> None:
    """No request waits for them before, and the program can be ready."""
    running.tokens.clear()
    directory = running.directory
    await directory.start([running.source()])
    await running.settle(1)
    assert directory.first_lists("acme") is FirstLists.WITHOUT_TOKEN
    assert (directory.has_first_profiles, directory.settled) == (True, False)
    await directory.wait_for_first_lists(AwaitedId(("acme",), "99"))
    running.tokens.add("acme")
    directory.note_token("acme")
    assert directory.first_lists("acme") is FirstLists.AWAITED
    await running.settle(1)
    assert (directory.settled, directory.owners("11")) == (True, (("acme", "na"),))
