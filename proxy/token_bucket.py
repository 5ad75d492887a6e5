"""A token bucket: so many at once, and one more each interval. Pure: the time is an argument, a new bucket comes out.

What it counts are permits; they have nothing to do with access tokens.
"""

from __future__ import annotations

from proxy.unchanging import unchanging


@unchanging
class TokenBucket:
    """A bucket of `capacity` tokens that held `level` of them at the time `at`. One returns each `interval` seconds.

    Times are of any clock, as long as it is one and the same. Where it goes back, nothing is given and nothing lost.
    """

    capacity: float
    interval: float
    level: float
    at: float

    @classmethod
    def full(cls, capacity: float, interval: float, now: float) -> TokenBucket:
        """A bucket from which nothing was taken yet."""
        return cls(capacity, interval, capacity, now)

    def level_at(self, now: float) -> float:
        """How many there are at this time."""
        passed = now - self.at
        level = self.level + passed / self.interval if passed > 0 else self.level
        return min(self.capacity, level)

    def take(self, now: float) -> TokenBucket | None:
        """The bucket after one was taken, or None where there is none to be had."""
        level = self.level_at(now)
        return TokenBucket(self.capacity, self.interval, level - 1, max(now, self.at)) if level >= 1 else None

    def wait(self, now: float) -> float:
        """Seconds until one can be taken, 0 where it can be at once."""
        return max(0.0, 1 - self.level_at(now)) * self.interval
