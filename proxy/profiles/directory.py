"""The profile directory: what every account reaches in every region, listed in the background and served stale.

It implements `routing.Directory`. Requests only look into memory; a profile or ads account that nobody knows makes one
early listing, rate-limited. What is known is kept by `kept_lists`, so that a restart knows it at once. The usual
profiles come first: what their answer means is in `listing`, the look-ups are in `index`. Ads accounts and what else a
login reaches are read after them, by `reach_reader`; their look-ups are in `reach`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from proxy.errors import NoUsableToken
from proxy.events import (
    AdsAccountsFailed,
    AdsAccountsListed,
    DefaultProfileChanged,
    Observer,
    ProfilesFailed,
    ProfilesListed,
)
from proxy.profiles.index import ListingFailure, ProfileIndex, ProfileListing, document_of, pin
from proxy.profiles.kept_lists import REACH_DOCUMENT, KeptLists
from proxy.profiles.listing import Profile, ProfilesUnavailable, list_profiles
from proxy.profiles.misses import Misses
from proxy.profiles.pacing import Pacing, next_listing
from proxy.profiles.reach_reader import ReachReader
from proxy.profiles.source import ProfileSource
from proxy.profiles.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    import aiohttp

    from proxy.profiles import reach
    from proxy.profiles.kept_lists import Documents
    from proxy.profiles.watch import Problem, Token
    from proxy.secret import Secret

__all__ = ["Pacing", "Profile", "ProfileDirectory", "ProfileSource", "ProfilesUnavailable", "list_profiles"]

MAX_PARALLEL = 6
_ADS_ACCOUNT = re.compile(r"[A-Za-z0-9._:-]{1,128}")
REPORT_INTERVAL = 600.0
"""After how long a failure that is still the same is told again, in seconds."""


class ProfileDirectory:
    """Keeps an index of profiles current. `token` gives an account's access token, or raises `NoUsableToken`.

    `start`, `reconfigure` and `stop` are called one after another. The session belongs to the caller.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: Callable[[str], Awaitable[Token]],
        documents: Documents,
        observer: Observer,
        pacing: Pacing | None = None,
    ) -> None:
        self._session = session
        self._token = token
        self._observer = observer
        self._pacing = pacing or Pacing()
        self._index = ProfileIndex()
        self._reader = ReachReader(session)
        self._watches: dict[tuple[str, str], Watch] = {}
        self._listings: set[asyncio.Task[Problem | None]] = set()
        self._slots = asyncio.Semaphore(MAX_PARALLEL)
        self._misses = Misses(self._pacing.clock)
        self._kept = KeptLists(documents, self._index, self._reader.index, self._pacing)

    def __repr__(self) -> str:
        tasks = f"{len(self._watches)} watched, {len(self._listings)} being listed"
        return f"<ProfileDirectory: {tasks}, {self._index!r}, {self._reader!r}>"

    @property
    def version(self) -> int:
        """Another one after each change."""
        return self._kept.version

    # --- look-ups: routing's Directory

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """Who lists a profile. One that nobody does makes an early listing of the account, of all where it is empty.

        An account whose usual list has it is not asked what its other lists say.
        """
        found = self._index.owners(profile)
        if further := self._reader.index.owners(profile):
            listed = {name for name, _ in found}
            return (*found, *(owner for owner in further if owner[0] not in listed))
        if not found and profile.isdecimal():
            self._miss(profile, account)
        return found

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """Who reaches an ads account or advertiser, in every region where it lives; a miss is as that of a profile."""
        found = self._reader.index.ads_account_owners(identifier)
        if not found and _ADS_ACCOUNT.fullmatch(identifier):
            self._miss(f"ads account {identifier}", account)
        return found

    def first(self, account: str, region: str) -> str | None:
        """The pinned first profile; empty where none is listed, None while nothing is known."""
        return self._index.first(account, region)

    def failure(self, account: str, region: str) -> ListingFailure | None:
        """Why the last listing failed, if it did."""
        watch = self._watches.get((account, region))
        return watch.failure if watch is not None else None

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
        return self._reader.index.reading(account, region)

    def ads_accounts(self, account: str | None = None) -> tuple[reach.KnownAdsAccount, ...]:
        """The ads accounts and linked advertisers of one account, or of all."""
        return self._reader.index.snapshot(account)

    def ads_account_counts(self) -> Mapping[tuple[str, str], int]:
        """How many ads accounts are listed, by account and region; what was not read yet is missing."""
        return self._reader.index.counts()

    def _miss(self, key: str, account: str) -> None:
        """Read lists again, off the request's path."""
        for name in self._misses.take(key, (account,) if account else {name for name, _ in self._watches}):
            self.list_again(name)

    # --- start, change, stop

    async def start(self, sources: Iterable[ProfileSource]) -> None:
        """Take what the store knows, and begin to list."""
        wanted = {source.account: source for source in sources}
        await self._kept.load(wanted)
        self._kept.begin()
        await self.reconfigure(wanted.values())

    async def reconfigure(self, sources: Iterable[ProfileSource]) -> None:
        """Follow a new configuration: what did not change goes on as it was."""
        wanted = {(source.account, region): source for source in sources for region in source.api_urls}
        for key, watch in list(self._watches.items()):
            if wanted.get(key) != watch.source:
                await _end(self._watches.pop(key).task)
            if key not in wanted or wanted[key].origin(key[1]) != watch.source.origin(key[1]):
                self._index.drop(*key)
                self._reader.index.drop(*key)
                self._kept.changed(document_of(key[0]), REACH_DOCUMENT)
        self._misses.keep(account for account, _ in wanted)
        for (account, region), source in wanted.items():
            if (account, region) not in self._watches:
                watch = self._watches[account, region] = Watch(source, region)
                watch.task = asyncio.create_task(self._keep_current(watch))

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
        ended = await asyncio.gather(*(self._list(watch, again=False) for watch in watches))
        failures = [error for error in ended if error is not None]
        if failures and len(failures) == len(watches):
            raise failures[0]
        return tuple(entry for entry in self.snapshot() if entry[0] == account)

    def list_again(self, account: str) -> None:
        """Somebody else may have signed in for this account: list it again soon."""
        for (name, _), watch in self._watches.items():
            if name == account:
                watch.wake.set()

    # --- listing

    async def _keep_current(self, watch: Watch) -> None:
        while True:
            watch.wake.clear()
            error = await self._list(watch) or await self._read_reach(watch)
            # Without a token Amazon was not asked: to look again soon costs nothing, and a sign-in is noticed at once.
            failures = 1 if isinstance(error, NoUsableToken) else watch.failures or watch.reach_failures
            awaited, retry_after = False, None
            if isinstance(error, ProfilesUnavailable):
                awaited, retry_after = self._is_awaited(watch), error.retry_after
            delay = next_listing(failures, retry_after, self._pacing.random(), awaited=awaited)
            if isinstance(error, ProfilesUnavailable):
                self._report_failure(watch, error, delay)
            await self._pacing.pause(delay, watch.wake)

    def _is_awaited(self, watch: Watch) -> bool:
        return watch.source.pins_first and self._index.first(watch.source.account, watch.region) is None

    async def _list(self, watch: Watch, *, again: bool = True) -> Problem | None:
        """List once, or wait for the listing under way. Returns what went wrong: what was known stays in use then.

        Without `again`, a listing that succeeded with the access token of now will do.
        """
        try:
            access_token = (await self._token(watch.source.account)).value
        except NoUsableToken as error:
            watch.note(error, self._pacing.wall())
            return error
        newest = watch.listing
        if newest is not None and watch.access_token == access_token:
            if not newest.done():
                return await asyncio.shield(newest)
            if not again and watch.failure is None:
                return None
        watch.access_token = access_token
        watch.listing = asyncio.create_task(self._list_with(watch, access_token))
        self._listings.add(watch.listing)
        watch.listing.add_done_callback(self._listings.discard)
        return await asyncio.shield(watch.listing)

    async def _list_with(self, watch: Watch, access_token: Secret) -> Problem | None:
        source, region = watch.source, watch.region
        problem: Problem | None = None
        profiles: tuple[Profile, ...] = ()
        try:
            async with self._slots:
                profiles = await list_profiles(self._session, source.endpoint(region), access_token)
        except ProfilesUnavailable as error:
            problem = error
        if watch.listing is asyncio.current_task():  # else a newer token has been listed with since
            watch.note(problem, self._pacing.wall())
            if problem is None and self._watches.get((source.account, region)) is watch:
                self._take(source, region, profiles)
        return problem

    def _take(self, source: ProfileSource, region: str, profiles: tuple[Profile, ...]) -> None:
        old = self._index.listing(source.account, region)
        pinned = old.first if old is not None else ""
        first = pin(profiles, pinned)
        if old is None or old.profiles != profiles:
            self._index.put(
                source.account, region, ProfileListing(source.origin(region), profiles, first, self._pacing.wall())
            )
            self._kept.changed(document_of(source.account))
        self._observer.observe(ProfilesListed(source.account, region, len(profiles)))
        if source.pins_first and pinned and first != pinned:
            self._observer.observe(DefaultProfileChanged(source.account, region, pinned, first))

    def _report_failure(self, watch: Watch, error: ProfilesUnavailable, retry_in: float) -> None:
        """A failure is told once, and again only after a while. A missing token is told by those who obtain tokens."""
        now, kind = self._pacing.clock(), ProfilesFailed if watch.failures else AdsAccountsFailed
        detail, at = watch.reported.get(kind, ("", 0.0))
        if detail != error.detail or now - at >= REPORT_INTERVAL:
            watch.reported[kind] = (error.detail, now)
            self._observer.observe(kind(watch.source.account, watch.region, error.detail, retry_in))

    async def _read_reach(self, watch: Watch) -> ProfilesUnavailable | None:
        """Read what the account reaches beside what was just listed, with the same access token."""
        source, region, token = watch.source, watch.region, watch.access_token
        if token is None:
            return None
        changed, problem = await self._reader.read(
            source,
            region,
            token,
            lambda: watch.access_token == token and self._watches.get((source.account, region)) is watch,
        )
        if changed:
            self._kept.changed(REACH_DOCUMENT)
        watch.reach_failures += 1
        if problem is None:
            watch.reach_failures = 0
            watch.reported.pop(AdsAccountsFailed, None)
            found = self._reader.index.reading(source.account, region)
            count = len(found.ads_accounts) if found is not None else 0
            total = self._reader.index.count(source.account)
            self._observer.observe(AdsAccountsListed(source.account, region, count, total))
        return problem


async def _end(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait((task,))
