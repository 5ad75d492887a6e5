"""What happened: requests as they arrived, refusals with their reason, and counts. Written to, never decided upon."""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.simulator.answers import Refusal

log = logging.getLogger("proxy.simulator")

MAX_PATHS = 5000


@dataclass(slots=True)
class RequestRecord:
    """One request, byte for byte as far as its head goes (header bytes shown as Latin-1)."""

    number: int
    listener: str
    region: str | None
    method: str
    target: str
    version: str
    host: str | None
    headers: list[tuple[str, str]]
    connection: int
    body_bytes: int = 0
    status: int | None = None
    fault: bool = False
    disconnected: bool = False


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """One request that broke a rule. `owner` is who puts that header there: the "proxy" or the "tool" behind it."""

    number: int
    listener: str
    region: str | None
    method: str
    target: str
    status: int
    kind: str
    owner: str
    reason: str


@dataclass(slots=True)
class Ledger:
    """The newest requests and refusals, and counts of all of them."""

    kept: int
    requests: deque[RequestRecord] = field(init=False)
    refusals: deque[RefusalRecord] = field(init=False)
    refusals_by_kind: Counter[str] = field(default_factory=Counter)
    refusals_by_owner: Counter[str] = field(default_factory=Counter)
    tokens_by_result: Counter[str] = field(default_factory=Counter)
    tokens_by_grant: Counter[str] = field(default_factory=Counter)
    requests_by_listener: Counter[str] = field(default_factory=Counter)
    api_by_region: Counter[str] = field(default_factory=Counter)
    api_by_status: Counter[str] = field(default_factory=Counter)
    paths: dict[str, Counter[str]] = field(default_factory=dict)
    total: int = 0
    faults: int = 0
    disconnects: int = 0

    def __post_init__(self) -> None:
        self.requests = deque(maxlen=self.kept)
        self.refusals = deque(maxlen=self.kept)

    def arrived(self, listener: str, region: str | None, request: web.BaseRequest) -> RequestRecord:
        """A request's head is here."""
        self.total += 1
        self.requests_by_listener[listener] += 1
        if listener in ("api", "mcp"):
            self.api_by_region[region or ""] += 1
        record = RequestRecord(
            number=self.total,
            listener=listener,
            region=region,
            method=request.method,
            target=request.raw_path,
            version=f"HTTP/{request.version.major}.{request.version.minor}",
            host=request.headers.get("Host"),
            headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers],
            connection=id(request.transport),
        )
        self.requests.append(record)
        return record

    def answered(self, record: RequestRecord, status: int, path: str) -> None:
        """An answer's head went out; `path` is the operation's template or the path itself."""
        record.status = status
        if record.listener in ("api", "mcp"):
            self.api_by_status[str(status)] += 1
        key = f"{record.method} {path}"
        if key not in self.paths and len(self.paths) >= MAX_PATHS:
            key = "other"
        self.paths.setdefault(key, Counter())[str(status)] += 1

    def refused(self, record: RequestRecord, refusal: Refusal) -> None:
        """A rule was broken: remembered, counted and logged."""
        status, kind, reason = refusal.status, refusal.kind, refusal.reason
        owner = "tool" if kind in TOOL_KINDS else "proxy"
        where = record.number, record.listener, record.region, record.method, record.target
        self.refusals.append(RefusalRecord(*where, status, kind, owner, reason))
        self.refusals_by_kind[kind] += 1
        self.refusals_by_owner[owner] += 1
        log.warning("refused %s %s (%s): %s: %s", record.method, record.target, status, kind, reason)

    def token_answered(self, grant_type: str, result: str) -> None:
        """The token endpoint spoke: "ok" or an error of Login with Amazon."""
        self.tokens_by_grant[grant_type] += 1
        self.tokens_by_result[result] += 1

    def counts(self) -> dict[str, Any]:
        """All counts as plain values."""
        return {
            "token_requests": self.requests_by_listener["lwa"],
            "token_by_result": dict(self.tokens_by_result),
            "token_by_grant": dict(self.tokens_by_grant),
            "api_requests": self.requests_by_listener["api"] + self.requests_by_listener["mcp"],
            "api_by_region": dict(self.api_by_region),
            "api_by_status": dict(self.api_by_status),
            "s3_requests": self.requests_by_listener["s3"],
            "paths": {path: dict(statuses) for path, statuses in self.paths.items()},
            "refusals": sum(self.refusals_by_kind.values()),
            "refusals_by_kind": dict(self.refusals_by_kind),
            "refusals_by_owner": {owner: self.refusals_by_owner[owner] for owner in ("proxy", "tool")},
            "faults": self.faults,
            "disconnects": self.disconnects,
        }


TOOL_KINDS = frozenset(
    {
        "accept",
        "account-missing",
        "advertiser-missing",
        "argument-account",
        "body",
        "body-account-forbidden",
        "body-account-unknown",
        "content-type",
        "header-mismatch",
        "operation-unknown",
        "report-order",
        "s3-authorization",
        "selection",
        "session-account",
        "s3-leaked-header",
    }
)
"""Refusals for what a client itself does; all others are for what a proxy adds, must remove or must not change."""
