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
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.field_rules import REQUEST_FIELDS
from proxy.forwarding.judged import JudgedRequest
from proxy.forwarding.local import LocalTokenRequest
from proxy.forwarding.quick.lane import Decision
from proxy.forwarding.quick.recognition import Recognition
from proxy.forwarding.refusal import internal_error, refusal_response
from proxy.forwarding.relay import RequestContext
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
        known_again = rules.fast_path and self._dependencies.accounting.tracing is None
        self.quick = Recognition(self._dependencies, self, rules) if known_again else None

    # --- Service

    def new_request_id(self) -> str:
        return f"{self._prefix}-{next(self._serial):x}"

    def accept(self, request: Request, client: ClientPort) -> RequestHandler:
        rules = self.rules
        considered = self._considered = Considered(request)
        admit(request)
        early = read_destination(request.target) if may_be_local(request.target) else None
        if self.availability is Availability.CLOSING:
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
        screened = rules.clients.screen(caller, request, destination, rules.table.operations)
        session = None
        if destination.kind is TargetKind.MCP:
            session = self._dependencies.sessions.find(request, caller.name)
        chosen = considered.route = route(request, destination, rules.table, caller.scope, session)
        rules.clients.permit(caller, screened, chosen, time.monotonic(), accounting.of_client(caller.name))
        pool = self._pools.find(chosen.endpoint, chosen.region)
        if self.quick is not None and self.quick.note_declined() and not screened.by_body:
            self.quick.learn(Decision(request, caller, destination, chosen, pool))
        accounting.started(caller.name)
        tools = rules.clients.tool_rules(caller, rules.table.operations) if destination.kind is TargetKind.MCP else None
        sent = request if tools is None else replace(request, fields=asking_identity(request.fields))
        if accounting.tracing is not None:
            sent = replace(sent, fields=accounting.tracing.untraced(sent.fields))
        context = RequestContext(sent, rules, caller.name, chosen, pool, tools)
        if screened.by_body:
            judge = partial(rules.clients.permit_body, caller, request.fields)
            return JudgedRequest(self._dependencies, client, context, partial(tools.judge, request) if tools else judge)
        return Exchange(self._dependencies, client, context)

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
