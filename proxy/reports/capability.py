"""What reports plug into the core next to `shared_report`: a gate for orders whose accounts are in the body, and the
answers to requests for named reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.reports.named_report import NamedReportRequest, PermittedReport
from proxy.reports.requested import read_asked
from proxy.routing.api import ADS_API
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.downstream.ports import RequestHandler
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Decision, RequestContext, Rules
    from proxy.forwarding.sockets import LocalAsked, OwnAnswer
    from proxy.reports.overview import NamedReports
    from proxy.strict_json import JsonBody


class OwnOrders(Capability):
    """Orders of the unified API by limited clients, which may name accounts of their own in the body only."""

    def plug(self, decision: Decision) -> Plugs:
        if decision.by_body and decision.route.api is ADS_API:
            return Plugs(gates=(OwnOrderGate,))
        return NO_PLUGS


class OwnOrderGate:
    """Implements `Gate`: one such order."""

    may_pass_unread = waits = False
    tap = rewrite = None

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def read(self, body: JsonBody) -> None:
        decision = self._context.decision
        decision.rules.clients.permit_body(decision.identity, self._context.request.fields, body)

    async def wait(self) -> OwnAnswer | None:
        return None


class NamedReportAnswers(Capability):
    """Answers requests for named reports from the folder that they are kept in."""

    def __init__(self, reports: NamedReports, accounting: Accounting) -> None:
        self._reports, self._accounting = reports, accounting

    def answer(self, asked: LocalAsked, rules: Rules) -> RequestHandler | None:
        if asked.destination.kind is not TargetKind.REPORTS:
            return None
        clients, identity, reports = rules.clients, asked.identity, self._reports
        names = clients.readable_reports(identity, reports.accounts)
        report = read_asked(asked.request.method, asked.destination, names)
        if report.refresh:
            clients.permit_run(identity)
        permitted = PermittedReport(identity.name, report, names, reports, asked.in_flight, identity.subject)
        return NamedReportRequest(self._accounting, asked.client, asked.request, permitted, rules)
