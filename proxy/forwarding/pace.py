"""How fast requests may leave for what Amazon limits together, learned from what it refuses. Pure.

As TCP learns how fast a network takes its packets (RFC 5681): halved at a refusal, raised quickly up to where it was
last seen to pass, slowly beyond. A Retry-After is a pause, after which it goes on at the pace that was seen to pass.
Only requests that pass raise the pace, so that it does not grow while nobody asks. Rates are in requests a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MAX_PAUSE = 900.0
"""Seconds for which a Retry-After is believed at most, and a refusal remembered."""
_RAISED_FASTER = 0.1
"""How much of what it is beyond its threshold a pace gains each second."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How a pace is learned: where it begins, its least, in how many seconds it doubles below its threshold, and in how
    many it gains as much as that beyond."""

    first: float
    least: float
    doubles_in: float
    raised_in: float


QUICK = Steps(first=10.0, least=0.2, doubles_in=0.5, raised_in=30.0)
LONG = Steps(first=0.2, least=1 / 60, doubles_in=60.0, raised_in=1200.0)
"""For the making of reports, whose limits change slowly (docs/amazon.md, Rate limits)."""


def steps_of(family: str) -> Steps:
    """Those of a family of operations."""
    return LONG if family.endswith(":report") else QUICK


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of one limit. Moments are of a clock that never runs backwards, in seconds.

    `level` is how many may leave at the moment `at`, or when the pause ends. `threshold` is where it was last seen to
    pass. `passed` counts answers since `refused_at`, the last refusal that counted.
    """

    rate: float
    threshold: float
    level: float
    at: float
    paused_until: float
    refused_at: float
    passed: int = 0

    @property
    def capacity(self) -> float:
        """How many may leave at once at most."""
        return max(4.0, self.rate / 4)

    def level_at(self, now: float) -> float:
        """How many may leave now."""
        since = max(self.at, self.paused_until)
        return min(self.capacity, self.level + (now - since) * self.rate) if now >= since else 0.0

    def wait(self, now: float, needed: float = 1.0) -> float:
        """Seconds until there are so many, if nobody takes any."""
        since = max(now, self.paused_until)
        return since - now + max(0.0, needed - self.level_at(since)) / self.rate

    def taken(self, now: float) -> Pace:
        """One left."""
        return replace(self, level=self.level_at(now) - 1, at=now)


def first_refusal(steps: Steps, now: float, retry_after: float | None) -> Pace:
    """What a first refusal teaches."""
    pause = min(retry_after or 0.0, MAX_PAUSE)
    return Pace(
        rate=steps.first,
        threshold=math.inf,
        level=0.0 if retry_after is None else 1.0,
        at=now,
        paused_until=now + pause,
        refused_at=now,
    )


def refused(pace: Pace, steps: Steps, now: float, retry_after: float | None, left_at: float) -> Pace:
    """What one more refusal teaches, of a request that left at `left_at`.

    Several that were under way together are one refusal; only a longer pause counts of the later ones.
    """
    until = now + min(retry_after or 0.0, MAX_PAUSE)
    if left_at <= pace.refused_at:
        return replace(pace, paused_until=max(pace.paused_until, until))
    halved = pace.rate / 2
    seen = pace.passed / (now - pace.refused_at) if pace.passed and now > pace.refused_at else halved
    threshold = max(steps.least, seen)
    return Pace(
        rate=max(steps.least, halved if retry_after is None else min(pace.rate, threshold)),
        threshold=threshold,
        level=0.0 if retry_after is None else 1.0,
        at=now,
        paused_until=until,
        refused_at=now,
    )


def passed(pace: Pace, steps: Steps, now: float) -> Pace:
    """What an answer teaches that is no refusal; at full use these steps add up to what `Steps` says."""
    rate, threshold = pace.rate, pace.threshold
    if rate < threshold:
        rate = min(threshold, rate + math.log(2) / steps.doubles_in)
    else:
        rate += (threshold / steps.raised_in + (rate - threshold) * _RAISED_FASTER) / rate
    return replace(pace, rate=rate, level=pace.level_at(now), at=max(now, pace.at), passed=pace.passed + 1)
