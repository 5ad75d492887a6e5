"""Decisions about requests, kept for those that come again byte for byte, and for those whose lines are of one kind.

Nothing is decided here. A kept one holds as long as nothing that was asked for it would say something else now: what
may is asked again with each request, or has the decision made anew.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from proxy.forwarding.decision import AlikeContext, RequestContext
from proxy.forwarding.line_kinds import line_kind, read_of_lines
from proxy.forwarding.misses import find_missed, is_listed, misses_default
from proxy.http1.sightings import Sightings
from proxy.http1.target import TargetForm
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.forwarding.decision import Decision
    from proxy.forwarding.rules import Rules
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields

MAX_KEPT = 1024
"""Of heads, and of kinds: all are forgotten beyond that."""
_ORIGIN = TargetForm.ORIGIN
_MAX_HEAD = 4096
"""In bytes: somebody who sends ever new heads fills no memory with them."""


class DecidedSection:
    """What was decided about requests with one header section, as the reader remembers it, by the kind of their lines:
    the decision about an example."""

    __slots__ = ("examples", "fields", "reading")

    def __init__(self, decision: Decision) -> None:
        self.fields: RequestFields = decision.request.fields
        self.reading = read_of_lines(decision.caller, decision.rules)
        self.examples: dict[bytes, Decision] = {}

    def __repr__(self) -> str:
        return f"<DecidedSection with {len(self.examples)} kinds of lines>"


class Decisions:
    """Those of one set of rules. One is kept when its head, or one of the same kind, comes for the second time."""

    def __init__(self, rules: Rules) -> None:
        self._table = rules.table
        self._clients = rules.clients
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._kept: dict[bytes, Decision] = {}
        self._sections: dict[int, DecidedSection] = {}
        """By the identity of their fields, which they hold, so that it stays theirs."""
        self._kinds = 0
        self._heads, self._lines = Sightings(), Sightings()

    def __repr__(self) -> str:
        return f"<Decisions: {len(self._kept)} kept>"

    def find(self, request: Request) -> RequestContext | None:
        """What was decided about a request with this head, or one of its kind; None where it is to be decided anew."""
        if self._directory.version != self._version:
            self._forget()
        known = self._kept.get(request.head)
        found = RequestContext(request, known) if known is not None else self._find_alike(request)
        if found is None or (found.shared.watched and not self._holds(found.shared)):
            return None
        return found

    def _find_alike(self, request: Request) -> RequestContext | None:
        """The same of one that came with other bytes."""
        fields, target, head = request.fields, request.target, request.head
        section = self._sections.get(id(fields))
        if section is None or section.fields is not fields or target.form is not _ORIGIN:
            return None
        example = section.examples.get(line_kind(request.method, target, section.reading))
        if example is None:
            return None
        found = AlikeContext(request, example)
        if len(head) <= _MAX_HEAD and self._heads.came_before(head):
            self._keep_head(head, found.decision)
        return found

    def keep(self, decision: Decision) -> None:
        """Remember what was decided, unless it hangs on what is looked at each time."""
        request = decision.request
        head = request.head
        if not head or len(head) > _MAX_HEAD or decision.destination.kind is not TargetKind.API:
            return
        kind = line_kind(request.method, request.target, read_of_lines(decision.caller, decision.rules))
        again = self._heads.came_before(head)
        alike = self._lines.came_before(kind + head.partition(b"\r\n")[2])
        if not (again or alike):
            return
        until = self._clients.known_until(request.fields)
        if not until or misses_default(decision, self._directory):
            return
        decision.until, decision.missed = until, find_missed(decision, self._table)
        decision.watched = until < math.inf or decision.missed is not None
        if again:
            self._keep_head(head, decision)
        if request.target.form is _ORIGIN:
            self._keep_kind(kind, decision)

    def _keep_head(self, head: bytes, decision: Decision) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[head] = decision

    def _keep_kind(self, kind: bytes, decision: Decision) -> None:
        if self._kinds >= MAX_KEPT:
            self._sections.clear()
            self._kinds = 0
        fields = decision.request.fields
        section = self._sections.get(id(fields))
        if section is None or section.fields is not fields:
            section = self._sections[id(fields)] = DecidedSection(decision)
        self._kinds += kind not in section.examples
        section.examples[kind] = decision

    def _holds(self, known: Decision) -> bool:
        if known.until < time.time():
            return False
        return known.missed is None or not is_listed(known.missed, self._directory)

    def _forget(self) -> None:
        """What is known of profiles has changed, or too much is kept."""
        self._version = self._directory.version
        self._kept.clear()
        self._sections.clear()
        self._kinds = 0
