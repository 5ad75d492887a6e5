"""What the ordinary path decided about one request line, for others of the same sender. Decides by its functions only.

A new target is decided by what the ordinary path reads of a target: prefix and operation lead to the lane, and a
client's policy is asked as for any other request. Where lines differ in nothing that any of them reads, the first one
is decided for all: they are of one kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.errors import Refused
from proxy.forwarding import locations
from proxy.forwarding.decision import Decision
from proxy.forwarding.line_kinds import read_of_lines
from proxy.forwarding.quick.lane import NumberedLines, Sender
from proxy.http1.message import Request
from proxy.http1.target import parse_target
from proxy.routing.families import family
from proxy.routing.numbers import line_without_numbers, without_numbers
from proxy.routing.target import TargetKind, find_destination

if TYPE_CHECKING:
    import re

    from proxy.forwarding.quick.lane import Lane, Plan
    from proxy.forwarding.rules import Rules
    from proxy.observability.journal import Journal
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


def make_sender(decision: Decision, rules: Rules) -> Sender:
    """That of a request which was let through, with nothing known of its lines."""
    reading = read_of_lines(decision.caller, rules)
    return Sender(decision.request.fields, reads_numbers=reading.numbers, reads_queries=reading.queries)


def line_kind(sender: Sender, found: re.Match[bytes]) -> bytes:
    """What of a line, a match of `USUAL_LINE`, all is decided by: lines of one kind have the same lane."""
    before = found.string[: found.end(3)]
    kind: bytes = before if sender.reads_numbers else without_numbers(before)
    return kind + (found[4] or b"") if sender.reads_queries else kind


def find_lane(sender: Sender, found: re.Match[bytes], rules: Rules) -> Lane | None:
    """The lane of a line of a kind that this sender did not send before; None where that is for the ordinary path."""
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
    return lane


def make_plan(lane: Lane, found: re.Match[bytes], journal: Journal) -> Plan:
    """The plan of a line that belongs to this lane. What is sent is what came, behind the selecting prefix."""
    line: bytes = found.string
    path = found[3]
    if cut := lane.prefix_length:
        path = path[cut:] or b"/"
        line = b"%b %b%b HTTP/1.1" % (found[1], path, found[4] or b"")
    shown = path.decode("latin-1")
    return lane, line, shown, journal.text(shown, lane.user_agent)


def add_numbered(sender: Sender, lane: Lane, found: re.Match[bytes], journal: Journal) -> None:
    """Have lines that differ from this one in numbers alone be known by what they have in common, where that is enough:
    they are decided alike, sent as they came, and none of their numbers can be part of a secret."""
    line, path_ends = found.string, found.end(3)
    common = line_without_numbers(line)
    if sender.reads_numbers or lane.prefix_length:
        return
    texts = journal.numbered_text(found[3].decode("latin-1"), lane.user_agent) if common != line else None
    if texts is not None:
        sender.numbered[common] = NumberedLines(lane, found.start(2), len(line) - path_ends, texts)


def decision_of(lane: Lane, request: Request, rules: Rules) -> Decision:
    """What the ordinary path would have decided about this request of the lane."""
    destination = find_destination(request.target)
    route = replace(lane.route, target=destination.target, path=destination.path, segments=destination.segments)
    return Decision(request, lane.caller, destination, route, lane.pool, rules, lane.in_flight, lane.budget)
