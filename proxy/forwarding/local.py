"""Requests that end at the proxy: so far the local token endpoint. Gathers a small body, then answers in one piece."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.access import token_endpoint
from proxy.errors import ContentTooLarge, Refused
from proxy.forwarding.accounting import Tally
from proxy.problem import reason_phrase

if TYPE_CHECKING:
    from proxy.downstream.connection import ToolConnection
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.framing import Buffer
    from proxy.http1.headers import Facts
    from proxy.http1.message import RequestHead

_MOST_BODY = 65536


class LocalAnswer:
    """A `Work` without an upstream."""

    def __init__(
        self, forwarder: Forwarder, tool: ToolConnection, head: RequestHead, facts: Facts, request_id: str
    ) -> None:
        self._forwarder = forwarder
        self._tool = tool
        self._head = head
        self._facts = facts
        self._request_id = request_id
        self._pieces: list[Buffer] = []
        self._size = 0
        self._bytes_out = 0
        self._over = False
        self._started = False
        self._client = ""
        self._done = False

    def start(self) -> None:
        self._started = True
        if self._over:
            self._answer()
        elif self._facts.expects_continue:
            self._tool.send([b"HTTP/1.1 100 Continue\r\n\r\n"])
            self._tool.flush()
            self._tool.expect_body()

    def request_data(self, pieces: list[Buffer]) -> None:
        self._size += sum(map(len, pieces))
        if self._size > _MOST_BODY:
            self.request_broken(ContentTooLarge(f"A token request is at most {_MOST_BODY} bytes.", close=True))
        else:
            self._pieces += pieces

    def request_ended(self, trailers: bytes) -> None:
        self._over = True
        if self._started:
            self._answer()

    def request_broken(self, error: Refused) -> None:
        if self._done:
            return
        self._tool.send([self._forwarder.problem(error, self._request_id, self._head, True)])
        self._finish(error.status, keep=False, refusal=error)

    def tool_gone(self) -> None:
        if not self._done:
            self._account(0, None, "client-gone")

    def tool_writable(self, writable: bool) -> None:
        """The answer is small and written once."""

    def time_out(self) -> None:
        self._tool.abort()
        self.tool_gone()

    def _answer(self) -> None:
        if self._done:
            return
        rules = self._forwarder.rules
        answer = token_endpoint.answer(
            token_endpoint.TokenRequest(self._head.method, self._head.target, self._facts, b"".join(self._pieces)),
            rules.clients,
            rules.table,
            time.time(),
        )
        keep = self._tool.stays_open(self._head, self._facts)
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (answer.status, reason_phrase(answer.status).encode()),
            *(b"%b: %b\r\n" % field for field in answer.headers),
            b"Content-Length: %d\r\n" % len(answer.body),
            b"X-Request-Id: %b\r\n" % self._request_id.encode("latin-1"),
            self._forwarder.own_lines(),
            b"" if keep else b"Connection: close\r\n",
            b"\r\n",
            b"" if self._head.method == b"HEAD" else answer.body,
        ]
        self._tool.send([b"".join(lines)])
        self._bytes_out, self._client = len(answer.body), answer.client
        self._finish(answer.status, keep=keep, refusal=None)

    def _finish(self, status: int, *, keep: bool, refusal: Refused | None) -> None:
        self._tool.finish(keep=keep)
        self._account(status, refusal, "")

    def _account(self, status: int, refusal: Refused | None, fault: str) -> None:
        self._done = True
        self._pieces.clear()
        now = perf_counter()
        tally = Tally(self._request_id, self._client, self._head.method)
        tally.bytes_in, tally.bytes_out = self._size, self._bytes_out
        tally.own = now - self._tool.head_done
        tally.refusal, tally.fault = refusal, fault
        self._forwarder.finished(tally.finished(status, None, "/auth/o2/token", self._tool.head_done, now))
