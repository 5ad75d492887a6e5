"""The memory of admitted heads that come again, byte for byte.

What follows from a head follows from its bytes, the rules, the lists of profiles and the moment. The rules in force
make a memory of their own; `Admissions.find` looks at the other two. What a client's budget counts, a write that may
have to be recorded, and what a gate reads is looked at for each request (`Forwarder.repeat`). No head is remembered
whose request belongs to a session.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.bounded_cache import BoundedCache
from proxy.http1.message import MAX_REMEMBERED_BYTES
from proxy.routing.unlisted_ids import is_listed

if TYPE_CHECKING:
    from proxy.forwarding.decision import Admission, Rules

MAX_ADMISSIONS = 1024
_MAX_CACHE_BYTES = 8 << 20
_ADMISSION_BYTES = 1000
"""About how much memory an admission takes in addition to its head's bytes and fields."""
_MAX_SEEN = 4096
"""Heads that came once, each a number."""


class Admissions:
    """The memory of admissions under one set of rules, by the exact bytes of their heads."""

    def __init__(self, rules: Rules) -> None:
        self._clients = rules.clients
        self._directory = rules.table.directory
        self._version = self._directory.version
        self._kept: BoundedCache[bytes, Admission] = BoundedCache(MAX_ADMISSIONS, _MAX_CACHE_BYTES)
        self._seen: set[int] = set()

    def __repr__(self) -> str:
        return f"<Admissions: {len(self._kept)} kept>"

    def find(self, head: bytes) -> Admission | None:
        """The admission of a head with its closing empty line, whose client's key is used again; None if it is to be
        read and decided."""
        admission = self._kept.get(head) if len(head) <= MAX_REMEMBERED_BYTES else None
        if admission is None:
            return None
        if self._directory.version != self._version:
            self._kept.clear()
            self._version = self._directory.version
            return None
        decision = admission.decision
        if decision.missed is not None and is_listed(decision.missed, self._directory):
            return None
        identity = decision.identity
        if identity is not self._clients.nobody:
            now = time.time()
            if now >= identity.valid_until:
                return None
            self._clients.note_use(identity, now)
        return admission

    def offer(self, head: bytes, admission: Admission) -> None:
        """Remember the admission of a head that comes again: the first time, it is only noted that it came."""
        decision = admission.decision
        if not decision.in_one_step or not head or len(head) > MAX_REMEMBERED_BYTES:
            return
        number = hash(head)
        if number not in self._seen:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(number)
            return
        size = _ADMISSION_BYTES + 3 * len(head) + admission.fields.held_bytes
        self._kept.keep(head, admission, size)
