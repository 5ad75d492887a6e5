"""Whether a 401 of Amazon's is a reason to ask for another access token. Decisions, and the bounded memory behind them.

A 401 can be about the token or about what it was presented for, and the answer tells only if it is about the Scope.
All others are judged by the use that got them: one that was accepted before, or a second one after the first, is
believed at once; one that never worked is believed a few times. Each spends an allowance of its own, so that a client
with a foreign Scope takes nothing from the others.
"""

from __future__ import annotations

from cachetools import FIFOCache, LRUCache

from proxy.token_bucket import TokenBucket
from proxy.value_classes import dataclass

MAX_REMEMBERED = 1024
WATCHFUL = 900.0
"""Seconds after a 401 for which it is of interest which uses of a token are accepted."""


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Who presented a token, and for which profile or ads account; each is empty where there is none."""

    client: str
    advertiser: str


def renewals_for_401(now: float) -> TokenBucket:
    """How many renewals 401s may still cause: five at once, and one more each half minute.

    A 401 may be about the Scope; a client that keeps sending a foreign one must not hammer the token endpoint.
    """
    return TokenBucket.full(5.0, 30.0, now)


class TokenRejections:
    """The 401s of one account's token, and the renewals that they may still cause. Any one clock gives the moments.

    Three allowances bound what can be asked for: each use has one; those that were never accepted share one, and those
    of them that fail as the second with a token share another. So strangers' 401s, however many names they come under,
    cost two renewals each half minute at most.
    """

    def __init__(self, now: float) -> None:
        self._own: LRUCache[TokenUse, TokenBucket] = LRUCache(MAX_REMEMBERED)
        self._first = self._second = renewals_for_401(now)
        self._accepted: FIFOCache[TokenUse, None] = FIFOCache(MAX_REMEMBERED)
        self._rejected: tuple[int, TokenUse | None] = (0, None)
        self.unresolved_use: TokenUse | None = None
        """The use of the cached token that got a 401 although no other token is available; None once one is
        accepted."""

    def __repr__(self) -> str:
        return f"<TokenRejections: {len(self._own)} uses rejected, {len(self._accepted)} accepted>"

    def accepted(self, use: TokenUse) -> None:
        """Amazon took the token for this."""
        if use not in self._accepted:
            self._accepted[use] = None

    def rejected(self, use: TokenUse, generation: int) -> None:
        """Amazon answered 401 to this use of the token of this generation."""
        if generation > self._rejected[0]:
            self._rejected = (generation, use)

    def add_unresolved(self, use: TokenUse) -> bool:
        """A 401 that no other token cures. Tells whether the cached token is certainly dead: a use that was accepted
        before got it, or a second one, and none was accepted in between."""
        first, self.unresolved_use = self.unresolved_use, use
        return use in self._accepted or first not in (use, None)

    def confirms(self, use: TokenUse, now: float) -> bool:
        """Whether the 401 that was told last is a reason to ask for another token."""
        if self._own_of(use, now).wait(now) > 0:
            return False
        shared = self._second if self._is_second(use) else self._first
        return use in self._accepted or shared.wait(now) == 0

    def spend(self, use: TokenUse, now: float) -> None:
        """Another token is asked for, for this use's sake, which `confirms`."""
        own = self._own_of(use, now)
        self._own[use] = own.take(now) or own
        if use in self._accepted:
            return
        if self._is_second(use):
            self._second = self._second.take(now) or self._second
        else:
            self._first = self._first.take(now) or self._first

    def _own_of(self, use: TokenUse, now: float) -> TokenBucket:
        return self._own.get(use) or renewals_for_401(now)

    def _is_second(self, use: TokenUse) -> bool:
        return self._rejected[1] not in (use, None)
