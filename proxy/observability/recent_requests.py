"""The last requests and the last failures, for people to look at: each is kept as it ends, for the price of a tuple.

Failures have a ring of their own, as a busy proxy fills the other one within a second. Nothing leaves the process's
memory.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.events import ChangedObjects, ItemCounts, Outcome, declines_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.events import RequestFinished, RequestKind

MAX_REQUESTS: Final = 1000
MAX_FAILURES: Final = 200
MAX_PATH: Final = 200
_MAX_DETAIL: Final = 500
_MAX_CHANGED: Final = 20
"""Objects and members of a write that are kept; the audit stream has the others."""
_FAILED: Final = frozenset((Outcome.PARTIAL.value, Outcome.FAILURE.value))


class RecentRequest(NamedTuple):
    """One request that is over. `at` is wall-clock time, `duration` in seconds, `path` without a query; blanks are
    between `mcp_tools`, `objects` and `members`; `succeeded` and `rejected` count the items of a write; the rest is as
    in `RequestFinished` and its `changes`."""

    at: float
    kind: RequestKind
    status: int
    upstream_status: int
    path: str
    request_id: str
    amazon_request_id: str
    duration: float
    attempts: int
    refusal: str = ""
    detail: str = ""
    fault: str = ""
    mcp_tools: str = ""
    outcome: str = ""
    succeeded: int = 0
    rejected: int = 0
    objects: str = ""
    members: str = ""
    address: str = ""

    @property
    def failed(self) -> bool:
        """Whether an operator may ask why: it was refused, answered with an error, cut or not answered, or its write
        failed in whole or in part, whatever its status. A `detail` alone says where a good answer came from."""
        return _is_failure(self.kind, self.status) or bool(self.refusal or self.fault) or self.outcome in _FAILED

    def cleaned(self, clean: Callable[[str], str]) -> RecentRequest:
        """What came from outside, as it may be shown."""
        kind = self.kind
        return self._replace(
            kind=kind._replace(
                profile=clean(kind.profile), ads_account=clean(kind.ads_account), subject=clean(kind.subject)
            ),
            path=clean(self.path),
            detail=clean(self.detail),
            mcp_tools=clean(self.mcp_tools),
            objects=clean(self.objects),
            members=clean(self.members),
        )


RequestEntry = tuple[Any, ...]
"""What is kept of a request that ended well: the first nine fields of a `RecentRequest` without `upstream_status`, in
their order, and those up to `rejected` of a write; `path` is within `MAX_PATH`. A plain tuple is made in a tenth of the
time."""


Marks = tuple[object, object]
"""The newest that was seen of each ring; None for nothing yet."""


class RecentRequests:
    """The rings of recent requests and of recent failures. Entries of the journal add to them by `keeper`, all other
    code by an event."""

    def __init__(self, requests: int = MAX_REQUESTS, failures: int = MAX_FAILURES) -> None:
        self._requests: deque[RequestEntry | RecentRequest] = deque(maxlen=requests)
        self._failures: deque[RequestEntry | RecentRequest] = deque(maxlen=failures)

    def __repr__(self) -> str:
        return f"<RecentRequests: {len(self._requests)} requests, {len(self._failures)} failures>"

    def keeper(self, kind: RequestKind, status: int) -> Callable[[RequestEntry], None]:
        """What keeps requests of a kind that Amazon answered with this status."""
        return self._keep_failure if _is_failure(kind, status) else self._requests.append

    def keep(self, event: RequestFinished, at: float) -> RecentRequest:
        """Keep one that was told by an event; `at` is wall-clock time."""
        items, changes = event.items or ItemCounts(0, 0), event.changes or ChangedObjects()
        request = RecentRequest(
            at=at,
            kind=event.kind,
            status=event.status,
            upstream_status=event.upstream_status,
            path=event.path.partition("?")[0][:MAX_PATH],
            request_id=event.request_id,
            amazon_request_id=event.amazon_request_id,
            duration=event.duration,
            attempts=event.attempts,
            refusal=event.refusal,
            detail=event.detail[:_MAX_DETAIL],
            fault=event.fault,
            mcp_tools=" ".join(event.mcp_tools),
            outcome=event.outcome,
            succeeded=items.succeeded,
            rejected=items.failed,
            objects=" ".join(changes.objects[:_MAX_CHANGED]),
            members=" ".join(changes.members[:_MAX_CHANGED]),
            address=event.address,
        )
        self.take(request)
        return request

    def failures(self) -> tuple[RecentRequest, ...]:
        """The newest first."""
        return tuple(_shown(kept) for kept in reversed(self._failures))

    def requests(self) -> tuple[RecentRequest, ...]:
        """The last ones, and the failures before them that are still known; the newest first."""
        known = {id(kept) for kept in self._requests}
        older = [kept for kept in reversed(self._failures) if id(kept) not in known]
        return tuple(_shown(kept) for kept in (*reversed(self._requests), *older))

    def take(self, request: RecentRequest) -> None:
        """One that another process served."""
        if request.failed:
            self._keep_failure(request)
        else:
            self._requests.append(request)

    def news(self, before: Marks, limit: int) -> tuple[list[RecentRequest], Marks]:
        """What was kept since, the oldest first, but no more than the newest `limit`, and as many failures; and what to
        ask with next time."""
        newest, failures = _until(self._requests, before[0]), _until(self._failures, before[1])
        shown = {id(kept): kept for kept in (*newest[:limit], *failures[:limit])}
        marks = newest[0] if newest else before[0], failures[0] if failures else before[1]
        return [_shown(kept) for kept in reversed(shown.values())], marks

    def _keep_failure(self, kept: RequestEntry | RecentRequest) -> None:
        self._requests.append(kept)
        self._failures.append(kept)


def _is_failure(kind: RequestKind, status: int) -> bool:
    return not (0 < status < 400 or declines_stream(kind.method, kind.operation_class, status, kind.operation))


def _until(kept: deque[RequestEntry | RecentRequest], before: object) -> list[RequestEntry | RecentRequest]:
    """The requests that came after this one, the newest first; all, if it is not among them."""
    return list(takewhile(lambda each: each is not before, reversed(kept)))


def _shown(kept: RequestEntry | RecentRequest) -> RecentRequest:
    if isinstance(kept, RecentRequest):
        return kept
    at, kind, status, *rest = kept
    return RecentRequest(at, kind, status, status, *rest)
