"""All accounts at a glance: how many are in which state, and which of them need somebody.

What is said of a single account is for `status`. With ten thousand accounts a survey takes a tenth of a second of CPU,
so it is made in pieces, and one that took long is kept for a while.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.admin.pauses import Pauses
from proxy.tokens.consent import phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.admin.view import AdminView
    from proxy.tokens.values import CredentialStatus

PAGE: Final = 50
"""Accounts on a page of `/status` and of the console."""
PAGE_PROFILES: Final = 2000
"""A page ends early where its accounts have more profiles than that."""
_CALM: Final = ("valid", "pending")
_CONSENT_ENDS: Final = ("ending", "ended")
_KEPT: Final = 10
"""A survey is good for so many times as long as it took."""


@dataclass(frozen=True, slots=True)
class Survey:
    """`names` of all accounts, and of those that need `attention`, each in order. `states` counts accounts by state,
    `serving` those that have a token."""

    names: tuple[str, ...]
    attention: tuple[str, ...]
    states: Mapping[str, int]
    serving: int

    def after(self, name: str, profiles: Mapping[str, int]) -> tuple[tuple[str, ...], str | None]:
        """A page: the names that follow this one, and what leads to the next page, None at the end.

        `profiles` says how many profiles an account has.
        """
        start = bisect_right(self.names, name) if name else 0
        page: list[str] = []
        rows = 0
        for each in self.names[start : start + PAGE]:
            rows += profiles[each]
            if page and rows > PAGE_PROFILES:
                break
            page.append(each)
        left = start + len(page) < len(self.names)
        return tuple(page), page[-1] if page and left else None


class Surveys:
    """Makes surveys, one at a time."""

    def __init__(self, view: AdminView) -> None:
        self._view = view
        self._making = asyncio.Lock()
        self._newest: Survey | None = None
        self._good_until = 0.0

    def __repr__(self) -> str:
        return f"<Surveys of {len(self._newest.names) if self._newest else 0} accounts>"

    async def newest(self) -> Survey:
        """One of now, or of a moment ago."""
        async with self._making:
            if self._newest is None or time.monotonic() >= self._good_until:
                began = time.monotonic()
                self._newest = await _survey(self._view, time.time())
                ended = time.monotonic()
                self._good_until = ended + _KEPT * (ended - began)
            return self._newest


async def _survey(view: AdminView, now: float) -> Survey:
    pause, states, serving = Pauses(), Counter[str](), 0
    names: list[str] = []
    attention: list[str] = []
    for name in sorted(view.accounts()):
        await pause()
        status = view.credential(name)
        if status is None:  # removed meanwhile
            continue
        names.append(name)
        states[status.state] += 1
        serving += is_serving(status, now)
        if needs_somebody(status, now) or view.listing_failures(name):
            attention.append(name)
    return Survey(tuple(names), tuple(attention), dict(states), serving)


def is_serving(status: CredentialStatus, now: float) -> bool:
    """Whether requests for the account are sent: its access token lives, and Amazon takes it. Pure."""
    return status.expires_at is not None and status.expires_at > now and not status.refused


def needs_somebody(status: CredentialStatus, now: float) -> bool:
    """Whether an account's login has something that a person should know. Pure."""
    return (
        status.state not in _CALM
        or not status.has_refresh_token
        or status.unpersisted
        or status.older_secret_in_use
        or phase(status.consent, now) in _CONSENT_ENDS
    )
