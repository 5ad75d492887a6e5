"""The clock that ages are counted on, of tokens, connections and looked-up names: a suspended laptop does not stop it.

Only the reading of the clock lives here. Decisions are given its value and never call it.
"""

from __future__ import annotations

import sys
import time
from functools import partial

if sys.platform == "linux":
    boot_time = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds since the machine started, those spent suspended included. It is read three times for each request, and
    a partial is read in half the time of a function."""
else:

    def boot_time() -> float:
        """Seconds on a clock that never goes back; macOS counts those spent suspended, others may not."""
        return time.monotonic()
