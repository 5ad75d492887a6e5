"""The one memory of decisions: those made under one set of rules, by all that they depend on. It decides nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.access.admission import admit
from proxy.access.policy import evaluate_request
from proxy.bounded_cache import BoundedCache
from proxy.errors import Refused
from proxy.forwarding.decision import Admission
from proxy.http1.message import MAX_REMEMBERED_BYTES
from proxy.http1.target import TargetForm
from proxy.routing.target import find_destination, summarise
from proxy.routing.unlisted_ids import is_listed, misses_default

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity
    from proxy.access.policy import Verdict
    from proxy.forwarding.decision import Decision, Rules
    from proxy.http1.message import Request
    from proxy.routing.target import Destination, RequestSummary

    DecisionInputs = tuple[RequestSummary, ClientIdentity, Verdict]
    """All that a decision depends on, under one set of rules and one state of the lists of profiles."""

MAX_DECISIONS = 1024
_MAX_CACHE_BYTES = 6 << 20
_DECISION_BYTES = 3000
"""About how much memory a decision takes in addition to its request's fields: an access token, and journal entries."""
_ORIGIN = TargetForm.ORIGIN


class Decisions:
    """The one memory of decisions: those made under one set of rules, by all that they depend on.

    They are forgotten when the lists of profiles change. What depends on time, a key or a placeholder that expires, is
    part of the client's identity, which is looked up for each request. What depends on path and query is part of the
    verdict of the client's policy, which is asked about each request.
    """

    def __init__(self, rules: Rules) -> None:
        self._table = rules.table
        self._clients = rules.clients
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._own_paths = rules.own_paths
        self._made: BoundedCache[DecisionInputs, Decision] = BoundedCache(MAX_DECISIONS, _MAX_CACHE_BYTES)
        self._sought: tuple[Request, Destination, RequestSummary, ClientIdentity, Verdict] | None = None
        """What was read and judged of the request that was looked up last, if it is to be decided."""

    def __repr__(self) -> str:
        return f"<Decisions: {len(self._made)} made>"

    def find(self, request: Request) -> Admission | None:
        """The admission of a request by a remembered decision; None if it is to be decided now, or refused when its
        turn comes. `admit` passed a request of the same method and header section when the decision was made, so that
        it is left to look at the form of the target."""
        if self._directory.version != self._version:
            self._made.clear()
            self._version = self._directory.version
        identity = self._clients.recall(request.fields, time.time())
        if identity is None:
            return None
        try:
            if request.target.form is not _ORIGIN:
                admit(request, self._table)
            destination = find_destination(request.target, with_own_paths=self._own_paths)
            asked = summarise(request.method, request.fields, destination, self._table.operations)
            screened = identity.verdict or _evaluate(identity, asked, destination)
        except Refused:
            return None
        decision = self._made.get((asked, identity, screened))
        if decision is None or (decision.missed is not None and is_listed(decision.missed, self._directory)):
            self._sought = request, destination, asked, identity, screened  # to do so twice would cost too much
            return None
        return Admission(request, destination, decision)

    def read(self, request: Request) -> tuple[Destination, RequestSummary]:
        """The destination and the summary of a request that `admit` has passed. Raises `UnknownRoute` for a prefix
        without a name."""
        sought = self._sought
        if sought is not None and sought[0] is request:
            return sought[1], sought[2]
        destination = find_destination(request.target, with_own_paths=self._own_paths)
        return destination, summarise(request.method, request.fields, destination, self._table.operations)

    def judge(self, identity: ClientIdentity, asked: RequestSummary, destination: Destination) -> Verdict:
        """What the client's policy says of a request, wherever it would go: what forbids it, or what `check_route` goes
        on from. It is asked before routing, so that a client learns nothing about accounts that it may not use."""
        sought = self._sought
        if sought is not None and sought[1] is destination and sought[3] is identity:
            return sought[4]
        return identity.verdict or _evaluate(identity, asked, destination)

    def keep(self, decision: Decision, screened: Verdict) -> None:
        """Remember it, unless it depends on what is checked each time: a session, a body, or an unlisted default; or
        its header section is so large that the reader does not remember it."""
        asked = decision.asked
        if (
            decision.route.api.has_sessions
            or asked.fields.size > MAX_REMEMBERED_BYTES
            or decision.by_body
            or misses_default(asked.fields, decision.route, self._directory)
        ):
            return
        size = _DECISION_BYTES + asked.fields.held_bytes + asked.fields.size + len(asked.unknown_path)
        self._made.keep((asked, decision.identity, screened), decision, size)


def _evaluate(identity: ClientIdentity, asked: RequestSummary, destination: Destination) -> Verdict:
    """What a policy says that has to be asked about each request."""
    assert identity.policy is not None
    return evaluate_request(identity.policy, asked, destination)
