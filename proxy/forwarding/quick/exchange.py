"""A request that was recognised, on its way to Amazon and back: as long as all goes as usual, nothing is decided.

The moment anything else happens, it turns into the ordinary exchange that it would have been, made from the bytes that
came, and from then on only hands on what it is told.
"""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.downstream.ports import Availability
from proxy.forwarding.attempt import SentRequest
from proxy.forwarding.quick.continuation import Continuation
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.problem import date_line

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.errors import Refused
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.quick.context import QuickContext
    from proxy.forwarding.quick.lane import Plan
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection


class QuickExchange:
    """See the module's docstring. Implements `RequestHandler`, `WholeResponseSink` and `RequestRecord`.

    `overhead` is, until the end, what the proxy has spent so far.
    """

    max_wire_bytes = 0
    attempts = 1
    __slots__ = (
        *("_body_at", "_client", "_connection", "_data", "_ordinary", "_plan", "_context", "_sent_at", "_token"),
        *("amazon_request_id", "bytes_in", "bytes_out", "duration", "entered", "overhead", "request_id", "upstream"),
    )

    def __init__(self, quick: QuickContext, client: ClientPort, plan: Plan, request_id: str) -> None:
        self._context = quick
        self._client = client
        self._plan = plan
        self._connection: UpstreamConnection
        self._token: AccessToken
        self._ordinary: tuple[Continuation, Attempt] | None = None
        self.request_id = request_id
        self.amazon_request_id = ""
        self.entered = 0.0

    def __repr__(self) -> str:
        return f"<QuickExchange {self.request_id}: {self._ordinary[0] if self._ordinary is not None else 'sent'}>"

    # --- as a record of a request

    @property
    def text(self) -> str:
        return self._plan.text

    @property
    def path(self) -> str:
        return self._plan.path

    @property
    def user_agent(self) -> str:
        return self._plan.lane.user_agent

    # --- the usual way

    def send(self, connection: UpstreamConnection, data: bytes, body_at: int, passing: bytes) -> None:
        """Send what came as its plan has it; the body begins at `body_at`."""
        plan, lane = self._plan, self._plan.lane
        assert lane.token is not None
        self._connection, self._data, self._body_at, self._token = connection, data, body_at, lane.token
        body = data[body_at:]
        self.bytes_in = len(body)
        lane.budget.earn()
        self._sent_at = perf_counter()
        connection.send_whole(self, b"".join((plan.line, lane.lines, passing, body)), self._context.timeouts)
        self.overhead = perf_counter() - self._client.head_done

    def recognise(self, data: bytes) -> bool:
        """Hand on a response as those before it were handed on, or become ordinary."""
        entered = perf_counter()
        lane, quick = self._plan.lane, self._context
        found = lane.responses.find(data)
        if found is None:
            lane.responses.learn(data)
            return self._is_unusual(entered)
        known, behind = found
        length = known.length if known.length >= 0 else int(behind[known.length_group])
        end = behind.end()
        if len(data) - end != length or not self._goes_on():
            return self._is_unusual(entered)
        if known.id_group:
            self.amazon_request_id = behind[known.id_group].decode("latin-1")[:128]
        self._connection.rest_now()
        lines = [known.lines, *[behind[group] for group in known.passing]]
        if not known.dated:
            lines.append(date_line(int(time.time())))
        own = quick.own_lines % self.request_id.encode("ascii")
        self._client.respond(b"".join((*lines, own, data[end:])))
        now = perf_counter()
        self.bytes_out = length
        self.duration = now - self._client.head_done
        self.overhead += now - entered
        self.upstream = max(0.0, min(now - self._sent_at, self.duration - self.overhead))
        if quick.tokens.watchful and known.status < 400:
            quick.tokens.accepted(self._token, lane.use)
        quick.note(lane, known.status, self)
        return True

    def _goes_on(self) -> bool:
        """Whether the connections on both sides stay, and take what is sent."""
        serving = self._context.service.availability is Availability.SERVING
        return serving and self._client.writable and self._connection.sent_whole

    def _is_unusual(self, entered: float) -> bool:
        self._plan.lane.misfit()
        self._become_ordinary(QuickOutcome.RESPONSE)[1].entered = entered
        return False

    # --- anything else

    def _become_ordinary(self, why: QuickOutcome = QuickOutcome.FAILED) -> tuple[Continuation, Attempt]:
        """The exchange that it would have been, and its attempt."""
        if self._ordinary is None:
            quick, data = self._context, self._data
            quick.count(why)
            context = quick.ordinary(self._plan, data[: self._body_at - 2], self.request_id)
            exchange = Continuation(quick.dependencies, self._client, context)
            body = data[self._body_at :]
            attempt = exchange.go_on(SentRequest(self._token, self._connection, body, self._sent_at, self.overhead))
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
