"""What the console says of requests, as plain JSON values: who asks how much, the last ones, and why some failed.

Tallies and the history in, dictionaries out. No body and no query is among them, and of requests only those are
cleaned of secrets that are shown: somebody may look every two seconds while thousands are served.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy import errors
from proxy.admin.next_steps import next_step
from proxy.admin.traffic import Tally, quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.admin.history import RequestHistory
    from proxy.observability.recent_requests import RecentRequest

MAX_SHOWN: Final = 200
MAX_GROUPS: Final = 20
MAX_ROWS: Final = 200
MAX_NAMES: Final = 5
ANY, FAILED, UNANSWERED = "", "failed", "unanswered"
STATUS_CLASSES: Final = (ANY, FAILED, UNANSWERED, "2xx", "3xx", "4xx", "429", "5xx")
BY_AMAZON: Final = "refused-by-amazon"
THROTTLED_BY_AMAZON: Final = "throttled-by-amazon"
FAILED_AT_AMAZON: Final = "failed-at-amazon"


def moment(at: float) -> str | None:
    """RFC 3339 in UTC, to the millisecond; None for never."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def table(tallies: Mapping[str, Tally], configured: Iterable[str]) -> list[dict[str, Any]]:
    """A row for each that has asked or is configured, by name; an empty name is of those who were not known.

    Where there are too many for a table, it has those that asked most.
    """
    names = {*tallies, *configured}
    if len(names) > MAX_ROWS:
        names = set(heapq.nlargest(MAX_ROWS, names, key=lambda name: tallies.get(name, Tally()).requests))
    return [_row(name, tallies.get(name, Tally())) for name in sorted(names)]


def _row(name: str, tally: Tally) -> dict[str, Any]:
    slowest = quantile(tally.durations)
    return {
        "name": name,
        "requests": tally.requests,
        "refused": tally.refused,
        "throttled": tally.throttled,
        "errors": tally.errors,
        "unanswered": tally.unanswered,
        "p99_ms": None if slowest is None else round(slowest * 1000, 1),
        "last_seen": moment(tally.seen),
    }


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are wanted; what is empty is not asked for. `operation` is a part of its name, or of those of the
    tools of MCP that were called, in any case."""

    client: str = ""
    account: str = ""
    operation: str = ""
    status: str = ANY

    def takes(self, request: RecentRequest) -> bool:
        kind = request.kind
        return (
            self.client in ("", kind.client)
            and self.account in ("", kind.account)
            and self.operation.casefold() in f"{kind.operation} {request.mcp_tools}".casefold()
            and _in_class(request, self.status)
        )


def read_filter(query: Mapping[str, str]) -> RequestFilter:
    """The filter of a page's query. Raises `errors.MalformedRequest` for a class of statuses that there is not."""
    status = query.get("status", ANY)
    if status not in STATUS_CLASSES:
        known = ", ".join(each for each in STATUS_CLASSES if each)
        raise errors.MalformedRequest(f"`status` is one of {known}, or left out for all.")
    return RequestFilter(query.get("client", ""), query.get("account", ""), query.get("operation", ""), status)


def _in_class(request: RecentRequest, status: str) -> bool:
    match status:
        case "":
            return True
        case "failed":
            return request.failed
        case "unanswered":
            return request.status == 0
        case "429":
            return request.status == 429
    return request.status // 100 == int(status[0])


def find_requests(history: RequestHistory, wanted: RequestFilter) -> dict[str, Any]:
    """The newest of those that are wanted; how many there are in all, and of how many."""
    known = history.requests()
    found = [request for request in known if wanted.takes(request)]
    shown = [_shown(history.cleaned(request)) for request in found[:MAX_SHOWN]]
    return {"known": len(known), "total": len(found), "requests": shown}


def _shown(request: RecentRequest) -> dict[str, Any]:
    kind = request.kind
    return {
        "at": moment(request.at),
        "request_id": request.request_id,
        "amazon_request_id": request.amazon_request_id,
        "client": kind.client,
        "account": kind.account,
        "region": kind.region,
        "profile": kind.profile,
        "ads_account": kind.ads_account,
        "method": kind.method,
        "path": request.path,
        "operation": kind.operation,
        "operation_class": kind.operation_class,
        "mcp_tools": request.mcp_tools.split(),
        "status": request.status,
        "upstream_status": request.upstream_status,
        "attempts": request.attempts,
        "duration_ms": round(request.duration * 1000, 1),
        "failed": request.failed,
        "reason": reason(request),
        "detail": request.detail,
    }


def reason(request: RecentRequest) -> str:
    """Why a request failed, in one word: the slug of the proxy's answer, how an answer broke, or what Amazon did."""
    if not request.failed:
        return ""
    if request.refusal or request.fault:
        return request.refusal or request.fault
    if request.status == 0:
        return UNANSWERED
    if request.status == 429:
        return THROTTLED_BY_AMAZON
    return FAILED_AT_AMAZON if request.status >= 500 else BY_AMAZON


def failures(history: RequestHistory) -> list[dict[str, Any]]:
    """Failures that have the same reason, status and account, together: how many, whose, the last one's details, and
    what to do next. The newest come first."""
    groups: dict[tuple[str, int, str], list[RecentRequest]] = {}
    for request in history.failures():
        groups.setdefault((reason(request), request.status, request.kind.account), []).append(request)
    return [_group(members, history.cleaned(members[0])) for members in list(groups.values())[:MAX_GROUPS]]


def _group(members: list[RecentRequest], last: RecentRequest) -> dict[str, Any]:
    return {
        "reason": reason(last),
        "status": last.status,
        "account": last.kind.account,
        "count": len(members),
        "first": moment(members[-1].at),
        "last": moment(last.at),
        "clients": _names(member.kind.client for member in members),
        "operations": _names(name for member in members for name in _asked(member)),
        "method": last.kind.method,
        "path": last.path,
        "detail": last.detail,
        "request_id": last.request_id,
        "amazon_request_id": last.amazon_request_id,
        "next_step": next_step(last.status, last.refusal, last.fault),
    }


def _asked(request: RecentRequest) -> list[str]:
    """What people call it: the tools of MCP that it called, or Amazon's name of the operation."""
    return request.mcp_tools.split() or [request.kind.operation]


def _names(names: Iterable[str]) -> list[str]:
    """The first few of them, each once."""
    return list(dict.fromkeys(name for name in names if name))[:MAX_NAMES]
