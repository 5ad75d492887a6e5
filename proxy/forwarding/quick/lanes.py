"""Lanes, made from what the ordinary path decided: its route rendered, and what else its exchange would have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.accounting import method_name
from proxy.forwarding.advertiser import find_advertiser
from proxy.forwarding.quick.lane import Lane
from proxy.forwarding.quick.responses import ResponsePatterns
from proxy.observability.request_record import RequestKind
from proxy.routing.ads_account import sent_ads_account
from proxy.routing.scope import SCOPE
from proxy.tokens.suspicion import TokenUse

if TYPE_CHECKING:
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.quick.lane import Decision
    from proxy.forwarding.rules import Rules

_UNKNOWN = "unknown"


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
        fields, directory = decision.request.fields, self._rules.table.directory
        until = self._rules.clients.known_until(fields)
        scope = next((value.decode("latin-1") for value in fields.values(SCOPE) if value), "")
        ads_account = sent_ads_account(fields).decode("latin-1")
        route = decision.route
        if not until or (route.profile and not scope and not directory.owners(route.profile.decode("latin-1"))):
            return None
        if route.ads_account_header and not directory.ads_account_owners(route.ads_account.decode("latin-1")):
            return None
        missed = (
            scope if scope and not directory.owners(scope) else "",
            ads_account if ads_account and not directory.ads_account_owners(ads_account) else "",
        )
        lane = self._lane(decision)
        lane.until, lane.missed = until, missed if any(missed) else None
        return lane

    def _lane(self, decision: Decision) -> Lane:
        request, route, pool = decision.request, decision.route, decision.pool
        responses = self._responses.setdefault(pool.host_line, ResponsePatterns())
        budget = self._dependencies.retry_budgets.of(pool.host_line, pool.loop.time())
        lane = Lane(decision, self._kind(decision), budget, responses)
        lane.use = TokenUse(decision.caller.name, find_advertiser(request, route))
        lane.user_agent = _user_agent(decision)
        return lane

    def _kind(self, decision: Decision) -> RequestKind:
        route, method = decision.route, decision.request.method
        operation = self._rules.table.operations.find(method, route.segments)
        return RequestKind(
            client=decision.caller.name,
            account=route.account,
            region=route.region,
            profile=route.profile.decode("latin-1"),
            ads_account=route.ads_account.decode("latin-1"),
            method=method_name(method),
            operation=_UNKNOWN if operation is None else operation.name,
            operation_class=_UNKNOWN if operation is None else operation.effect,
        )


def _user_agent(decision: Decision) -> str:
    agents = [value for name, value in decision.request.fields.every if name == b"user-agent"]
    return agents[0].decode("latin-1") if agents else ""
