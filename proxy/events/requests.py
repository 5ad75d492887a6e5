"""What happened to requests of tools. Never a path with its query."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.events.root import Event

UNKNOWN = "unknown"
"""The operation of a request that Amazon's specifications do not have."""


class Fault(StrEnum):
    """How an exchange broke."""

    CLIENT_GONE = "client-gone"
    CLIENT_STALLED = "client-stalled"
    """It took no more of its answer."""
    UPSTREAM_DIED = "upstream-died"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    """Nothing more came of the answer."""


class RefusalCause(StrEnum):
    """Why Amazon refused a request, where that is known (docs/amazon.md, Unauthorized)."""

    SCOPE_MISSING = "scope-missing"
    """It wants a profile, and none was sent."""
    NOT_LISTED = "not-listed"
    """The profile or ads account is another login's, or nobody's."""
    NO_RIGHTS = "no-rights"
    """The profile is the login's, without rights."""
    LOGIN_OVER = "login-over"
    """The consent is over or revoked, or the application is wrong."""
    APPLICATION = "application-not-approved"
    PATH = "path-unknown"
    PROGRAM = "program-not-open"
    """The advertiser has no access to this kind of advertising."""
    ADVERTISER = "advertiser-unknown"
    ENTITY_MISSING = "entity-missing"


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """What a piece of work is called in a trace (W3C Trace Context): `parent_id` is 0 where it begins the trace, and
    `sampled` tells whether anybody is to keep it."""

    trace_id: int
    span_id: int
    parent_id: int = 0
    sampled: bool = True


@dataclass(frozen=True, slots=True)
class RequestFinished(Event):
    """One request of a tool is over: answered whole, cut off, or refused by the proxy itself.

    `method` is a known method or `other`. `path` has no query. `account`, `region`, `client` are empty where the
    request ended before they were known (`client` is `anonymous` where no clients are configured). `profile` and
    `ads_account` are those that were sent to Amazon, or that a refused request named. `operation` is Amazon's name for
    it, or `unknown`; `operation_class` is `read`, `report`, `write` or `unknown`. `status` is what the tool was
    answered, 0 if it left before; an answer that was cut keeps the status that was sent. `upstream_status` is Amazon's
    last, 0 for none. `refusal` is the slug of the proxy's own answer, else empty; `detail` says why, or why Amazon
    refused, where that is known; `fault` says how a started answer broke: a word of `Fault`, or the slug of the error
    that could no longer be told; or empty. `cause` is a word of `RefusalCause` where Amazon refused for a known reason.
    `duration` from the head's last byte to the answer's last; `upstream` is the part of it spent waiting for Amazon;
    `overhead` the rest: what the proxy itself added (parsing, deciding, relaying), waiting for a token not included.
    `mcp_tools` are the tools that a request to the MCP endpoint calls, as its body names them. `span` is there where
    somebody traces.
    """

    request_id: str
    client: str
    account: str
    region: str
    method: str
    path: str
    status: int
    amazon_request_id: str
    bytes_in: int
    bytes_out: int
    duration: float
    upstream: float
    overhead: float
    attempts: int
    refusal: str
    detail: str
    fault: str
    profile: str = ""
    ads_account: str = ""
    operation: str = UNKNOWN
    operation_class: str = UNKNOWN
    user_agent: str = ""
    upstream_status: int = 0
    cause: str = ""
    mcp_tools: tuple[str, ...] = ()
    span: TraceSpan | None = None


@dataclass(frozen=True, slots=True)
class RequestStarted(Event):
    """A request's head is complete; exactly one `RequestFinished` follows."""


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """One try of a request at Amazon is over, its `RequestFinished` still to come; told to those who trace, and to
    nobody else.

    `number` counts the tries from 1. `host` is `HOST:PORT`. `status` is that of its response, 0 for none; `fault` says
    why there is none, or why it is not whole: a word of `Fault`, the slug of an error, or `abandoned`.
    """

    span: TraceSpan
    number: int
    host: str
    client: str
    account: str
    method: str
    path: str
    operation: str
    status: int
    fault: str
    duration: float


@dataclass(frozen=True, slots=True)
class Replayed(Event):
    """A request was sent a second time. `reason`: `unauthorized`, `connection` or `throttled`; `outcome`:
    `recovered` (the second answer is no such failure), `failed`, or `impossible` (not sent again: a write that may have
    left, a body too large, no time or budget left, no new token)."""

    request_id: str
    reason: str
    outcome: str


@dataclass(frozen=True, slots=True)
class FamilyHeldBack(Event):
    """A request waits although its host has connections left: `held` of the `limit` serve its family of operations,
    and the rest is for others. `first`: nobody else of this family waits yet. `host` is `HOST:PORT`."""

    host: str
    family: str
    held: int
    limit: int
    first: bool


@dataclass(frozen=True, slots=True)
class AmazonThrottled(Event):
    """Amazon answered 429 to an operation of this family."""

    account: str
    region: str
    retry_after: float | None
    family: str = ""
