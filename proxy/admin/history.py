"""The last minutes of traffic, for the console: sums for each ten seconds, and the last requests.

The request path pays nothing for the chart: it is made of differences between the sums that the metrics hold anyway.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from datetime import UTC, datetime
from operator import add
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy import errors
from proxy.admin.cached_result import CachedResult
from proxy.admin.pauses import Pauses
from proxy.events import Event, Fault, Outcome, RequestFinished
from proxy.observability.recent_requests import RecentRequest, RecentRequests
from proxy.observability.request_metrics import REQUEST_BUCKETS, Totals
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from proxy.observability.request_metrics import RequestLabels, RequestNumbers


STEP_SECONDS: Final = 10
STEPS: Final = 90
MAX_REFUSED: Final = 50


class RequestCounter(Protocol):
    """What counts requests: `proxy.observability.metrics.Metrics`."""

    async def totals(self, pause: Callable[[], Awaitable[None]]) -> Totals: ...
    def series(self) -> Iterable[tuple[RequestLabels, RequestNumbers]]: ...
    def counted(self, name: str) -> Mapping[tuple[str, ...], int]: ...


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


class RequestHistory:
    """Observes requests that the journal does not note, and takes the sums whenever `sample` is called.

    `recent` is where the journal keeps the others. `clean` takes secrets out of a text.
    """

    def __init__(
        self,
        counted: RequestCounter,
        recent: RecentRequests | None = None,
        clean: Callable[[str], str] = str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._counted, self.clean, self._wall = counted, clean, wall
        self._traffic = Traffic(counted.series)
        self._tallies = CachedResult(self._traffic.now)
        self.counted = counted.counted
        self.recent = recent if recent is not None else RecentRequests()
        self._last = Totals()
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._refused: deque[RecentRequest] = deque(maxlen=MAX_REFUSED)

    def __repr__(self) -> str:
        return f"<RequestHistory {len(self._steps)} steps, {len(self._refused)} refused>"

    def observe(self, event: Event) -> None:
        if event.__class__ is RequestFinished:
            self._note_refusal(self.recent.keep(event, self._wall()))

    async def sample(self) -> None:
        """Ends a step: what was added to the sums since the last one."""
        now = await self._counted.totals(Pauses())
        self._steps.append(difference(self._last, now, self._wall()))
        self._last = now
        await self._traffic.sample()

    async def tallies(self) -> Tallies:
        """Who asked how much in the last minutes."""
        return await self._tallies.get()

    async def steps(self) -> tuple[Step, ...]:
        """The ended steps, oldest first, and the one that runs."""
        now = await self._counted.totals(Pauses())
        return (*self._steps, difference(self._last, now, self._wall()))

    def refused(self) -> tuple[RecentRequest, ...]:
        """The last that the proxy itself answered, or that Amazon refused for a known reason; the newest first."""
        return tuple(reversed(self._refused))

    def requests(self) -> tuple[RecentRequest, ...]:
        """The last ones, and the failures before them that are still known; the newest first, and not yet cleaned."""
        return self.recent.requests()

    def failures(self) -> tuple[RecentRequest, ...]:
        """The newest first, and not yet cleaned."""
        return self.recent.failures()

    def cleaned(self, request: RecentRequest) -> RecentRequest:
        """The request without secrets, as it may be shown. That costs more than to find the request."""
        return request.cleaned(self.clean)

    def take(self, request: RecentRequest) -> None:
        """One that another process served."""
        self.recent.take(request)
        self._note_refusal(request)

    def _note_refusal(self, request: RecentRequest) -> None:
        if request.failed and (request.refusal or request.detail):
            self._refused.append(request)


def difference(before: Totals, after: Totals, at: float) -> Step:
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


# --- Requests by client and by account ------------------------------------------------------------------------

MINUTES: Final = 15
STEPS_A_MINUTE: Final = 6
_QUANTILE: Final = 0.99
_NO_DURATIONS: Final = (0,) * (len(REQUEST_BUCKETS) + 1)


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one client or account: `refused` are 4xx other than 429, `throttled` 429, `errors` 5xx, and
    `unanswered` those whose tool left first. `seen` is when the last one was over, as wall-clock time, 0 for never.
    `durations` are counts by the buckets of the metrics."""

    requests: int = 0
    refused: int = 0
    throttled: int = 0
    errors: int = 0
    unanswered: int = 0
    seen: float = 0.0
    durations: tuple[int, ...] = _NO_DURATIONS

    def since(self, before: Tally) -> Tally:
        """What was added since then; where series have ended meanwhile, nothing is negative."""
        return Tally(
            requests=max(0, self.requests - before.requests),
            refused=max(0, self.refused - before.refused),
            throttled=max(0, self.throttled - before.throttled),
            errors=max(0, self.errors - before.errors),
            unanswered=max(0, self.unanswered - before.unanswered),
            seen=self.seen,
            durations=tuple(max(0, now - then) for now, then in zip(self.durations, before.durations, strict=True)),
        )


_NOTHING: Final = Tally()


@dataclass(frozen=True, slots=True)
class Tallies:
    """The tallies by client and by account; empty names are those of requests that ended before they were known."""

    clients: Mapping[str, Tally]
    accounts: Mapping[str, Tally]


class Traffic:
    """Reads the series whenever it is asked; `sample` is called every ten seconds."""

    def __init__(self, series: Callable[[], Iterable[tuple[RequestLabels, RequestNumbers]]]) -> None:
        self._series = series
        self._samples = 0
        self._kept: deque[Tallies] = deque((Tallies({}, {}),), maxlen=MINUTES)

    def __repr__(self) -> str:
        return f"<Traffic: {len(self._kept)} minutes kept>"

    async def sample(self) -> None:
        """Keeps a copy of the sums once a minute."""
        self._samples += 1
        if self._samples % STEPS_A_MINUTE == 0:
            self._kept.append(await tally(self._series()))

    async def now(self) -> Tallies:
        """The last quarter of an hour, or what there is since the start; of accounts, those with the most requests."""
        before = self._kept[0]
        total = await tally(self._series(), await self._busiest(before.accounts))
        return Tallies(await _since(total.clients, before.clients), await _since(total.accounts, before.accounts))

    async def _busiest(self, before: Mapping[str, Tally]) -> Collection[str]:
        """The accounts with the most requests, as many as a table has rows."""
        pause, counts = Pauses(), dict[str, int]()
        for labels, numbers in self._series():
            counts[labels.account] = counts.get(labels.account, 0) + numbers.count
            await pause()
        for name in counts.keys() & before.keys():
            counts[name] -= before[name].requests
        return set(heapq.nlargest(MAX_ROWS, counts, key=counts.__getitem__))


class _Sums:
    """Series added up in place: a tally of each would be made and thrown away for every one."""

    __slots__ = ("counts", "durations", "seen")

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0, 0]
        self.seen = 0.0
        self.durations: list[int] | None = None

    def add(self, labels: RequestLabels, numbers: RequestNumbers) -> None:
        counts, count, status = self.counts, numbers.count, labels.status
        counts[0] += count
        if status >= 500:
            counts[3] += count
        elif status == 429:
            counts[2] += count
        elif labels.refused:
            counts[1] += count
        elif not status:
            counts[4] += count
        self.seen = max(self.seen, numbers.seen)
        if numbers.durations is not None:
            more = numbers.durations.counts
            self.durations = list(map(add, self.durations, more)) if self.durations is not None else list(more)

    def tally(self) -> Tally:
        requests, refused, throttled, errors, unanswered = self.counts
        durations = _NO_DURATIONS if self.durations is None else tuple(self.durations)
        return Tally(requests, refused, throttled, errors, unanswered, self.seen, durations)


async def tally(
    series: Iterable[tuple[RequestLabels, RequestNumbers]], wanted: Collection[str] | None = None
) -> Tallies:
    """All series by whose they are; of accounts, those that are `wanted`, None for all."""
    pause = Pauses()
    clients: dict[str, _Sums] = {}
    accounts: dict[str, _Sums] = {}
    for labels, numbers in series:
        _sums_of(clients, labels.client).add(labels, numbers)
        if wanted is None or labels.account in wanted:
            _sums_of(accounts, labels.account).add(labels, numbers)
        await pause()
    return Tallies(await _tallies(clients), await _tallies(accounts))


def _sums_of(table: dict[str, _Sums], name: str) -> _Sums:
    if name not in table:
        table[name] = _Sums()
    return table[name]


async def _tallies(sums: Mapping[str, _Sums]) -> dict[str, Tally]:
    pause, found = Pauses(), {}
    for name, each in sums.items():
        found[name] = each.tally()
        await pause()
    return found


def quantile(durations: Sequence[int]) -> float | None:
    """The duration that 99 of 100 stay under, in seconds: even within its bucket, as Prometheus has it, and the last
    bound for all beyond. None without any. Pure."""
    rank, below, lower = _QUANTILE * sum(durations), 0, 0.0
    if not rank:
        return None
    for bound, count in zip(REQUEST_BUCKETS, durations, strict=False):
        if below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return lower


async def _since(now: Mapping[str, Tally], before: Mapping[str, Tally]) -> dict[str, Tally]:
    pause, found = Pauses(), {}
    for name, total in now.items():
        then = before.get(name)
        found[name] = total if then is None else total.since(then)
        await pause()
    return found


# --- The console's tables of requests -------------------------------------------------------------------------

MAX_SHOWN: Final = 200
MAX_GROUPS: Final = 20
MAX_ROWS: Final = 200
MAX_NAMES: Final = 5
ANY, FAILED, UNANSWERED = "", "failed", "unanswered"
STATUS_CLASSES: Final = (ANY, FAILED, UNANSWERED, "2xx", "3xx", "4xx", "429", "5xx")
BY_AMAZON: Final = "refused-by-amazon"
THROTTLED_BY_AMAZON: Final = "throttled-by-amazon"
FAILED_AT_AMAZON: Final = "failed-at-amazon"
PARTLY_FAILED: Final = "partly-failed"


def moment(at: float) -> str | None:
    """RFC 3339 in UTC, to the millisecond; None for never."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def table(tallies: Mapping[str, Tally], configured: Iterable[str]) -> list[dict[str, Any]]:
    """A row for each that has asked or is configured, by name; an empty name is of those who were not known.

    Where there are too many for a table, it has those that asked most.
    """
    names = {*tallies, *configured}
    if len(names) > MAX_ROWS:
        names = set(heapq.nlargest(MAX_ROWS, names, key=lambda name: tallies.get(name, _NOTHING).requests))
    return [_row(name, tallies.get(name, _NOTHING)) for name in sorted(names)]


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
    """Which requests are wanted; what is empty is not asked for. `operation` is a part of its name, of those of the
    tools of MCP that were called, or of an object that it names, in any case."""

    client: str = ""
    account: str = ""
    operation: str = ""
    status: str = ANY

    def takes(self, request: RecentRequest) -> bool:
        kind = request.kind
        return (
            self.client in ("", kind.client)
            and self.account in ("", kind.account)
            and self.operation.casefold() in f"{kind.operation} {request.mcp_tools} {request.objects}".casefold()
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
        "subject": kind.subject,
        "account": kind.account,
        "region": kind.region,
        "profile": kind.profile,
        "ads_account": kind.ads_account,
        "method": kind.method,
        "path": request.path,
        "operation": kind.operation,
        "operation_class": kind.operation_class,
        "mcp_tools": request.mcp_tools.split(),
        "outcome": request.outcome,
        "items": {"succeeded": request.succeeded, "failed": request.rejected},
        "objects": request.objects.split(),
        "members": request.members.split(),
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
    if request.outcome == Outcome.PARTIAL:
        return PARTLY_FAILED
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
        "next_step": _SOME_ITEMS if reason(last) == PARTLY_FAILED else next_step(last.status, last.refusal, last.fault),
    }


def _asked(request: RecentRequest) -> list[str]:
    """What people call it: the tools of MCP that it called, or Amazon's name of the operation."""
    return request.mcp_tools.split() or [request.kind.operation]


def _names(names: Iterable[str]) -> list[str]:
    """The first few of them, each once."""
    return list(dict.fromkeys(name for name in names if name))[:MAX_NAMES]


# --- Advice on failed requests --------------------------------------------------------------------------------

_CLIENT: Final = "Correct the client's request. The proxy needs no change."
_SOME_ITEMS: Final = (
    "Some items of the write failed, although its status is that of a success. The client's response lists them with "
    "their errors."
)
_SUPPORT: Final = errors.UpstreamClosed.advice

_OF_FAULTS: Final[dict[str, str]] = {
    Fault.CLIENT_GONE: "The client disconnected during the response. Compare its timeout with Amazon's response time.",
    Fault.CLIENT_STALLED: "The client stopped reading its response. Check the machine that it runs on.",
    Fault.UPSTREAM_DIED: _SUPPORT,
    Fault.UPSTREAM_TIMEOUT: errors.UpstreamTimeout.advice,
}
_OF_STATUSES: Final = {
    0: "The client disconnected before the response. Compare its timeout with Amazon's response time.",
    401: "Check the profile that the client names. If it is right, reconnect the account as a user with access to it.",
    403: "The account's login has no access to this profile or operation. Check who signed in, and their rights.",
    404: "The client requested something that does not exist: an id of another profile, or a retired operation.",
    429: "Amazon limits this account. Let clients send fewer requests. `ads-proxy status` shows how long it lasts.",
}


def next_step(status: int, refusal: str, fault: str) -> str:
    """A sentence. `refusal` is the slug of the proxy's own answer, `fault` says how one broke; both may be empty."""
    if refusal:
        return errors.advice_on(refusal) or (_CLIENT if status < 500 else errors.NoUsableToken.advice)
    if fault:
        return _OF_FAULTS.get(fault) or errors.advice_on(fault) or _SUPPORT
    return _OF_STATUSES.get(status) or (_SUPPORT if status >= 500 else _CLIENT)
