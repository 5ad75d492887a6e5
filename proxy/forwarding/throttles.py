"""For how long Amazon asked to wait: remembered by account and region, in bounded memory. Decides nothing.

What a request does meanwhile is for `retry`.
"""

from __future__ import annotations

from cachetools import LRUCache

_MAX_PAUSES = 1024


class Throttles:
    """The pauses that run. Moments are of a clock that never runs backwards, in seconds."""

    def __init__(self) -> None:
        self._until: LRUCache[tuple[str, str], float] = LRUCache(_MAX_PAUSES)

    def __repr__(self) -> str:
        return f"<Throttles: {len(self._until)} remembered>"

    def note(self, account: str, region: str, retry_after: float, now: float) -> None:
        """Amazon answered 429 and asked to wait so many seconds."""
        self._until[account, region] = now + retry_after

    def left(self, account: str, region: str, now: float) -> float:
        """Seconds of it that still run."""
        return max(0.0, self._until.get((account, region), 0.0) - now)
