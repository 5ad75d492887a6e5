"""What the ordinary path decided about one request line, for others of the same sender. Decides by its functions only.

A new target is decided by what the ordinary path reads of a target: prefix and operation lead to the lane, and a
client's policy is asked as for any other request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.errors import Refused
from proxy.forwarding import locations
from proxy.forwarding.quick.lane import Plan
from proxy.http1.message import Request
from proxy.http1.request_shape import USUAL_LINE
from proxy.http1.target import parse_target
from proxy.routing.families import family
from proxy.routing.target import TargetKind, find_destination

if TYPE_CHECKING:
    from proxy.forwarding.quick.lane import Sender
    from proxy.forwarding.rules import Rules
    from proxy.observability.journal import Journal
    from proxy.routing.route import Route
    from proxy.routing.target import Destination

_JSON = b"application/json"
LaneKey = tuple[bytes, bytes, str]
"""Method, selecting prefix, and the operation's name, its family's where no row has it: what of a request line the
choice of account, region, defaults and place is made by."""


def lane_key(method: bytes, destination: Destination, rules: Rules) -> LaneKey:
    operation = rules.table.operations.find(method, destination.segments)
    name = family(None, method, destination.segments) if operation is None else operation.name
    return method, destination.prefix, name


def may_be_quick(method: bytes, destination: Destination, rules: Rules) -> bool:
    """Whether responses to it pass as they come: not where an address in them may have to be led back."""
    if destination.kind is not TargetKind.API or destination.authority:
        return False
    return not rules.rewrite_locations or not locations.concerns(method, destination.segments, 200, _JSON)


def plan_for(sender: Sender, line: bytes, rules: Rules, journal: Journal) -> Plan | None:
    """The plan of a request line that this sender did not send before; None where that is for the ordinary path."""
    found = USUAL_LINE.fullmatch(line)
    if found is None or len(found[2]) > rules.head_limits.max_target_bytes:
        return None
    method, target = found[1], parse_target(found[2])
    try:
        destination = find_destination(target)
        if not may_be_quick(method, destination, rules):
            return None
        lane = sender.lanes.get(lane_key(method, destination, rules))
        if lane is None:
            return None
        policy = lane.caller.policy
        if policy is not None:
            request = Request(method, target, 1, sender.fields, "")
            screened = rules.clients.screen(lane.caller, request, destination, rules.table.operations)
            if screened.by_body:
                return None
            rules.clients.check_route(lane.caller, screened, lane.route)
    except Refused:
        return None
    path = destination.path.decode("latin-1")
    sent = b"%b %b HTTP/1.1" % (method, destination.target)
    return Plan(lane, sent, destination, path, journal.text(path, lane.user_agent))


def route_of(plan: Plan) -> Route:
    """Where requests with this plan go, as the ordinary path would have it."""
    destination = plan.destination
    return replace(plan.lane.route, target=destination.target, path=destination.path, segments=destination.segments)
