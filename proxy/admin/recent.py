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
from proxy.admin.history import Tally, quantile
from proxy.events import Fault

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


# --- What somebody who runs the proxy does next about a request that failed ------------------------------

_SEE_ACCOUNT: Final = "Look at the account's card above: it says what is wrong with its token, and what to do."
_TOOLS: Final = "The tool's request is wrong, and its author has to mend it; the proxy needs nothing."
_CLIENTS_POLICY: Final = (
    "Nothing, where this client is not meant to do that. Otherwise widen its entry under `clients` and reload."
)
_NETWORK: Final = (
    "Look at this machine's network, its name resolution and the outbound proxy (`upstream.proxy`); other hosts of "
    "Amazon may work meanwhile."
)
_SLOW: Final = (
    "If it goes on, look at Amazon's own status page; where an operation is always slow, raise "
    "`upstream.response_timeout`."
)
_SUPPORT: Final = "The fault is Amazon's. If it goes on, give Amazon's support the request id that it answered with."

STEPS_OF_REFUSALS: Final = {
    "misdirected-host": "Add the host name that the tool uses to `allowed_hosts`, or mend the tool's base URL.",
    "cross-origin": "A web page tried to use the proxy. Find out whose, and where nobody knows: whose browser it was.",
    "client-unknown": "Give the tool a key that is configured: `ads-proxy keys new CLIENT` makes one.",
    "client-key-ended": "Make the client a new key with `ads-proxy keys new CLIENT`, and give it to the tool.",
    "placeholder-rejected": "The tool fetches a new token by itself. If it goes on, its client or account is gone.",
    "not-permitted": _CLIENTS_POLICY,
    "tool-not-permitted": _CLIENTS_POLICY,
    "budget-spent": "Ask why the client sends so much. Where that is right, raise its `requests_per_minute`.",
    "too-many-connections": "See which address holds them; then raise `limits.max_connections` or mend that tool.",
    "account-required": "Let the tool name an account, or give its client a single one under `accounts`.",
    "unknown-account": "Mend the account's name in the tool, or configure the account.",
    "unknown-route": "Mend the tool's base URL, or configure the account that it names.",
    "profile-not-known-yet": "Look at the account's card above: it says why its profiles could not be listed.",
    "upstream-unreachable": _NETWORK,
    "upstream-name-unresolved": _NETWORK,
    "upstream-connect-timeout": _NETWORK,
    "upstream-certificate-rejected": "Somebody stands between this machine and Amazon: if that is your own outbound "
    "proxy, set `upstream.ca_file`; otherwise find out who.",
    "upstream-closed": _SUPPORT,
    "upstream-malformed": _SUPPORT,
    "upstream-timeout": _SLOW,
    "throttled": "Let the tools ask less often; `ads-proxy status` says what Amazon limits, and for how long.",
    "no-usable-token": _SEE_ACCOUNT,
    "draining": "The proxy is being stopped. If nobody stops it, look for who does: the service manager's log says.",
    "internal-error": "This is a defect of the proxy: report it with the traceback in the log.",
}
_OF_FAULTS: Final[dict[str, str]] = {
    Fault.CLIENT_GONE: "The tool left before its answer was whole: compare its time-out with how long Amazon takes.",
    Fault.CLIENT_STALLED: "The tool stopped reading its answer: look at the machine that it runs on.",
    Fault.UPSTREAM_DIED: _SUPPORT,
    Fault.UPSTREAM_TIMEOUT: _SLOW,
}
_OF_STATUSES: Final = {
    0: "The tool left before it was answered: compare its time-out with how long Amazon takes.",
    401: "Press Renew now at the account. If it goes on, reconnect as somebody who may use this profile.",
    403: "The login of this account may not use this profile or operation: see who signed in, and what they may do.",
    404: "The tool asks for something that is not there: an id of another profile, or an operation that has ended.",
    429: "Amazon limits this account: let the tools ask less often; `ads-proxy status` says what waits, and how long.",
}


def next_step(status: int, refusal: str, fault: str) -> str:
    """A sentence. `refusal` is the slug of the proxy's own answer, `fault` says how one broke; both may be empty."""
    if refusal:
        return STEPS_OF_REFUSALS.get(refusal) or (_TOOLS if status < 500 else _SEE_ACCOUNT)
    if fault:
        return _OF_FAULTS.get(fault) or STEPS_OF_REFUSALS.get(fault) or _SUPPORT
    return _OF_STATUSES.get(status) or (_SUPPORT if status >= 500 else _TOOLS)
