"""Requests that end at the proxy: so far the local token endpoint. Gathers a small body, then answers in one piece."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.access import token_endpoint
from proxy.events import Fault, RequestKind
from proxy.forwarding.accounting import method_name
from proxy.forwarding.refusal import refusal_response
from proxy.problem import own_lines, reason_phrase

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.errors import Refused
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request
    from proxy.routing.target import Destination


class LocalTokenRequest:
    """A `RequestHandler` without an upstream; it answers by the `rules` that the request was admitted under."""

    max_wire_bytes = 16384
    rate_limited = True

    def __init__(
        self, accounting: Accounting, client: ClientPort, request: Request, destination: Destination, rules: Rules
    ) -> None:
        self._accounting = accounting
        self._client = client
        self._request = request
        self._destination = destination
        self._rules = rules
        self._stats = accounting.begin(request, client.head_done)
        self._caller = ""
        self._body = bytearray()
        self._complete = not request.fields.chunked and not request.fields.content_length
        self._started = False
        self._done = False

    def __repr__(self) -> str:
        return f"<LocalTokenRequest {self._request.id}: {'done' if self._done else 'open'}>"

    endless = False

    def start(self) -> None:
        self._started = True
        if self._complete:
            self._answer()
        elif self._request.fields.expects_continue:
            self._client.send([b"HTTP/1.1 100 Continue\r\n\r\n"])
            self._client.flush()
            self._client.expect_body()

    def request_data(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self._body += piece
        self._stats.bytes_in = len(self._body)

    def request_ended(self, trailers: bytes) -> None:
        self._complete = True
        if self._started:
            self._answer()

    def request_broken(self, error: Refused) -> None:
        if self._done:
            return
        self._client.send([refusal_response(error, self._request, self._rules.response_lines, close=True)])
        self._client.finish(keep=False)
        self._stats.refusal = error
        self._finish(error.status)

    def client_gone(self) -> None:
        if not self._done:
            self._stats.fault = Fault.CLIENT_GONE
            self._finish(0)

    def client_writable(self, writable: bool) -> None:
        """The response is small and written once."""

    def time_out(self) -> None:
        self._client.abort()
        self.client_gone()

    def _answer(self) -> None:
        if self._done:
            return
        request, rules = self._request, self._rules
        asked = token_endpoint.PlaceholderRequest(request, self._destination.name, bytes(self._body))
        answer = token_endpoint.answer(asked, rules.clients, rules.table, time.time())
        keep = self._client.stays_open(request)
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (answer.status, reason_phrase(answer.status).encode()),
            *(b"%b: %b\r\n" % field for field in answer.headers),
            b"Content-Length: %d\r\n" % len(answer.body),
            b"X-Request-Id: %b\r\n" % request.id.encode("latin-1"),
            own_lines(time.time(), rules.response_lines),
            b"" if keep else b"Connection: close\r\n",
            b"\r\n",
            b"" if request.method == b"HEAD" else answer.body,
        ]
        self._client.send([b"".join(lines)])
        self._stats.bytes_out, self._caller = len(answer.body), answer.client
        self._stats.refusal = answer.refusal
        self._client.finish(keep=keep)
        self._finish(answer.status)

    def _finish(self, status: int) -> None:
        self._done = True
        self._body = bytearray()
        now = perf_counter()
        self._stats.overhead = now - self._stats.began
        kind = RequestKind(self._caller, method=method_name(self._request.method))
        self._accounting.finished(self._stats.finished(status, kind, "/auth/o2/token", now))
