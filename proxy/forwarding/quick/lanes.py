"""Lanes, made from what the ordinary path decided: its route rendered, and what else its exchange would have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.accounting import kind_of
from proxy.forwarding.advertiser import find_advertiser
from proxy.forwarding.misses import find_missed, misses_default
from proxy.forwarding.quick.lane import Lane
from proxy.forwarding.quick.responses import ResponsePatterns
from proxy.tokens.suspicion import TokenUse

if TYPE_CHECKING:
    from proxy.forwarding.decision import Decision
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.rules import Rules


class LaneMaker:
    """Makes the lanes of one set of rules; each host has its patterns of responses, which all its lanes share."""

    def __init__(self, dependencies: Dependencies, rules: Rules) -> None:
        self._dependencies = dependencies
        self._rules = rules
        self._responses: dict[bytes, ResponsePatterns] = {}

    def __repr__(self) -> str:
        return f"<LaneMaker for {len(self._responses)} hosts>"

    def make(self, decision: Decision) -> Lane | None:
        """None where it may not be used again: a key that is looked at each time, a default that nobody lists."""
        until = self._rules.clients.known_until(decision.request.fields)
        if not until or misses_default(decision, self._rules.table.directory):
            return None
        lane = self._lane(decision)
        lane.watch(until, find_missed(decision, self._rules.table))
        return lane

    def _lane(self, decision: Decision) -> Lane:
        request, route, pool = decision.request, decision.route, decision.pool
        responses = self._responses.setdefault(pool.host_line, ResponsePatterns())
        lane = Lane(decision, kind_of(decision), decision.budget, responses)
        lane.family = decision.family
        lane.in_flight = decision.in_flight
        lane.use = TokenUse(decision.client, find_advertiser(request, route))
        return lane
