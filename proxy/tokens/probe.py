"""When a refresh token is tried although the access token still serves: Amazon reports a revocation to nobody. Pure.

A probe is an ordinary renewal, ahead of its time: the replica of a fleet that probes first shares the new access token,
and the others put their own probes off. It gives way to every other token request, and a failure that passes by itself
changes nothing, because the token in hand still serves.
"""

from __future__ import annotations

from typing import Final

JITTER: Final = 5
"""A probe is up to a fifth of the interval early, so that accounts that start together spread, and replicas differ."""
POSTPONED: Final = 10.0
"""Seconds to the next look where other token requests come first."""
NEVER: Final = float("inf")


def probe_at(granted_at: float, interval: float, chance: float) -> float:
    """When to probe after a grant that was asked for at `granted_at`; never where the interval is 0."""
    return granted_at + interval * (1 - chance / JITTER) if interval else NEVER


def probe_after_failure(now: float, interval: float, retry_after: float | None, chance: float) -> float:
    """When to probe again after a failure that passes by itself: a third of the interval, or what Amazon asks for."""
    return now + max(interval / 3 * (1 - chance / JITTER), retry_after or 0.0)


def probe_when_busy(now: float, chance: float) -> float:
    """When to look again whether the token endpoint has nothing else to do."""
    return now + POSTPONED * (1 + chance)
