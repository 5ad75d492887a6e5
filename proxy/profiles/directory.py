"""The profile directory: what every account reaches in every region, listed in the background and served stale.

It implements `routing.Directory`. Requests look into memory; those for an unlisted profile or ads account wait for an
account's first lists (`first_lists`), and later each such id causes one early listing, rate-limited. What is known is
kept by `stored_lists`, so that a restart knows it at once. The usual profiles come first: what their answer means is in
`listing`. Ads accounts and what else a login reaches are read after them, by `reach_reader`. The look-ups of
both are in `known_lists`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache

from proxy.errors import NoUsableToken
from proxy.events import (
    AdsAccountsFailed,
    AdsAccountsListed,
    DefaultProfileChanged,
    Observer,
    ProfilesFailed,
    ProfilesListed,
    RefreshTokenReplaced,
    SharedListDamaged,
    TokenRefreshed,
    TokenTakenOver,
)
from proxy.profiles import reach
from proxy.profiles.first_lists import AwaitedId, AwaitedLists, FirstLists, is_refusal
from proxy.profiles.index import ListingFailure, ProfileListing, document_of, pin
from proxy.profiles.known_lists import KnownLists
from proxy.profiles.listing import (
    LIST_INTERVAL,
    ListingSchedule,
    Profile,
    ProfileSource,
    ProfilesUnavailable,
    list_profiles,
    next_listing,
)
from proxy.profiles.reach_reader import ReachReader, RegionWatch
from proxy.profiles.stored_lists import (
    ADS_ACCOUNTS,
    PROFILES,
    SharedLists,
    StoredLists,
    attempt_after,
    failure_elsewhere,
)
from proxy.tokens.leases import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.events import Event
    from proxy.net.session import HttpSession
    from proxy.profiles.reach_reader import Problem, ReadResult, Token, TokenGetter
    from proxy.profiles.stored_lists import ListStore
    from proxy.tokens.leases import Lease, SharedContent


MAX_PARALLEL = 6


class ProfileDirectory(KnownLists):
    """Keeps an index of profiles current.

    `start`, `reconfigure` and `stop` are called one after another. The session is closed elsewhere.
    """

    def __init__(
        self,
        session: HttpSession,
        token: TokenGetter,
        documents: ListStore,
        observer: Observer,
        schedule: ListingSchedule | None = None,
    ) -> None:
        self._session, self._token = session, token
        self._observer = observer
        self._schedule = schedule or ListingSchedule()
        self._shared = SharedLists(documents.leases_for(PROFILES))
        self._first = AwaitedLists(self._schedule)
        leases = documents.leases_for(ADS_ACCOUNTS)
        self._reader = ReachReader(session, leases, self._schedule.random, self._first.tried)
        super().__init__(self._reader.index)
        self._shared.follow(self)
        self._reader.shared.follow(self)
        self._watches: dict[tuple[str, str], RegionWatch] = {}
        self._regions: frozenset[str] = frozenset()
        self._listings: set[asyncio.Task[Problem | None]] = set()
        self._slots = asyncio.Semaphore(MAX_PARALLEL)
        self._misses = EarlyListings(self._schedule.clock)
        self._kept = StoredLists(documents, self._index, self._reach, self._schedule)

    def __repr__(self) -> str:
        tasks = f"{len(self._watches)} watched, {len(self._listings)} being listed"
        return f"<ProfileDirectory: {tasks}, {self._index!r}, {self._reader!r}>"

    @property
    def version(self) -> int:
        """Another one after each change."""
        return self._kept.version

    # --- look-ups: routing's Directory

    def failure(self, account: str, region: str) -> ListingFailure | None:
        """Why the last listing failed, if it did."""
        watch = self._watches.get((account, region))
        return watch.failure if watch is not None else None

    def is_failing(self, account: str, region: str) -> bool:
        """Whether the last attempt failed to read some list there."""
        watch = self._watches.get((account, region))
        return watch is not None and bool(watch.failures or watch.reach_failures)

    def failures(self) -> tuple[ListingFailure, ...]:
        """Every listing whose last attempt failed."""
        return tuple(watch.failure for watch in self._watches.values() if watch.failure is not None)

    def snapshot(self) -> tuple[tuple[str, str, Profile], ...]:
        """(account, region, profile) of everything that is known."""
        return self._index.snapshot()

    def listing(self, account: str, region: str) -> ProfileListing | None:
        """The newest list of an account's profiles in a region."""
        return self._index.listing(account, region)

    def reading(self, account: str, region: str) -> reach.Reach | None:
        """What else the account was found to reach there, at its newest."""
        return self._reach.reading(account, region)

    def ads_accounts(self, account: str | None = None) -> tuple[reach.MergedAdsAccount, ...]:
        """The ads accounts and linked advertisers of one account, or of all."""
        return self._reach.snapshot(account)

    def ads_account_counts(self, account: str) -> Mapping[str, int]:
        """How many ads accounts are listed for an account, by region; what was not read yet is missing."""
        return self._reach.counts(account)

    @property
    def settled(self) -> bool:
        """Whether no account's first lists are awaited."""
        return self._first.settled

    @property
    def has_first_profiles(self) -> bool:
        """Whether the first lists of profiles were read, taken over from the store, or tried for long enough."""
        return self._first.has_all(PROFILES.kind)

    def first_lists(self, account: str) -> FirstLists:
        """What became of the first lists of an account."""
        return self._first.state(account)

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        """Return when an id is listed, or when no first list can have it, after `first_lists.LONGEST_WAIT` at the
        latest."""
        await self._first.wait(awaited.accounts, lambda: self._is_listed(awaited))

    def _is_listed(self, awaited: AwaitedId) -> bool:
        if awaited.profile:
            owners = (*self._index.owners(awaited.profile), *self._reach.owners(awaited.profile))
        else:
            owners = self._reach.ads_account_owners(awaited.ads_account)
        return any(account in awaited.accounts for account, _ in owners)

    def _miss(self, kind: str, identifier: str, account: str) -> None:
        """Read lists again, off the request's path; not those that are still read for the first time."""
        names = (account,) if account else {name for name, _ in self._watches}
        read = (name for name in names if self._first.state(name) is FirstLists.SETTLED)
        for name in self._misses.take(f"{kind} {identifier}", read):
            self._hasten(name, MISS_INTERVAL)

    # --- start, change, stop

    async def start(self, sources: Iterable[ProfileSource]) -> None:
        """Take what the store knows, and begin to list."""
        await self._kept.load(wanted := {source.account: source for source in sources})
        self._kept.begin()
        await self.reconfigure(wanted.values())

    async def reconfigure(self, sources: Iterable[ProfileSource]) -> None:
        """Follow a new configuration: what did not change goes on as it was."""
        wanted = {(source.account, region): source for source in sources for region in source.api_urls}
        self._expect(key for key in wanted if key not in self._watches)  # first: requests may come for new accounts
        for number, (key, watch) in enumerate(list(self._watches.items())):
            if number % 500 == 0:
                await asyncio.sleep(0)
            source = wanted.get(key)
            if source == watch.source:
                continue
            del self._watches[key]
            await _end(watch.task)
            watch.task = None  # they lead to each other, and would outlive the account
            if source is None or source.origin(key[1]) != watch.source.origin(key[1]):
                self._index.drop(*key)
                self._reach.drop(*key)
                await self._shared.forget(watch.source, key[1])
                await self._reader.shared.forget(watch.source, key[1])
                self._kept.changed(document_of(key[0]), document_of(key[0], reach.DOCUMENTS))
            self._first.drop(*key)
            if source is not None:
                self._expect((key,))
        self._misses.keep(account for account, _ in wanted)
        self._regions = frozenset(region for _, region in wanted)
        for (account, region), source in wanted.items():
            if (account, region) not in self._watches:
                watch = self._watches[account, region] = RegionWatch(source, region)
                watch.task = asyncio.create_task(self._keep_current(watch))

    def _expect(self, keys: Iterable[tuple[str, str]]) -> None:
        """The lists of these accounts and regions are to be read; the first ones, where none is known."""
        for key in keys:
            if self._index.listing(*key) is None:
                self._first.expect(*key, PROFILES.kind)
            if self._reach.reading(*key) is None:
                self._first.expect(*key, ADS_ACCOUNTS.kind)

    async def stop(self) -> None:
        """Stop listing, and keep what is known."""
        watches, self._watches = list(self._watches.values()), {}
        for task in (*(watch.task for watch in watches), *self._listings):
            await _end(task)
        await self._kept.stop()

    async def ensure_listed(self, account: str) -> tuple[tuple[str, str, Profile], ...]:
        """What an account reaches with the access token of now, such as after a sign-in.

        A region that was listed with that very token is not asked again, and a listing that is under way is waited for.
        Raises what went wrong if it did in every region.
        """
        watches = [watch for (name, _), watch in self._watches.items() if name == account]
        ended = await asyncio.gather(*(self._list(watch, Urgency.AT_ONCE, again=False) for watch in watches))
        failures = [error for error in ended if error is not None]
        if failures and len(failures) == len(watches):
            raise failures[0]
        return tuple(entry for entry in self.snapshot() if entry[0] == account)

    def list_again(self, account: str) -> None:
        """Another user may have signed in for this account: list it again soon."""
        self._hasten(account, 0.0)

    def note_token(self, account: str) -> None:
        """The account has an access token: lists that it lacked one for are read at once."""
        if self._first.got_token(account):
            self._hasten(account, 0.0)

    def _hasten(self, account: str, gap: float) -> None:
        for watch in filter(None, (self._watches.get((account, region)) for region in self._regions)):
            watch.hasten(self._schedule.clock(), gap)

    def heard(self, kind: str, account: str, url: str) -> None:
        """Another replica may have read this kind of list of an account at an address; any, where both are empty."""
        for watch in self._watches_at(account, url) if account else tuple(self._watches.values()):
            watch.heard.add(kind)
            watch.wake.set()

    def met_damage(self, account: str, url: str) -> None:
        """The list that replicas share of this account at this address is damaged."""
        self._observer.observe(SharedListDamaged(account, url))

    def _watches_at(self, account: str, url: str) -> tuple[RegionWatch, ...]:
        watched = (self._watches.get((account, region)) for region in self._regions)
        return tuple(watch for watch in watched if watch is not None and watch.source.api_urls[watch.region] == url)

    # --- listing

    async def _keep_current(self, watch: RegionWatch) -> None:
        while True:
            watch.wake.clear()
            watch.heard.clear()
            planned = Urgency.AWAITED if self._is_awaited(watch) else Urgency.PLANNED
            urgency, watch.early_at = planned if watch.early_at is None else Urgency.AT_ONCE, None
            error = await self._list(watch, urgency) or await self._read_reach(watch, urgency)
            # Without a token Amazon was not asked: to look again soon costs nothing, and a sign-in is noticed at once.
            failures = 1 if isinstance(error, NoUsableToken) else watch.failures or watch.reach_failures
            asked = error if isinstance(error, ProfilesUnavailable) else None
            is_first = self._first.state(watch.source.account) is FirstLists.AWAITED
            awaited = asked is not None and (is_first or self._is_awaited(watch))
            retry_after = asked.retry_after if asked is not None else None
            delay = next_listing(failures, retry_after, self._schedule.random(), awaited=awaited)
            if asked is not None:
                self._report_failure(watch, asked, delay)
            await self._wait(watch, delay if failures else max(0.0, delay - watch.age))

    async def _wait(self, watch: RegionWatch, delay: float) -> None:
        """Wait until it is time to list again. A list that another replica read meanwhile is taken over, and puts that
        off."""
        now = self._schedule.clock
        due = now() + delay
        while True:
            moment = due if watch.early_at is None else min(due, watch.early_at)
            await self._schedule.pause(max(0.0, moment - now()), watch.wake)
            if not watch.wake.is_set():
                return
            watch.wake.clear()
            if watch.heard and await self._take_newest(watch):
                due = now() + next_listing(0, None, self._schedule.random()) - watch.age
            if watch.early_at is not None and watch.early_at <= now():
                return

    async def _take_newest(self, watch: RegionWatch) -> bool:
        """Take what another replica listed since. Returns whether there was something."""
        source, region, kinds = watch.source, watch.region, frozenset(watch.heard)
        watch.heard.clear()
        try:
            token = await self._token(source.account, hastens=False)
        except NoUsableToken:
            return False
        shared, reading = None, None
        if PROFILES.kind in kinds:
            async with self._slots:
                shared = await self._shared.newest(source, region, token.lineage)
        if ADS_ACCOUNTS.kind in kinds:
            reading = await self._reader.take_newest(source, region, token)
        if self._watches.get((source.account, region)) is not watch:
            return False
        if reading is not None:
            self._note_reading(watch, reading)
        if shared is not None:
            watch.note(None, self._schedule.wall())
            self._take_over(watch, shared)
        return shared is not None

    def _is_awaited(self, watch: RegionWatch) -> bool:
        return watch.source.pins_first and self._index.first(watch.source.account, watch.region) is None

    async def _list(self, watch: RegionWatch, urgency: Urgency, *, again: bool = True) -> Problem | None:
        """List once, or wait for the listing under way. Returns what went wrong: what was known stays in use then.

        Without `again`, a listing that succeeded with the access token of now will do.
        """
        try:
            token = await self._token(watch.source.account, hastens=urgency is not Urgency.PLANNED)
        except NoUsableToken as error:
            self._first.lack_token(watch.source.account)
            watch.note(error, self._schedule.wall())
            return error
        self._first.got_token(watch.source.account)
        newest = watch.listing
        if newest is not None and watch.token is not None and watch.token.value == token.value:
            if not newest.done():
                return await asyncio.shield(newest)
            if not again and watch.failure is None:
                return None
        watch.token = token
        watch.listing = asyncio.create_task(self._list_with(watch, token, urgency))
        self._listings.add(watch.listing)
        watch.listing.add_done_callback(self._listings.discard)
        return await asyncio.shield(watch.listing)

    async def _list_with(self, watch: RegionWatch, token: Token, urgency: Urgency) -> Problem | None:
        """Ask Amazon, unless another replica asks, or did."""
        source, region, problem = watch.source, watch.region, None
        async with self._slots:
            self._first.tried(source.account, region, PROFILES.kind)
            async with self._shared.lease(source, region, token.lineage, urgency) as lease:
                if lease.held_back is None and lease.shared is None:
                    return await self._ask(watch, token, lease)
        if lease.held_back is not None:
            problem = failure_elsewhere(lease.held_back, awaited=self._is_awaited(watch))
        if self._is_newest(watch):
            self._note(watch, problem)
            if lease.shared is not None and self._shared.see(source, region, lease.shared.fence):
                self._take_over(watch, lease.shared)
        return problem

    async def _ask(self, watch: RegionWatch, token: Token, lease: Lease[ProfileListing]) -> ProfilesUnavailable | None:
        """Ask Amazon, with the right to it, and tell the fleet what came of it."""
        source, region = watch.source, watch.region
        try:
            profiles = await list_profiles(self._session, source.endpoint(region, token.client_id), token.value)
        except ProfilesUnavailable as error:
            if self._is_newest(watch):
                self._note(watch, error)
                await lease.fail(attempt_after(error, lease.failed, self._schedule.random()))
            return error
        if self._is_newest(watch):
            self._note(watch, None)
            await self._shared.publish(lease, source, region, self._take(source, region, profiles), token.lineage)
        return None

    def _note(self, watch: RegionWatch, problem: ProfilesUnavailable | None) -> None:
        """How a listing of the usual profiles went. Where it failed, the further lists are not asked for."""
        key = watch.source.account, watch.region
        watch.note(problem, self._schedule.wall())
        if problem is not None:
            self._first.tried(*key, ADS_ACCOUNTS.kind)
            self._settle_if_refused(key, problem, PROFILES.kind, ADS_ACCOUNTS.kind)

    def _settle_if_refused(self, key: tuple[str, str], problem: ProfilesUnavailable, *kinds: str) -> None:
        """First lists that Amazon refuses are not waited for."""
        for kind in kinds if is_refusal(problem.status) else ():
            self._first.settle(*key, kind)

    def _is_newest(self, watch: RegionWatch) -> bool:
        """Whether what this task lists is wanted still: no newer token has been listed with since."""
        is_watched = self._watches.get((watch.source.account, watch.region)) is watch
        return is_watched and watch.listing is asyncio.current_task()

    def _take(self, source: ProfileSource, region: str, profiles: tuple[Profile, ...]) -> ProfileListing:
        """What Amazon just listed is in use, and kept."""
        old = self._index.listing(source.account, region)
        first = pin(profiles, old.first if old is not None else "")
        listing = ProfileListing(source.origin(region), profiles, first, self._schedule.wall())
        self._put(source, region, listing)
        return listing

    def _take_over(self, watch: RegionWatch, shared: SharedContent[ProfileListing]) -> None:
        """What another replica listed is in use, with the first profile that is pinned there, which also keeps it."""
        watch.take_over(max(0.0, LIST_INTERVAL - shared.left), self._schedule.clock(), MISS_INTERVAL)
        self._put(watch.source, watch.region, shared.value, taken_over=True)

    def _put(self, source: ProfileSource, region: str, listing: ProfileListing, *, taken_over: bool = False) -> None:
        account, old = source.account, self._index.listing(source.account, region)
        self._first.settle(account, region, PROFILES.kind)
        pinned = old.first if old is not None else ""
        if old is None or old.profiles != listing.profiles or pinned != listing.first:
            self._index.put(account, region, listing)
            self._kept.changed(*(() if taken_over else (document_of(account),)))
        self._observer.observe(ProfilesListed(account, region, len(listing.profiles), taken_over))
        if source.pins_first and pinned and listing.first != pinned:
            self._observer.observe(DefaultProfileChanged(account, region, pinned, listing.first))

    def _report_failure(self, watch: RegionWatch, error: ProfilesUnavailable, retry_in: float) -> None:
        """The token side reports a missing token."""
        kind = ProfilesFailed if watch.failures else AdsAccountsFailed
        if watch.is_news(kind, error.detail, self._schedule.clock()):
            self._observer.observe(kind(watch.source.account, watch.region, error.detail, retry_in))

    async def _read_reach(self, watch: RegionWatch, urgency: Urgency) -> Problem | None:
        """Read the account's ads accounts after its profiles."""
        key, token = (watch.source.account, watch.region), watch.token
        if token is None:
            return None
        try:
            reading = await self._reader.read(
                watch, self._token, urgency, lambda: watch.token is token and self._watches.get(key) is watch
            )
        except NoUsableToken as error:
            self._first.lack_token(watch.source.account)
            return error
        self._note_reading(watch, reading)
        return reading.problem

    def _note_reading(self, watch: RegionWatch, reading: ReadResult) -> None:
        """How it went; who read it keeps it."""
        key = watch.source.account, watch.region
        if self._watches.get(key) is watch and reading.problem is None:
            self._first.settle(*key, ADS_ACCOUNTS.kind)
        elif reading.problem is not None:
            self._settle_if_refused(key, reading.problem, ADS_ACCOUNTS.kind)
        if reading.changed:
            self._kept.changed(*(() if reading.taken_over else (document_of(watch.source.account, reach.DOCUMENTS),)))
        watch.reach_failures += 1
        if reading.problem is None:
            watch.reach_failures = 0
            watch.reported.pop(AdsAccountsFailed, None)
        if reading.changed or reading.problem is None:
            account, region = watch.source.account, watch.region
            found = self._reach.reading(account, region)
            count = len(found.ads_accounts) if found is not None else 0
            total = self._reach.count(account)
            self._observer.observe(AdsAccountsListed(account, region, count, total, reading.taken_over))


CANCEL_AGAIN = 1.0
"""Seconds until a task that goes on is cancelled again: a library may swallow the first time while it connects."""


async def _end(task: asyncio.Task[Any] | None) -> None:
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN)


# --- Unknown ids -------------------------------------------------------------------------------

MISS_INTERVAL = 10.0
"""Seconds between two early listings of one account."""
MAX_MISSES = 4096
MAX_ID = 128
"""Characters of an id that may be one of Amazon's: a longer one is in no list, and nothing is kept of it."""
MISS_MEMORY = 900.0
"""How long an id that an account turned out not to have makes no other early listing of it, in seconds."""


class EarlyListings:
    """Which early listings were made. `clock` gives seconds that never go back, `memory` is how long an id is known."""

    def __init__(self, clock: Callable[[], float], memory: float = MISS_MEMORY) -> None:
        self._clock = clock
        self._asked: TTLCache[str, set[str]] = TTLCache(MAX_MISSES, memory, timer=clock)
        self._listed_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<EarlyListings: {len(self._asked)} ids, {len(self._listed_at)} accounts>"

    def take(self, identifier: str, accounts: Iterable[str]) -> frozenset[str]:
        """The accounts, of those that may have this id, which are to be listed now; each counts as listed then."""
        if len(identifier) > MAX_ID:
            return frozenset()
        now, asked = self._clock(), self._asked.get(identifier, set())
        due = frozenset(
            account
            for account in accounts
            if account not in asked and now - self._listed_at.get(account, -MISS_INTERVAL) >= MISS_INTERVAL
        )
        if due:
            self._asked[identifier] = asked | due
            self._listed_at.update(dict.fromkeys(due, now))
        return due

    def keep(self, accounts: Iterable[str]) -> None:
        """Forget the accounts that are no more."""
        kept = frozenset(accounts)
        self._listed_at = {account: at for account, at in self._listed_at.items() if account in kept}


class TokenObserver:
    """An observer: a token that came of a sign-in, here or at another replica, or of a newly configured refresh token
    may be another person's, who has other profiles. Until it comes, the one before is listed with. Any token is told to
    `note_token`."""

    def __init__(self, list_again: Callable[[str], None], note_token: Callable[[str], None]) -> None:
        self._list_again, self._note_token = list_again, note_token
        self._awaited: set[str] = set()

    def observe(self, event: Event) -> None:
        if isinstance(event, RefreshTokenReplaced) and event.source != "rotated":
            self._awaited.add(event.account)
        elif isinstance(event, TokenRefreshed | TokenTakenOver):
            self._note_token(event.account)
            if event.account in self._awaited or (isinstance(event, TokenRefreshed) and event.trigger == "sign-in"):
                self._awaited.discard(event.account)
                self._list_again(event.account)
