"""A request's body as it leaves, held for sending it again as long as it is small. Nothing is sent here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.mcp.tools import UNTOLD, McpCalls, name_tools, read_calls
from proxy.errors import Refused
from proxy.forwarding.body_reader import READER
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.framing import LAST_CHUNK, Buffer, chunk
from proxy.http1.request_fields import NO_FIELDS, passing_trailers
from proxy.audit.records import may_change
from proxy.routing.target import TargetKind
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.accounting import RequestStats
    from proxy.forwarding.decision import RequestContext
    from proxy.mcp.hints import ToolHints
    from proxy.http1.request_fields import RequestFields


class ReplayBuffer:
    """What came of a body so far, framed for Amazon.

    While `replayable`, `data` holds all of it. `size` is the payload's, in bytes; `complete` tells that its end came.
    However many pieces a body came in, it is kept in one: a piece of one byte takes one byte. `lists_tools` tells that
    it asks the MCP endpoint for its tools, and `one_message` that it is one message to it, not a list of them.
    """

    lists_tools = one_message = False

    __slots__ = ("_chunked", "_expects_continue", "_first", "_max_bytes", "_more", "complete", "replayable", "size")

    def __init__(self, fields: RequestFields, max_bytes: int) -> None:
        self._chunked = fields.chunked
        self._expects_continue = fields.expects_continue
        self._max_bytes = max_bytes
        self._first: list[Buffer] = []
        self._more = bytearray()
        self.size = 0
        self.replayable = True
        self.complete = not fields.chunked and not fields.content_length

    @property
    def data(self) -> list[Buffer]:
        """All that is kept. It is a copy where it came in pieces: what is on its way out does not change."""
        return [*self._first, bytes(self._more)] if self._more else self._first

    @property
    def sendable(self) -> bool:
        """Enough is here to take a connection for it: all of a small body, or as much of a large one as may be held.

        Who waits for a 100 sends nothing before Amazon was asked.
        """
        return self.complete or self.full or self._expects_continue

    @property
    def full(self) -> bool:
        """As much is held as may be: no more should be read before what is here has been sent."""
        return self.size >= self._max_bytes

    def add(self, pieces: list[Buffer], *, sent: bool) -> list[Buffer]:
        """Frame the next pieces; they are kept, unless they are too many and `sent` tells that all before have left."""
        self.size += sum(map(len, pieces))
        framed = chunk(pieces) if self._chunked else pieces
        self._keep(framed, sent=sent)
        return framed

    def end(self, trailers: bytes, *, sent: bool) -> list[Buffer]:
        """The end of the body, framed: nothing where a length says it."""
        self.complete = True
        if not self._chunked:
            return []
        framed: list[Buffer] = [b"0\r\n%b\r\n" % passing_trailers(trailers, REQUEST_FIELDS) if trailers else LAST_CHUNK]
        self._keep(framed, sent=sent)
        return framed

    def forget_if_large(self) -> None:
        """All that is here has been sent: a large body is not kept any longer."""
        if self.size > self._max_bytes:
            self.forget()

    def forget(self) -> None:
        """The request will not be sent again."""
        self.replayable = False
        self._first, self._more = [], bytearray()

    def _keep(self, framed: list[Buffer], *, sent: bool) -> None:
        if not self.replayable:
            return
        if sent and self.size > self._max_bytes:
            self.forget()
        elif self._first:
            for piece in framed:
                self._more += piece
        else:
            self._first = [*map(bytes, framed)]


class NoBody(ReplayBuffer):
    """That of every request without one: nothing of it changes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NO_FIELDS, 0)

    def forget(self) -> None:
        """There is nothing to forget, and it can be sent again."""


NO_BODY = NoBody()


# --- The body of a message to the MCP endpoint, read on its way -----------------------------------

_MCP = TargetKind.MCP


def body_of(context: RequestContext, stats: RequestStats, hints: ToolHints) -> ReplayBuffer:
    """What the body of a request is kept in."""
    fields = context.request.fields
    if not fields.chunked and not fields.content_length:
        return NO_BODY
    if context.endpoint is _MCP:
        return McpReplayBuffer(context, stats, hints)
    return ReplayBuffer(fields, context.rules.replay_bytes)


_LIST: Final = (b'"tools/list"', b'"tools\\/list"')
"""How JSON has the method of a request for MCP tools: some write a slash in the second way."""


NAMED_AT_ONCE: Final = 4096
"""The `cost_of` a body up to which its MCP tools are named by the event loop: less than a millisecond of work."""


class McpReplayBuffer(ReplayBuffer):
    """Fills `mcp_tools` of the `stats`, and tells the request's decision if the body only reads or makes reports.

    A body that is incomplete or too large has an unknown MCP tool. A costly one counts as a write, as it is not read
    before it is sent, unless `expect` says what it calls: it was checked before then."""

    __slots__ = ("_calls", "_context", "_hints", "_message", "_stats", "lists_tools", "one_message")

    def __init__(self, context: RequestContext, stats: RequestStats, hints: ToolHints) -> None:
        super().__init__(context.request.fields, context.rules.replay_bytes)
        self._context = context
        self._hints = hints
        self._stats = stats
        self._calls: McpCalls | None = None
        self._message: bytearray | None = bytearray()
        self.lists_tools = self.one_message = False

    def expect(self, calls: McpCalls) -> None:
        """What comes is known to make these calls."""
        self._calls = calls

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
            body, self._message = JsonBody(bytes(self._message)), None
            self.one_message = body.raw.lstrip().startswith(b"{")
            self.lists_tools = any(name in body.raw for name in _LIST)
            self._read(body)
        return super().end(trailers, sent=sent)

    def _read(self, body: JsonBody) -> None:
        context = self._context
        if self._calls is not None:
            self._note(self._calls)
        elif not body.costs_more_than(NAMED_AT_ONCE):
            route = context.route
            operations, writers = context.rules.table.operations, self._hints.writers(route.account, route.region)
            self._note(read_calls(context.request, body, operations, writers))
        else:
            self._stats.naming = READER.read(context.pool.loop, context.client, name_tools, body)

    def _note(self, calls: McpCalls) -> None:
        self._stats.mcp_tools = calls.tools
        if not may_change(calls.effect):
            self._context.decision.note_effect(calls.effect)


# --- A body that has to be checked before anything of its request is sent ---------------------------------


CHECKED_AT_ONCE: Final = 768
"""The `cost_of` a body up to which it is checked by the event loop: about a millisecond of work at most."""


class UncheckedBody:
    """`check` raises the `Refused` that forbids a request with this body; None if any may pass. `read` is called with
    it then. `calls` are those of MCP's tools that the body makes, None if they were not read. `passes_unread` tells
    that it was found to be too large for that, and will pass.
    """

    __slots__ = ("_check", "_context", "_read", "calls", "complete", "data", "passes_unread")

    def __init__(
        self,
        check: Callable[[JsonBody], None] | None,
        context: RequestContext,
        read: Callable[[JsonBody], None] | None = None,
    ) -> None:
        fields = context.request.fields
        self.data = bytearray()
        self.complete = not fields.chunked and not fields.content_length
        self.passes_unread = False
        self.calls: McpCalls | None = None
        self._check = check
        self._context = context
        self._read = read

    def __repr__(self) -> str:
        return f"<UncheckedBody: {len(self.data)} bytes>"

    @property
    def may_pass_unread(self) -> bool:
        """Whether a body that is too large to be checked passes."""
        return self._check is None

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools of MCP that it calls, as far as they were read."""
        return self.calls.tools if self.calls is not None else (UNTOLD,)

    def add(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self.data += piece

    def result_of(self, body: JsonBody) -> Refused | None:
        """What forbids the request, if anything does. Takes long for a costly body, and may run in a thread."""
        context = self._context
        rules = context.decision.tools
        if rules is not None:
            self.calls = read_calls(context.request, body, rules.operations, rules.writers)
        try:
            if self._check is not None:
                self._check(body)
        except Refused as error:
            return error
        if self._read is not None:
            self._read(body)
        return None
