"""Amazon's answer on its way to the tool: its head, framed as the tool's version of HTTP has it, its body as it comes.

Only a Location, or the JSON `location` of the few answers that `locations` names, is looked into: it comes back leading
to the proxy. A Date is added where Amazon sent none (RFC 9110, 6.6.1). Everything else passes byte for byte.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.forwarding import locations
from proxy.http1.framing import LAST_CHUNK, Buffer, chunk, has_no_body
from proxy.http1.headers import AnswerFacts, Facts, with_length, with_location, without_length
from proxy.problem import date_line

if TYPE_CHECKING:
    from proxy.downstream.connection import ToolConnection
    from proxy.errors import Refused
    from proxy.forwarding.forwarder import Rules
    from proxy.http1.message import AnswerHead, RequestHead
    from proxy.routing.route import Route
    from proxy.upstream.pool import Pool

MOST_REWRITTEN = 1 << 20
"""Bytes of a JSON answer that are gathered to bring its `location` home; a longer one passes as it is."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may leave: who sent it, where it goes, under which rules and what it is called."""

    rules: Rules
    client: str
    route: Route
    pool: Pool
    request_id: str


@dataclass(slots=True)
class HeldAnswer:
    """An answer kept back while it is decided whether the request is sent again."""

    head: AnswerHead
    facts: AnswerFacts
    pieces: list[Buffer]
    trailers: bytes | None = None
    error: Refused | None = None


class AnswerRelay:
    """Writes one answer to its tool. `status` is 0 until `begin`; `began` tells that bytes of it have been given on."""

    def __init__(self, tool: ToolConnection, request: RequestHead, asked: Facts, admitted: Admitted) -> None:
        self._tool = tool
        self._request = request
        self._asked = asked
        self._admitted = admitted
        self._rules = admitted.rules
        self._head: AnswerHead
        self._facts: AnswerFacts
        self._gathered: list[Buffer] | None = None
        self._gathered_size = 0
        self._bodyless = False
        self._chunking = False
        self._length: int | None = None
        self.status = 0
        self.began = False
        self.keep = False
        self.bytes_out = 0

    @property
    def delimited(self) -> bool:
        """Whether a tool can tell by itself that the answer was cut off."""
        return self._chunking or self._length is not None or self._bodyless

    def interim(self, head: AnswerHead, facts: AnswerFacts) -> None:
        """Hand on an interim answer; it has no body, whatever it says."""
        self._tool.send([b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, without_length(facts))])

    def begin(self, head: AnswerHead, facts: AnswerFacts) -> None:
        """Take the final answer's head."""
        self._head, self._facts, self.status = head, facts, head.status
        self._bodyless = has_no_body(head.status, self._request.method == b"HEAD")
        if self._is_looked_into():
            self._gathered = []
        else:
            self._send_head(without_length(facts) if head.status == 204 else facts.passing, facts.content_length)

    def data(self, pieces: list[Buffer]) -> None:
        if self._gathered is not None:
            self._gather(pieces)
        else:
            self._relay(pieces)

    def end(self, trailers: bytes) -> None:
        if self._gathered is not None:
            self._send_gathered()
        if self._chunking:
            self._tool.send([b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK])

    def _relay(self, pieces: list[Buffer]) -> None:
        self.bytes_out += sum(map(len, pieces))
        self._tool.send(chunk(pieces) if self._chunking else pieces)

    def _send_head(self, passing: bytes, length: int | None) -> None:
        self.began = True
        self._length = length
        request, head = self._request, self._head
        self._chunking = length is None and not self._bodyless and request.minor == 1
        self.keep = self.delimited and self._tool.stays_open(request, self._asked)
        connection = b""
        if not self.keep:
            connection = b"Connection: close\r\n"
        elif request.minor == 0:
            connection = b"Connection: keep-alive\r\n"
        self._tool.send(
            [
                b"".join(
                    (
                        b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason),
                        self._with_location_home(passing),
                        b"" if self._facts.dated else date_line(int(time.time())),
                        self._rules.answer_lines,
                        b"X-Request-Id: %b\r\n" % self._admitted.request_id.encode("latin-1"),
                        b"Transfer-Encoding: chunked\r\n" if self._chunking else b"",
                        connection,
                        b"\r\n",
                    )
                )
            ]
        )

    # --- locations

    def _is_looked_into(self) -> bool:
        facts, route = self._facts, self._admitted.route
        return (
            self._rules.rewrite_locations
            and not self._bodyless
            and (facts.content_length or 0) <= MOST_REWRITTEN
            and facts.content_encoding in (b"", b"identity")
            and locations.concerns(self._request.method, route.path, self.status, facts.content_type)
        )

    def _with_location_home(self, passing: bytes) -> bytes:
        old = self._facts.location
        if not old or not self._rules.rewrite_locations:
            return passing
        new = locations.rewrite_location(old, self._rules.api_hosts, self._base(), self._admitted.route.prefix)
        return passing if new == old else with_location(passing, old, new)

    def _base(self) -> bytes:
        """The proxy's own address as the tool knows it: `http://127.0.0.1:8080`."""
        return self._rules.scheme + b"://" + (self._asked.host or self._rules.listen)

    def _gather(self, pieces: list[Buffer]) -> None:
        assert self._gathered is not None
        self._gathered += pieces
        self._gathered_size += sum(map(len, pieces))
        if self._gathered_size > MOST_REWRITTEN:
            gathered, self._gathered = self._gathered, None
            self._send_head(self._facts.passing, self._facts.content_length)
            self._relay(gathered)

    def _send_gathered(self) -> None:
        assert self._gathered is not None
        old = b"".join(self._gathered)
        self._gathered = None
        new = locations.rewrite_body(old, self._rules.api_hosts, self._base(), self._admitted.route.prefix)
        if self._facts.content_length is None:
            self._send_head(self._facts.passing, None)
        else:
            self._send_head(with_length(self._facts.passing, len(new)), len(new))
        if new:
            self._relay([new])
