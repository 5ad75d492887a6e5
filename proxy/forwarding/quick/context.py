"""What all quick exchanges under one set of rules share: whom they tell of their ends, and how they become ordinary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.decision import RequestContext
from proxy.forwarding.field_rules import REQUEST_FIELDS
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.forwarding.quick.plans import decision_of
from proxy.http1.message import RequestReader

if TYPE_CHECKING:
    from proxy.downstream.ports import Service
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.quick.lane import Lane
    from proxy.forwarding.rules import Rules
    from proxy.observability.journal import JournalEntry


class QuickContext:
    """See the module's docstring. `id_line` are the lines of our own that a request id completes."""

    def __init__(self, dependencies: Dependencies, service: Service, rules: Rules) -> None:
        self.dependencies = dependencies
        self.tokens = dependencies.tokens
        self.service = service
        self.rules = rules
        self.timeouts = rules.timeouts
        self.id_line = rules.response_lines + b"X-Request-Id: "
        self.flight = dependencies.accounting.flight
        self._journal = dependencies.accounting.journal
        self._reader = RequestReader(rules.head_limits, REQUEST_FIELDS, remember=False)
        self._cells = {
            outcome: self._journal.fast_path(outcome, noted=outcome is QuickOutcome.TAKEN) for outcome in QuickOutcome
        }
        self.taken = self._cells[QuickOutcome.TAKEN]

    def __repr__(self) -> str:
        return f"<QuickContext: {self.taken.value} taken>"

    def entry(self, lane: Lane, status: int) -> JournalEntry:
        """Where the lane's requests with this status are noted."""
        entry = lane.entries[status] = self._journal.entry(lane.kind, status)
        return entry

    def count(self, outcome: QuickOutcome) -> None:
        """A request was declined, or became ordinary."""
        self._cells[outcome].value += 1

    def ordinary(self, lane: Lane, head: bytes, request_id: str) -> RequestContext:
        """What the ordinary path would have made of this request with this head."""
        request = self._reader.read(head, lambda: request_id)
        return RequestContext(request, decision_of(lane, request, self.rules))
