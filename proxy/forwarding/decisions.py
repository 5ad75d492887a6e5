"""Decisions about requests, kept for those that come again byte for byte. Nothing is decided here.

A kept one holds as long as nothing that was asked for it would say something else now: what may is asked again with
each request, or has the decision made anew.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from proxy.forwarding.misses import find_missed, is_listed, misses_default
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.forwarding.decision import Decision
    from proxy.forwarding.rules import Rules

MAX_KEPT = 1024
"""All are forgotten beyond that."""
_MAX_HEAD = 4096
"""In bytes: somebody who sends ever new heads fills no memory with them."""


class Decisions:
    """Those of one set of rules, by the head that came. A decision is kept when its head comes for the second time."""

    def __init__(self, rules: Rules) -> None:
        self._table = rules.table
        self._clients = rules.clients
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._kept: dict[bytes, Decision | None] = {}

    def __repr__(self) -> str:
        return f"<Decisions: {sum(kept is not None for kept in self._kept.values())} kept>"

    def find(self, head: bytes) -> Decision | None:
        """What was decided about a request with this head; None where it has to be decided anew."""
        if self._directory.version != self._version:
            self._forget()
        known = self._kept.get(head)
        if known is None or (known.watched and not self._holds(known)):
            return None
        return known

    def keep(self, decision: Decision) -> None:
        """Remember what was decided, unless it hangs on what is looked at each time."""
        head = decision.request.head
        if not head or len(head) > _MAX_HEAD or decision.destination.kind is not TargetKind.API:
            return
        if head not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._forget()
            self._kept[head] = None
            return
        until = self._clients.known_until(decision.request.fields)
        if not until or misses_default(decision, self._directory):
            return
        decision.until, decision.missed = until, find_missed(decision, self._table)
        decision.watched = until < math.inf or decision.missed is not None
        self._kept[head] = decision

    def _holds(self, known: Decision) -> bool:
        if known.until < time.time():
            return False
        return known.missed is None or not is_listed(known.missed, self._directory)

    def _forget(self) -> None:
        """What is known of profiles has changed, or too much is kept."""
        self._version = self._directory.version
        self._kept.clear()
