"""The profile directory: listings in the background, served stale, kept, and found early on a miss."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from proxy.errors import NoUsableToken, StateError
from proxy.events import (
    AdsAccountsFailed,
    AdsAccountsListed,
    DefaultProfileChanged,
    Event,
    ProfilesFailed,
    ProfilesListed,
)
from proxy.profiles.directory import (
    REPORT_INTERVAL,
    SAVE_DELAY,
    Pacing,
    ProfileDirectory,
    ProfileSource,
    ProfilesUnavailable,
)
from proxy.profiles.index import ListingFailure, document_of
from proxy.profiles.misses import MISS_INTERVAL, MISS_MEMORY
from proxy.profiles.pacing import (
    AWAITED_RETRY,
    FIRST_RETRY,
    LIST_INTERVAL,
    LONG_AWAITED_RETRY,
    MAX_RETRY,
    next_listing,
    wait,
)
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 5.0


class EventQueue:
    """An observer whose events can be waited for; those of ads accounts are kept apart."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.of_ads_accounts: asyncio.Queue[Event] = asyncio.Queue()

    def observe(self, event: Event) -> None:
        kept = self.of_ads_accounts if isinstance(event, AdsAccountsListed | AdsAccountsFailed) else self.events
        kept.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(PATIENCE):
            return await self.events.get()


class HeldPauses:
    """HeldPauses that last until the test ends them, or they are woken. Saving waits for nothing."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[float] = asyncio.Queue()
        self._over: list[asyncio.Future[None]] = []

    async def pause(self, seconds: float, wake: asyncio.Event) -> None:
        if seconds == SAVE_DELAY:
            return
        over = asyncio.get_running_loop().create_future()
        self._over.append(over)
        self.begun.put_nowait(seconds)
        waking = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait((over, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def next(self) -> float:
        async with asyncio.timeout(PATIENCE):
            return await self.begun.get()

    def end(self) -> None:
        for over in self._over:
            if not over.done():
                over.set_result(None)


class DocumentStore:
    """A store of documents; `document` is the one of the profiles of `acme`, `others` are kept by name."""

    def __init__(self, document: object | None = None) -> None:
        self.document = document
        self.others: dict[str, object] = {}
        self.written = asyncio.Event()
        self.broken = False

    async def read_document(self, name: str) -> object | None:
        if self.broken:
            raise StateError("the disk is gone")
        return self.document if name == document_of("acme") else self.others.get(name)

    async def write_document(self, name: str, data: object) -> None:
        if name != document_of("acme"):
            self.others[name] = json.loads(json.dumps(data))
            return
        self.written.set()
        if self.broken:
            raise StateError("the disk is gone")
        self.document = json.loads(json.dumps(data))


@dataclass(frozen=True)
class Token:
    value: Secret


class RunningDirectory:
    """A directory before a scripted Amazon: `/REGION/v2/profiles` answers with that region's ids.

    `further` answers by region and the rest of the target what else is asked for; it is empty where nothing is said.
    `asked` holds the usual lists alone.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.events, self.pauses, self.documents = EventQueue(), HeldPauses(), DocumentStore()
        self.now = 1000.0
        self.ids: dict[str, list[int]] = {"na": [11, 12], "eu": [21], "fe": []}
        self.further: dict[tuple[str, str], Any] = {}
        self.further_status = 200
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = {"acme", "zeta"}
        self.generation = 1
        self.gate: asyncio.Event | None = None
        self.directory = self.open()

    def open(self) -> ProfileDirectory:
        pacing = Pacing(self.pauses.pause, lambda: self.now, lambda: 5.0, lambda: 0.0)
        return ProfileDirectory(self.session, self.token, self.documents, self.events, pacing)

    async def token(self, account: str) -> Token:
        if account not in self.tokens:
            raise NoUsableToken(f"{account} has to sign in", retryable=False)
        return Token(Secret(f"Atza|{account}|{self.generation}"))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        region, _, target = request.path_qs[1:].partition("/")
        if target != "v2/profiles":
            nothing: Any = [] if target.startswith("v2/profiles") else {}
            return web.json_response(self.further.get((region, target), nothing), status=self.further_status)
        self.asked.append((request.headers["Authorization"].split("|")[1], region))
        ids = self.ids[region]
        if self.gate is not None:
            await self.gate.wait()
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers)
        return web.json_response([{"profileId": number} for number in ids])

    def source(self, account: str = "acme", *regions: str, **changed: Any) -> ProfileSource:
        urls = {region: f"{self.url}/{region}" for region in regions or ("na",)}
        return replace(ProfileSource(account, f"app-of-{account}", urls, pins_first=True), **changed)

    async def settle(self, count: int) -> list[float]:
        """Wait until so many listings have ended; how long each pauses now."""
        return [await self.pauses.next() for _ in range(count)]


@pytest.fixture
async def running() -> AsyncIterator[RunningDirectory]:
    made: list[RunningDirectory] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await made[0].answer(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        made.append(RunningDirectory(session, f"http://127.0.0.1:{runner.addresses[0][1]}"))
        yield made[0]
        await made[0].directory.stop()
    await runner.cleanup()


async def test_every_account_is_listed_in_every_region(running: RunningDirectory) -> None:
    """Then a profile finds its owners, and each region its first."""
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
    """Only `default_profile: first` does."""
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
    """But again after a while, and at once when it is another or comes back."""
    running.status = 500
    await running.directory.start([running.source(pins_first=False)])
    await running.settle(1)
    assert isinstance(await running.events.next(), ProfilesFailed)
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
    """Amazon is not asked, and nothing is told: whoever obtains tokens says it. The sign-in is noticed at once."""
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
    """The others are left in peace, and have their own ten seconds: whose lists it may be in is not known else."""
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


async def test_what_the_version_before_kept_is_taken_over(running: RunningDirectory) -> None:
    """It had one document for all: the pinned profile is known from it, and it is empty once the others are written."""
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
    """Nor one of an account or region that is gone."""
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
    """The list is read anew."""
    running.documents.broken = True
    await running.directory.start([running.source()])
    await running.settle(1)
    async with asyncio.timeout(PATIENCE):
        await running.documents.written.wait()
    assert running.directory.owners("12") == (("acme", "na"),)
    assert running.documents.document is None


async def test_a_reload_leaves_alone_what_did_not_change(running: RunningDirectory) -> None:
    """Accounts come and go; another refresh token lists again and keeps what is known until then."""
    acme, zeta = running.source(refresh_token=Secret("a")), running.source("zeta", "eu")
    await running.directory.start([acme])
    await running.settle(1)
    await running.directory.reconfigure([acme, zeta])
    await running.settle(1)
    assert running.asked == [("acme", "na"), ("zeta", "eu")]
    running.ids["na"] = [31]
    await running.directory.reconfigure([replace(acme, refresh_token=Secret("b"))])
    assert running.directory.owners("21") == ()
    assert running.directory.first("acme", "na") == "11"
    await running.settle(1)
    assert running.directory.first("acme", "na") == "31"
    await running.directory.reconfigure([replace(acme, client_id="other")])
    assert running.directory.first("acme", "na") is None


async def test_an_account_is_listed_now_when_somebody_asks(running: RunningDirectory) -> None:
    """After a sign-in: every region, and what went wrong only if all did."""
    running.tokens = {"zeta"}
    await running.directory.start([running.source("acme", "na", "eu"), running.source("zeta", "na")])
    await running.settle(3)
    with pytest.raises(NoUsableToken):
        await running.directory.ensure_listed("acme")
    running.tokens = {"acme"}
    found = await running.directory.ensure_listed("acme")
    assert {(account, region, profile.id) for account, region, profile in found} == {
        ("acme", "na", "11"),
        ("acme", "na", "12"),
        ("acme", "eu", "21"),
    }
    running.status, running.generation = 500, 2
    with pytest.raises(ProfilesUnavailable):
        await running.directory.ensure_listed("acme")
    assert await running.directory.ensure_listed("nobody") == ()


@pytest.mark.parametrize("listed_first", [True, False])
async def test_a_sign_in_lists_each_region_once(running: RunningDirectory, listed_first: bool) -> None:
    """Whoever waits for the profiles gets those of the listing that the sign-in began, under way or ended."""
    await running.directory.start([running.source("acme", "na", "eu")])
    await running.settle(2)
    running.generation, running.ids["eu"] = 2, [31]
    running.directory.list_again("acme")
    if listed_first:
        await running.settle(2)
    found = await running.directory.ensure_listed("acme")
    assert [profile.id for _, _, profile in found] == ["11", "12", "31"]
    if not listed_first:
        await running.settle(2)
    assert len(running.asked) == 4


async def test_a_listing_that_failed_does_not_do(running: RunningDirectory) -> None:
    """Who waits for the profiles after a sign-in gets another attempt at them."""
    running.status = 500
    await running.directory.start([running.source("acme", "na")])
    await running.settle(1)
    running.status = 200
    assert len(await running.directory.ensure_listed("acme")) == 2
    assert len(running.asked) == 2


async def test_a_late_list_of_another_person_is_dropped(running: RunningDirectory) -> None:
    """What was asked with the token before does not take the place of what the new one reaches."""
    running.gate = asyncio.Event()
    await running.directory.start([running.source("acme", "na")])
    async with asyncio.timeout(PATIENCE):
        while not running.asked:
            await asyncio.sleep(0)
    held, running.gate = running.gate, None
    running.generation, running.ids["na"] = 2, [31]
    assert [profile.id for _, _, profile in await running.directory.ensure_listed("acme")] == ["31"]
    held.set()
    await running.settle(1)
    assert running.directory.owners("31") == (("acme", "na"),)
    assert running.directory.owners("11") == ()


async def test_stopping_ends_a_listing_under_way(running: RunningDirectory) -> None:
    """Nothing is left running, and who waited for it is told."""
    running.gate = asyncio.Event()
    await running.directory.start([running.source("acme", "na")])
    waiting = asyncio.create_task(running.directory.ensure_listed("acme"))
    async with asyncio.timeout(PATIENCE):
        while not running.asked:
            await asyncio.sleep(0)
    await running.directory.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    running.gate.set()


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
    told = {running.events.of_ads_accounts.get_nowait() for _ in range(2)}
    assert AdsAccountsListed("acme", "na", 1, 1) in told
    assert [known.id for known in running.directory.ads_accounts("acme")] == [ADS_ACCOUNT, "58"]


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


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_list_that_is_not_for_a_login_is_empty(running: RunningDirectory, status: int) -> None:
    """To ask again soon would change nothing."""
    running.further_status = status
    await running.directory.start([running.source("acme", "na")])
    assert await running.settle(1) == [LIST_INTERVAL]
    assert running.events.of_ads_accounts.get_nowait() == AdsAccountsListed("acme", "na", 0, 0)


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


async def test_a_directory_shows_how_much_it_knows(running: RunningDirectory) -> None:
    """Neither tokens nor names."""
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
    """Once it is known, a failure is no hurry any more."""
    running.status = 503
    await running.directory.start([running.source()])
    assert await running.settle(1) == [AWAITED_RETRY]
    running.status = 200
    running.pauses.end()
    assert await running.settle(1) == [LIST_INTERVAL]
    running.status = 503
    running.pauses.end()
    assert await running.settle(1) == [FIRST_RETRY]
