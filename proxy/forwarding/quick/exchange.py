"""A request that was recognised, on its way to Amazon and back: as long as all goes as usual, nothing is decided.

The moment anything else happens, it turns into the ordinary exchange that it would have been, made from the bytes that
came, and from then on only hands on what it is told.
"""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.downstream.ports import Availability
from proxy.errors import Refused
from proxy.forwarding.attempt import SentRequest
from proxy.forwarding.quick.continuation import Continuation
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.forwarding.response_head import CHUNKED_LINE
from proxy.http1.framing import whole_chunks
from proxy.http1.message import read_response
from proxy.problem import date_line
from proxy.upstream.body import payload_of
from proxy.upstream.connection import REQUEST_IDS

if TYPE_CHECKING:
    import re

    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.quick.context import QuickContext
    from proxy.forwarding.quick.lane import Recognised
    from proxy.forwarding.quick.responses import KnownBeginning
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.upstream.connection import UpstreamConnection


_SERVING = Availability.SERVING
_END = b"\r\n\r\n"
_OVER = -1
"""Nothing is left of a response that has been handed on."""
_MAX_COPIED = 8192
"""Bytes of a body that are cheaper written in one piece with the head than beside it."""


class QuickExchange:
    """See the module's docstring. Implements `RequestHandler`, `WholeResponseSink` and `RequestRecord`."""

    max_wire_bytes = 0
    attempts = 1
    waited = 0.0
    __slots__ = (
        *(
            "_body_at",
            "_client",
            "_connection",
            "_context",
            "_data",
            "_head",
            "_lane",
            "_left",
            "_message",
            "_ordinary",
        ),
        *("_sent_at", "_spent", "_token"),
        *("amazon_request_id", "bytes_in", "bytes_out", "duration", "entered", "overhead", "path", "request_id"),
        *("text", "upstream"),
    )
    _ordinary: tuple[Continuation, Attempt] | None
    _head: bytes
    _spent: float
    amazon_request_id: str
    upstream: float
    overhead: float

    def __repr__(self) -> str:
        return f"<QuickExchange {self.request_id}: {self._ordinary[0] if self._ordinary is not None else 'sent'}>"

    # --- as a record of a request

    @property
    def user_agent(self) -> str:
        return self._lane.user_agent

    # --- the usual way

    def take(self, quick: QuickContext, client: ClientPort, known: Recognised, data: bytes) -> None:
        """What it needs to know, in place of `__init__`, which is dearer. `data` came, and is known as `known`; a body
        that came in chunks is its payload here."""
        self._lane, _, self.path, self.text, section, body_at, token, message = known
        assert token is not None
        self._context, self._client, self._data = quick, client, data
        self._body_at, self._token = body_at, token
        self._ordinary, self._head, self._left = None, b"", 0
        self.request_id = section.request_id or quick.service.new_request_id()
        self._sent_at = self.entered = client.head_done
        self.bytes_in, self._message = 0, message
        if length := section.length:
            body = data[body_at:]
            self.bytes_in = len(body)
            self._message = message + (body if length > 0 else whole_chunks(body))

    def send(self, connection: UpstreamConnection) -> None:
        """Send what came as it was decided for its like."""
        self._connection = connection
        self._lane.budget.earn()
        connection.send_whole(self, self._message, self._context.timeouts)
        self._sent_at = perf_counter()

    def recognise(self, data: bytes) -> bool:
        """Hand on a response as those before it were handed on, or become ordinary."""
        self.entered = entered = perf_counter()
        if self._left:
            return self._go_on(data)
        lane, quick, client = self._lane, self._context, self._client
        known, behind = lane.responses.find(data)
        if known is None or behind is None:
            lane.responses.learn(data)
            return self._is_unusual()
        if known.chunked:
            return self._hand_on_chunks(known, behind)
        end = behind.end()
        self.bytes_out = length = known.length if known.length >= 0 else int(behind[known.length_group])
        left = length + end - len(data)
        if left < 0 or quick.service.availability is not _SERVING or not client.writable:
            return self._is_unusual()
        self.amazon_request_id = behind[known.id_group].decode("latin-1")[:128] if known.id_group else ""
        lines = behind[known.passing] if known.passing >= 0 else known.lines_behind(behind)
        if not known.dated:
            lines += date_line(int(time.time()))
        request_id = self.request_id.encode("ascii")
        if left or length > _MAX_COPIED:
            if not self._connection.note_answer():
                return self._is_unusual()
            self._spent = self._sent_at - client.head_done
            head = b"".join((known.lines, lines, quick.id_line, request_id, _END))
            client.send([head, memoryview(data)[end:]])
            self._head, self._left = data[: end - 2], left
            return self._relay(left)
        waited = entered - self._sent_at
        if not self._connection.end_answered(waited):
            return self._is_unusual()
        client.respond(b"".join((known.lines, lines, quick.id_line, request_id, _END, data[end:])))
        self._account_for(known.status, waited)
        return True

    def _hand_on_chunks(self, known: KnownBeginning, behind: re.Match[bytes]) -> bool:
        """A response whose chunks are all here goes on in one, as the ordinary exchange has it."""
        quick, client = self._context, self._client
        try:
            payload = payload_of(behind.string[behind.end() :])
        except Refused:
            payload = None
        if payload is None or quick.service.availability is not _SERVING or not client.writable:
            return self._is_unusual()
        waited = self.entered - self._sent_at
        if not self._connection.end_answered(waited):
            return self._is_unusual()
        self.amazon_request_id = behind[known.id_group].decode("latin-1")[:128] if known.id_group else ""
        date = b"" if known.dated else date_line(int(time.time()))
        head = known.lines, known.lines_behind(behind), date, quick.id_line, self.request_id.encode("ascii")
        self.bytes_out = len(payload)
        client.respond(b"".join((*head, b"\r\n", CHUNKED_LINE, b"\r\n", whole_chunks(payload))))
        self._account_for(known.status, waited)
        return True

    def _relay(self, left: int) -> bool:
        """A large body goes on as it comes, without being copied."""
        client = self._client
        if left:
            self._connection.go_on(self, left)
            client.flush()
            self._spent += perf_counter() - self.entered
            return True
        self._connection.rest_now()
        self._left = _OVER
        client.finish(keep=True)
        self._account_for(int(self._head[9:12]), self.entered - client.head_done - self._spent)
        return True

    def _go_on(self, data: bytes) -> bool:
        left = self._left - len(data)
        if left < 0:
            self._become_ordinary(QuickOutcome.RESPONSE)
            return False
        self._left = left
        self._client.send([data])
        return self._relay(left)

    def _account_for(self, status: int, upstream: float) -> None:
        """It is over, and so many seconds of it were Amazon's."""
        lane, quick = self._lane, self._context
        self.duration = duration = perf_counter() - self._client.head_done
        self.upstream = upstream
        self.overhead = duration - upstream - self.waited
        if lane.misfits:
            lane.misfits = 0
        if quick.tokens.watchful and status < 400:
            quick.tokens.accepted(self._token, lane.use)
        quick.flight.value -= 1
        lane.in_flight.value -= 1
        (lane.entries.get(status) or quick.entry(lane, status)).note(self)
        quick.taken.value += 1

    def _is_unusual(self) -> bool:
        self._lane.misfit()
        self._become_ordinary(QuickOutcome.RESPONSE)
        return False

    # --- anything else

    def _become_ordinary(self, why: QuickOutcome = QuickOutcome.FAILED) -> tuple[Continuation, Attempt]:
        """The exchange that it would have been, and its attempt."""
        if self._ordinary is None:
            quick, data = self._context, self._data
            quick.count(why)
            body_at = self._body_at
            context = quick.ordinary(self._lane, data[: body_at - 2], self.request_id)
            exchange = Continuation(quick.dependencies, self._client, context)
            overhead = self._sent_at - self._client.head_done
            if self._head:
                overhead = self._spent
            overhead -= self.waited
            sent = SentRequest(self._token, self._connection, data[body_at:], self._sent_at, overhead)
            if self._head:
                response = read_response(self._head, REQUEST_IDS)
                attempt = exchange.go_on_relaying(sent, response, self.bytes_out - self._left)
            else:
                attempt = exchange.go_on(sent)
            attempt.entered = self.entered
            self._ordinary = exchange, attempt
        return self._ordinary

    @property
    def _exchange(self) -> Continuation:
        return self._become_ordinary()[0]

    @property
    def _attempt(self) -> Attempt:
        return self._become_ordinary()[1]

    # --- RequestHandler

    @property
    def paced(self) -> bool:
        return self._ordinary is None or self._ordinary[0].paced

    @property
    def endless(self) -> bool:
        return self._ordinary is not None and self._ordinary[0].endless

    def start(self) -> None:
        """It has been sent already."""

    def request_data(self, pieces: list[Buffer]) -> None:
        """Its body is whole."""

    def request_ended(self, trailers: bytes) -> None:
        """Its body is whole."""

    def request_broken(self, error: Refused) -> None:
        self._exchange.request_broken(error)

    def client_gone(self) -> None:
        self._exchange.client_gone()

    def client_writable(self, writable: bool) -> None:
        if self._left != _OVER:
            self._exchange.client_writable(writable)

    def time_out(self) -> None:
        self._exchange.time_out()

    # --- ResponseSink, as long as nobody else is

    def interim(self, response: Response) -> None:
        self._attempt.interim(response)

    def response_began(self, response: Response) -> None:
        self._attempt.response_began(response)

    def response_data(self, pieces: list[Buffer]) -> None:
        self._attempt.response_data(pieces)

    def response_ended(self, trailers: bytes) -> None:
        self._attempt.response_ended(trailers)

    def upstream_failed(self, error: Refused) -> None:
        self._attempt.upstream_failed(error)

    def upstream_writable(self, writable: bool) -> None:
        self._attempt.upstream_writable(writable)

    def defect(self, error: Exception) -> None:
        self._attempt.defect(error)

    def flush(self) -> None:
        if self._ordinary is not None:
            self._ordinary[1].flush()
