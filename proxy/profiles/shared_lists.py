"""Lists of one kind that a fleet shares: who of it asks Amazon, and what this replica has seen of what others listed.

A replica that is to list takes the lease of account and address, as for an access token (`tokens.leases`), or is handed
the list that another read meanwhile. Where there is no fleet, or it cannot be heard, each lists for itself. When to
list is for `directory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from proxy.profiles.listing import ProfilesUnavailable
from proxy.profiles.pacing import next_listing
from proxy.tokens.leases import FailedAttempt, T, Wanted

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from proxy.profiles.source import ProfileSource
    from proxy.tokens.leases import Lease, Leases, Listener, Shared, Urgency

_NO_ANSWER = "no-list"


class SharedLists(Generic[T]):
    """Belongs to one directory. `lineage` is that of the access token that is asked with."""

    def __init__(self, leases: Leases[T]) -> None:
        self._leases = leases
        self._known: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<SharedLists: {len(self._known)} seen, {self._leases!r}>"

    def follow(self, listener: Listener) -> None:
        """See `Leases.follow`."""
        self._leases.follow(listener)

    def lease(
        self, source: ProfileSource, region: str, lineage: str, urgency: Urgency
    ) -> AbstractAsyncContextManager[Lease[T]]:
        """See `Leases.lease`."""
        return self._leases.lease(self._wanted(source, region, lineage), urgency)

    async def newest(self, source: ProfileSource, region: str, lineage: str) -> Shared[T] | None:
        """What another replica listed since this one last saw a list; it is seen from now on."""
        shared = await self._leases.newest(self._wanted(source, region, lineage))
        return shared if shared is not None and self.see(source, region, shared.fence) else None

    async def publish(self, lease: Lease[T], source: ProfileSource, region: str, value: T, lineage: str) -> None:
        """Share what was listed under the lease."""
        self.see(source, region, await lease.publish(value, lineage))

    async def forget(self, source: ProfileSource, region: str) -> None:
        """The account is gone, or asks elsewhere now: what is kept of it goes."""
        self._known.pop((source.account, region), None)
        await self._leases.forget(self._wanted(source, region, ""))

    def see(self, source: ProfileSource, region: str, fence: int) -> bool:
        """Whether this one is newer than all that were seen; it is seen from now on."""
        known = self._known.get((source.account, region), 0)
        if fence > known:
            self._known[source.account, region] = fence
        return fence > known

    def _wanted(self, source: ProfileSource, region: str, lineage: str) -> Wanted:
        known = self._known.get((source.account, region), 0)
        return Wanted(source.account, source.api_urls[region], source.client_id, lineage, known, sent=lineage)


def attempt_after(error: ProfilesUnavailable, before: FailedAttempt | None, chance: float) -> FailedAttempt:
    """What the fleet is told of a listing that failed, the next in a row after `before`. Pure; `chance` is 0 to 1."""
    failures = (before.failures if before is not None else 0) + 1
    wait = next_listing(failures, error.retry_after, chance)
    sooner = next_listing(failures, error.retry_after, chance, awaited=True)
    return FailedAttempt(str(error.status or _NO_ANSWER), not error.retryable, failures, wait, sooner)


def failure_elsewhere(attempt: FailedAttempt, *, awaited: bool) -> ProfilesUnavailable:
    """Why this replica may not list yet. Pure."""
    pause = attempt.sooner if awaited else attempt.wait
    if not attempt.reason.isdecimal():
        return ProfilesUnavailable("another replica got no list from Amazon", retry_after=pause)
    told = f"another replica was answered {attempt.reason} by Amazon"
    return ProfilesUnavailable(told, retry_after=pause, retryable=not attempt.permanent, status=int(attempt.reason))
