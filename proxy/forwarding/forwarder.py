"""The service behind the tools' listener: each request is admitted, routed, and becomes an exchange or a local answer.

It holds the rules in force and hands each request what it needs; a request keeps the rules that it began with.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from proxy.access.admission import admit, identify
from proxy.downstream.ports import Availability
from proxy.errors import Draining, NotImplementedHere, Refused
from proxy.forwarding.accounting import METHODS, NOWHERE, Way, asked_way, way_of
from proxy.forwarding.decision import Decision, RequestContext
from proxy.forwarding.decisions import Decisions
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.field_rules import REQUEST_FIELDS
from proxy.forwarding.judged import JudgedRequest
from proxy.forwarding.local import LocalTokenRequest
from proxy.forwarding.plain_exchange import PlainExchange
from proxy.forwarding.quick.recognition import Recognition
from proxy.forwarding.refusal import internal_error, refusal_response
from proxy.http1.message import Request, RequestReader, unread_request
from proxy.http1.request_fields import asking_identity
from proxy.routing.route import route
from proxy.routing.target import TargetKind, may_be_local, read_destination

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort, ConnectionLimits, RequestHandler
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.rules import Rules
    from proxy.routing.operations import Operations
    from proxy.routing.route import Route
    from proxy.routing.target import Destination
    from proxy.upstream.pools import Pools

_CLOSING = Availability.CLOSING


class Considered:
    """What became known of a request while it was decided whether to serve it: its account if it is not."""

    __slots__ = ("client", "destination", "request", "route")

    def __init__(self, request: Request | None) -> None:
        self.request = request
        self.client = ""
        self.destination: Destination | None = None
        self.route: Route | None = None

    def __repr__(self) -> str:
        return f"<Considered: client {self.client!r}, {'routed' if self.route is not None else 'not routed'}>"

    def way(self, operations: Operations) -> Way:
        """Where it would have gone, or what it asked for."""
        if self.route is not None:
            return way_of(self.route)
        if self.request is None or self.destination is None:
            return NOWHERE
        return asked_way(self.request, operations.find(self.request.method, self.destination.segments))


class Forwarder:
    """Implements `Service`: one per process."""

    def __init__(self, dependencies: Dependencies, pools: Pools, rules: Rules) -> None:
        self.availability = Availability.SERVING
        self.rules: Rules
        self.reader: RequestReader
        self.limits: ConnectionLimits
        self.quick: Recognition | None
        self._decisions: Decisions
        self._dependencies = dependencies
        self._pools = pools
        self._serial = count(1)
        self._considered = Considered(None)
        self._prefix = os.urandom(6).hex()
        self.apply(rules)

    def __repr__(self) -> str:
        return f"<Forwarder: {self.availability}, {self._dependencies.accounting.in_flight} requests in flight>"

    def apply(self, rules: Rules) -> None:
        """Take new rules: requests that begin from now on follow them."""
        self._pools.apply(rules.pool_settings, rules.endpoints)
        self._dependencies.account_lines.forget()
        self._dependencies.throttles.forget()
        self._dependencies.accounting.journal.forget()
        self.rules = rules
        self.limits = rules.connection_limits
        self.reader = RequestReader(rules.head_limits, REQUEST_FIELDS, remember=True)
        self._decisions = Decisions(rules)
        known_again = rules.fast_path and self._dependencies.accounting.tracing is None
        self.quick = Recognition(self._dependencies, self, rules) if known_again else None

    # --- Service

    def new_request_id(self) -> str:
        return f"{self._prefix}-{next(self._serial):x}"

    def accept(self, request: Request, client: ClientPort) -> RequestHandler:
        known = self._decisions.find(request)
        if known is not None and self.availability is not _CLOSING:
            return self._repeat(known, client)
        rules = self.rules
        considered = self._considered = Considered(request)
        admit(request)
        early = read_destination(request.target) if may_be_local(request.target) else None
        if self.availability is _CLOSING:
            raise Draining("The proxy is stopping; send this again on a new connection.", retry_after=1, close=True)
        if request.method not in METHODS:
            raise NotImplementedHere("The Ads API has no such method.", close=True)
        caller = identify(request, early, rules.clients, rules.table, time.time())
        considered.client = caller.name
        destination = early or read_destination(request.target)
        accounting = self._dependencies.accounting
        if destination.kind is TargetKind.TOKEN:
            accounting.started()
            return LocalTokenRequest(accounting, client, request, destination, rules)
        considered.destination = destination
        rules.clients.charge(caller, time.monotonic())
        screened = rules.clients.screen(caller, request, destination, rules.table.operations)
        session = None
        if destination.kind is TargetKind.MCP:
            session = self._dependencies.sessions.find(request, caller.name)
        chosen = considered.route = route(request, destination, rules.table, caller.scope, session)
        in_flight = accounting.client_cell(caller.name)
        rules.clients.check_route(caller, screened, chosen)
        pool = self._pools.find(chosen.endpoint, chosen.region)
        tools = rules.clients.tool_rules(caller, rules.table.operations) if destination.kind is TargetKind.MCP else None
        budget = self._dependencies.retry_budgets.of(pool.host_line, pool.loop.time())
        decision = Decision(request, caller, destination, chosen, pool, rules, in_flight, budget, tools)
        self._dependencies.accounting.write_gate.check(is_write=decision.is_write)
        # Last: only the end of the request gives back what is claimed.
        rules.clients.claim(caller, in_flight.value)
        if screened.by_body:
            return self._judge_body(decision, client)
        if accounting.tracing is None:
            self._decisions.keep(decision)
        return self._exchange(RequestContext(request, decision), client)

    def _repeat(self, context: RequestContext, client: ClientPort) -> RequestHandler:
        """One like it was let through, which costs this one only what each of them is counted by."""
        known = context.shared
        clients, caller = known.rules.clients, known.caller
        if caller.key is not None:
            clients.note_use(caller, time.time())
        if known.budgeted or known.is_write:
            considered = self._considered = Considered(context.request)
            considered.client = caller.name
            if known.budgeted:
                considered.destination = read_destination(context.request.target)
                clients.charge(caller, time.monotonic())
            considered.route = context.route
        self._dependencies.accounting.write_gate.check(is_write=known.is_write)
        if known.budgeted:
            clients.claim(caller, known.in_flight.value)
        return self._exchange(context, client)

    def _exchange(self, context: RequestContext, client: ClientPort) -> RequestHandler:
        accounting, shared = self._dependencies.accounting, context.shared
        if self.quick is not None and self.quick.note_declined():
            self.quick.learn(context.decision)
        accounting.started(shared.in_flight)
        if shared.plain and accounting.tracing is None:
            return PlainExchange(self._dependencies, client, context)
        decision = context.decision
        return Exchange(self._dependencies, client, RequestContext(self._sent(context.request, decision), decision))

    def _judge_body(self, decision: Decision, client: ClientPort) -> RequestHandler:
        """Whether it may be sent is known when its body is here."""
        if self.quick is not None:
            self.quick.note_declined()
        self._dependencies.accounting.started(decision.in_flight)
        clients, request, tools = decision.rules.clients, decision.request, decision.tools
        judge = partial(clients.permit_body, decision.caller, request.fields)
        context = RequestContext(self._sent(request, decision), decision)
        return JudgedRequest(self._dependencies, client, context, partial(tools.judge, request) if tools else judge)

    def _sent(self, request: Request, decision: Decision) -> Request:
        """The request as it leaves."""
        tracing = self._dependencies.accounting.tracing
        if decision.tools is not None:
            request = replace(request, fields=asking_identity(request.fields))
        return request if tracing is None else replace(request, fields=tracing.untraced(request.fields))

    def refuse(self, error: Refused, request: Request | None, *, close: bool) -> bytes:
        if request is None:
            request = unread_request(b"", self.new_request_id())
        considered = self._considered if self._considered.request is request else Considered(request)
        way = considered.way(self.rules.table.operations)
        self._dependencies.accounting.refused(request, error, considered.client, way)
        return refusal_response(error, request, self.rules.response_lines, close=close)

    def defect(self, where: str, error: BaseException) -> None:
        self._dependencies.accounting.defect(where, error)

    def internal_error(self) -> Refused:
        return internal_error()
