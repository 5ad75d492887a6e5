"""A response on its way to the client: its head, framed as the client's version of HTTP has it, its body as it comes.

Only a Location, or the JSON `location` of the few responses that `locations` names, is looked into: it comes back
leading to the proxy. Where a gate has a rewrite for the request, the response goes through that. Where Amazon announced
the end of what was asked for (`proxy.routing.ends`), two fields say when, unless Amazon sends them. Everything else
passes byte for byte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.errors import Draining
from proxy.http1.body_copy import MAX_READ, BodyCopy, readable
from proxy.http1.framing import LAST_CHUNK, Buffer, chunk, has_no_body
from proxy.http1.response_fields import is_event_stream, with_length, with_location, without_coding, without_length
from proxy.problem import date_line
from proxy.routing import locations
from proxy.routing.explanation import EXPLAINED, AmazonRefusal, Explanation, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.sockets import Filter, OwnAnswer, Rewrite, Tap
    from proxy.http1.message import Response


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_REWRITTEN = 1 << 20
"""Bytes of a JSON body that are gathered to bring its `location` home; a longer one passes as it is."""


class ResponseRelay:
    """Writes one response to its client. `status` is 0 until `begin`; `began` tells that bytes of it went to the
    client. `continued` tells that the client was told to send its body.

    `copy` is taken of what is looked at when all is over: the beginning of an error that may be explained, and what
    taps want. None for any other.
    """

    __slots__ = (
        "_bodyless",
        "_buffered",
        "_buffered_size",
        "_chunking",
        "_client",
        "_context",
        "_filter",
        "_length",
        "_response",
        "_rewrite",
        "began",
        "bytes_out",
        "continued",
        "copy",
        "keep",
        "status",
        "taps",
    )

    def __init__(
        self, client: ClientPort, context: RequestContext, taps: Sequence[Tap] = (), rewrite: Rewrite | None = None
    ) -> None:
        self._client = client
        self._context = context
        self.taps = taps
        self._rewrite = rewrite
        self._response: Response
        self._buffered: list[Buffer] | None = None
        self._filter: Filter | None = None
        self._buffered_size = 0
        self._bodyless = False
        self._chunking = False
        self.continued = False
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
        return self.status > 0 and is_event_stream(self._response.fields)

    @property
    def is_stream(self) -> bool:
        """Whether it is an event stream that its server may end anywhere."""
        if not self.began or not self._context.api.streams_may_end or not self._chunking:
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
        if self._context.request.minor == 0 or (status == 100 and self.continued):
            return
        self._client.send([b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, response.reason, without_length(response.fields))])
        if status == 100:
            self.continued = True
            self._client.expect_body()

    def begin(self, response: Response) -> None:
        """Take the final response's head."""
        self._response, self.status = response, response.status
        fields = response.fields
        self.copy = self._new_copy(response)
        self._bodyless = has_no_body(response.status, self._context.request.method == b"HEAD")
        if self._rewrite is not None and not self._bodyless:
            self._filter = self._rewrite.filter(response)
        if self._filter is not None:
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
            for tap in self.taps:
                tap.response_data(pieces)

    def end(self, trailers: bytes) -> None:
        for tap in self.taps:
            tap.response_ended()
        if self._filter is not None:
            self._relay_shown(self._filter.finish())
        if self._buffered is not None:
            self._send_buffered()
        if self._chunking:
            self._client.send([b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK])

    def answer(self, answer: OwnAnswer) -> None:
        """Give the client this, whole."""
        self.begin(answer.response)
        self.data([answer.body])
        self.end(b"")
        self._client.finish(keep=self.keep)

    def _new_copy(self, response: Response) -> BodyCopy | None:
        """A copy for what is looked at when all is over."""
        if response.status in EXPLAINED:
            return BodyCopy(MAX_READ, keeps_beginning=True)
        wanted = max((tap.wanted(response) for tap in self.taps), default=-1)
        return BodyCopy(wanted) if wanted >= 0 else None

    @property
    def response(self) -> tuple[Response | None, bytes | None]:
        """What came: its head, None if there is none, and its body if that was copied whole."""
        return self._response if self.status else None, self.copy.whole if self.copy is not None else None

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
        passing = self._with_location_home(passing)
        if self._rewrite is not None:
            passing = self._rewrite.section(passing)
        lines = b"HTTP/1.1 %d %b\r\n%b" % (response.status, response.reason, passing)
        further = rules.response_lines + missing_lines(self._context.decision.ends, passing)
        self._client.send([render_response_head(lines, request.id, response.fields.has_date, further, framing)])

    # --- locations

    def _is_looked_into(self) -> bool:
        fields, context = self._response.fields, self._context
        return (
            context.decision.hands_out_locations
            and not self._bodyless
            and (fields.content_length or 0) <= MAX_REWRITTEN
            and fields.content_encoding in (b"", b"identity")
            and locations.may_hold_location(self.status, fields.content_type)
        )

    def _with_location_home(self, passing: bytes) -> bytes:
        old, rules = self._response.fields.location, self._context.rules
        if not old or not rules.rewrite_locations:
            return passing
        new = locations.rewrite_location(old, rules.api_hosts, self._base(), self._context.route.prefix)
        return passing if new == old else with_location(passing, old, new)

    def _base(self) -> bytes:
        """The proxy's own address as the client knows it: `http://127.0.0.1:8080`."""
        request = self._context.request
        scheme = request.target.scheme or self._client.scheme
        return scheme + b"://" + (request.fields.host or self._context.rules.listen)

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
        new = locations.rewrite_body(old, rules.api_hosts, self._base(), self._context.route.prefix)
        if fields.content_length is None:
            self._send_head(fields.passing, None)
        else:
            self._send_head(with_length(fields.passing, len(new)), len(new))
        if new:
            self._relay([new])


# --- The head of a response as the client gets it ----------------------------------------------------------

CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def render_response_head(lines: bytes, request_id: str, has_date: bool, further: bytes, framing: bytes) -> bytes:
    """The head that begins with these lines of Amazon's: status line and what passes of the section.

    `further` are lines that every response has, `framing` those about body and connection.
    """
    date = b"" if has_date else date_line(int(time.time()))
    return b"%b%b%bX-Request-Id: %b\r\n%b\r\n" % (lines, date, further, request_id.encode("latin-1"), framing)


def missing_lines(lines: bytes, section: bytes) -> bytes:
    """Those of the header lines whose names a section does not have."""
    if not lines:
        return b""
    taken = {line.partition(b":")[0].lower() for line in section.splitlines()}
    return b"".join(line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in taken)


def connection_line(minor: int, *, keep: bool) -> bytes:
    """The Connection field for a client of HTTP/1.`minor`: none if it is implied."""
    if not keep:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if minor == 0 else b""
