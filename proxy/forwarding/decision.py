"""What is decided about a request, and by what: its rules, its client, its destination, and what plugs into its way.

A decision is made from a `RequestSummary`, its client, the verdict of the client's policy, and the rules, and from
nothing else of the request. So it holds for every request with the same ones; `decisions` remembers it. What belongs to
one request is in its context.
"""

from __future__ import annotations

from copy import copy
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from proxy.events import UNKNOWN, FamilyHeldBack, may_change
from proxy.forwarding.injection import SectionMemory, render_section, request_line
from proxy.forwarding.request_stats import RequestStats
from proxy.forwarding.sockets import NO_PLACEMENT, Placement
from proxy.http1.message import Request
from proxy.routing.ends import find_end
from proxy.routing.locations import hands_out_locations
from proxy.routing.operations import SAFE_METHODS, Effect
from proxy.routing.operations import family as family_of
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.access.clients import ClientIdentity, Clients
    from proxy.access.policy import Verdict
    from proxy.downstream.ports import ClientPort, ConnectionLimits, RequestHandler
    from proxy.events import Observer
    from proxy.forwarding.injection import AccountLines
    from proxy.forwarding.sockets import Gate, LocalAsked, Tap
    from proxy.http1.message import HeadLimits
    from proxy.observability.instruments import Cell
    from proxy.observability.journal import JournalEntry
    from proxy.routing.api import Api
    from proxy.routing.route import Route
    from proxy.routing.table import RoutingTable
    from proxy.routing.target import Destination, RequestSummary
    from proxy.routing.unlisted_ids import UnlistedIds
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import Timeouts
    from proxy.upstream.pool import Pool, PoolSettings
    from proxy.upstream.retry_budgets import RetryBudget


# --- What plugs in --------------------------------------------------------------------------------------------


class Plugs(NamedTuple):
    """What a capability has to do with requests that are decided alike: each gets its own gates and taps, made with its
    context. `at_end` tells that its taps, and those of its gates, have nothing to do before the end of a response that
    comes whole, and that its gates do not rewrite one."""

    gates: tuple[Callable[[RequestContext], Gate], ...] = ()
    taps: tuple[Callable[[RequestContext], Tap], ...] = ()
    at_end: bool = True


NO_PLUGS = Plugs()


class Capability:
    """What a room offers to requests, under one set of rules. The methods of this class offer nothing.

    See `sockets` for gates, taps and local answers.
    """

    def take_effect(self) -> None:
        """Its rules are those in force from now on."""

    def place(self, asked: RequestSummary, identity: ClientIdentity, screened: Verdict) -> Placement:
        """The session that a request belongs to, where its endpoint has sessions. Raises what forbids the request."""
        return NO_PLACEMENT

    def plug(self, decision: Decision) -> Plugs:
        """The gates and taps of requests that are decided so."""
        return NO_PLUGS

    def permit_again(self, context: RequestContext) -> None:
        """Raise what forbids a request to leave that was decided by earlier rules. Asked of those that plug in."""

    def answer(self, asked: LocalAsked, rules: Rules) -> RequestHandler | None:
        """The handler of a request to one of its own paths; None for other paths. Raises what forbids the request."""
        return None

    def open_tunnel(self, request: Request, client: ClientPort, rules: Rules) -> RequestHandler | None:
        """The handler of a CONNECT; None where it opens no tunnels. Raises what forbids the request."""
        return None


# --- Rules from the configuration -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """A request keeps the rules that it was admitted under.

    `endpoints` leads from (name of an API, region) to the URL. `api_hosts` are the hosts whose addresses are led back
    through the proxy. `retry_wait` is in seconds, `replay_bytes` bounds what is kept of a body. `listen` is the proxy's
    own address for a request without a Host. `response_lines` are header lines that every response carries.
    `capabilities` are in the order in which gates see a request; those that have gates or taps are `plugging`.
    `own_paths` tells that one of them answers `/-/*`.
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
    listen: bytes
    response_lines: bytes = b""
    capabilities: tuple[Capability, ...] = ()
    own_paths: bool = False
    plugging: tuple[Capability, ...] = field(init=False)

    def __post_init__(self) -> None:
        plugging = tuple(each for each in self.capabilities if type(each).plug is not Capability.plug)
        object.__setattr__(self, "plugging", plugging)


# --- The decision ---------------------------------------------------------------------------------------------

_held_back = lru_cache(maxsize=256)(FamilyHeldBack)
"""While a family is held back the same is told again and again."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """An admitted request: its client, its destination and its rules. What belongs to one request is in its context.

    `in_flight` counts its client's requests, `budget` is its host's of retries. `by_body` tells that its client may
    send it with some bodies only, which a gate has to read. It holds while the ids that it `missed` are unlisted.
    `budgeted` tells that each request is taken off its client's own budget, and `looked_at` that this is so, or that it
    may have to be recorded, or that a gate reads it. `hands_out_locations` tells that its
    response may hold an address that leads back through the proxy. `effect` is what it does at Amazon as far as its
    head tells, or `unknown`; `is_write` tells that it may change something there. `gates` and `taps` make those that
    each request gets. `in_one_step` tells that its requests may be sent so, and `is_plain` that no gate looks at them
    before. `entries` are where its requests are noted, by status; `section` remembers what was sent last.
    `ends` are header lines for its responses with an end that Amazon announced.
    A decision that is remembered belongs to an API without sessions: no body narrows the effect of its requests.
    """

    asked: RequestSummary
    identity: ClientIdentity
    route: Route
    pool: Pool
    rules: Rules
    in_flight: Cell
    budget: RetryBudget
    by_body: bool = False
    missed: UnlistedIds | None = None
    family: str = field(init=False)
    hands_out_locations: bool = field(init=False)
    budgeted: bool = field(init=False)
    looked_at: bool = field(init=False)
    effect: str = field(init=False)
    is_write: bool = field(init=False)
    gates: tuple[Callable[[RequestContext], Gate], ...] = field(init=False, default=())
    taps: tuple[Callable[[RequestContext], Tap], ...] = field(init=False, default=())
    in_one_step: bool = field(init=False, default=False)
    is_plain: bool = field(init=False, default=False)
    entries: dict[int, JournalEntry] = field(init=False, default_factory=dict)
    section: SectionMemory = field(init=False)
    ends: bytes = field(init=False)

    def __post_init__(self) -> None:
        asked, rules, policy = self.asked, self.rules, self.identity.policy
        segments = asked.segments
        hands_out = rules.rewrite_locations and hands_out_locations(asked.method, segments)
        effect = UNKNOWN if asked.overrides else _effect_of(asked, self.route.api)
        found: dict[str, object] = {
            "ends": find_end(asked.operation, asked.fields).response_lines,
            "family": family_of(asked.operation, asked.method, segments),
            "hands_out_locations": hands_out,
            "budgeted": policy is not None and policy.has_budget,
            "effect": effect,
            "is_write": may_change(effect),
            "section": SectionMemory(asked.fields, self.route, self.pool.host_line),
        }
        self._set(found)
        plugs = [capability.plug(self) for capability in rules.plugging]
        gates = tuple(gate for each in plugs for gate in each.gates)
        as_it_came = not (self.route.api.refusals.texts or self.ends or self.route.api_path)  # answer and target
        taps = tuple(tap for each in plugs for tap in each.taps)
        in_one_step = as_it_came and asked.method != b"HEAD" and not hands_out and all(each.at_end for each in plugs)
        self._set({"gates": gates, "taps": taps, "in_one_step": in_one_step, "is_plain": in_one_step and not gates})
        self._set({"looked_at": self.budgeted or self.is_write or bool(gates)})

    def _set(self, found: dict[str, object]) -> None:
        """Set members that follow from the others; only while it is made."""
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<Decision: {self.client or 'nobody'} to {self.route.account} in {self.route.region}>"

    @property
    def client(self) -> str:
        """The name of the client that sends it."""
        return self.identity.name

    @property
    def reads(self) -> bool:
        """Whether it changes nothing at Amazon."""
        asked = self.asked
        return not asked.overrides and (asked.method in SAFE_METHODS or asked.effect == Effect.READ)


def _effect_of(asked: RequestSummary, api: Api) -> str:
    """What a request does at Amazon, as far as its head tells."""
    if not api.takes_messages:
        return asked.effect
    has_body = asked.fields.chunked or asked.fields.content_length
    return Effect.READ if asked.method in api.without_message and not has_body else UNKNOWN


class Admission:
    """An admitted head: the request as it was read, where it leads, and what was decided. `path` is that of the log:
    without prefix and query."""

    __slots__ = ("_head", "_token", "decision", "destination", "fields", "method", "minor", "path", "target")

    def __init__(self, request: Request, destination: Destination, decision: Decision) -> None:
        self.method, self.target = request.method, request.target
        self.minor, self.fields = request.minor, request.fields
        self.destination = destination
        self.decision = decision
        self.path = destination.path.decode("latin-1")
        self._token: AccessToken | None = None
        self._head = b""

    def __repr__(self) -> str:
        return f"<Admission of {self.path}: {self.decision!r}>"

    def request(self, request_id: str) -> Request:
        """The request of this head that has this id."""
        return Request(self.method, self.target, self.minor, self.fields, request_id)

    def head(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """The head that leaves with this token; rendered once for each. For plain requests only."""
        if token is not self._token:
            line = request_line(self.method, self.destination.target)
            self._head = line + self.decision.section.of(token, account_lines)
            self._token = token
        return self._head


class RequestContext:
    """One request that may leave: its admitted head, its id, and what is measured of it.

    `effect` and `is_write` are those of the decision, unless its body says that it does less. Moments are of
    `perf_counter`: it `began` when its head was complete, and its time is `counted` from then on, unless it waited for
    something that is not the proxy's; it was `sent_at` the moment at which it was handed over to be sent, 0 before.
    `overhead` is what the proxy spent until then. `request` and `stats` are made when something asks for them;
    `own_stats` is None before. `look_again` is set by a gate whose answer holds for a time only: it raises what forbids
    the request at the moment at which it leaves.
    """

    look_again: Callable[[], None] | None = None
    _effect: str | None = None
    _request: Request | None = None
    own_stats: RequestStats | None = None
    sent_at = overhead = 0.0

    def __init__(self, admission: Admission, request_id: str, began: float) -> None:
        self.admission = admission
        self.decision = admission.decision
        self.request_id = request_id
        self.began = self.counted = began

    def __repr__(self) -> str:
        return f"<RequestContext of {self.request_id}: {self.decision!r}>"

    @property
    def request(self) -> Request:
        """The request as it leaves."""
        if self._request is None:
            self._request = self.admission.request(self.request_id)
        return self._request

    @request.setter
    def request(self, request: Request) -> None:
        self._request = request

    @property
    def stats(self) -> RequestStats:
        """What its account is made of, if that is more than what others share."""
        if self.own_stats is None:
            stats = self.own_stats = RequestStats(self.request, self.began)
            stats.overhead, stats.sent_at, stats.counted = self.overhead, self.sent_at, self.sent_at or self.counted
        return self.own_stats

    def measure_sent(self) -> None:
        """Take over what was measured when the request was sent, if its account is made of more already."""
        if (stats := self.own_stats) is not None:
            stats.overhead, stats.sent_at, stats.counted = self.overhead, self.sent_at, self.sent_at

    def decided_by(self, decision: Decision) -> RequestContext:
        """The same request with another decision about it, and the same account."""
        again = copy(self)
        again.own_stats, again._effect, again.decision = self.stats, None, decision
        return again

    @property
    def effect(self) -> str:
        """What it does at Amazon, or `unknown`."""
        return self.decision.effect if self._effect is None else self._effect

    @property
    def is_write(self) -> bool:
        """Whether it may change something there."""
        return self._effect is None and self.decision.is_write

    def narrow(self, effect: str) -> None:
        """Its body says that it does no more than this, which is less than a write."""
        if not self.decision.asked.overrides:
            self._effect = effect

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
    def api(self) -> Api:
        return self.decision.route.api

    @property
    def pool(self) -> Pool:
        return self.decision.pool

    @property
    def family(self) -> str:
        """The operations that share its rate limit, and its part of the pool."""
        return self.decision.family

    @property
    def destination(self) -> Destination:
        return self.admission.destination

    @property
    def path(self) -> str:
        """The path as the log has it: without prefix and query."""
        return self.admission.path

    @property
    def target(self) -> bytes:
        """The origin-form that leaves."""
        return self.decision.route.target(self.admission.destination)

    def head(self, token: AccessToken, account_lines: AccountLines, further: bytes) -> bytes:
        """The head that leaves with this token; `further` are lines that it has in addition to those of its account."""
        decision, request = self.decision, self.request
        line = request_line(request.method, self.target)
        if request.fields is decision.asked.fields and not further:
            return line + decision.section.of(token, account_lines)
        lines = account_lines.of(token) + further
        return line + render_section(request.fields, decision.route, decision.pool.host_line, lines)


def tell_held_back(pool: Pool, family: str, observer: Observer) -> None:
    """Before a request waits: whether it does so although there are connections, which are for others."""
    if pool.holds_back(family):
        held, first = pool.held_by(family), not pool.is_awaited_by(family)
        observer.observe(_held_back(pool.name, family, held, pool.limit, first))
