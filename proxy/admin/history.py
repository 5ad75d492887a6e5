"""The last minutes of traffic, for the console: sums for each ten seconds, and the last refused requests.

The request path pays nothing for the chart: it is made of differences between the sums that the metrics hold anyway.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from proxy.events import Event, RequestFinished

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_SECONDS: Final = 10
STEPS: Final = 90
MAX_REFUSED: Final = 50
_BY_AMAZON: Final = "refused-by-amazon"


class Sums(Protocol):
    """Sums over all requests since the start."""

    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def throttled(self) -> int: ...
    @property
    def forwarded(self) -> int: ...
    @property
    def overhead_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in the ten seconds that ended at `at` (wall-clock time). `overhead_ms` is the mean that the proxy
    itself added, None without any."""

    at: float
    requests: int
    errors: int
    throttled: int
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
    """Observes refusals, and takes the sums whenever `sample` is called."""

    def __init__(self, sums: Callable[[], Sums], wall: Callable[[], float] = time.time) -> None:
        self._sums, self._wall = sums, wall
        self._last = sums()
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._refused: deque[RefusedRequest] = deque(maxlen=MAX_REFUSED)

    def __repr__(self) -> str:
        return f"<RequestHistory {len(self._steps)} steps, {len(self._refused)} refused>"

    def observe(self, event: Event) -> None:
        if event.__class__ is RequestFinished and (event.refusal or event.detail):
            self._remember(event)

    def sample(self) -> None:
        """Ends a step: what was added to the sums since the last one."""
        now = self._sums()
        self._steps.append(difference(self._last, now, self._wall()))
        self._last = now

    def steps(self) -> tuple[Step, ...]:
        """The ended steps, oldest first, and the one that runs."""
        return (*self._steps, difference(self._last, self._sums(), self._wall()))

    def refused(self) -> tuple[RefusedRequest, ...]:
        """The newest first."""
        return tuple(reversed(self._refused))

    def _remember(self, event: RequestFinished) -> None:
        self._refused.append(
            RefusedRequest(
                at=self._wall(),
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
        overhead_ms=overhead,
    )
