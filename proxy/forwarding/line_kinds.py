"""Which request lines are decided alike: those that differ in nothing that a decision reads. Pure.

No template, pattern or path tells one number from another as a rule, and only a client's policy reads queries; so the
ever new lines of a tool are of few kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxy.routing.numbers import without_numbers

if TYPE_CHECKING:
    from proxy.access.clients import Caller
    from proxy.forwarding.rules import Rules
    from proxy.http1.target import Target


class LineReading(NamedTuple):
    """What decisions about a caller's requests read of their lines: numbers of the path, and the query, or not."""

    numbers: bool
    queries: bool


def read_of_lines(caller: Caller, rules: Rules) -> LineReading:
    """What can make a difference under these rules."""
    policy = caller.policy
    if policy is None:
        return LineReading(rules.table.operations.tell_numbers_apart, queries=False)
    numbers = rules.table.operations.tell_numbers_apart or policy.tells_numbers_apart
    return LineReading(numbers, bool(policy.judges_requests))


def line_kind(method: bytes, target: Target, reading: LineReading) -> bytes:
    """What of a line with this target, which is in origin form, all is decided by."""
    path = target.path if reading.numbers else without_numbers(target.path)
    return b"%b %b%b" % (method, path, target.query) if reading.queries else b"%b %b" % (method, path)
