"""How long to wait after repeated failures: exponential backoff with jitter. Pure."""

from __future__ import annotations

import math

_MAX_DOUBLINGS = 16


def backoff(
    failures: int,
    *,
    first: float,
    limit: float = math.inf,
    jitter: tuple[float, float] = (1.0, 1.0),
    chance: float = 0.0,
) -> float:
    """Seconds to wait after `failures` in a row (1 or more): `first`, then twice as long each time, up to `limit`.

    The result is multiplied by a number between the two in `jitter`. `chance`, from 0 to 1, selects it: 0 gives the
    left one.
    """
    left, right = jitter
    seconds: float = min(limit, first * 2.0 ** min(max(0, failures - 1), _MAX_DOUBLINGS))
    return seconds * (left + (right - left) * chance)
