"""Lanes, made from what the ordinary path decided: its route rendered, and what else its exchange would have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.accounting import method_name, way_of
from proxy.forwarding.advertiser import find_advertiser
from proxy.forwarding.quick.lane import Lane, Missed
from proxy.forwarding.quick.responses import ResponsePatterns
from proxy.observability.instruments import Cell
from proxy.observability.request_record import RequestKind
from proxy.routing.ads_account import sent_ads_account
from proxy.routing.families import family
from proxy.routing.scope import SCOPE
from proxy.routing.selection import select
from proxy.tokens.suspicion import TokenUse

if TYPE_CHECKING:
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.quick.lane import Decision
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
        if not until or self._misses_default(decision):
            return None
        lane = self._lane(decision)
        lane.watch(until, self._missed(decision))
        return lane

    def _misses_default(self, decision: Decision) -> bool:
        """Whether a default was added that nobody lists."""
        fields, route, directory = decision.request.fields, decision.route, self._rules.table.directory
        profile, ads_account = route.profile.decode("latin-1"), route.ads_account.decode("latin-1")
        if profile and not any(fields.values(SCOPE)) and not directory.owners(profile, route.account):
            return True
        return bool(route.ads_account_header) and not directory.ads_account_owners(ads_account, route.account)

    def _missed(self, decision: Decision) -> Missed | None:
        """What was sent and nobody lists: it is looked up with each request, as the ordinary path does."""
        fields, table = decision.request.fields, self._rules.table
        selection = select(decision.destination, fields, table, decision.caller.scope)
        chosen = selection.account.name if selection is not None else ""
        scope = next((value.decode("latin-1") for value in fields.values(SCOPE) if value), "")
        ads_account = sent_ads_account(fields).decode("latin-1")
        missed = Missed(
            scope if scope and not table.directory.owners(scope, chosen) else "",
            ads_account if ads_account and not table.directory.ads_account_owners(ads_account, chosen) else "",
            chosen,
        )
        return missed if missed.profile or missed.ads_account else None

    def _lane(self, decision: Decision) -> Lane:
        request, route, pool = decision.request, decision.route, decision.pool
        responses = self._responses.setdefault(pool.host_line, ResponsePatterns())
        budget = self._dependencies.retry_budgets.of(pool.host_line, pool.loop.time())
        lane = Lane(decision, _kind(decision), budget, responses)
        lane.family = family(route.operation, request.method, route.segments)
        name = decision.caller.name
        lane.in_flight = self._dependencies.accounting.client_cell(name) if name else Cell()
        lane.use = TokenUse(name, find_advertiser(request, route))
        return lane


def _kind(decision: Decision) -> RequestKind:
    way = way_of(decision.route)
    return RequestKind(
        client=decision.caller.name,
        account=way.account,
        region=way.region,
        profile=way.profile,
        ads_account=way.ads_account,
        method=method_name(decision.request.method),
        operation=way.operation,
        operation_class=way.operation_class,
    )
