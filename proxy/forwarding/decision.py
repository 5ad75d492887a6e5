"""What was decided about a request: whose it is, where it goes, under which rules. Values; nothing is decided here."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from proxy.errors import WriteNotRecorded
from proxy.events import FamilyHeldBack
from proxy.forwarding.injection import render_section, request_line
from proxy.forwarding.locations import concerns
from proxy.forwarding.retry import is_read
from proxy.observability.audit import may_change
from proxy.routing.families import family as family_of
from proxy.routing.target import TargetKind, sent_target

if TYPE_CHECKING:
    from proxy.access.clients import Caller
    from proxy.access.mcp_tools import ToolRules
    from proxy.events import Observer
    from proxy.forwarding.injection import AccountLines
    from proxy.forwarding.retry_budget import RetryBudget
    from proxy.forwarding.rules import Rules
    from proxy.forwarding.write_gate import WriteGate
    from proxy.http1.message import Request
    from proxy.observability.access_line import NumberedText
    from proxy.observability.instruments import Cell
    from proxy.observability.journal import Journal, JournalEntry
    from proxy.routing.route import Route
    from proxy.routing.target import Destination
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.pool import Pool

_held_back = lru_cache(maxsize=256)(FamilyHeldBack)
"""While a family is held back the same is told again and again."""


class Missed(NamedTuple):
    """A profile and an ads account that were sent and that nobody lists, each empty where it is none.

    `account` is the one that the request chose, empty where it chose none.
    """

    profile: str
    ads_account: str
    account: str


class Prepared:
    """What requests of one kind have in common when they leave and when they end; made when it is needed.

    `section` is what leaves behind the request line with `token`, `entries` are where they are noted, by status, and
    `texts` what the log says of their paths, None where it has to look at each; once that was asked, it is `named`.
    """

    __slots__ = ("entries", "named", "section", "texts", "token")

    def __init__(self) -> None:
        self.entries: dict[int, JournalEntry] = {}
        self.section = b""
        self.named = False
        self.texts: NumberedText | None = None
        self.token: AccessToken | None = None

    def __repr__(self) -> str:
        return f"<Prepared for {len(self.entries)} statuses>"


@dataclass(slots=True, eq=False)
class Decision:
    """A request that was let through: what it is, whose, where it goes, and under which rules.

    `request` is an example: any with the same head is decided alike until `until`, which is wall-clock time, as long as
    nobody lists what it `missed`; `watched` tells that either has to be looked at. `tools` are those of the MCP
    endpoint that its client may see; None for all, and for any other endpoint. `in_flight` counts its client's
    requests, `budget` is its host's of retries; `budgeted` tells that each request
    is taken off its client's own. `plain` tells that responses have a body and pass as they come, as a
    rule: none holds an address that has to be led back. `is_write` tells that it may change something at Amazon and
    gets an audit record. `path` and `text` are for the log, and `message` is what leaves
    with `token`; they are made when they are needed, from what is `prepared` for all of its kind.
    """

    request: Request
    caller: Caller
    destination: Destination
    route: Route
    pool: Pool
    rules: Rules
    in_flight: Cell
    budget: RetryBudget
    tools: ToolRules | None = None
    family: str = field(init=False)
    plain: bool = field(init=False)
    budgeted: bool = field(init=False)
    is_write: bool = field(init=False)
    until: float = math.inf
    missed: Missed | None = None
    watched: bool = False
    path: str = ""
    text: str = ""
    prepared: Prepared = field(default_factory=Prepared)
    token: AccessToken | None = field(default=None, repr=False)
    message: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        route = self.route
        method = self.request.method
        self.family = family_of(route.operation, method, route.segments)
        rewritten = self.rules.rewrite_locations and concerns(method, route.segments, 200, b"application/json")
        policy = self.caller.policy
        self.budgeted = policy is not None and policy.has_budget
        self.is_write = route.operation is None or may_change(route.operation.effect)
        self.plain = route.endpoint is TargetKind.API and method != b"HEAD" and not rewritten

    def alike(self, request: Request) -> Decision:
        """What is decided about another request of the same kind (`line_kinds`): the same, with its own target."""
        made = copy(self)
        made.request = request
        made.destination = destination = self.destination.of_another(request.target)
        made.route = self.route.to_another(destination)
        made.path = made.text = ""
        made.token = None
        return made

    def __repr__(self) -> str:
        return f"<Decision: {self.client or 'nobody'} to {self.route.account} in {self.route.region}>"

    @property
    def client(self) -> str:
        """The name of the client that sends it."""
        return self.caller.name

    def head(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """What leaves before the body, with this token."""
        if token is not self.token:
            self.token = token
            self.message = request_line(self.request.method, self.route.target) + self.section(token, account_lines)
        return self.message

    def section(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """The same behind the request line, which is the same for all of this kind."""
        prepared = self.prepared
        if token is not prepared.token:
            lines = account_lines.of(token)
            prepared.section = render_section(self.request.fields, self.route, self.pool.host_line, lines)
            prepared.token = token
        return prepared.section

    @property
    def reads(self) -> bool:
        """Whether it changes nothing at Amazon."""
        return is_read(self.request.method, self.route.operation)


class RequestContext:
    """A request that may leave, and what was decided about it: its `decision`, which may be `shared` with others."""

    __slots__ = ("request", "shared")

    def __init__(self, request: Request, decision: Decision) -> None:
        self.request = request
        self.shared = decision

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.request.id}: {self.shared!r}>"

    @property
    def decision(self) -> Decision:
        return self.shared

    @property
    def rules(self) -> Rules:
        return self.shared.rules

    @property
    def client(self) -> str:
        return self.shared.caller.name

    @property
    def route(self) -> Route:
        return self.decision.route

    @property
    def endpoint(self) -> TargetKind:
        return self.shared.route.endpoint

    @property
    def pool(self) -> Pool:
        return self.shared.pool

    def head(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """What leaves before the body, with this token."""
        return self.shared.head(token, account_lines)

    def shown(self, journal: Journal) -> tuple[str, str]:
        """Its path, and what the log says of it."""
        shared = self.shared
        if not shared.path:
            shared.path = shared.route.path.decode("latin-1")
            shared.text = journal.text(shared.path, self.request.fields.user_agent)
        return shared.path, shared.text

    @property
    def family(self) -> str:
        """What Amazon limits together with it, and what shares its part of the pool."""
        return self.shared.family

    def take(self, gate: WriteGate) -> UpstreamConnection | None:
        """An idle connection for it; None if it has to wait, or `acquire` refuses it."""
        return None if gate.stops(is_write=self.shared.is_write) else self.pool.take(self.family)

    async def acquire(self, observer: Observer, gate: WriteGate, *, fresh: bool) -> UpstreamConnection:
        """A connection for it, when its client's turn has come. Raises `Refused` where there is none in time, and where
        its audit record can no longer be kept."""
        is_write = self.shared.is_write
        gate.check(is_write=is_write)
        pool, family = self.pool, self.family
        tell_held_back(pool, family, observer)
        patience = self.rules.timeouts.response
        connection = await pool.acquire(fresh=fresh, patience=patience, client=self.client, family=family)
        try:
            gate.check(is_write=is_write)
        except WriteNotRecorded:
            pool.release(connection)
            raise
        return connection


class AlikeContext(RequestContext):
    """That of a request like one before it (`line_kinds`), of which the `shared` decision is: all but its `request`,
    `destination` and `route` holds for this one, too. A decision of its own is made when it is asked for."""

    __slots__ = ("_made",)

    def __init__(self, request: Request, example: Decision) -> None:
        self.request = request
        self.shared = example
        self._made: Decision | None = None

    @property
    def decision(self) -> Decision:
        made = self._made
        if made is None:
            made = self._made = self.shared.alike(self.request)
        return made

    def head(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        request, shared = self.request, self.shared
        sent = sent_target(request.target, shared.destination.prefix)
        return request_line(request.method, sent) + shared.section(token, account_lines)

    def shown(self, journal: Journal) -> tuple[str, str]:
        shared, request = self.shared, self.request
        prepared, prefix = shared.prepared, shared.destination.prefix
        path = request.target.path.decode("latin-1")
        if prefix:
            path = path[len(prefix) :] or "/"
        if not prepared.named:
            prepared.named, prepared.texts = True, journal.numbered_text(path, request.fields.user_agent)
        texts = prepared.texts
        return path, texts.of(path) if texts is not None else journal.text(path, request.fields.user_agent)


def tell_held_back(pool: Pool, family: str, observer: Observer) -> None:
    """Before a request waits: whether it does so although there are connections, which are for others."""
    if pool.holds_back(family):
        held, first = pool.held_by(family), not pool.is_awaited_by(family)
        observer.observe(_held_back(pool.name, family, held, pool.limit, first))
