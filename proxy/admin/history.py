"""The last minutes of traffic, for the console: sums for each ten seconds, and the last requests.

The request path pays nothing for the chart: it is made of differences between the sums that the metrics hold anyway.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from proxy.admin.traffic import Tallies, Traffic
from proxy.events import Event, RequestFinished
from proxy.observability.recent_requests import RecentRequest, RecentRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.observability.request_metrics import RequestLabels, RequestNumbers

STEP_SECONDS: Final = 10
STEPS: Final = 90
MAX_REFUSED: Final = 50
_BY_AMAZON: Final = "refused-by-amazon"


class Counted(Protocol):
    """What counts requests: `proxy.observability.metrics.Metrics`."""

    def totals(self) -> Sums: ...
    def series(self) -> Iterable[tuple[RequestLabels, RequestNumbers]]: ...


class Sums(Protocol):
    """Sums over all requests since the start."""

    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def throttled(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def forwarded(self) -> int: ...
    @property
    def overhead_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in the ten seconds that ended at `at` (wall-clock time): `errors` are 5xx, `throttled` 429, and
    `refused` the other 4xx. `overhead_ms` is the mean that the proxy itself added, None without any."""

    at: float
    requests: int
    errors: int
    throttled: int
    refused: int
    overhead_ms: float | None


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """One request that the proxy itself answered, or that Amazon refused for a reason that is known."""

    at: float
    request_id: str
    client: str
    account: str
    method: str
    path: str
    status: int
    reason: str
    detail: str


class RequestHistory:
    """Observes requests that the journal does not note, and takes the sums whenever `sample` is called.

    `recent` is where the journal keeps the others. `clean` takes secrets out of a text.
    """

    def __init__(
        self,
        counted: Counted,
        recent: RecentRequests | None = None,
        clean: Callable[[str], str] = str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sums, self._clean, self._wall = counted.totals, clean, wall
        self._traffic = Traffic(counted.series)
        self.recent = recent if recent is not None else RecentRequests()
        self._last = self._sums()
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._refused: deque[RefusedRequest] = deque(maxlen=MAX_REFUSED)

    def __repr__(self) -> str:
        return f"<RequestHistory {len(self._steps)} steps, {len(self._refused)} refused>"

    def observe(self, event: Event) -> None:
        if event.__class__ is RequestFinished:
            at = self._wall()
            self.recent.keep(event, at)
            if event.refusal or event.detail:
                self._remember(event, at)

    async def sample(self) -> None:
        """Ends a step: what was added to the sums since the last one."""
        now = self._sums()
        self._steps.append(difference(self._last, now, self._wall()))
        self._last = now
        await self._traffic.sample()

    async def tallies(self) -> Tallies:
        """Who asked how much in the last minutes."""
        return await self._traffic.now()

    def steps(self) -> tuple[Step, ...]:
        """The ended steps, oldest first, and the one that runs."""
        return (*self._steps, difference(self._last, self._sums(), self._wall()))

    def refused(self) -> tuple[RefusedRequest, ...]:
        """The newest first."""
        return tuple(reversed(self._refused))

    def requests(self) -> tuple[RecentRequest, ...]:
        """The last ones, and the failures before them that are still known; the newest first, and not yet cleaned."""
        return self.recent.requests()

    def failures(self) -> tuple[RecentRequest, ...]:
        """The newest first, and not yet cleaned."""
        return self.recent.failures()

    def cleaned(self, request: RecentRequest) -> RecentRequest:
        """Without secrets, as it may be shown. It costs more than to find the request."""
        return request.cleaned(self._clean)

    def take_refused(self, refused: RefusedRequest) -> None:
        """One of another process; without a reason where Amazon refused it."""
        self._refused.append(replace(refused, reason=refused.reason or _BY_AMAZON))

    def _remember(self, event: RequestFinished, at: float) -> None:
        self._refused.append(
            RefusedRequest(
                at=at,
                request_id=event.request_id,
                client=event.client,
                account=event.account,
                method=event.method,
                path=event.path[:200],
                status=event.status,
                reason=event.refusal or _BY_AMAZON,
                detail=event.detail[:500],
            )
        )


def difference(before: Sums, after: Sums, at: float) -> Step:
    """The step between two sums; an account that was removed meanwhile never makes it negative."""
    forwarded = after.forwarded - before.forwarded
    overhead = (after.overhead_seconds - before.overhead_seconds) * 1000 / forwarded if forwarded > 0 else None
    return Step(
        at=at,
        requests=max(0, after.requests - before.requests),
        errors=max(0, after.errors - before.errors),
        throttled=max(0, after.throttled - before.throttled),
        refused=max(0, after.refused - before.refused),
        overhead_ms=overhead,
    )
