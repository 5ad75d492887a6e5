"""What the audit plugs into the core: a tap that reads what became of each write, and what it changed.

It takes a copy of what passes, and reads it when the request is over. Whether a write may leave although its record
could not be kept is for the core's `write_gate`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from proxy.audit.write_reading import MAX_JUDGED, WriteBodies, written_request
from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.forwarding.sockets import Reading, Tap
from proxy.http1.body_copy import BodyCopy, may_hold_results
from proxy.routing.operations import SAFE_METHODS

if TYPE_CHECKING:
    from proxy.audit.write_reading import WriteReader, WriteReading
    from proxy.forwarding.decision import Decision, RequestContext
    from proxy.forwarding.sockets import End
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response


class WriteOutcomes(Capability):
    """Reads the outcome of each write. `recorded` are the members whose values an audit record holds; None if it does
    not even name objects and members: then requests are not read."""

    def __init__(self, reader: WriteReader, recorded: frozenset[str] | None) -> None:
        self._reader, self._recorded = reader, recorded

    def plug(self, decision: Decision) -> Plugs:
        asked = decision.asked
        if decision.is_write and (asked.overrides or asked.method not in SAFE_METHODS):
            return Plugs(taps=(partial(WriteTap, self._reader, self._recorded),))
        return NO_PLUGS


class WriteTap(Tap):
    """Sees one write pass, unless its body says that it is none."""

    __slots__ = ("_context", "_first", "_is_one_message", "_reader", "_recorded", "_request", "_size")

    def __init__(self, reader: WriteReader, recorded: frozenset[str] | None, context: RequestContext) -> None:
        self._reader, self._recorded, self._context = reader, recorded, context
        self._request = BodyCopy(context.rules.replay_bytes) if recorded is not None else None
        self._first, self._size, self._is_one_message = b"", 0, False

    def request_data(self, pieces: list[Buffer]) -> None:
        if self._request is not None:
            self._request.add(pieces)
        if self._context.api.takes_messages:
            self._size += sum(map(len, pieces))
            self._first = self._first or b"".join(pieces).lstrip()[:1]

    def request_ended(self) -> None:
        """The body is whole. In a list, some messages may have an answer and others not; a large body may be a list."""
        self._is_one_message = self._first == b"{" and self._size <= self._context.rules.replay_bytes

    def wanted(self, response: Response) -> int:
        fields = response.fields
        if not self._context.is_write or (fields.content_length or 0) > MAX_JUDGED:
            return -1
        return MAX_JUDGED if may_hold_results(fields.content_type) else 0

    def ended(self, end: End) -> Reading | None:
        context = self._context
        if not end.sent or not context.is_write:
            return None
        response = end.cut if end.cut is not None and self._is_one_message else end.response
        asked = None
        if self._request is not None:
            asked = written_request(context, self._request.whole, self._recorded or frozenset())
        bodies = WriteBodies(response, end.body if response is not None else None, asked)
        reading = self._reader.read(bodies, context.client, context.pool.loop)
        if not isinstance(reading, asyncio.Future):
            self._settle(reading)
            return None
        return Reading(reading, lambda: self._settle(self._reader.result_of(reading, bodies)), is_bounded=True)

    def _settle(self, said: WriteReading) -> None:
        self._context.stats.write, self._context.stats.changes = said
