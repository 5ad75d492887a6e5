"""The profile directory: listings in the background, served stale, kept, and found early on a miss."""

from __future__ import annotations

import asyncio

import pytest

from proxy.events import DefaultProfileChanged, ProfilesFailed, ProfilesListed
from proxy.profiles import directory
from proxy.profiles.directory import MAX_ID, MAX_MISSES, MISS_INTERVAL, MISS_MEMORY, EarlyListings
from proxy.profiles.first_lists import LONGEST_WAIT
from proxy.profiles.index import ListingFailure
from proxy.profiles.listing import (
    AWAITED_RETRY,
    FIRST_RETRY,
    LIST_INTERVAL,
    LONG_AWAITED_RETRY,
    MAX_RETRY,
    next_listing,
    wait,
)
from proxy.profiles.reach_reader import REPORT_INTERVAL
from proxy.secret import Secret
from tests.support.listings import RunningDirectory
from tests.support.patience import PATIENCE


async def test_every_account_is_listed_in_every_region(running: RunningDirectory) -> None:
    """A listed profile finds its owners, and each region its first."""
    await running.directory.start([running.source("acme", "na", "eu", "fe"), running.source("zeta", "eu")])
    assert running.directory.first("acme", "na") is None
    await running.settle(4)
    assert sorted(running.asked) == [("acme", "eu"), ("acme", "fe"), ("acme", "na"), ("zeta", "eu")]
    assert running.directory.owners("12") == (("acme", "na"),)
    assert running.directory.owners("21") == (("acme", "eu"), ("zeta", "eu"))
    assert [running.directory.first("acme", region) for region in ("na", "eu", "fe")] == ["11", "21", ""]
    listed = {await running.events.next() for _ in range(4)}
    assert ProfilesListed("acme", "na", 2) in listed
    assert ProfilesListed("acme", "fe", 0) in listed
    assert {(account, region, found.id) for account, region, found in running.directory.snapshot()} == {
        ("acme", "na", "11"),
        ("acme", "na", "12"),
        ("acme", "eu", "21"),
        ("zeta", "eu", "21"),
    }


async def test_the_list_is_read_again_after_an_hour(running: RunningDirectory) -> None:
    """The first stays pinned while it is listed; a change of it is told."""
    await running.directory.start([running.source()])
    assert await running.settle(1) == [LIST_INTERVAL]
    running.ids["na"] = [13, 12, 11]
    running.pauses.end()
    await running.settle(1)
    assert running.directory.first("acme", "na") == "11"
    running.ids["na"] = [13, 12]
    running.pauses.end()
    await running.settle(1)
    assert running.directory.first("acme", "na") == "13"
    told = [await running.events.next() for _ in range(4)]
    assert told[-1] == DefaultProfileChanged("acme", "na", "11", "13")
    assert running.directory.owners("11") == ()


async def test_a_changed_first_is_no_news_where_nobody_uses_it(running: RunningDirectory) -> None:
    """The change matters only to `default_profile: first`."""
    await running.directory.start([running.source(pins_first=False)])
    await running.settle(1)
    running.ids["na"] = [12]
    running.pauses.end()
    await running.settle(1)
    assert running.directory.first("acme", "na") == "12"
    assert [type(await running.events.next()) for _ in range(2)] == [ProfilesListed, ProfilesListed]
    assert running.events.events.empty()


@pytest.mark.parametrize("status", [401, 403, 429, 500, 302])
async def test_what_is_known_is_served_while_amazon_fails(running: RunningDirectory, status: int) -> None:
    """The failure is told with when it is tried again."""
    await running.directory.start([running.source()])
    await running.settle(1)
    running.status = status
    running.pauses.end()
    assert await running.settle(1) == [FIRST_RETRY]
    assert running.directory.owners("12") == (("acme", "na"),)
    assert running.directory.first("acme", "na") == "11"
    await running.events.next()
    failed = await running.events.next()
    assert isinstance(failed, ProfilesFailed)
    assert (failed.account, failed.region, failed.retry_in) == ("acme", "na", FIRST_RETRY)
    assert str(status) in failed.detail


async def test_the_same_failure_is_not_told_each_time(running: RunningDirectory) -> None:
    """The failure is reported again after a while, and at once when it changes or comes back."""
    running.status = 500
    await running.directory.start([running.source(pins_first=False)])
    await running.settle(1)
    assert isinstance(await running.events.next(), ProfilesFailed)
    running.now += LONGEST_WAIT
    running.pauses.end()
    assert await running.settle(1) == [2 * FIRST_RETRY]
    assert running.events.events.empty()
    running.now += REPORT_INTERVAL
    running.pauses.end()
    await running.settle(1)
    assert isinstance(await running.events.next(), ProfilesFailed)
    running.status = 403
    running.pauses.end()
    await running.settle(1)
    assert isinstance(await running.events.next(), ProfilesFailed)


async def test_the_last_failure_is_known_until_a_listing_succeeds(running: RunningDirectory) -> None:
    """By account and region, with its time; a 403 does not pass by itself."""
    running.status = 403
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    failure = running.directory.failure("acme", "na")
    assert failure is not None
    assert (failure.at, failure.retryable) == (5.0, False)
    assert "403" in failure.detail
    assert [found.region for found in running.directory.failures()] == ["na", "eu"]
    assert running.directory.failure("acme", "fe") is None
    running.status = 500
    running.pauses.end()
    await running.settle(2)
    assert [found.retryable for found in running.directory.failures()] == [True, True]
    running.status = 200
    running.pauses.end()
    await running.settle(2)
    assert running.directory.failures() == ()
    assert running.directory.failure("acme", "na") is None


async def test_retry_after_is_kept(running: RunningDirectory) -> None:
    """Amazon said when."""
    running.status, running.headers = 429, {"Retry-After": "77"}
    await running.directory.start([running.source()])
    assert await running.settle(1) == [77.0]


async def test_an_account_without_token_is_looked_at_soon_and_often(running: RunningDirectory) -> None:
    """The directory neither asks Amazon nor reports it: the token's owner reports it. The sign-in is noticed at
    once."""
    running.tokens = set()
    await running.directory.start([running.source()])
    for _ in range(3):
        assert await running.settle(1) == [FIRST_RETRY]
        running.pauses.end()
    await running.settle(1)
    assert running.asked == []
    assert running.events.events.empty()
    assert running.directory.failures() == (ListingFailure("acme", "na", "acme has to sign in", 5.0, False, False),)
    running.tokens = {"acme"}
    running.pauses.end()
    assert await running.settle(1) == [LIST_INTERVAL]
    assert running.directory.first("acme", "na") == "11"


async def test_a_profile_that_nobody_knows_makes_one_early_listing(running: RunningDirectory) -> None:
    """At most one in ten seconds, whatever is asked for; and a profile that stays unknown makes no other for long."""
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    running.ids["eu"].append(22)
    assert running.directory.owners("22") == ()
    assert running.directory.owners("99") == ()
    await running.settle(2)
    assert running.directory.owners("22") == (("acme", "eu"),)
    assert len(running.asked) == 4
    running.now += MISS_INTERVAL - 1
    assert running.directory.owners("99") == ()
    running.now += 1
    assert running.directory.owners("99") == ()
    await running.settle(2)
    running.now += MISS_INTERVAL
    assert running.directory.owners("99") == ()
    assert running.directory.owners("no-profile") == ()
    running.now += MISS_MEMORY
    assert running.directory.owners("99") == ()
    await running.settle(2)
    assert len(running.asked) == 8


async def test_a_profile_that_a_chosen_account_lacks_makes_a_listing_of_that_account(running: RunningDirectory) -> None:
    """The other accounts are not listed, and have ten seconds of their own: nothing else says whose lists it may be
    in."""
    await running.directory.start([running.source("acme", "na"), running.source("zeta", "na")])
    await running.settle(2)
    assert running.directory.owners("98", "acme") == ()
    await running.settle(1)
    assert running.directory.owners("97") == ()
    await running.settle(1)
    assert running.directory.owners("96", "zeta") == ()
    running.now += MISS_INTERVAL
    assert running.directory.owners("97") == ()
    await running.settle(1)
    assert len(running.asked) == 5


async def test_a_restart_knows_what_was_listed(running: RunningDirectory) -> None:
    """Before Amazon is asked, the pinned first included."""
    running.ids["na"] = [11, 12]
    await running.directory.start([running.source()])
    await running.settle(1)
    running.ids["na"] = [12, 11]
    running.pauses.end()
    await running.settle(1)
    await running.directory.stop()
    running.status = 500
    running.directory = running.open()
    await running.directory.start([running.source(), running.source("zeta", "na")])
    assert running.directory.owners("12") == (("acme", "na"),)
    assert running.directory.first("acme", "na") == "11"
    assert running.directory.first("zeta", "na") is None


async def test_a_list_that_is_as_before_is_not_written_again(running: RunningDirectory) -> None:
    """Each account's is read every hour: a thousand of them would write all day."""
    await running.directory.start([running.source()])
    await running.settle(1)
    async with asyncio.timeout(PATIENCE):
        await running.documents.written.wait()
    running.documents.written.clear()
    running.pauses.end()
    await running.settle(1)
    await running.directory.stop()
    assert not running.documents.written.is_set()


async def test_what_the_version_before_kept_is_taken_over(running: RunningDirectory) -> None:
    """The earlier version had one document for all: the pinned profile is known from it, and it is emptied once the
    others are written."""
    running.ids["na"] = [11, 12]
    await running.directory.start([running.source()])
    await running.settle(1)
    await running.directory.stop()
    kept, running.documents.document = running.documents.document, None
    running.documents.others["profiles"] = kept
    running.status = 500
    running.directory = running.open()
    await running.directory.start([running.source()])
    assert running.directory.first("acme", "na") == "11"
    await running.directory.stop()
    assert running.documents.document == kept
    assert running.documents.others["profiles"] == {"version": 2, "listings": []}


async def test_a_kept_listing_of_another_application_or_address_is_not_used(running: RunningDirectory) -> None:
    """A listing of an account or region that is gone is not used either."""
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    await running.directory.stop()
    running.status = 500
    for source in (
        running.source(client_id="other"),
        running.source(api_urls={"na": running.url}),
        running.source("zeta"),
    ):
        running.directory = running.open()
        await running.directory.start([source])
        assert running.directory.snapshot() == ()
        await running.directory.stop()


async def test_a_store_that_fails_is_no_harm(running: RunningDirectory) -> None:
    """The list is read again."""
    running.documents.broken = True
    await running.directory.start([running.source()])
    await running.settle(1)
    async with asyncio.timeout(PATIENCE):
        await running.documents.written.wait()
    assert running.directory.owners("12") == (("acme", "na"),)
    assert running.documents.document is None


@pytest.mark.parametrize(
    ("failures", "retry_after", "chance", "seconds"),
    [
        (0, None, 0.0, LIST_INTERVAL),
        (0, None, 1.0, 0.8 * LIST_INTERVAL),
        (1, None, 0.0, FIRST_RETRY),
        (1, None, 1.0, 0.7 * FIRST_RETRY),
        (2, None, 0.0, 2 * FIRST_RETRY),
        (7, None, 0.0, MAX_RETRY),
        (10**6, None, 0.0, MAX_RETRY),
        (1, 60.0, 1.0, 60.0),
        (7, 60.0, 0.0, MAX_RETRY),
        (1, 1e9, 0.0, LIST_INTERVAL),
    ],
)
def test_when_the_next_listing_is(failures: int, retry_after: float | None, chance: float, seconds: float) -> None:
    """Chance only makes it earlier; Retry-After is kept within an hour."""
    assert next_listing(failures, retry_after, chance) == pytest.approx(seconds)


ADS_ACCOUNT = "amzn1.ads-account.g.a"
LISTED = {"adsAccounts": [{"adsAccountId": ADS_ACCOUNT, "alternateIds": [{"countryCode": "DE", "profileId": 22}]}]}


async def test_a_directory_shows_how_much_it_knows(running: RunningDirectory) -> None:
    """Neither tokens nor names are shown."""
    await running.directory.start([running.source("acme", "na", "eu", refresh_token=Secret("CANARY"))])
    await running.settle(2)
    listed = "<ProfileIndex: 3 profiles in 2 listings>"
    further = "<ReachIndex: 0 ads accounts and advertisers, 0 profiles in 2 readings>"
    known = f"{listed}, <ReachReader: {further}>"
    assert repr(running.directory) == f"<ProfileDirectory: 2 watched, 0 being listed, {known}>"


async def test_a_pause_ends_by_itself_or_when_woken() -> None:
    """The real one, as short as can be."""
    wake = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        await wait(0.001, wake)
        wake.set()
        await wait(PATIENCE * 10, wake)
    assert wake.is_set()


@pytest.mark.parametrize(
    ("failures", "retry_after", "chance", "seconds"),
    [
        (0, None, 0.0, LIST_INTERVAL),
        (1, None, 0.0, AWAITED_RETRY),
        (40, None, 0.0, AWAITED_RETRY),
        (40, None, 1.0, 0.7 * AWAITED_RETRY),
        (41, None, 0.0, LONG_AWAITED_RETRY),
        (10**6, None, 0.0, LONG_AWAITED_RETRY),
        (1, 60.0, 0.0, 60.0),
    ],
)
def test_when_the_next_listing_is_that_requests_wait_for(
    failures: int, retry_after: float | None, chance: float, seconds: float
) -> None:
    """Their 503 says to come again in two seconds: so often it is tried, unless Amazon asks for more patience."""
    assert next_listing(failures, retry_after, chance, awaited=True) == pytest.approx(seconds)


async def test_a_first_profile_that_is_not_known_is_asked_for_often(running: RunningDirectory) -> None:
    """Once the profile is known, a failure is not urgent any more."""
    running.status = 503
    await running.directory.start([running.source()])
    assert await running.settle(1) == [AWAITED_RETRY]
    running.status = 200
    running.pauses.end()
    assert await running.settle(1) == [LIST_INTERVAL]
    running.status = 503
    running.pauses.end()
    assert await running.settle(1) == [FIRST_RETRY]


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_account_is_listed_at_most_every_ten_seconds() -> None:
    """Whatever is asked for; another account has its own ten seconds."""
    clock = Clock()
    misses = EarlyListings(clock)
    assert misses.take("1", ["acme"]) == {"acme"}
    assert misses.take("2", ["acme"]) == frozenset()
    assert misses.take("2", ["acme", "zeta"]) == {"zeta"}
    clock.now += MISS_INTERVAL - 1
    assert misses.take("3", ["acme"]) == frozenset()
    clock.now += 1
    assert misses.take("3", ["acme", "zeta"]) == {"acme", "zeta"}


def test_what_is_too_long_for_an_id_makes_no_early_listing() -> None:
    """Nothing is kept of it."""
    misses = EarlyListings(Clock())
    assert misses.take("7" * (MAX_ID + 1), ["acme"]) == frozenset()
    assert misses.take("7" * MAX_ID, ["acme"]) == {"acme"}


def test_an_id_that_an_account_does_not_have_is_not_asked_of_it_again_for_long() -> None:
    """An account that could not be asked the first time is asked again."""
    clock = Clock()
    misses = EarlyListings(clock)
    misses.take("1", ["acme"])
    assert misses.take("9", ["acme", "zeta"]) == {"zeta"}
    clock.now += MISS_INTERVAL
    assert misses.take("9", ["acme", "zeta"]) == {"acme"}
    clock.now += MISS_INTERVAL
    assert misses.take("9", ["acme", "zeta"]) == frozenset()
    clock.now += MISS_MEMORY
    assert misses.take("9", ["acme", "zeta"]) == {"acme", "zeta"}


def test_what_is_remembered_is_bounded() -> None:
    """Ids that make no listing leave nothing behind; of the others, so many; of accounts, those that there are."""
    clock = Clock()
    misses = EarlyListings(clock)
    for number in range(MAX_MISSES):
        misses.take(str(number), ["acme"])
    assert repr(misses) == "<EarlyListings: 1 ids, 1 accounts>"
    for number in range(MAX_MISSES + 1):
        misses.take(str(number), [f"account{number}"])
    assert repr(misses) == f"<EarlyListings: {MAX_MISSES} ids, {MAX_MISSES + 2} accounts>"
    misses.keep(["acme"])
    assert repr(misses) == f"<EarlyListings: {MAX_MISSES} ids, 1 accounts>"


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload would wait for it until the next listing, an hour later."""
    monkeypatch.setattr(directory, "CANCEL_AGAIN", 0)
    swallowed: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append("once")
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(directory._end(task), PATIENCE)
    assert task.cancelled()
    assert swallowed == ["once"]
