"""The body of a message to the MCP endpoint, read beside on its way: which tools it calls, for the account of it.

Nothing is held up, refused or changed for it; that is for `judged`, where a client is limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.access.mcp_tools import UNTOLD, name_tools
from proxy.forwarding.large_bodies import LARGE, READER
from proxy.forwarding.request_body import NO_BODY, ReplayBuffer
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.forwarding.accounting import RequestStats
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.framing import Buffer
    from proxy.http1.request_fields import RequestFields

_MCP = TargetKind.MCP


def body_of(context: RequestContext, stats: RequestStats) -> ReplayBuffer:
    """What the body of a request is kept in."""
    fields = context.request.fields
    if not fields.chunked and not fields.content_length:
        return NO_BODY
    max_bytes = context.rules.replay_bytes
    return McpReplayBuffer(fields, max_bytes, stats) if context.endpoint is _MCP else ReplayBuffer(fields, max_bytes)


class McpReplayBuffer(ReplayBuffer):
    """Fills `mcp_tools` of the `stats`. What does not come whole, or is larger than is kept, has a tool that nobody can
    tell."""

    __slots__ = ("_message", "_stats")

    def __init__(self, fields: RequestFields, max_bytes: int, stats: RequestStats) -> None:
        super().__init__(fields, max_bytes)
        self._stats = stats
        self._message: bytearray | None = bytearray()

    def add(self, pieces: list[Buffer], *, sent: bool) -> list[Buffer]:
        self._stats.mcp_tools = (UNTOLD,)
        if self._message is not None:
            for piece in pieces:
                self._message += piece
            if len(self._message) > self._max_bytes:
                self._message = None
        return super().add(pieces, sent=sent)

    def end(self, trailers: bytes, *, sent: bool) -> list[Buffer]:
        if self._message is not None:
            if len(self._message) < LARGE:
                self._stats.mcp_tools = name_tools(bytes(self._message))
            else:
                self._stats.naming = READER.submit(name_tools, bytes(self._message))
            self._message = None
        return super().end(trailers, sent=sent)
