"""One account's side of a fleet's leases: how new the newest token is that was seen, and which one is wanted.

What a lease is, is in `leases`; what is done under one, in `credential`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.tokens.leases import Wanted
from proxy.tokens.store import fingerprint

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from proxy.secret import Secret
    from proxy.tokens.leases import Lease, Leases, Shared, Urgency
    from proxy.tokens.refresh_token import RefreshTokenKeeper
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import TokenSource

FLUSH = 2.0
"""Seconds that a new refresh token may take to be written before the access token is shared all the same."""


class Sharing:
    """Belongs to one credential. Each method is for the source and the refresh token that are in force then."""

    def __init__(self, leases: Leases[Grant]) -> None:
        self._leases = leases
        self._fence = 0

    def __repr__(self) -> str:
        return f"<Sharing: {self._fence}>"

    def lease(
        self, source: TokenSource, refresh_token: Secret, urgency: Urgency
    ) -> AbstractAsyncContextManager[Lease[Grant]]:
        """See `Leases.lease`."""
        return self._leases.lease(self._wanted(source, refresh_token), urgency)

    async def publish(self, lease: Lease[Grant], grant: Grant, keeper: RefreshTokenKeeper) -> None:
        """Shares what was granted under the lease, and before it the refresh token that belongs to it."""
        if lease.fence:
            await keeper.flush(FLUSH)
            self._see(await lease.publish(grant, fingerprint(keeper.refresh_token)))

    async def announce(self, source: TokenSource, grant: Grant, refresh_token: Secret | None) -> None:
        """Shares what a sign-in brought."""
        if refresh_token is not None:
            self._see(await self._leases.announce(self._wanted(source, refresh_token), grant))

    async def newest(self, source: TokenSource, refresh_token: Secret) -> Shared[Grant] | None:
        """See `Leases.newest`."""
        return await self._leases.newest(self._wanted(source, refresh_token))

    def is_news(self, shared: Shared[Grant]) -> bool:
        """Whether this one was not seen before; it is from now on."""
        known = self._fence
        self._see(shared.fence)
        return shared.fence > known

    def _see(self, fence: int) -> None:
        self._fence = max(self._fence, fence)

    def _wanted(self, source: TokenSource, refresh_token: Secret) -> Wanted:
        lineage = fingerprint(refresh_token)
        secrets = (source.client_secret, source.older_secret, source.older_refresh_token)
        sent = "".join((lineage, *map(fingerprint, secrets)))
        return Wanted(source.account, source.token_url, source.client_id, lineage, self._fence, sent)
