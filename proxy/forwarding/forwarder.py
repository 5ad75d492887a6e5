"""The service behind the clients' listener: each request is admitted, routed, and becomes an exchange or a local
answer.

It holds the rules in force and hands each request what it needs; a request keeps the rules that it began with.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.access.admission import admit, identify, refuse_web_page
from proxy.downstream.ports import Availability
from proxy.errors import (
    AccountRequired,
    Draining,
    NotImplementedHere,
    NotPermitted,
    Refused,
    TokenNotChecked,
    UnknownRoute,
)
from proxy.forwarding.admissions import Admissions
from proxy.forwarding.decision import Admission, Decision, RequestContext
from proxy.forwarding.decisions import Decisions
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.gated_request import (
    CHECKED_AT_ONCE,
    GatedRequest,
    NotPassed,
    Passed,
    read_early,
    rewrite_of,
)
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.forwarding.refusal import internal_error, payload_size, refusal_response
from proxy.forwarding.sockets import NO_PLACEMENT, LocalAsked, Placement
from proxy.forwarding.waiting_request import KeysAwaited, ListsAwaited, RequestBeforeLists, UndecidedRequest, Waited
from proxy.http1.message import Request, RequestReader, unread_request
from proxy.http1.request_fields import asking_identity
from proxy.routing.request_kind import METHODS
from proxy.routing.route import find_awaited, route
from proxy.routing.target import OWN_KINDS, TargetKind, find_destination, may_be_local
from proxy.routing.unlisted_ids import find_missed
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity
    from proxy.access.policy import Verdict
    from proxy.downstream.ports import ClientPort, ConnectionLimits, RequestHandler
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.dependencies import Dependencies
    from proxy.routing.route import Route
    from proxy.routing.target import Destination, RequestSummary
    from proxy.upstream.pool import Pools

_CLOSING = Availability.CLOSING
_CHANGED = "What the client may do has changed since the request came; send it again."


class Forwarder:
    """Implements `Service`: one per process."""

    def __init__(self, dependencies: Dependencies, pools: Pools, rules: Rules) -> None:
        self.availability = Availability.SERVING
        self.rules: Rules
        self.reader: RequestReader
        self.limits: ConnectionLimits
        self._decisions: Decisions
        self.admissions: Admissions
        self._dependencies = dependencies
        self._pools = pools
        self._serial = count(1)
        self._undecided = UndecidedRequest(None)
        self._keys_awaited = KeysAwaited(self, dependencies)
        self._prefix = os.urandom(6).hex()
        dependencies.rights.ask_again = self._permit_again
        self.apply(rules)

    def __repr__(self) -> str:
        return f"<Forwarder: {self.availability}, {self._dependencies.accounting.in_flight} requests in flight>"

    def apply(self, rules: Rules) -> None:
        """Take new rules: requests that begin from now on follow them."""
        self._pools.apply(rules.pool_settings, rules.endpoints)
        self._dependencies.account_lines.forget()
        self._dependencies.throttles.forget()
        self._dependencies.accounting.journal.forget()
        self.rules = self._dependencies.rights.rules = rules
        self.limits = rules.connection_limits
        self.reader = RequestReader(rules.head_limits, REQUEST_FIELDS)
        self._decisions = Decisions(rules)
        self.admissions = Admissions(rules)
        for capability in rules.capabilities:
            capability.take_effect()

    # --- Service

    def new_request_id(self) -> str:
        return f"{self._prefix}-{next(self._serial):x}"

    def repeat(self, admission: Admission, request_id: str, client: ClientPort, rest: bytes = b"") -> RequestHandler:
        context, decision = RequestContext(admission, request_id, client.head_done), admission.decision
        if decision.looked_at:
            return self._serve_again(context, client, rest)
        self._dependencies.accounting.started(decision.in_flight)
        return Exchange(self._dependencies, client, context)

    def accept(self, request: Request, client: ClientPort, head: bytes = b"", rest: bytes = b"") -> RequestHandler:
        admission = self._decisions.find(request) if self.availability is not _CLOSING else None
        if admission is None:
            return self.accept_new(request, client)
        self.rules.clients.note_use(admission.decision.identity, time.time())
        if self._dependencies.accounting.tracing is None:
            self.admissions.offer(head, admission)
        return self._serve_again(RequestContext(admission, request.id, client.head_done), client, rest)

    def accept_new(self, request: Request, client: ClientPort, waited: Waited = Waited.NOTHING) -> RequestHandler:
        """Decide a request without a remembered decision. It waits for nothing again that it has waited for, and after
        a wait for lists, its client is not charged again."""
        if request.method == b"CONNECT" and (tunnel := self._open_tunnel(request, client, waited)) is not None:
            return tunnel
        admit(request, self.rules.table)
        target, own_paths = request.target, self.rules.own_paths  # where no key is needed: not at a report
        early = find_destination(target, with_own_paths=own_paths) if may_be_local(target) else None
        if self.availability is _CLOSING and waited is Waited.NOTHING:
            raise Draining("The proxy is stopping; send this again on a new connection.", retry_after=1, close=True)
        if request.method not in METHODS:
            raise NotImplementedHere(
                "The Ads API does not have this method; send GET, POST, PUT, PATCH or DELETE.", close=True
            )
        try:
            identity = identify(request, early, self.rules, time.time(), client.address)
        except TokenNotChecked as unchecked:
            return self._keys_awaited.hold(request, client, unchecked, waited)
        self._undecided = UndecidedRequest(request, identity.name, subject=identity.subject)
        try:
            destination, asked = self._decisions.read(request)
        except UnknownRoute:
            self.rules.clients.charge(identity, time.monotonic())  # as all others that are refused
            raise
        if destination.kind is TargetKind.TOKEN:
            return self._answer(LocalAsked(request, destination, identity, client))
        self._undecided.asked = asked
        if destination.kind in OWN_KINDS:
            self.rules.clients.charge(identity, time.monotonic())
            self._screen(identity, asked, destination)
            in_flight = self._dependencies.accounting.client_cell(identity.name)
            return self._answer(LocalAsked(request, destination, identity, client, in_flight))
        waits = waited is not Waited.LISTS
        if waits:
            self.rules.clients.charge(identity, time.monotonic())
        try:
            admission = self._decide(request, destination, asked, identity, waits=waits)
        except ListsAwaited as lists:
            return self._hold(client, identity, lists)
        context = RequestContext(admission, request.id, client.head_done)
        if waited is not Waited.NOTHING:
            context.counted = perf_counter()
        return self._serve(context, client)

    def _answer(self, asked: LocalAsked) -> RequestHandler:
        """The handler of a request to a path of the proxy's own."""
        handlers = (capability.answer(asked, self.rules) for capability in self.rules.capabilities)
        handler = next((each for each in handlers if each is not None), None)
        if handler is None:
            raise UnknownRoute("The proxy has nothing at this path of its own.")
        if asked.in_flight is not None:  # last: only the end of the request gives back what is claimed
            self.rules.clients.claim(asked.identity, asked.in_flight.value)
        self._dependencies.accounting.started(asked.in_flight)
        return handler

    def _open_tunnel(self, request: Request, client: ClientPort, waited: Waited) -> RequestHandler | None:
        """The handler of a CONNECT, None where no capability opens tunnels. The requests inside are for themselves."""
        refuse_web_page(request)
        if self.availability is _CLOSING:
            raise Draining("The proxy is stopping; open the tunnel again later.", retry_after=1, close=True)
        for capability in self.rules.capabilities:
            try:
                handler = capability.open_tunnel(request, client, self.rules)
            except TokenNotChecked as unchecked:
                return self._keys_awaited.hold(request, client, unchecked, waited)
            if handler is not None:
                self._dependencies.accounting.started()
                return handler
        return None

    def _hold(self, client: ClientPort, identity: ClientIdentity, lists: ListsAwaited) -> RequestHandler:
        """Have a request wait for the lists that may show where it goes."""
        # Last: only the end of the wait gives back what is claimed.
        self.rules.clients.claim(identity, self._dependencies.accounting.client_cell(identity.name).value)
        return RequestBeforeLists(self, self._dependencies, client, self._undecided, lists)

    def _decide(
        self,
        request: Request,
        destination: Destination,
        asked: RequestSummary,
        identity: ClientIdentity,
        *,
        waits: bool,
    ) -> Admission:
        """Decide whether this client may send the request, and where it goes. Raises the `Refused` that forbids it, and
        `ListsAwaited` if it `waits` for lists that may lead it elsewhere."""
        rules, clients = self.rules, self.rules.clients
        table, waits = rules.table, waits and not rules.table.directory.settled
        screened = self._screen(identity, asked, destination)
        session, fixed, fields = self._place(asked, identity, screened)
        try:
            chosen = self._undecided.route = route(asked, table, identity.scope, session, fixed)
        except AccountRequired:
            awaited = find_awaited(asked, table, identity.scope, fixed, None) if waits else None
            if awaited is not None:
                raise ListsAwaited(awaited, has_account=False) from None
            raise
        clients.check_route(identity, screened, chosen)
        awaited = find_awaited(asked, table, identity.scope, fixed, chosen) if waits and session is None else None
        if awaited is not None:
            raise ListsAwaited(awaited, has_account=True)
        if fields is not None:
            request = replace(request, fields=fields)
        decision = self._make_decision(asked, identity, chosen, by_body=screened.by_body)
        self._decisions.keep(decision, screened)
        return Admission(request, destination, decision)

    def _make_decision(
        self, asked: RequestSummary, identity: ClientIdentity, chosen: Route, *, by_body: bool
    ) -> Decision:
        """The decision of requests like this, by the rules in force."""
        rules, pool = self.rules, self._pools.find(chosen.api.name, chosen.region)
        in_flight = self._dependencies.accounting.client_cell(identity.name)
        budget = self._dependencies.retry_budgets.of(pool.host_line, pool.loop.time())
        missed = None if chosen.api.has_sessions else find_missed(asked, identity.scope, rules.table)
        decision = Decision(asked, identity, chosen, pool, rules, in_flight, budget, by_body, missed)
        if by_body and not decision.gates:
            raise AssertionError("the body of a request has to be checked, and no gate reads it")
        return decision

    def _screen(self, identity: ClientIdentity, asked: RequestSummary, destination: Destination) -> Verdict:
        """What the client's policy says of a request. Raises what forbids it wherever it would go."""
        verdict = self._decisions.judge(identity, asked, destination)
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    def _place(self, asked: RequestSummary, identity: ClientIdentity, screened: Verdict) -> Placement:
        """The session that a request belongs to, as the capability of its endpoint has it."""
        for capability in self.rules.capabilities:
            placement = capability.place(asked, identity, screened)
            if placement is not NO_PLACEMENT:
                return placement
        return NO_PLACEMENT

    def _serve_again(self, context: RequestContext, client: ClientPort, rest: bytes) -> RequestHandler:
        """The handler of a request whose decision is remembered; its client's budget counts it first."""
        decision, chosen = context.decision, None
        try:
            if decision.budgeted:
                self.rules.clients.charge(decision.identity, time.monotonic())
            chosen = decision.route
            return self._serve(context, client, rest)
        except Refused:
            who = decision.client, decision.asked, chosen, decision.identity.subject
            self._undecided = UndecidedRequest(context.request, *who)
            raise

    def _serve(self, context: RequestContext, client: ClientPort, rest: bytes = b"") -> Exchange | GatedRequest:
        """The handler of a request that may leave; `rest` came behind its head."""
        accounting, decision = self._dependencies.accounting, context.decision
        if decision.is_write and not context.api.takes_messages:  # what these do, the body tells
            accounting.write_gate.check(context)
        if decision.budgeted:
            # Last: only the end of the request gives back what is claimed.
            self.rules.clients.claim(decision.identity, decision.in_flight.value)
        if accounting.tracing is not None:
            fields = accounting.tracing.untraced(context.request.fields)
            context.request = replace(context.request, fields=fields)
            context.stats.span = accounting.tracing.begin(fields)
        accounting.started(decision.in_flight)
        if decision.gates:
            return self._gated(context, client, rest)
        return Exchange(self._dependencies, client, context)

    def _gated(self, context: RequestContext, client: ClientPort, rest: bytes) -> Exchange | GatedRequest:
        """The handler of a request that gates look at before it leaves: its exchange at once, where they have read the
        body that came behind its head, and do not wait."""
        dependencies, decision = self._dependencies, context.decision
        gates = tuple([make(context) for make in decision.gates])
        rewrite = None if decision.in_one_step else rewrite_of(gates)
        if rewrite is not None and rewrite.reads_bodies:
            context.request = replace(context.request, fields=asking_identity(context.request.fields))
        early = read_early(gates, context, rest)
        if isinstance(early, Passed):
            try:
                return Exchange(dependencies, client, context, early)
            except Exception as error:  # noqa: BLE001 - it is raised again where it is answered
                early = NotPassed(error)
        serve = partial(Exchange, dependencies, client, context)
        gated = GatedRequest(dependencies.accounting, client, context, gates, serve)
        gated.early = early
        return gated

    def _permit_again(self, context: RequestContext, body: bytes | None) -> ClientIdentity:
        """The client of a request that was admitted before. Raises what forbids the request by the rules in force;
        where it goes stays as it was decided. `body` is None where it was not read."""
        decision, rules, clients = context.decision, self.rules, self.rules.clients
        request = replace(context.request, fields=decision.asked.fields)  # as the client sent it
        identity = identify(request, None, rules, time.time())
        if identity is decision.identity:
            return identity
        destination, asked = self._decisions.read(request)
        screened = self._screen(identity, asked, destination)
        session, fixed, _ = self._place(asked, identity, screened)
        route(asked, rules.table, identity.scope, session, fixed)
        clients.check_route(identity, screened, context.route)
        if fixed != context.route.fixed:
            raise NotPermitted(_CHANGED)
        if screened.by_body:
            of = context.route, context.pool, rules, decision.in_flight, decision.budget  # it leaves as it was decided
            self._read_body_again(context, Decision(asked, identity, *of, by_body=True), body)
        return identity

    def _read_body_again(self, context: RequestContext, renewed: Decision, body: bytes | None) -> None:
        """Raise what forbids a request with this body, unless it was read by the same rules."""
        before, operations = context.decision, self.rules.table.operations
        if renewed.identity.policy == before.identity.policy and operations is before.rules.table.operations:
            return
        if body is None or (content := JsonBody(body)).costs_more_than(CHECKED_AT_ONCE):
            raise NotPermitted(_CHANGED)
        again = context.decided_by(renewed)
        judging = [gate for gate in (make(again) for make in renewed.gates) if not gate.may_pass_unread]
        if not judging:
            raise AssertionError("the body of a request has to be checked, and no gate forbids any")
        for gate in judging:
            gate.read(content)

    def refuse(
        self, error: Refused, request: Request | None, *, close: bool, address: str = "", waited: float = 0.0
    ) -> bytes:
        """`waited` are seconds."""
        if request is None:
            request = unread_request(b"", self.new_request_id())
        undecided = self._undecided if self._undecided.request == request else UndecidedRequest(request)
        response = refusal_response(error, request, self.rules.response_lines, close=close)
        accounting = self._dependencies.accounting
        stats = accounting.begin(request, 0.0)
        stats.bytes_out, stats.address = payload_size(response), address
        accounting.refused(stats, error, undecided.kind, waited)
        return response

    def refuse_waited(
        self, undecided: UndecidedRequest, error: Refused, waited: float, *, close: bool, address: str
    ) -> bytes:
        """Refuse a request that waited. Others came meanwhile, unless it was decided just now."""
        if self._undecided.request is not undecided.request:
            self._undecided = undecided
        return self.refuse(error, undecided.request, close=close, address=address, waited=waited)

    def defect(self, where: str, error: BaseException) -> None:
        self._dependencies.accounting.defect(where, error)

    def internal_error(self) -> Refused:
        return internal_error()
