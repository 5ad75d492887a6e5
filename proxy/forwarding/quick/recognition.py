"""Whether a request is one of a kind that was decided before, and what was decided then.

`begin` takes a request whose bytes are all there, or declines and touches nothing; `learn` keeps what the ordinary path
decided. All of it belongs to one set of rules and is thrown away with it, and emptied when what is known of profiles
changes. When in doubt it declines.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from proxy.downstream.ports import Availability
from proxy.errors import Refused
from proxy.forwarding.field_rules import LOOKED_UP, REQUEST_FIELDS, is_read
from proxy.forwarding.misses import is_listed
from proxy.forwarding.quick.context import QuickContext
from proxy.forwarding.quick.exchange import QuickExchange
from proxy.forwarding.quick.lane import KnownSection, recognised
from proxy.forwarding.quick.lanes import LaneMaker
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.forwarding.quick.plans import (
    add_numbered,
    find_lane,
    lane_key,
    line_kind,
    make_plan,
    make_sender,
    may_be_quick,
)
from proxy.forwarding.quick.queued import QueuedExchange
from proxy.forwarding.response_head import CHUNKED_LINE
from proxy.http1.framing import whole_chunked
from proxy.http1.request_shape import CHUNKED, USUAL_LINE, RequestShape, ShapeRules, make_request_shape
from proxy.routing.numbers import line_without_numbers
from proxy.token_bucket import TokenBucket

if TYPE_CHECKING:
    import re

    from proxy.downstream.ports import ClientPort, Service
    from proxy.forwarding.decision import Decision
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.quick.lane import Lane, Plan, Recognised, Sender
    from proxy.forwarding.rules import Rules
    from proxy.http1.message import Request
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection

MAX_SHAPES = 16
MAX_REQUESTS = 1024
MAX_SECTIONS = 512
MAX_SENDERS = 1024
MAX_PLANS = 4096
MAX_LANES = 1024
"""Of all senders together. A client can spell the prefix that selects an account in any number of ways."""
SHAPE_INTERVAL = 10.0
"""Seconds after which one more shape may be learned, beyond as many as there may be: making one takes a while."""
_MAX_REMEMBERED = 4096
"""Bytes of a section, or a request, that is remembered: somebody who sends ever new ones fills no memory with them."""
_MAX_REMEMBERED_LINE = 1024
_MAX_SEEN = 4096
_SERVING = Availability.SERVING
_G = ord("G")
_END = b"\r\n\r\n"
_SHAPE_RULES = ShapeRules(REQUEST_FIELDS, LOOKED_UP, is_read)


class Recognition:
    """See the module's docstring. Implements `QuickRequests`."""

    def __init__(self, dependencies: Dependencies, service: Service, rules: Rules) -> None:
        self._context = QuickContext(dependencies, service, rules)
        self._dependencies = dependencies
        self._service = service
        self._tokens = dependencies.tokens
        self._throttles = dependencies.throttles
        self._accounting = dependencies.accounting
        self._flight = dependencies.accounting.flight
        self._rules = rules
        self._max_head = rules.head_limits.max_bytes
        self._max_remembered = min(_MAX_REMEMBERED, rules.head_limits.max_bytes)
        self._max_line = min(_MAX_REMEMBERED_LINE, rules.head_limits.max_target_bytes)
        self._max_body = rules.connection_limits.max_body_bytes or math.inf
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._lanes = LaneMaker(dependencies, rules)
        self._shapes: list[RequestShape] = []
        self._shaping = TokenBucket.full(MAX_SHAPES, SHAPE_INTERVAL, time.monotonic())
        self._senders: dict[tuple[int, tuple[bytes, ...]], Sender] = {}
        self._sections: dict[bytes, KnownSection] = {}
        self._requests: dict[bytes, Recognised] = {}
        self._seen = [0] * _MAX_SEEN
        self._plans = self._lanes_kept = 0
        self._outcome = QuickOutcome.INCOMPLETE

    def __repr__(self) -> str:
        return f"<Recognition: {len(self._shapes)} shapes, {len(self._senders)} senders, {self._plans} plans>"

    # --- requests

    def begin(self, data: bytes, client: ClientPort) -> QuickExchange | None:
        """Send the request that `data` is, if it may be sent as those before it were; None where it was declined."""
        if self._directory.version != self._version:
            self._forget()
        known = None
        if data[0] == _G and len(data) <= self._max_remembered:
            known = self._requests.get(data) or self._renumber(data)
        if known is None:
            known = self._recognise(data)
            if known is None or (known[4].length < 0 and (data := self._without_chunks(data, known[5])) == b""):
                return None
        lane = known[0]
        token = self._tokens.current(lane.account)
        if token is not known[6]:
            known = self._retoken(known, token)
        if token is None:
            self._outcome = QuickOutcome.TOKEN
            return None
        serving = self._service.availability is _SERVING
        if (lane.watched or lane.is_write or not serving or self._throttles.active) and not self._may_go(lane):
            return None
        connection = lane.pool.take_warm(lane.family)
        if connection is None and not lane.pool.is_full(lane.family):
            self._outcome = QuickOutcome.CONNECTION
            return None
        if lane.limited and not self._affords(lane, connection):
            return None
        self._flight.value += 1
        lane.in_flight.value += 1
        if self._accounting.journal.listeners:
            self._accounting.tell_started()
        if connection is None:
            queued = QueuedExchange()
            queued.take(self._context, client, known, data)
            queued.wait()
            return queued
        exchange = QuickExchange()
        exchange.take(self._context, client, known, data)
        exchange.send(connection)
        return exchange

    def _renumber(self, data: bytes) -> Recognised | None:
        """What is known of a request without a body which differs from one before it in numbers of its path alone: for
        ever-new targets, this takes the place of `_recognise`."""
        at = data.find(b"\r\n")
        section = self._sections.get(data[at + 2 :])
        if section is None or section.length or at > self._max_line:
            return None
        line = data[:at]
        numbered = section.sender.numbered.get(line_without_numbers(line))
        if numbered is None:
            return None
        known = numbered.recognised(line, section, len(data))
        number = hash(data)
        at = number % _MAX_SEEN
        if self._seen[at] != number:  # `_came_before` without the call
            self._seen[at] = number
        else:
            self._remember(data, known)
        return known

    def _recognise(self, data: bytes) -> Recognised | None:
        """What is known of a request that may be new; None where nothing is, or it is not whole."""
        body_at = data.find(_END) + 4
        length = len(data) - body_at
        head = data[:body_at] if length else data
        if data[0] != _G and (known := self._requests.get(head)) is not None and known[4].length in (length, CHUNKED):
            return known
        at = data.find(b"\r\n") + 2
        section = self._find_section(data[at:body_at]) if body_at > at else None
        if (
            section is None
            or section.length not in (length, CHUNKED)
            or body_at > self._max_head
            or length > self._max_body
        ):
            self._outcome = QuickOutcome.UNSEEN if section is None else QuickOutcome.INCOMPLETE
            return None
        line, sender = data[: at - 2], section.sender
        plan = sender.plans.get(line)
        again = plan is not None
        plan = plan or self._find_plan(sender, line)
        if plan is None:
            self._outcome = QuickOutcome.UNSEEN
            return None
        known = recognised(plan, section, body_at)
        if not section.request_id and body_at <= _MAX_REMEMBERED and (again or self._came_before(head)):
            self._remember(head, known)
        return known

    def _without_chunks(self, data: bytes, body_at: int) -> bytes:
        """A request with the payload of its chunks in their place; empty where they are not whole, or not valid."""
        try:
            payload = whole_chunked(data[body_at:], ValueError, thrifty=True)
        except ValueError:
            payload = None
        if payload is None or len(payload) > self._max_body:
            self._outcome = QuickOutcome.INCOMPLETE
            return b""
        return data[:body_at] + payload

    def _came_before(self, what: bytes) -> bool:
        """Whether somebody sent this head, or a line that differs from this in numbers alone, lately, as far as so
        little memory can tell: only then it is worth remembering."""
        number = hash(what)
        at = number % _MAX_SEEN
        before, self._seen[at] = self._seen[at], number
        return before == number

    def _remember(self, head: bytes, known: Recognised) -> None:
        """A head that came before may come again, byte for byte. What `begin` looks for as a whole is whole."""
        if known[4].length and head[0] == _G:
            return
        if len(self._requests) >= MAX_REQUESTS:
            self._requests.clear()
        self._requests[head] = known

    def _retoken(self, known: Recognised, token: AccessToken | None) -> Recognised:
        """The same with this token, if there is one. What was sent with the lane's last one is forgotten."""
        lane, line, path, text, section, body_at, *_ = known
        if token is not None and token is not lane.token:
            lane.take_token(token, self._dependencies.account_lines.of(token))
            self._requests.clear()
        return recognised((lane, line, path, text), section, body_at)

    def _may_go(self, lane: Lane) -> bool:
        objection = self._objection(lane)
        if objection is not None:
            self._outcome = objection
        return objection is None

    def _objection(self, lane: Lane) -> QuickOutcome | None:
        """Why a request of this lane may not be quick now, if there is a reason."""
        if self._service.availability is not _SERVING:
            return QuickOutcome.DRAINING
        if self._accounting.write_gate.stops(is_write=lane.is_write):
            return QuickOutcome.AUDIT
        if lane.until < time.time():
            return QuickOutcome.KEY
        if lane.pause:
            lane.pause -= 1
            return QuickOutcome.PAUSED
        if lane.missed is not None and is_listed(lane.missed, self._directory):
            return QuickOutcome.PROFILE
        if (
            self._throttles.active
            and lane.limit is not None
            and self._throttles.find(lane.limit, lane.pool.loop.time()) is not None
        ):
            return QuickOutcome.THROTTLED
        return None

    def _affords(self, lane: Lane, connection: UpstreamConnection | None) -> bool:
        """Note the use of a key, and tell whether its client may have one more; the connection goes back if not."""
        clients = self._rules.clients
        if lane.keyed:
            clients.note_use(lane.caller, time.time())
        try:
            if lane.budgeted:
                clients.charge(lane.caller, time.monotonic())
                clients.claim(lane.caller, lane.in_flight.value)
        except Refused:
            if connection is not None:
                lane.pool.give_back(connection)
            self._outcome = QuickOutcome.BUDGET
            return False
        return True

    def _find_section(self, section: bytes) -> KnownSection | None:
        """What a section says that is remembered, or fits a shape."""
        known = self._sections.get(section)
        if known is not None:
            return known
        for number, shape in enumerate(self._shapes):
            found = shape.fields.pattern.fullmatch(section)
            if found is not None:
                sender = self._senders.get((number, shape.values(found)))
                return self._section(section, shape, found, sender) if sender is not None else None
        return None

    def _section(self, section: bytes, shape: RequestShape, found: re.Match[bytes], sender: Sender) -> KnownSection:
        passing = shape.fields.lines(found) + (CHUNKED_LINE + b"\r\n" if shape.chunked else b"\r\n")
        made = KnownSection(sender, passing, shape.length(found), shape.request_id(found))
        if not made.request_id and len(section) <= _MAX_REMEMBERED:
            if len(self._sections) >= MAX_SECTIONS:
                self._sections.clear()
            self._sections[section] = made
        return made

    def _find_plan(self, sender: Sender, line: bytes) -> Plan | None:
        """The plan of a request line that this sender did not send before; None where that is for the ordinary path."""
        if sender.numbered and len(line) <= self._max_line:
            numbered = sender.numbered.get(line_without_numbers(line))
            if numbered is not None:
                return numbered.plan(line)
        found = USUAL_LINE.fullmatch(line)
        if found is None or len(found[2]) > self._rules.head_limits.max_target_bytes:
            return None
        kind = line_kind(sender, found)
        lane = sender.lanes_of_kinds.get(kind)
        new = lane is None
        lane = lane or find_lane(sender, found, self._rules)
        if lane is None:
            return None
        plan = make_plan(lane, found, self._accounting.journal)
        if len(line) <= _MAX_REMEMBERED_LINE and (new or self._came_before(line_without_numbers(line))):
            self._keep_plan(sender, line, plan)
            if new:
                sender.lanes_of_kinds[kind] = lane
            add_numbered(sender, lane, found, self._accounting.journal)
        return plan

    def _keep_plan(self, sender: Sender, line: bytes, plan: Plan) -> None:
        if self._plans >= MAX_PLANS:
            self._plans = 0
            self._requests.clear()
            for other in self._senders.values():
                other.plans.clear()
                other.lanes_of_kinds.clear()
                other.numbered.clear()
        sender.plans[line] = plan
        self._plans += 1

    # --- what the ordinary path decided

    def note_declined(self) -> bool:
        """An ordinary exchange begins: count why, and tell whether `learn` may change that for the next one."""
        outcome, self._outcome = self._outcome, QuickOutcome.INCOMPLETE
        self._context.count(outcome)
        return outcome is QuickOutcome.UNSEEN

    def learn(self, decision: Decision) -> None:
        """Keep what was decided, if requests like this one are of the usual kind."""
        request, destination = decision.request, decision.destination
        line, _, section = request.head.partition(b"\r\n")
        if len(section) > _MAX_REMEMBERED or USUAL_LINE.fullmatch(line) is None:
            return
        if not may_be_quick(request.method, destination, self._rules):
            return
        if len(self._senders) >= MAX_SENDERS or self._lanes_kept >= MAX_LANES:
            self._forget()
        key = self._key_of(section, request)
        if key is None:
            return
        sender = self._senders.get(key) or make_sender(decision, self._rules)
        by = lane_key(request.method, destination, self._rules)
        lane = sender.lanes.get(by) or self._lanes.make(decision)
        if lane is not None:
            self._senders[key] = sender
            self._lanes_kept += by not in sender.lanes
            sender.lanes[by] = lane
            self._find_plan(sender, line)

    def _key_of(self, section: bytes, request: Request) -> tuple[int, tuple[bytes, ...]] | None:
        """The number of the shape that an accepted section fits, an old or a new one, and what it looks up."""
        for number, shape in enumerate(self._shapes):
            found = shape.fields.pattern.fullmatch(section + b"\r\n")
            if found is not None:
                return number, shape.values(found)
        left = self._shaping.take(time.monotonic())
        made = make_request_shape(section, request, _SHAPE_RULES) if left is not None else None
        if left is None or made is None:
            return None
        if len(self._shapes) >= MAX_SHAPES:
            self._forget()
            self._shapes.clear()
        self._shaping = left
        self._shapes.append(made)
        return self._key_of(section, request)

    def _forget(self) -> None:
        """What is known of profiles has changed, or too much is kept."""
        self._version = self._directory.version
        self._senders.clear()
        self._sections.clear()
        self._requests.clear()
        self._plans = self._lanes_kept = 0
