"""How much more than they were asked for Amazon's hosts may be sent: a budget of retries for each host."""

from __future__ import annotations

from proxy.token_bucket import TokenBucket

EARNED = 0.1
MAX_EARNED = 20.0
"""Retries; what a busy hour saved is not spent in one storm."""
FLOOR = 10.0
FLOOR_INTERVAL = 10.0
"""So many retries whatever the traffic, and one more each ten seconds."""


class RetryBudget:
    """The budget of retries of one host. Moments are of a clock that never runs backwards, in seconds. `promised` are
    the retries that `affords` allowed, and that wait for a connection."""

    __slots__ = ("_earned", "_floor", "promised")

    def __init__(self, now: float) -> None:
        self._earned = 0.0
        self._floor = TokenBucket.full(FLOOR, FLOOR_INTERVAL, now)
        self.promised = 0

    def __repr__(self) -> str:
        return f"<RetryBudget: {self._earned:.1f} earned, {self._floor.level:.1f} given>"

    def earn(self) -> None:
        """A request was sent for the first time."""
        if self._earned < MAX_EARNED:
            self._earned += EARNED

    def affords(self, now: float) -> bool:
        """Whether one more retry can be paid."""
        return int(self._earned) + int(self._floor.level_at(now)) > self.promised

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
