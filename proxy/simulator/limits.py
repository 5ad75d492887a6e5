"""A rate limiter as Amazon's is believed to be: token buckets by operation family, advertiser, region and client id.

What Amazon really counts by is written down nowhere, so each limit says what it counts by. Nothing is limited unless a
limit was set. Refused requests are counted: those that came while a Retry-After was running, by themselves.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from proxy.simulator.faults import Match

Aspect = Literal["family", "advertiser", "region", "client"]
ASPECTS: tuple[Aspect, ...] = ("family", "advertiser", "region", "client")
MOST_NAMES = 1000
"""How many families and user agents are counted by themselves."""


@dataclass(frozen=True, slots=True)
class LimitedRequest:
    """A request as a limit sees it; `agent` is its User-Agent, by which clients behind a proxy can be distinguished."""

    target: str
    method: str
    path: str
    region: str
    family: str
    advertiser: str
    client: str
    agent: str


@dataclass(frozen=True, slots=True)
class Limit:
    """`rate` requests a second, `burst` at once, for the requests of `match`, counted by each of `per`.

    `retry_after`: "exact" says when the next request will pass, a number says that many seconds, None says nothing.
    """

    rate: float
    burst: float = 1.0
    match: Match = field(default_factory=Match)
    per: tuple[Aspect, ...] = ASPECTS
    retry_after: float | Literal["exact"] | None = "exact"

    def key(self, request: LimitedRequest) -> tuple[str, ...]:
        """Which bucket a request draws from."""
        return tuple(getattr(request, aspect) for aspect in self.per)


@dataclass(slots=True, kw_only=True)
class Counted:
    """How many requests passed, how many were refused, and how many of those came before the end of their wait."""

    granted: int = 0
    refused: int = 0
    too_early: int = 0

    def counts(self) -> dict[str, Any]:
        """All three."""
        return {"granted": self.granted, "refused": self.refused, "too_early": self.too_early}


@dataclass(slots=True)
class Bucket(Counted):
    """What is left of one limit for one key. `told_until`: until then a client was told to wait."""

    left: float
    at: float
    told_until: float = -math.inf

    def draw(self, limit: Limit, now: float) -> float:
        """Takes one request out, and gives 0; or gives the seconds until that will be possible."""
        self.left = min(limit.burst, self.left + (now - self.at) * limit.rate)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / limit.rate if limit.rate else math.inf


@dataclass(slots=True)
class Limits(Counted):
    """All limits; a request must pass each that is for it."""

    rules: list[Limit] = field(default_factory=list)
    buckets: dict[tuple[int, tuple[str, ...]], Bucket] = field(default_factory=dict)
    families: dict[str, Counter[str]] = field(default_factory=dict)
    agents: dict[str, Counter[str]] = field(default_factory=dict)

    def meet(self, request: LimitedRequest, now: float) -> Limit | None:
        """The limit that a request is beyond, or None. Only a request that passes all limits draws from any."""
        asked = request.target, request.region, request.method, request.path
        met = [(n, rule) for n, rule in enumerate(self.rules) if rule.match.meets(*asked)]
        if not met:
            return None
        found = [(rule, self.buckets.setdefault((n, rule.key(request)), Bucket(rule.burst, now))) for n, rule in met]
        for place, (rule, bucket) in enumerate(found):
            wait = bucket.draw(rule, now)
            if wait:
                self._refuse(request, rule, bucket, (now, wait))
                for _, drawn in found[:place]:
                    drawn.left += 1
                return rule
        for _, bucket in found:
            bucket.granted += 1
        self.granted += 1
        self._count(request, "granted")
        return None

    def wait_of(self, limit: Limit, request: LimitedRequest, now: float) -> int | None:
        """The seconds that Retry-After says, at least 1; None where it is not sent."""
        if limit.retry_after is None:
            return None
        if limit.retry_after != "exact":
            return math.ceil(limit.retry_after)
        until = self.buckets[self.rules.index(limit), limit.key(request)].told_until
        return max(1, math.ceil(until - now)) if math.isfinite(until) else 60

    def _refuse(self, request: LimitedRequest, limit: Limit, bucket: Bucket, moment: tuple[float, float]) -> None:
        now, wait = moment
        early = now < bucket.told_until
        if limit.retry_after is not None:
            told = wait if limit.retry_after == "exact" else limit.retry_after
            bucket.told_until = max(bucket.told_until, now + told)
        for counted in (bucket, self):
            counted.refused += 1
            counted.too_early += early
        self._count(request, "refused")

    def _count(self, request: LimitedRequest, what: str) -> None:
        for counts, name in ((self.families, request.family), (self.agents, request.agent)):
            chosen = name if name in counts or len(counts) < MOST_NAMES else "other"
            counts.setdefault(chosen, Counter())[what] += 1


def family_of(path: str, report_type: str = "") -> str:
    """The operations that are counted together: of the unified API those on one resource, else two segments.

    `path` is the operation's template, or the path itself. Orders of reports are counted by the type of the report.
    """
    segments = [segment for segment in path.split("/") if segment and segment != "{}"]
    if segments[:2] == ["adsApi", "v1"]:
        resources = [s for s in segments[2:] if s not in ("create", "query", "update", "delete", "retrieve")]
        return "/adsApi/v1/" + "/".join(resources)
    return "/" + "/".join([*segments[:2], *([report_type] if report_type else [])])


# --- Who asks the pretend Ads API, as a value ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which profile and ads account. What was not sent, or sent empty, is None."""

    user: str
    client_id: str
    scope: str | None
    account: str | None = None
