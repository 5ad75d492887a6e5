"""One account in one region as the directory watches it: the task that lists it, and how its listings went."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from proxy.errors import NoUsableToken
from proxy.events import ProfilesFailed
from proxy.profiles.index import ListingFailure
from proxy.profiles.listing import ProfilesUnavailable

if TYPE_CHECKING:
    from proxy.events import Event
    from proxy.profiles.source import ProfileSource
    from proxy.secret import Secret

REPORT_INTERVAL = 600.0
"""After how long a failure that is still the same is told again, in seconds."""
Problem = ProfilesUnavailable | NoUsableToken


class Token(Protocol):
    """An access token, as far as it matters here."""

    @property
    def value(self) -> Secret: ...

    @property
    def lineage(self) -> str:
        """What tells the refresh token that it is for."""


@dataclass(slots=True)
class RegionWatch:
    """`heard`: another replica may have read these kinds of lists. Moments are on the directory's clock."""

    source: ProfileSource
    region: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    early_at: float | None = None
    """When it is to be listed for somebody, though it is not due."""
    heard: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    listing: asyncio.Task[Problem | None] | None = None
    """The newest listing, under way or ended."""
    token: Token | None = None
    """The one that the newest listing is made with."""
    age: float = 0.0
    """How many seconds before it came here the newest list was read."""
    taken_at: float = -math.inf
    """When the newest list of another replica was read there."""
    failures: int = 0
    failure: ListingFailure | None = None
    reported: dict[type[Event], tuple[str, float]] = field(default_factory=dict)
    reach_failures: int = 0

    def hasten(self, now: float, gap: float) -> None:
        """Somebody wants it listed; not before the newest list of another replica is `gap` seconds old."""
        moment = max(now, self.taken_at + gap)
        self.early_at = moment if self.early_at is None else min(self.early_at, moment)
        self.wake.set()

    def take_over(self, age: float, now: float, gap: float) -> None:
        """Another replica's list came, `age` seconds after it was read: who waits for a newer one waits for the gap."""
        self.age, self.taken_at = age, now - age
        if self.early_at is not None:
            self.early_at = max(self.early_at, self.taken_at + gap)

    def is_news(self, kind: type[Event], detail: str, now: float) -> bool:
        """Whether a failure is to be told: once, and again only after a while."""
        before, at = self.reported.get(kind, ("", 0.0))
        if before == detail and now - at < REPORT_INTERVAL:
            return False
        self.reported[kind] = (detail, now)
        return True

    def note(self, problem: Problem | None, now: float) -> None:
        """How the last listing went; `now` is wall-clock time."""
        self.age = 0.0
        if problem is None:
            self.failures, self.failure = 0, None
            self.reported.pop(ProfilesFailed, None)
            return
        asked = isinstance(problem, ProfilesUnavailable)
        self.failures += 1
        self.failure = ListingFailure(
            self.source.account, self.region, problem.detail, now, problem.retryable, asked=asked
        )
