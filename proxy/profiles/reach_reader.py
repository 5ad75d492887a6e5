"""Reading what a login reaches beside its usual profiles, region by region, and keeping what is known where that fails.

Replicas that share a store read it once, as they do the usual profiles (`shared_lists`). When it is read is for
`directory`; what the lists are is in `ads_accounts`, the look-ups are in `reach`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.profiles.ads_accounts import is_refusal, list_ads_accounts, list_hidden_profiles, list_linked_accounts
from proxy.profiles.listing import ProfilesUnavailable
from proxy.profiles.reach import Reach, ReachIndex
from proxy.profiles.shared_lists import SharedLists, attempt_after, failure_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import aiohttp

    from proxy.profiles.listing import Endpoint
    from proxy.profiles.region_watch import Token
    from proxy.profiles.source import ProfileSource
    from proxy.secret import Secret
    from proxy.tokens.leases import Lease, Leases, Urgency

MAX_PARALLEL = 3
"""So many regions are read at once, of all accounts: nobody waits for these lists as for the usual profiles."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of it: whether anything is other than before, whether another replica read it, what went wrong."""

    changed: bool
    taken_over: bool = False
    problem: ProfilesUnavailable | None = None


class ReachReader:
    """Keeps an index of what logins reach. The session belongs to the caller; `random` gives 0 to 1."""

    def __init__(self, session: aiohttp.ClientSession, leases: Leases[Reach], random: Callable[[], float]) -> None:
        self.index = ReachIndex()
        self.shared = SharedLists(leases)
        self._session, self._random = session, random
        self._slots = asyncio.Semaphore(MAX_PARALLEL)

    def __repr__(self) -> str:
        return f"<ReachReader: {self.index!r}>"

    async def read(
        self, source: ProfileSource, region: str, token: Token, urgency: Urgency, is_current: Callable[[], bool]
    ) -> Reading:
        """Read one region, unless another replica reads it, or did.

        What is read with a token that is the account's no more (`is_current`) is dropped.
        """
        async with self._slots, self.shared.lease(source, region, token.lineage, urgency) as lease:
            if lease.held_back is not None:
                return Reading(changed=False, problem=failure_elsewhere(lease.held_back, awaited=False))
            if lease.shared is None:
                return await self._ask(source, region, token, lease, is_current)
        is_news = self.shared.see(source, region, lease.shared.fence)
        changed = is_news and is_current() and self._put(source, region, lease.shared.value)
        return Reading(changed, taken_over=True)

    async def take_newest(self, source: ProfileSource, region: str, token: Token) -> Reading | None:
        """Take what another replica read since; None where there is nothing."""
        async with self._slots:
            shared = await self.shared.newest(source, region, token.lineage)
        return Reading(self._put(source, region, shared.value), taken_over=True) if shared is not None else None

    async def _ask(
        self, source: ProfileSource, region: str, token: Token, lease: Lease[Reach], is_current: Callable[[], bool]
    ) -> Reading:
        """Ask Amazon, with the right to it, and tell the fleet what came of it."""
        old = self.index.reading(source.account, region) or Reach(source.origin(region))
        reach, problem = await read_reach(self._session, source.endpoint(region), token.value, old)
        if not is_current():
            return Reading(changed=False, problem=problem)
        changed = self._put(source, region, reach)
        if problem is None:
            await self.shared.publish(lease, source, region, reach, token.lineage)
        else:
            await lease.fail(attempt_after(problem, lease.failed, self._random()))
        return Reading(changed, problem=problem)

    def _put(self, source: ProfileSource, region: str, reach: Reach) -> bool:
        if reach == self.index.reading(source.account, region):
            return False
        self.index.put(source.account, region, reach)
        return True


async def read_reach(
    session: aiohttp.ClientSession, endpoint: Endpoint, access_token: Secret, old: Reach
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
