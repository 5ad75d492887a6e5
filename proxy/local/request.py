"""Requests that end at the proxy: what they have in common. A small body is gathered before the answer."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.events import Fault
from proxy.forwarding.refusal import payload_size, refusal_response
from proxy.forwarding.relay import connection_line
from proxy.problem import own_lines, reason_phrase

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.errors import Refused
    from proxy.events import RequestKind
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request
    from proxy.observability.instruments import Cell


class LocalRequest:
    """A `RequestHandler` without an upstream; it answers by the `rules` that the request was admitted under.

    Each kind has an `answer`, which ends in `respond` or `refuse`, and says in `kind` and `path` what log and metrics
    call it.
    """

    max_wire_bytes = 16384
    rate_limited = True
    endless = False
    path = ""

    def __init__(self, accounting: Accounting, client: ClientPort, request: Request, rules: Rules) -> None:
        self.accounting = accounting
        self.client = client
        self.request = request
        self.rules = rules
        self.stats = accounting.begin(request, client.head_done)
        self.stats.address = client.address
        self.in_flight: Cell | None = None
        self.body = bytearray()
        self.done = False
        self._complete = not request.fields.chunked and not request.fields.content_length
        self._started = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.id}: {'done' if self.done else 'open'}>"

    @property
    def kind(self) -> RequestKind:
        raise NotImplementedError

    def answer(self) -> None:
        """The request is here, whole."""
        raise NotImplementedError

    # --- RequestHandler

    def start(self) -> None:
        self._started = True
        if self._complete:
            self.answer()
        elif self.request.fields.expects_continue:
            self.client.send([b"HTTP/1.1 100 Continue\r\n\r\n"])
            self.client.flush()
            self.client.expect_body()

    def request_data(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self.body += piece
        self.stats.bytes_in = len(self.body)

    def request_ended(self, trailers: bytes) -> None:
        self._complete = True
        if self._started and not self.done:
            self.answer()

    def request_broken(self, error: Refused) -> None:
        if not self.done:
            self.refuse(error, keep=False)

    def client_gone(self) -> None:
        if not self.done:
            self.finish(0, Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        """A small response is written once."""

    def time_out(self) -> None:
        self.client.abort()
        self.client_gone()

    # --- ends

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole response; `lines` are header lines without those that every response has."""
        keep = self.client.stays_open(self.request)
        head = self.head(status, lines + b"Content-Length: %d\r\n" % len(body), keep=keep)
        self.client.send([head if self.request.method == b"HEAD" else head + body])
        self.stats.bytes_out = len(body)
        self.client.finish(keep=keep)
        self.finish(status)

    def head(self, status: int, lines: bytes, *, keep: bool) -> bytes:
        """The head of a response with these header lines, and those that every response has."""
        return b"".join(
            (
                b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode()),
                lines,
                b"X-Request-Id: %b\r\n" % self.request.id.encode("latin-1"),
                own_lines(time.time(), self.rules.response_lines),
                connection_line(self.request.minor, keep=keep),
                b"\r\n",
            )
        )

    def refuse(self, error: Refused, *, keep: bool) -> None:
        response = refusal_response(error, self.request, self.rules.response_lines, close=not keep)
        self.client.send([response])
        self.client.finish(keep=keep)
        self.stats.refusal, self.stats.bytes_out = error, payload_size(response)
        self.finish(error.status)

    def finish(self, status: int, fault: str = "") -> None:
        """All is over; the client was told, or is gone. `status` is what it got, 0 for nothing."""
        self.done = True
        self.body = bytearray()
        now = perf_counter() if self.stats.overhead else self.stats.spend()
        self.stats.fault = fault
        self.accounting.finished(self.stats.finished(status, self.kind, self.path, now), self.in_flight)
