"""One account in one region as the directory watches it: the task that lists it, and how its listings went."""

from __future__ import annotations

import asyncio
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
    """`is_early`: somebody wants it listed now. `heard`: another replica may have read these kinds of lists."""

    source: ProfileSource
    region: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_early: bool = False
    heard: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    listing: asyncio.Task[Problem | None] | None = None
    """The newest listing, under way or ended."""
    token: Token | None = None
    """The one that the newest listing is made with."""
    age: float = 0.0
    """How many seconds before it came here the newest list was read."""
    failures: int = 0
    failure: ListingFailure | None = None
    reported: dict[type[Event], tuple[str, float]] = field(default_factory=dict)
    reach_failures: int = 0

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
