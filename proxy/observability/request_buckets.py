"""Which buckets of its histograms a request falls into. Pure.

As a rule it falls into those of the one before, and to see that takes a quarter of the time of finding them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

OVERHEAD_BUCKETS: Final = (
    *(0.00005, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075),
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_REQUEST_LIMITS: Final = (-math.inf, *REQUEST_BUCKETS, math.inf)
_OVERHEAD_LIMITS: Final = (-math.inf, *OVERHEAD_BUCKETS, math.inf)
"""A bucket holds what is above its limit, up to the next one's."""

Places = tuple[int, int, int]
"""The buckets of a duration, of the part of it that was Amazon's, and of the part that was the proxy's."""
Around = tuple[float, float, float, float, Places]
"""Above and up to which duration, above and up to which overhead a request falls into these places."""


def places_of(duration: float, upstream: float, overhead: float) -> Places:
    """Those of a request. As a rule the first two are one: the proxy adds little."""
    at = bisect_left(REQUEST_BUCKETS, duration)
    of_upstream = at if upstream > _REQUEST_LIMITS[at] else bisect_left(REQUEST_BUCKETS, upstream)
    return at, of_upstream, bisect_left(OVERHEAD_BUCKETS, overhead)


def around(places: Places) -> Around:
    """What falls there. Where the first two are not one, nothing does: it is to be asked each time."""
    at, of_upstream, over = places
    above = _REQUEST_LIMITS[at] if at == of_upstream else math.inf
    return above, _REQUEST_LIMITS[at + 1], _OVERHEAD_LIMITS[over], _OVERHEAD_LIMITS[over + 1], places
