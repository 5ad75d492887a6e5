"""A response on its way to the client: its head, framed as the client's version of HTTP has it, its body as it comes.

Only a Location, or the JSON `location` of the few responses that `locations` names, is looked into: it comes back
leading to the proxy; and the tools that the MCP endpoint lists, where the client may not call them all. Everything else
passes byte for byte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from proxy.errors import Draining
from proxy.forwarding import decision
from proxy.forwarding.body_copy import BodyCopy
from proxy.forwarding.body_reader import READER
from proxy.forwarding.explanation import EXPLAINED, AmazonRefusal, Explanation, explain
from proxy.forwarding.refusal import MAX_READ, readable
from proxy.mcp.lists import ToolListFilter, ToolListReader, find_tools
from proxy.audit.write_outcome import may_hold_results
from proxy.audit.write_reading import MAX_JUDGED
from proxy.http1.framing import LAST_CHUNK, Buffer, chunk, has_no_body
from proxy.http1.response_fields import with_length, with_location, with_value, without_coding, without_length
from proxy.problem import date_line
from proxy.routing.mcp_session import SESSION_ID, McpSession
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.message import Request, Response


MAX_REWRITTEN = 1 << 20
"""Bytes of a JSON body that are gathered to bring its `location` home; a longer one passes as it is."""


class ResponseRelay:
    """Writes one response to its client. `status` is 0 until `begin`; `began` tells that bytes of it went to the
    client.

    `copy` is taken of what is looked at when all is over: the beginning of an error that may be explained, and a
    response that may tell the outcome of a write. None for any other.
    """

    __slots__ = (
        "_bodyless",
        "_buffered",
        "_buffered_size",
        "_chunking",
        "_client",
        "_context",
        "_continued",
        "_filter",
        "_learn",
        "_length",
        "_reader",
        "_response",
        "began",
        "bytes_out",
        "copy",
        "keep",
        "status",
    )

    def __init__(self, client: ClientPort, context: RequestContext) -> None:
        self._client = client
        self._context = context
        self._response: Response
        self._buffered: list[Buffer] | None = None
        self._filter: ToolListFilter | None = None
        self._reader: ToolListReader | None = None
        self._learn: Callable[[list[Any]], None] | None = None
        self._buffered_size = 0
        self._bodyless = False
        self._chunking = False
        self._continued = False
        self._length: int | None = None
        self.status = 0
        self.began = False
        self.copy: BodyCopy | None = None
        self.keep = False
        self.bytes_out = 0

    @property
    def delimited(self) -> bool:
        """Whether a client can tell by itself that the response was cut off."""
        return self._chunking or self._length is not None or self._bodyless

    @property
    def is_event_stream(self) -> bool:
        """Whether the response is an event stream, which has its own pace."""
        return self.status > 0 and self._response.fields.content_type[:17].lower() == b"text/event-stream"

    @property
    def is_stream(self) -> bool:
        """Whether it is an event stream of MCP, which its server may end anywhere: the client takes it up again."""
        if not self.began or self._context.endpoint is not TargetKind.MCP or not self._chunking:
            return False
        return self.is_event_stream

    def break_off(self, fault: str) -> None:
        """A response that has begun cannot be ended: make sure that it does not look complete, unless it may be."""
        if fault == Draining.slug:
            self.end_early()
        else:
            self._client.abort(loudly=not self.delimited)

    def end_early(self) -> None:
        """End a response that its server may end anywhere; break off any other."""
        if self.is_stream:
            self._client.send([LAST_CHUNK])
            self._client.finish(keep=False)
        else:
            self._client.abort(loudly=not self.delimited)

    def interim(self, response: Response) -> None:
        """Pass on an interim response; it has no body, whatever it says.

        None passes to HTTP/1.0 (RFC 9110, 15.2), and of all attempts but one 100.
        """
        status = response.status
        if self._context.request.minor == 0 or (status == 100 and self._continued):
            return
        self._client.send([b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, response.reason, without_length(response.fields))])
        if status == 100:
            self._note_continued()

    def ask_for_body(self) -> None:
        """Send a 100 of the proxy's own, and pass on none of Amazon's."""
        self._client.send([b"HTTP/1.1 100 Continue\r\n\r\n"])
        self._note_continued()

    def _note_continued(self) -> None:
        self._continued = True
        self._client.expect_body()

    def learn_tools(self, learn: Callable[[list[Any]], None]) -> None:
        """The response that begins next lists MCP tools: `learn` is called with them."""
        self._learn = learn

    def begin(self, response: Response) -> None:
        """Take the final response's head."""
        self._response, self.status = response, response.status
        fields = response.fields
        self.copy = self._new_copy(response)
        self._bodyless = has_no_body(response.status, self._context.request.method == b"HEAD")
        tools = self._context.decision.tools
        if self._learn is not None and tools is None:
            self._reader = ToolListReader(fields.content_encoding, events=self.is_event_stream)
        if tools is not None and not self._bodyless:
            readable, learn = fields.content_encoding in (b"", b"identity"), self._learn or (lambda tools: None)
            self._filter = ToolListFilter(tools, readable=readable, events=self.is_event_stream, learn=learn)
            self._send_head(without_coding(fields), None)
        elif self._is_looked_into():
            self._buffered = []
        else:
            self._send_head(without_length(fields) if response.status == 204 else fields.passing, fields.content_length)

    def data(self, pieces: list[Buffer]) -> None:
        if self.copy is not None:
            self.copy.add(pieces)
        if self._filter is not None:
            self._relay_shown(self._filter.feed(b"".join(pieces)))
        elif self._buffered is not None:
            self._buffer(pieces)
        else:
            self._relay(pieces)
            if self._reader is not None:
                self._read(self._reader.feed(b"".join(pieces)))

    def end(self, trailers: bytes) -> None:
        if self._reader is not None:
            self._read(self._reader.finish())
        if self._filter is not None:
            self._relay_shown(self._filter.finish())
        if self._buffered is not None:
            self._send_buffered()
        if self._chunking:
            self._client.send([b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK])

    def _new_copy(self, response: Response) -> BodyCopy | None:
        """For a write, unless its length says that it is too large. Of a type without results only the size counts."""
        if response.status in EXPLAINED:
            return BodyCopy(MAX_READ, keeps_beginning=True)
        fields = response.fields
        decision = self._context.decision
        is_read = decision.has_outcome or decision.report is not None
        reads = is_read and (fields.content_length or 0) <= MAX_JUDGED
        return BodyCopy(MAX_JUDGED if may_hold_results(fields.content_type) else 0) if reads else None

    @property
    def response(self) -> tuple[Response, bytes | None]:
        """What came, when all of it did: its head, and its body if that was copied whole."""
        return self._response, self.copy.whole if self.copy is not None else None

    @property
    def may_be_explained(self) -> bool:
        """Whether it is an error whose cause may be told."""
        return self.status in EXPLAINED

    def explain(self, problem: str) -> Explanation | None:
        """Why Amazon refused the request, as far as that can be told; `problem` is that of the account's login."""
        context = self._context
        text = readable(self.copy.beginning if self.copy else b"", self._response.fields.content_encoding)
        refusal = AmazonRefusal(self.status, text, context.route, problem)
        return explain(refusal, context.rules.table.directory)

    def _read(self, messages: list[bytes]) -> None:
        """Read messages in a thread, so that no request waits for it."""
        learn = self._learn
        assert learn is not None
        for message in messages:
            reading = READER.read(self._client.loop, self._context.client, find_tools, message)
            reading.add_done_callback(lambda done: None if done.cancelled() else learn(done.result()))

    def _relay(self, pieces: list[Buffer]) -> None:
        self.bytes_out += sum(map(len, pieces))
        self._client.send(chunk(pieces) if self._chunking else pieces)

    def _relay_shown(self, data: bytes) -> None:
        if data:
            self._relay([data])

    def _send_head(self, passing: bytes, length: int | None) -> None:
        self.began = True
        self._length = length
        request, response, rules = self._context.request, self._response, self._context.rules
        self._chunking = length is None and not self._bodyless and request.minor == 1
        self.keep = self.delimited and self._client.stays_open(request)
        framing = CHUNKED_LINE if self._chunking else b""
        framing += connection_line(request.minor, keep=self.keep)
        passing = self._with_own_session(self._with_location_home(passing))
        self._client.send([render_response_head(response, passing, request, rules.response_lines, framing)])

    def _with_own_session(self, passing: bytes) -> bytes:
        """The session id of a client for which one advertiser is fixed is not Amazon's, but says which one it is."""
        route, rules = self._context.route, self._context.rules
        if route.fixed is None:
            return passing
        session = McpSession(self._context.client, route.account, route.region, route.fixed)
        return with_value(passing, SESSION_ID, lambda identifier: rules.clients.sessions.write(session, identifier))

    # --- locations

    def _is_looked_into(self) -> bool:
        fields, context = self._response.fields, self._context
        return (
            context.decision.hands_out_locations
            and not self._bodyless
            and (fields.content_length or 0) <= MAX_REWRITTEN
            and fields.content_encoding in (b"", b"identity")
            and decision.may_hold_location(self.status, fields.content_type)
        )

    def _with_location_home(self, passing: bytes) -> bytes:
        old, rules = self._response.fields.location, self._context.rules
        if not old or not rules.rewrite_locations:
            return passing
        new = decision.rewrite_location(old, rules.api_hosts, self._base(), self._context.route.prefix)
        return passing if new == old else with_location(passing, old, new)

    def _base(self) -> bytes:
        """The proxy's own address as the client knows it: `http://127.0.0.1:8080`."""
        rules = self._context.rules
        return rules.scheme + b"://" + (self._context.request.fields.host or rules.listen)

    def _buffer(self, pieces: list[Buffer]) -> None:
        assert self._buffered is not None
        self._buffered += pieces
        self._buffered_size += sum(map(len, pieces))
        if self._buffered_size > MAX_REWRITTEN:
            buffered, self._buffered = self._buffered, None
            fields = self._response.fields
            self._send_head(fields.passing, fields.content_length)
            self._relay(buffered)

    def _send_buffered(self) -> None:
        assert self._buffered is not None
        old = b"".join(self._buffered)
        self._buffered = None
        rules, fields = self._context.rules, self._response.fields
        new = decision.rewrite_body(old, rules.api_hosts, self._base(), self._context.route.prefix)
        if fields.content_length is None:
            self._send_head(fields.passing, None)
        else:
            self._send_head(with_length(fields.passing, len(new)), len(new))
        if new:
            self._relay([new])


# --- The head of a response as the client gets it ----------------------------------------------------------

CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def render_response_head(
    response: Response, passing: bytes, request: Request, response_lines: bytes, framing: bytes
) -> bytes:
    """`passing` and `response_lines` hold whole lines, and so does `framing`: the fields about body and connection."""
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason),
            passing,
            b"" if response.fields.has_date else date_line(int(time.time())),
            response_lines,
            b"X-Request-Id: %b\r\n" % request.id.encode("latin-1"),
            framing,
            b"\r\n",
        )
    )


def connection_line(minor: int, *, keep: bool) -> bytes:
    """The Connection field for a client of HTTP/1.`minor`: none if it is implied."""
    if not keep:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if minor == 0 else b""
