"""The decision on a request: its client, its destination, its rules; and the one memory of decisions.

A decision is made from a `RequestSummary`, its client and the rules, and from nothing else of the request. So it is
remembered by these, and holds for every request with the same ones. Nothing is decided here.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.bounded_cache import BoundedCache
from proxy.errors import UnknownRoute, WriteNotRecorded
from proxy.events import UNKNOWN, FamilyHeldBack
from proxy.forwarding.injection import render_section
from proxy.http1.message import MAX_REMEMBERED_BYTES
from proxy.observability.audit import may_change
from proxy.reports.orders import ReportOperation, find_report_operation
from proxy.routing.ads_account import SCOPE, sent_ads_account
from proxy.routing.operations import SAFE_METHODS, Effect, is_read
from proxy.routing.operations import family as family_of
from proxy.routing.route import select
from proxy.routing.target import TargetKind, find_destination, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.access.clients import ClientIdentity, Clients
    from proxy.access.mcp_tools import ToolRules
    from proxy.downstream.ports import ConnectionLimits
    from proxy.events import Observer
    from proxy.forwarding.injection import AccountLines
    from proxy.forwarding.retry import RetryBudget
    from proxy.http1.message import HeadLimits, Request
    from proxy.http1.request_fields import RequestFields
    from proxy.http1.target import Target
    from proxy.observability.instruments import Cell
    from proxy.observability.journal import JournalEntry
    from proxy.reports.overview import NamedReports
    from proxy.reports.sharing import ReportRules
    from proxy.routing.route import Route
    from proxy.routing.table import ClientScope, Directory, RoutingTable
    from proxy.routing.target import Destination, PathReading, RequestSummary
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import Timeouts, UpstreamConnection
    from proxy.upstream.pool import Pool, PoolSettings

    DecisionInputs = tuple[RequestSummary, ClientIdentity]
    """All that a decision depends on, under one set of rules and one state of the lists of profiles."""
    _Asked = tuple[bytes, Target, RequestFields, PathReading]
    _Summarised = tuple[Destination, RequestSummary]


# --- Rules from the configuration -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """A request keeps the rules that it was admitted under.

    `endpoints` leads from (endpoint, region) to the URL. `api_hosts` are the
    hosts whose addresses are led back through the proxy. `retry_wait` is in seconds, `replay_bytes` bounds what is kept
    of a body. `recorded_values` are the members whose values an audit record of a write holds; None if it does not even
    name objects and members. `scheme` and `listen` make the proxy's own address if a request has none.
    `response_lines` are header lines that every response carries. `reports` say what orders and polls of reports share;
    None where they pass like all other requests. `named_reports` are None without a section about reports.
    """

    table: RoutingTable
    clients: Clients
    connection_limits: ConnectionLimits
    head_limits: HeadLimits
    pool_settings: PoolSettings
    timeouts: Timeouts
    endpoints: Mapping[tuple[str, str], str]
    api_hosts: frozenset[bytes]
    replay_bytes: int
    retry_wait: float
    rewrite_locations: bool
    scheme: bytes
    listen: bytes
    response_lines: bytes = b""
    recorded_values: frozenset[str] | None = None
    reports: ReportRules | None = None
    named_reports: NamedReports | None = None


# --- Unlisted ids ---------------------------------------------------------------------------------------------


class UnlistedIds(NamedTuple):
    """A sent profile and ads account that no account lists, each empty for none.

    `account` is the one that the request chose, empty where it chose none.
    """

    profile: str
    ads_account: str
    account: str


def find_missed(asked: RequestSummary, identity: ClientScope, table: RoutingTable) -> UnlistedIds | None:
    """The sent ids that no account lists."""
    fields = asked.fields
    selection = select(asked.name, fields, table, identity)
    chosen = selection.account.name if selection is not None else ""
    scope = next((value.decode("latin-1") for value in fields.values(SCOPE) if value), "")
    ads_account = sent_ads_account(fields).decode("latin-1")
    missed = UnlistedIds(
        scope if scope and not table.directory.owners(scope, chosen) else "",
        ads_account if ads_account and not table.directory.ads_account_owners(ads_account, chosen) else "",
        chosen,
    )
    return missed if missed.profile or missed.ads_account else None


def misses_default(fields: RequestFields, route: Route, directory: Directory) -> bool:
    """Whether an unlisted default was added."""
    profile, ads_account = route.profile.decode("latin-1"), route.ads_account.decode("latin-1")
    if profile and not any(fields.values(SCOPE)) and not directory.owners(profile, route.account):
        return True
    return bool(route.ads_account_header) and not directory.ads_account_owners(ads_account, route.account)


def is_listed(missed: UnlistedIds, directory: Directory) -> bool:
    """Whether an id that was unlisted is listed by now."""
    profile, ads_account, account = missed
    if profile and directory.owners(profile, account):
        return True
    return bool(ads_account and directory.ads_account_owners(ads_account, account))


# --- The decision ---------------------------------------------------------------------------------------------

MAX_DECISIONS = 1024
_MAX_CACHE_BYTES = 6 << 20
_DECISION_BYTES = 3000
"""About how much memory a decision takes in addition to its request's fields: an access token, and journal entries."""
_MAX_TARGET = 1024
"""Bytes of a target that is remembered."""
_API = TargetKind.API
_WITHOUT_MESSAGE: Final = frozenset((b"GET", b"DELETE"))
_held_back = lru_cache(maxsize=256)(FamilyHeldBack)
"""While a family is held back the same is told again and again."""


@dataclass(slots=True, eq=False)
class Decision:
    """An admitted request: its client, its destination and its rules.

    `tools` are those of the MCP endpoint that its client may see; None for all, and for any other endpoint. `by_body`
    tells that its body has to be checked before anything is sent. `in_flight` counts its client's requests, `budget` is
    its host's of retries; `budgeted` tells that each request is taken off its client's own. `hands_out_locations` tells
    that its response may hold an address that leads back through the proxy. It holds while the ids that it `missed` are
    unlisted. `effect` is what it does at Amazon, or `unknown`. `is_write` tells that it may change something there and
    gets an audit record; `has_outcome`, that its response is read for what became of the write: that of a GET holds no
    results; `reads_request`, that its request is read for what it changes. `is_plain` tells that its requests may be
    sent in one step. `report` is its operation of reports, if requests share these. `entries` are where its requests
    are noted, by status, and `write_entries` those of writes that succeeded.
    """

    asked: RequestSummary
    identity: ClientIdentity
    route: Route
    pool: Pool
    rules: Rules
    in_flight: Cell
    budget: RetryBudget
    tools: ToolRules | None = None
    by_body: bool = False
    family: str = field(init=False)
    hands_out_locations: bool = field(init=False)
    is_plain: bool = field(init=False)
    report: ReportOperation | None = field(init=False)
    budgeted: bool = field(init=False)
    effect: str = field(init=False)
    is_write: bool = field(init=False)
    has_outcome: bool = field(init=False)
    reads_request: bool = field(init=False)
    missed: UnlistedIds | None = None
    entries: dict[int, JournalEntry] = field(default_factory=dict)
    write_entries: dict[int, JournalEntry] = field(default_factory=dict)
    _token: AccessToken | None = field(default=None, repr=False)
    _section: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        asked, policy = self.asked, self.identity.policy
        segments = asked.operation.segments if asked.operation is not None else asked.segments
        self.family = family_of(asked.operation, asked.method, segments)
        self.hands_out_locations = self.rules.rewrite_locations and hands_out_locations(asked.method, segments)
        self.budgeted = policy is not None and policy.has_budget
        self.note_effect(_effect_of(asked))
        self.is_plain = self.route.endpoint is _API and asked.method != b"HEAD" and not self.hands_out_locations
        self.report = self._find_report()

    def note_effect(self, effect: str) -> None:
        """What it does at Amazon: by its operation, or by its body, for a request that is decided by itself."""
        asked = self.asked
        self.effect = effect = UNKNOWN if asked.overrides else effect
        self.is_write = effect == UNKNOWN or may_change(effect)
        self.has_outcome = self.is_write and (asked.overrides or asked.method not in SAFE_METHODS)
        self.reads_request = self.has_outcome and self.rules.recorded_values is not None

    def __repr__(self) -> str:
        return f"<Decision: {self.client or 'nobody'} to {self.route.account} in {self.route.region}>"

    def _find_report(self) -> ReportOperation | None:
        operation = self.asked.operation
        if self.rules.reports is None or operation is None or not self.is_plain:
            return None
        return find_report_operation(operation.method, operation.template)

    @property
    def client(self) -> str:
        """The name of the client that sends it."""
        return self.identity.name

    @property
    def reads(self) -> bool:
        """Whether it changes nothing at Amazon."""
        return not self.asked.overrides and is_read(self.asked.method, self.route.operation)

    def section(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """What leaves behind the request line with this token."""
        if token is not self._token:
            lines = account_lines.of(token)
            self._section = render_section(self.asked.fields, self.route, self.pool.host_line, lines)
            self._token = token
        return self._section


def _effect_of(asked: RequestSummary) -> str:
    """What a request does at Amazon, as far as its head tells. MCP's GET and DELETE open a stream and end a session."""
    if asked.operation is not None:
        return asked.effect
    has_body = asked.fields.chunked or asked.fields.content_length
    is_without_message = asked.kind is TargetKind.MCP and asked.method in _WITHOUT_MESSAGE and not has_body
    return Effect.READ if is_without_message else UNKNOWN


class RequestContext:
    """A request that may leave, what its target asks for, and what was decided about it."""

    __slots__ = ("decision", "destination", "request")

    def __init__(self, request: Request, destination: Destination, decision: Decision) -> None:
        self.request = request
        self.destination = destination
        self.decision = decision

    def __repr__(self) -> str:
        return f"<RequestContext of {self.request.id}: {self.decision!r}>"

    @property
    def rules(self) -> Rules:
        return self.decision.rules

    @property
    def client(self) -> str:
        return self.decision.identity.name

    @property
    def route(self) -> Route:
        return self.decision.route

    @property
    def endpoint(self) -> TargetKind:
        return self.decision.route.endpoint

    @property
    def pool(self) -> Pool:
        return self.decision.pool

    @property
    def family(self) -> str:
        """The operations that share its rate limit, and its part of the pool."""
        return self.decision.family

    def take(self, gate: WriteGate) -> UpstreamConnection | None:
        """An idle connection for it; None if it has to wait, or `acquire` refuses it."""
        return None if gate.stops(is_write=self.decision.is_write) else self.pool.take(self.family)

    async def acquire(self, observer: Observer, gate: WriteGate, *, fresh: bool) -> UpstreamConnection:
        """A connection for it, when its client's turn has come. Raises `Refused` where there is none in time, and where
        its audit record can no longer be kept."""
        self.check_gate(gate)
        pool, family = self.pool, self.family
        tell_held_back(pool, family, observer)
        patience = self.rules.timeouts.response
        connection = await pool.acquire(fresh=fresh, patience=patience, client=self.client, family=family)
        self.check_late(connection, gate)
        return connection

    def check_gate(self, gate: WriteGate) -> None:
        """Raise `WriteNotRecorded` if its audit record can no longer be kept."""
        gate.check(is_write=self.decision.is_write)

    def check_late(self, connection: UpstreamConnection, gate: WriteGate) -> None:
        """As `check_gate`, after a wait for this connection, which is released then."""
        try:
            self.check_gate(gate)
        except WriteNotRecorded:
            self.pool.release(connection)
            raise

    @property
    def path(self) -> str:
        """As the log has it: without prefix and query."""
        return self.destination.path.decode("latin-1")

    @property
    def target(self) -> bytes:
        """The origin-form that leaves."""
        return self.decision.route.target(self.destination)


class Decisions:
    """The one memory of decisions: those made under one set of rules, by all that they depend on.

    They are forgotten when the lists of profiles change. What depends on time, a key or a placeholder that expires, is
    part of the client's identity, which is looked up for each request.
    """

    def __init__(self, rules: Rules) -> None:
        self._table = rules.table
        self._clients = rules.clients
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._with_reports = rules.named_reports is not None
        self._made: BoundedCache[DecisionInputs, Decision] = BoundedCache(MAX_DECISIONS, _MAX_CACHE_BYTES)
        self._known: BoundedCache[_Asked, _Summarised] = BoundedCache(MAX_DECISIONS, _MAX_CACHE_BYTES)
        self._large: tuple[_Asked, _Summarised] | None = None

    def __repr__(self) -> str:
        return f"<Decisions: {len(self._made)} made>"

    def find(self, request: Request) -> RequestContext | None:
        """What was decided about such a request before; None where it is to be decided now."""
        if self._directory.version != self._version:
            self._made.clear()
            self._version = self._directory.version
        identity = self._clients.recall(request.fields, time.time())
        if identity is None:
            return None
        try:
            destination, asked = self.read(request, identity.reading)
        except UnknownRoute:
            return None  # it is refused when its turn comes
        decision = self._made.get((asked, identity))
        if decision is None or (decision.missed is not None and is_listed(decision.missed, self._directory)):
            return None
        return RequestContext(request, destination, decision)

    def read(self, request: Request, reading: PathReading) -> tuple[Destination, RequestSummary]:
        """What a request asks for. Raises `UnknownRoute` for a prefix without a name.

        That of a large request is kept only until the next one: reading it twice would cost too much.
        """
        asked = request.method, request.target, request.fields, reading
        known = self._known.get(asked)
        return known if known is not None else self._read_anew(asked)

    def _read_anew(self, asked: _Asked) -> _Summarised:
        method, target, fields, reading = asked
        if self._large is not None and self._large[0] == asked:
            return self._large[1]
        destination = find_destination(target, with_reports=self._with_reports)
        found = destination, summarise(method, fields, destination, self._table.operations, reading)
        if len(target.raw) > _MAX_TARGET or fields.size > MAX_REMEMBERED_BYTES:
            self._large = asked, found
        else:
            size = fields.held_bytes + 2 * len(target.raw) + 50 * len(destination.segments)
            self._known.keep(asked, found, size)
        return found

    def keep(self, decision: Decision) -> None:
        """Remember it, unless it depends on what is checked each time: a session, or an unlisted default; or
        its header section is so large that the reader does not remember it."""
        if (
            decision.asked.kind is not _API
            or decision.asked.fields.size > MAX_REMEMBERED_BYTES
            or decision.by_body
            or misses_default(decision.asked.fields, decision.route, self._directory)
        ):
            return
        asked = decision.asked
        decision.missed = find_missed(asked, decision.identity.scope, self._table)
        size = _DECISION_BYTES + asked.fields.held_bytes + asked.fields.size + len(asked.path) + len(asked.query)
        self._made.keep((asked, decision.identity), decision, size)


def tell_held_back(pool: Pool, family: str, observer: Observer) -> None:
    """Before a request waits: whether it does so although there are connections, which are for others."""
    if pool.holds_back(family):
        held, first = pool.held_by(family), not pool.is_awaited_by(family)
        observer.observe(_held_back(pool.name, family, held, pool.limit, first))


# --- Rewriting addresses in answers ---------------------------------------------------------------------------

_ABSOLUTE = re.compile(rb"(?:https?:)?//([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(?=[/?]|\Z)", re.IGNORECASE)
_JSON = re.compile(rb"application/(?:[a-z0-9.+_-]+\+)?json\s*(?:;|\Z)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]*")
_VERSIONS = frozenset((b"v1", b"v2", b"sp", b"sb", b"sd", b"hsa"))
_KINDS = frozenset((b"report", b"reports", b"snapshot", b"snapshots"))
_DECODER = json.JSONDecoder()


def hands_out_locations(method: bytes, segments: tuple[bytes, ...]) -> bool:
    """Whether the body of an answer may hold a `location` that must be looked at: v2 reports and snapshots."""
    if len(segments) < 2 or segments[0] not in _VERSIONS or _KINDS.isdisjoint(segments):
        return False
    return method in (b"GET", b"POST")


def may_hold_location(status: int, content_type: bytes) -> bool:
    """Whether this answer's body does, where such answers may: a success, as JSON."""
    return 200 <= status < 300 and _JSON.match(content_type) is not None


def rewrite_location(value: bytes, api_hosts: frozenset[bytes], base: bytes, prefix: bytes) -> bytes:
    """A Location's value, led back through the proxy if it is at an API host.

    `api_hosts` holds `host` or `host:port`, lower case. `base` is the proxy's own origin as the client knows it,
    `prefix` what leads to the request's account and region. A path alone is at the API host, too.
    """
    if value.startswith(b"/") and not value.startswith(b"//"):
        return prefix + value
    found = _ABSOLUTE.match(value)
    if found is None or not _is_api_host(found, api_hosts):
        return value
    rest = value[found.end() :]
    return base + prefix + (rest if rest.startswith(b"/") else b"/" + rest)


def _is_api_host(found: re.Match[bytes], api_hosts: frozenset[bytes]) -> bool:
    host, port = found[1].lower(), found[2] or b""
    return host + port in api_hosts or (port in (b":443", b":80") and host in api_hosts)


def rewrite_body(body: bytes, api_hosts: frozenset[bytes], base: bytes, prefix: bytes) -> bytes:
    """A JSON body in which a `location` of the outermost object is led back; only the bytes of that value change.

    A body that is no JSON object comes back as it is.
    """
    if b"location" not in body:
        return body
    try:
        text = body.decode()
        spans = _locations(text)
    except (ValueError, RecursionError):
        return body
    for start, end, value in reversed(spans):
        old = value.encode("utf-8", "surrogatepass")
        new = old if old.startswith(b"/") else rewrite_location(old, api_hosts, base, prefix)
        if new != old:
            text = text[:start] + json.dumps(new.decode("utf-8", "surrogatepass")) + text[end:]
    return text.encode()


def _locations(text: str) -> list[tuple[int, int, str]]:
    """The places of the values of `location` in an object's text, and the values. `ValueError` for no object."""
    found: list[tuple[int, int, str]] = []
    at = _expect(text, _skip(text, 0), "{")
    while True:
        key, at = _DECODER.raw_decode(text, _skip(text, at))
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        value, at = _DECODER.raw_decode(text, start)
        if key == "location" and isinstance(value, str):
            found.append((start, at, value))
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            _expect(text, at, "}")
            return found
        at += 1


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    space = _SPACE.match(text, at)
    return space.end() if space is not None else at


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign!r} at {at}")
    return at + 1


# --- The gate for writes without an audit record --------------------------------------------------------------

RETRY_SECONDS: Final = 5.0
"""After which a client may send a write again that could not be recorded."""


class WriteGate:
    """One per process. `takes_writes` tells whether the record of one more write would be kept; `app` sets it.
    `unrecorded` counts writes that are over, and whose record waits until their bodies are read."""

    def __init__(self) -> None:
        self.takes_writes: Callable[[], bool] = lambda: True
        self.unrecorded = 0

    def __repr__(self) -> str:
        return f"<WriteGate {'open' if self.takes_writes() else 'closed'}>"

    def stops(self, *, is_write: bool) -> bool:
        """Whether such a request must not leave now."""
        return is_write and not self.takes_writes()

    def check(self, *, is_write: bool) -> None:
        """Raise `WriteNotRecorded` if such a request must not leave now."""
        if self.stops(is_write=is_write):
            raise WriteNotRecorded(
                "The audit stream cannot record anything now, and nothing that may change something at Amazon is sent "
                "without a record. Send the request again later.",
                retry_after=RETRY_SECONDS,
            )
