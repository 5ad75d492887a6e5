"""Whose first lists are still to be read. A request for an unlisted profile or ads account waits for them, as they may
show that it goes to another region.

No request waits for long: neither for a list that was tried for `LONGEST_WAIT` seconds, nor for one that Amazon
refuses, nor for an account that has no access token to list with. What is listed when is for `directory`.
"""

from __future__ import annotations

import asyncio
import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.profiles.listing import ListingSchedule

LONGEST_WAIT: Final = 5.0
"""Seconds: for so long a first list is tried, or a request waits, before the request goes by what is known."""
_PASSING: Final = frozenset((408, 425, 429))


class FirstLists(StrEnum):
    """What became of the first lists of an account."""

    SETTLED = "settled"
    """The first lists were read, taken over from the store, or tried for long enough."""
    AWAITED = "awaited"
    WITHOUT_TOKEN = "without-token"  # noqa: S105 - no secret
    """The first lists are still to be read, and there is no access token to read them with."""


def is_refusal(status: int) -> bool:
    """Whether an answer of Amazon's, instead of a list, would be the same soon. Pure; 0 stands for no answer."""
    return 400 <= status < 500 and status not in _PASSING


@dataclass(frozen=True, slots=True)
class AwaitedId:
    """The profile, or else the ads account, that a request names and no list has; one of these `accounts` may have
    it."""

    accounts: tuple[str, ...]
    profile: str = ""
    ads_account: str = ""


class AwaitedLists:
    """The first lists that are awaited, by account, region and kind. Moments are on the clock of the schedule."""

    def __init__(self, schedule: ListingSchedule) -> None:
        self._schedule = schedule
        self._until: dict[str, dict[tuple[str, str], float]] = {}
        """When the wait for a list is over; infinite before the first try."""
        self._without_token: set[str] = set()
        self._first_try_at = math.inf
        self._moved = asyncio.Event()

    def __repr__(self) -> str:
        return f"<AwaitedLists of {len(self._until)} accounts, {len(self._without_token)} without a token>"

    # --- what happens to lists

    def expect(self, account: str, region: str, kind: str) -> None:
        """A list is to be read for the first time."""
        self._until.setdefault(account, {}).setdefault((region, kind), math.inf)

    def tried(self, account: str, region: str, kind: str) -> None:
        """A list is about to be asked for, or waited for because another replica asks. Only the first try counts."""
        lists, now = self._until.get(account, {}), self._schedule.clock()
        if lists.get((region, kind)) == math.inf:
            lists[region, kind] = now + LONGEST_WAIT
            self._first_try_at = min(self._first_try_at, now)
            self._wake()

    def settle(self, account: str, region: str, kind: str) -> None:
        """A list was read, or Amazon refuses it."""
        lists = self._until.get(account)
        if lists is not None and lists.pop((region, kind), None) is not None:
            self._forget_if_settled(account, lists)

    def drop(self, account: str, region: str) -> None:
        """The lists of an account in a region are no longer wanted."""
        lists = self._until.get(account, {})
        for key in [key for key in lists if key[0] == region]:
            del lists[key]
        self._forget_if_settled(account, lists)

    def lack_token(self, account: str) -> None:
        """Note that there is no access token to list with."""
        if account in self._until and account not in self._without_token:
            self._without_token.add(account)
            self._wake()

    def got_token(self, account: str) -> bool:
        """Note that there is an access token. Returns whether lists were held up by the lack of one."""
        lacked = account in self._without_token
        self._without_token.discard(account)
        return lacked

    def _forget_if_settled(self, account: str, lists: dict[tuple[str, str], float]) -> None:
        if not lists:
            self._until.pop(account, None)
            self._without_token.discard(account)
        self._wake()

    def _wake(self) -> None:
        """Have all that wait look again. Later ones wait for the next event."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # --- who waits

    @property
    def settled(self) -> bool:
        """Whether there is no list that anybody could wait for."""
        return not self._until

    def state(self, account: str) -> FirstLists:
        """What became of the first lists of an account."""
        lists = self._until.get(account)
        if lists is None or max(lists.values()) <= self._schedule.clock():
            return FirstLists.SETTLED
        return FirstLists.WITHOUT_TOKEN if account in self._without_token else FirstLists.AWAITED

    async def wait(self, accounts: tuple[str, ...], is_found: Callable[[], bool]) -> None:
        """Return when a list has what is looked for, when no first list of these accounts is awaited any more, or after
        `LONGEST_WAIT` seconds."""
        end = self._schedule.clock() + LONGEST_WAIT
        while (left := min(end, self._last_until(accounts)) - self._schedule.clock()) > 0 and not is_found():
            await self._schedule.pause(left, self._moved)

    def _last_until(self, accounts: tuple[str, ...]) -> float:
        awaited = (name for name in accounts if name in self._until and name not in self._without_token)
        return max((until for name in awaited for until in self._until[name].values()), default=-math.inf)

    def has_all(self, kind: str) -> bool:
        """Whether the first lists of a kind are settled, of all accounts that could be listed, or the first try was
        `LONGEST_WAIT` seconds ago."""
        now = self._schedule.clock()
        if now >= self._first_try_at + LONGEST_WAIT:
            return True
        able = (lists for account, lists in self._until.items() if account not in self._without_token)
        return not any(until > now for lists in able for (_, each), until in lists.items() if each == kind)
