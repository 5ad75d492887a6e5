"""The one memory of decisions: those made under one set of rules, by all that they depend on. It decides nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.access.admission import admit
from proxy.access.clients import judge
from proxy.bounded_cache import BoundedCache
from proxy.errors import Refused
from proxy.forwarding.decision import Admission
from proxy.http1.message import MAX_REMEMBERED_BYTES
from proxy.routing.target import find_destination, summarise
from proxy.routing.unlisted_ids import is_listed, misses_default

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity
    from proxy.access.policy import Verdict
    from proxy.forwarding.decision import Decision, Rules
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.http1.target import Target
    from proxy.routing.target import Destination, RequestSummary

    DecisionInputs = tuple[RequestSummary, ClientIdentity, Verdict]
    """All that a decision depends on, under one set of rules and one state of the lists of profiles."""
    _Asked = tuple[bytes, Target, RequestFields]
    _Summarised = tuple[Destination, RequestSummary]

MAX_DECISIONS = 1024
_MAX_CACHE_BYTES = 6 << 20
_DECISION_BYTES = 3000
"""About how much memory a decision takes in addition to its request's fields: an access token, and journal entries."""
_MAX_TARGET = 1024
"""Bytes of a target that is remembered."""


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
        self._known: BoundedCache[_Asked, _Summarised] = BoundedCache(MAX_DECISIONS, _MAX_CACHE_BYTES)
        self._large: tuple[_Asked, _Summarised] | None = None
        self._last_judged: tuple[Destination, ClientIdentity, Verdict] | None = None

    def __repr__(self) -> str:
        return f"<Decisions: {len(self._made)} made>"

    def find(self, request: Request) -> Admission | None:
        """The admission of a request by a remembered decision; None if it is to be decided now, or refused when its
        turn comes."""
        if self._directory.version != self._version:
            self._made.clear()
            self._version = self._directory.version
        identity = self._clients.recall(request.fields, time.time())
        if identity is None:
            return None
        try:
            destination, asked = self.read(request)
            screened = self.judge(identity, asked, destination)
        except Refused:
            return None
        decision = self._made.get((asked, identity, screened))
        if decision is None or (decision.missed is not None and is_listed(decision.missed, self._directory)):
            return None
        return Admission(request, destination, decision)

    def read(self, request: Request) -> tuple[Destination, RequestSummary]:
        """The destination and the summary of a request, which are remembered for requests that `admit` has passed.

        Those of a large request are kept only until the next one: reading it twice would cost too much. Raises what
        `admit` raises, and `UnknownRoute` for a prefix without a name.
        """
        asked = request.method, request.target, request.fields
        known = self._known.get(asked)
        if known is not None:
            return known
        admit(request)
        return self._read_anew(asked)

    def _read_anew(self, asked: _Asked) -> _Summarised:
        method, target, fields = asked
        if self._large is not None and self._large[0] == asked:
            return self._large[1]
        destination = find_destination(target, with_reports=self._own_paths)
        found = destination, summarise(method, fields, destination, self._table.operations)
        if len(target.raw) > _MAX_TARGET or fields.size > MAX_REMEMBERED_BYTES:
            self._large = asked, found
        else:
            size = fields.held_bytes + 2 * len(target.raw) + 50 * len(destination.segments)
            self._known.keep(asked, found, size)
        return found

    def judge(self, identity: ClientIdentity, asked: RequestSummary, destination: Destination) -> Verdict:
        """What the client's policy says of a request that was read. It is kept until another one comes."""
        if identity.verdict is not None:
            return identity.verdict
        last = self._last_judged
        if last is None or last[0] is not destination or last[1] is not identity:
            last = self._last_judged = destination, identity, judge(identity, asked, destination)
        return last[2]

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
