"""Reading what a login reaches beside its usual profiles, region by region, and keeping what is known where that fails.

When it is read is for `directory`; what the lists are is in `ads_accounts`, the look-ups are in `reach`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.profiles.ads_accounts import is_refusal, list_ads_accounts, list_hidden_profiles, list_linked_accounts
from proxy.profiles.listing import ProfilesUnavailable
from proxy.profiles.reach import Reach, ReachIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import aiohttp

    from proxy.profiles.listing import Endpoint
    from proxy.profiles.source import ProfileSource
    from proxy.secret import Secret

MAX_PARALLEL = 3
"""So many regions are read at once, of all accounts: nobody waits for these lists as for the usual profiles."""


class ReachReader:
    """Keeps an index of what logins reach. The session belongs to the caller."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.index = ReachIndex()
        self._session = session
        self._slots = asyncio.Semaphore(MAX_PARALLEL)

    def __repr__(self) -> str:
        return f"<ReachReader: {self.index!r}>"

    async def read(
        self, source: ProfileSource, region: str, access_token: Secret, is_current: Callable[[], bool]
    ) -> tuple[bool, ProfilesUnavailable | None]:
        """Read one region. Returns whether that changed anything, and what went wrong.

        What is read with a token that is the account's no more (`is_current`) is dropped.
        """
        origin = source.origin(region)
        async with self._slots:
            old = self.index.reading(source.account, region) or Reach(origin)
            reach, problem = await read_reach(self._session, source.endpoint(region), access_token, old)
        if not is_current() or (reach == old and self.index.reading(source.account, region) is not None):
            return False, problem
        self.index.put(source.account, region, reach)
        return True, problem


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
