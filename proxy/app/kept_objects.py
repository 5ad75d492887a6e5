"""Keeps Python's garbage collector away from what stays.

A full collection looks at every object that the collector knows. With 10,000 accounts it held up all requests for 0.9 s
(`python -m benchmarks accounts`). `gc.freeze` takes all present objects out of its sight; one of them is still freed
when the last reference to it goes, but no more if it is part of a cycle. Connections and requests are in cycles, so
objects are frozen only as the lists of profiles grow, never for traffic.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

from proxy.events import ProfilesListed

if TYPE_CHECKING:
    from proxy.events import Event

STEP: Final = 1000
"""Further profiles after which objects are frozen again. So many hold up a collection by about 10 ms."""


class KeptObjects:
    """Freezes objects when there are `STEP` more profiles than ever before."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._total = 0
        self._frozen_at = 0

    def __repr__(self) -> str:
        return f"<KeptObjects: {self._total} profiles>"

    def observe(self, event: Event) -> None:
        if isinstance(event, ProfilesListed):
            self.count(event.account, event.region, event.count)

    def count(self, account: str, region: str, profiles: int) -> None:
        """An account has so many profiles in a region."""
        self._total += profiles - self._counts.get((account, region), 0)
        self._counts[account, region] = profiles
        if self._total >= self._frozen_at + STEP:
            self._frozen_at = self._total
            gc.freeze()
