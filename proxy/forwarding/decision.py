"""What was decided about a request: whose it is, where it goes, under which rules. Values; nothing is decided here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from proxy.events import FamilyHeldBack
from proxy.forwarding.injection import render_head
from proxy.forwarding.locations import concerns
from proxy.forwarding.retry import is_read
from proxy.routing.families import family as family_of
from proxy.routing.target import TargetKind
from proxy.unchanging import unchanging

if TYPE_CHECKING:
    from proxy.access.clients import Caller
    from proxy.access.mcp_tools import ToolRules
    from proxy.events import Observer
    from proxy.forwarding.injection import AccountLines
    from proxy.forwarding.retry_budget import RetryBudget
    from proxy.forwarding.rules import Rules
    from proxy.http1.message import Request
    from proxy.observability.instruments import Cell
    from proxy.observability.journal import JournalEntry
    from proxy.routing.route import Route
    from proxy.routing.target import Destination
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.pool import Pool


class Missed(NamedTuple):
    """A profile and an ads account that were sent and that nobody lists, each empty where it is none.

    `account` is the one that the request chose, empty where it chose none.
    """

    profile: str
    ads_account: str
    account: str


@dataclass(slots=True, eq=False)
class Decision:
    """A request that was let through: what it is, whose, where it goes, and under which rules.

    `request` is an example: any with the same head is decided alike until `until`, which is wall-clock time, as long as
    nobody lists what it `missed`; `watched` tells that either has to be looked at. `tools` are those of the MCP
    endpoint that its client may see; None for all, and for any other endpoint. `in_flight` counts its client's
    requests, `budget` is its host's of retries; `budgeted` tells that each request
    is taken off its client's own. `plain` tells that responses have a body and pass as they come, as a
    rule: none holds an address that has to be led back. `path` and `text` are for the log, `entries`, by status, where
    it is noted, and `message` is what leaves with `token`; they are made when they are needed.
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
    until: float = math.inf
    missed: Missed | None = None
    watched: bool = False
    path: str = ""
    text: str = ""
    entries: dict[int, JournalEntry] = field(default_factory=dict)
    token: AccessToken | None = field(default=None, repr=False)
    message: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        route = self.route
        method = self.request.method
        self.family = family_of(route.operation, method, route.segments)
        rewritten = self.rules.rewrite_locations and concerns(method, route.segments, 200, b"application/json")
        policy = self.caller.policy
        self.budgeted = policy is not None and policy.has_budget
        self.plain = route.endpoint is TargetKind.API and method != b"HEAD" and not rewritten

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
            self.message = render_head(self.request, self.route, self.pool.host_line, account_lines.of(token))
        return self.message

    @property
    def reads(self) -> bool:
        """Whether it changes nothing at Amazon."""
        return is_read(self.request.method, self.route.operation)


@unchanging
class RequestContext:
    """A request that may leave, and what was decided about it."""

    request: Request
    decision: Decision

    @property
    def rules(self) -> Rules:
        return self.decision.rules

    @property
    def client(self) -> str:
        return self.decision.caller.name

    @property
    def route(self) -> Route:
        return self.decision.route

    @property
    def pool(self) -> Pool:
        return self.decision.pool

    @property
    def family(self) -> str:
        """What Amazon limits together with it, and what shares its part of the pool."""
        return self.decision.family

    async def acquire(self, observer: Observer, *, fresh: bool) -> UpstreamConnection:
        """A connection for it, when its client's turn has come. Raises `Refused` where there is none in time."""
        pool, family = self.pool, self.family
        if pool.holds_back(family):
            held, first = pool.held_by(family), not pool.is_awaited_by(family)
            observer.observe(FamilyHeldBack(pool.name, family, held, pool.limit, first=first))
        patience = self.rules.timeouts.response
        return await pool.acquire(fresh=fresh, patience=patience, client=self.client, family=family)
