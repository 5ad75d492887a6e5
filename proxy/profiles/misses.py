"""Ids that nobody knows: for which of them, and of which accounts, the lists are read again early.

Bounded in what it holds, whatever is asked for: something is only remembered when an account is to be listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import TTLCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MISS_INTERVAL = 10.0
"""Seconds between two early listings of one account."""
MAX_MISSES = 4096
MISS_MEMORY = 900.0
"""How long an id that an account turned out not to have makes no other early listing of it, in seconds."""


class Misses:
    """Which early listings were made. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked: TTLCache[str, set[str]] = TTLCache(MAX_MISSES, MISS_MEMORY, timer=clock)
        self._listed_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Misses: {len(self._asked)} ids, {len(self._listed_at)} accounts>"

    def take(self, identifier: str, accounts: Iterable[str]) -> frozenset[str]:
        """The accounts, of those that may have this id, which are to be listed now; each counts as listed then."""
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
