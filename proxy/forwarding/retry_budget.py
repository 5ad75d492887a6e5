"""How much more than they were asked for Amazon's hosts may be sent: a tenth. Decides nothing beyond that.

Each request earns a tenth of a retry, a retry costs one, so that a bad minute of a host is not made worse by everything
being sent twice. A little comes back with time, so that a quiet proxy may retry as well.
"""

from __future__ import annotations

from proxy.token_bucket import TokenBucket

EARNED = 0.1
MAX_EARNED = 20.0
"""Retries; what a busy hour saved is not spent in one storm."""
FLOOR = 10.0
FLOOR_INTERVAL = 10.0
"""So many retries whatever the traffic, and one more each ten seconds."""


class RetryBudget:
    """That of one host. Moments are of a clock that never runs backwards, in seconds."""

    __slots__ = ("_earned", "_floor")

    def __init__(self, now: float) -> None:
        self._earned = 0.0
        self._floor = TokenBucket.full(FLOOR, FLOOR_INTERVAL, now)

    def __repr__(self) -> str:
        return f"<RetryBudget: {self._earned:.1f} earned, {self._floor.level:.1f} given>"

    def earn(self) -> None:
        """A request was sent for the first time."""
        if self._earned < MAX_EARNED:
            self._earned += EARNED

    def affords(self, now: float) -> bool:
        """Whether one more retry can be paid."""
        return self._earned >= 1 or self._floor.wait(now) == 0

    def spend(self, now: float) -> None:
        """Pay a retry that `affords` allowed: from what was earned first."""
        if self._earned >= 1:
            self._earned -= 1
        else:
            self._floor = self._floor.take(now) or self._floor


class RetryBudgets:
    """Each host's, by its Host line; there are no more hosts than a configuration names."""

    def __init__(self) -> None:
        self._by_host: dict[bytes, RetryBudget] = {}

    def __repr__(self) -> str:
        return f"<RetryBudgets of {len(self._by_host)} hosts>"

    def of(self, host_line: bytes, now: float) -> RetryBudget:
        found = self._by_host.get(host_line)
        if found is None:
            found = self._by_host[host_line] = RetryBudget(now)
        return found
