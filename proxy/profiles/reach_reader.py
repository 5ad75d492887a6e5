"""Reads what a login reaches in addition to its usual profiles, and keeps what is known where reading fails.

Replicas that share a store read it once, as they do the usual profiles (`SharedLists`). When it is read is for
`directory`; `reach` has the lists and the look-ups.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import field, replace
from typing import TYPE_CHECKING, Protocol

from proxy.errors import NoUsableToken
from proxy.events import ProfilesFailed
from proxy.profiles.index import ListingFailure
from proxy.profiles.listing import ProfilesUnavailable
from proxy.profiles.reach import (
    Reach,
    ReachIndex,
    is_refusal,
    list_ads_accounts,
    list_hidden_profiles,
    list_linked_accounts,
)
from proxy.profiles.stored_lists import ADS_ACCOUNTS, SharedLists, attempt_after, failure_elsewhere
from proxy.tokens.leases import Urgency
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from proxy.events import Event
    from proxy.net.session import HttpSession
    from proxy.profiles.listing import Endpoint, ProfileSource
    from proxy.secret import Secret
    from proxy.tokens.leases import Lease, Leases


MAX_PARALLEL = 3
"""How many regions are read at once, of all accounts together: no request waits for these lists as for the usual
profiles."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What came of it: whether anything is other than before, whether another replica read it, what went wrong."""

    changed: bool
    taken_over: bool = False
    problem: ProfilesUnavailable | None = None


class ReachReader:
    """Keeps an index of what logins reach. The session is closed elsewhere; `random` gives 0 to 1. `tried` is told the
    account, region and kind of each reading that begins."""

    def __init__(
        self,
        session: HttpSession,
        leases: Leases[Reach],
        random: Callable[[], float],
        tried: Callable[[str, str, str], None] = lambda account, region, kind: None,
    ) -> None:
        self.index = ReachIndex()
        self.shared = SharedLists(leases)
        self._session, self._random, self._tried = session, random, tried
        self._slots = asyncio.Semaphore(MAX_PARALLEL)

    def __repr__(self) -> str:
        return f"<ReachReader: {self.index!r}>"

    async def read(
        self, watch: RegionWatch, get_token: TokenGetter, urgency: Urgency, is_current: Callable[[], bool]
    ) -> ReadResult:
        """Read one region, unless another replica reads it, or did. Raises `NoUsableToken`.

        What is read for a login that is the account's no more (`is_current`) is dropped. The wait for others may take
        longer than a token lives, and a 401 to an expired one would pass for a refusal: so the token comes behind it.
        """
        source, region = watch.source, watch.region
        async with self._slots:
            token = await get_token(source.account, hastens=urgency is not Urgency.PLANNED)
            self._tried(source.account, region, ADS_ACCOUNTS.kind)
            async with self.shared.lease(source, region, token.lineage, urgency) as lease:
                if lease.held_back is not None:
                    return ReadResult(changed=False, problem=failure_elsewhere(lease.held_back, awaited=False))
                if lease.shared is None:
                    return await self._ask(source, region, token, lease, is_current)
        is_news = self.shared.see(source, region, lease.shared.fence)
        changed = is_news and is_current() and self._put(source, region, lease.shared.value)
        return ReadResult(changed, taken_over=True)

    async def take_newest(self, source: ProfileSource, region: str, token: Token) -> ReadResult | None:
        """Take what another replica read since; None where there is nothing."""
        async with self._slots:
            shared = await self.shared.newest(source, region, token.lineage)
        return ReadResult(self._put(source, region, shared.value), taken_over=True) if shared is not None else None

    async def _ask(
        self, source: ProfileSource, region: str, token: Token, lease: Lease[Reach], is_current: Callable[[], bool]
    ) -> ReadResult:
        """Ask Amazon, with the right to it, and tell the fleet what came of it."""
        old = self.index.reading(source.account, region) or Reach(source.origin(region))
        reach, problem = await read_reach(self._session, source.endpoint(region, token.client_id), token.value, old)
        if not is_current():
            return ReadResult(changed=False, problem=problem)
        changed = (problem is None or reach != old) and self._put(source, region, reach)
        if problem is None:
            await self.shared.publish(lease, source, region, reach, token.lineage)
        else:
            await lease.fail(attempt_after(problem, lease.failed, self._random()))
        return ReadResult(changed, problem=problem)

    def _put(self, source: ProfileSource, region: str, reach: Reach) -> bool:
        if reach == self.index.reading(source.account, region):
            return False
        self.index.put(source.account, region, reach)
        return True


async def read_reach(
    session: HttpSession, endpoint: Endpoint, access_token: Secret, old: Reach
) -> tuple[Reach, ProfilesUnavailable | None]:
    """Ask one host for all that it lists. What fails stays as it was, and ends the reading: Amazon is left in peace.

    A list that is not for this login is empty.
    """
    read: dict[str, Any] = {}
    for name, read_list in (
        ("ads_accounts", list_ads_accounts),
        ("linked", list_linked_accounts),
        ("profiles", list_hidden_profiles),
    ):
        try:
            read[name] = await read_list(session, endpoint, access_token)
        except ProfilesUnavailable as failure:
            if not is_refusal(failure):
                return replace(old, **read), failure
            read[name] = ()
    return replace(old, **read), None


# --- One account in one region as the directory watches it -----------------------------------------------

REPORT_INTERVAL = 600.0
"""After how long a failure that is still the same is told again, in seconds."""
Problem = ProfilesUnavailable | NoUsableToken


class Token(Protocol):
    """An access token, as far as it matters here."""

    @property
    def value(self) -> Secret: ...

    @property
    def client_id(self) -> str: ...

    @property
    def lineage(self) -> str:
        """What tells the refresh token that it is for."""


class TokenGetter(Protocol):
    """Gives an account's access token, sooner where a request waits for what it is for; or raises `NoUsableToken`."""

    async def __call__(self, account: str, *, hastens: bool) -> Token: ...


@dataclass(slots=True)
class RegionWatch:
    """`heard`: another replica may have read these kinds of lists. Moments are on the directory's clock."""

    source: ProfileSource
    region: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    early_at: float | None = None
    """When it is to be listed on demand, though it is not due."""
    heard: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    listing: asyncio.Task[Problem | None] | None = None
    """The newest listing, under way or ended."""
    token: Token | None = None
    """The one that the newest listing is made with."""
    age: float = 0.0
    """How many seconds before it came here the newest list was read."""
    taken_at: float = -math.inf
    """When the newest list of another replica was read there."""
    failures: int = 0
    failure: ListingFailure | None = None
    reported: dict[type[Event], tuple[str, float]] = field(default_factory=dict)
    reach_failures: int = 0

    def hasten(self, now: float, gap: float) -> None:
        """List it on demand; not before the newest list of another replica is `gap` seconds old."""
        moment = max(now, self.taken_at + gap)
        self.early_at = moment if self.early_at is None else min(self.early_at, moment)
        self.wake.set()

    def take_over(self, age: float, now: float, gap: float) -> None:
        """Another replica's list came, `age` seconds after it was read: who waits for a newer one waits for the gap."""
        self.age, self.taken_at = age, now - age
        if self.early_at is not None:
            self.early_at = max(self.early_at, self.taken_at + gap)

    def is_news(self, kind: type[Event], detail: str, now: float) -> bool:
        """Whether a failure is to be told: once, and again only after a while."""
        before, at = self.reported.get(kind, ("", 0.0))
        if before == detail and now - at < REPORT_INTERVAL:
            return False
        self.reported[kind] = (detail, now)
        return True

    def note(self, problem: Problem | None, now: float) -> None:
        """How the last listing went; `now` is wall-clock time."""
        self.age = 0.0
        if problem is None:
            self.failures, self.failure = 0, None
            self.reported.pop(ProfilesFailed, None)
            return
        asked = isinstance(problem, ProfilesUnavailable)
        self.failures += 1
        self.failure = ListingFailure(
            self.source.account, self.region, problem.detail, now, problem.retryable, asked=asked
        )
