"""A request that gates look at before anything of it leaves: its body is gathered, read by each gate, and then it goes
on, is refused, or is answered.

It stands before the exchange, in whose place it handles the request until then. A body of little cost is read by the
event loop, any other in one of two threads, by turns of clients: long bodies in one, and short ones in the other. One
that is too large to be read is refused, unless all its gates let it pass unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.body_reader import READER, SHORT, SHORT_READER
from proxy.errors import ContentTooLarge, Refused
from proxy.events import Fault
from proxy.forwarding.refusal import internal_error, send_refusal
from proxy.forwarding.relay import CONTINUE, ResponseRelay
from proxy.forwarding.sockets import End
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from proxy.downstream.ports import ClientPort, RequestHandler
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.sockets import Gate, OwnAnswer, Rewrite, Tap
    from proxy.http1.framing import Buffer

CHECKED_AT_ONCE: Final = 1200
"""The `cost_of` a body up to which gates read it on the event loop: about a millisecond of work at most. What a body of
1 KiB costs need not be counted."""
_NOTHING: Final = End(None, None, None, sent=False)


class Passed:
    """What a request brings along that has passed all its gates. `body` is None if it was not read,
    `continued` tells that its client was told to send the body. `taps` and `rewrite` are those of its gates. `at_once`
    tells that it passed in the turn of the event loop in which it was admitted: nothing has changed since."""

    __slots__ = ("at_once", "body", "continued", "rewrite", "taps")

    def __init__(
        self, gates: Sequence[Gate], body: bytes | None, *, continued: bool = False, at_once: bool = False
    ) -> None:
        self.body, self.continued, self.at_once = body, continued, at_once
        self.taps: tuple[Tap, ...] = ()
        self.rewrite: Rewrite | None = None
        for gate in gates:
            if gate.tap is not None:
                self.taps += (gate.tap,)
            if self.rewrite is None:  # no two of them ask for one
                self.rewrite = gate.rewrite


class NotPassed(NamedTuple):
    """What was met when gates had a request's body before it had a handler; None if one of them waits."""

    error: Exception | None


def read_early(gates: Sequence[Gate], context: RequestContext, rest: bytes) -> Passed | NotPassed | None:
    """What comes of a request whose body is here with its head, if that costs little to read; None if it is to be
    gathered. `rest` came behind the head."""
    decision, fields = context.decision, context.admission.fields
    size = len(rest)
    if size != fields.content_length or not decision.in_one_step or fields.expects_continue:
        return None
    if decision.route.api.takes_messages:  # whether one of these may leave, its body tells
        return None
    body = JsonBody(rest)
    if size >= decision.rules.replay_bytes or body.costs_more_than(CHECKED_AT_ONCE):
        return None
    try:
        for gate in gates:
            gate.read(body)
        for gate in gates:
            if gate.waits:
                return NotPassed(None)
    except Exception as error:  # noqa: BLE001 - it is met again where it is answered
        return NotPassed(error)
    return Passed(gates, rest, at_once=True)


def rewrite_of(gates: Sequence[Gate]) -> Rewrite | None:
    """The rewrite of the response that one of the gates asks for; no two of them do."""
    for gate in gates:
        if gate.rewrite is not None:
            return gate.rewrite
    return None


class GatedRequest:
    """Implements `RequestHandler`. `serve` gives the handler of the request once it may go on; `early` is what its
    gates have met already, None if they are still to read its body."""

    max_wire_bytes = 0
    rate_limited = True
    endless = False
    _reading: asyncio.Future[Refused | None] | None = None
    _task: asyncio.Task[None] | None = None
    _started = _unread = _done = _continued = False
    early: NotPassed | None = None

    def __init__(
        self,
        accounting: Accounting,
        client: ClientPort,
        context: RequestContext,
        gates: Sequence[Gate],
        serve: Callable[[Passed], RequestHandler],
    ) -> None:
        fields = context.admission.fields
        self._accounting, self._client, self._context = accounting, client, context
        self._gates, self._serve = gates, serve
        self._may_pass_unread = all(gate.may_pass_unread for gate in gates)
        self._has_body = self._incomplete = bool(fields.chunked or fields.content_length)
        self._body = bytearray()

    def __repr__(self) -> str:
        return f"<GatedRequest {self._context.request.id}: {'done' if self._done else len(self._body)}>"

    # --- RequestHandler

    def start(self) -> None:
        self._started = True
        fields = self._context.admission.fields
        if self.early is not None:
            self._take(self.early)
        elif self._is_too_large(fields.content_length or 0):
            self._pass_unread()
        elif not self._incomplete:
            self._read()
        elif fields.expects_continue:
            self._client.send([CONTINUE])
            self._client.expect_body()
            self._continued = True
            self._client.flush()

    def request_data(self, pieces: list[Buffer]) -> None:
        if self._done:
            return
        for piece in pieces:
            self._body += piece
        if self._is_too_large(0) and (self._started or not self._may_pass_unread):
            self._pass_unread()

    def request_ended(self, trailers: bytes) -> None:
        self._incomplete = False
        if self._started and not self._unread and not self._done:
            self._read()

    def request_broken(self, error: Refused) -> None:
        self._stop()
        self._refuse(error)

    def client_gone(self) -> None:
        self._stop()
        self._finish(0, Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        """Nothing is sent yet."""

    def time_out(self) -> None:
        """The client has not taken the 100."""
        self._client.abort(loudly=True)
        self._stop()
        self._finish(0, Fault.CLIENT_STALLED)

    # --- the gates

    def _is_too_large(self, announced: int) -> bool:
        return self._has_body and max(announced, len(self._body)) >= self._context.rules.replay_bytes

    def _pass_unread(self) -> None:
        """The body is too large to be read before it is sent. If it may pass unread, no more of it comes until it is
        the request's turn."""
        if not self._may_pass_unread:
            limit = self._context.rules.replay_bytes
            self._refuse(
                ContentTooLarge(
                    f"The body of this request is read before it is sent, and must be smaller than {limit} bytes "
                    "(limits.replay_bytes)."
                )
            )
        elif not self._unread:
            self._unread = True
            if self._incomplete:
                self._client.pause_reading()
            self._wait()

    def _take(self, early: NotPassed) -> None:
        """The gates have read the body, and it has come here, too. Raises the defect that was met, if it was one."""
        error = early.error
        if error is not None and not isinstance(error, Refused):
            raise error
        self._was_read(error)

    def _read(self) -> None:
        """The body is whole: have each gate read it, a costly one in a thread, when it is its client's turn there."""
        body = JsonBody(bytes(self._body))
        if not body.costs_more_than(CHECKED_AT_ONCE):
            self._was_read(self._refusal_of(body))
            return
        self._context.stats.spend()  # what follows is the thread's time
        reader = READER if body.costs_more_than(SHORT) else SHORT_READER
        self._reading = reader.read(self._client.loop, self._context.client, self._refusal_of, body)
        self._reading.add_done_callback(self._read_in_thread)

    def _refusal_of(self, body: JsonBody) -> Refused | None:
        """What forbids the request with this body, if anything does; may run in a thread."""
        try:
            for gate in self._gates:
                gate.read(body)
        except Refused as error:
            return error
        return None

    def _read_in_thread(self, reading: asyncio.Future[Refused | None]) -> None:
        if self._done or reading.cancelled():
            return
        self._reading = None
        self._context.stats.spend_all()
        try:
            self._was_read(reading.result())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the client gets an answer
            self._defect(error)
        self._client.flush()

    def _was_read(self, refusal: Refused | None) -> None:
        if refusal is not None:
            self._refuse(refusal)
        elif any(gate.waits for gate in self._gates):
            self._wait()
        else:
            self._go_on()

    def _wait(self) -> None:
        self._task = self._client.loop.create_task(self._ask_to_wait())
        self._task.add_done_callback(self._waited)

    async def _ask_to_wait(self) -> None:
        try:
            for gate in self._gates:
                answer = await gate.wait() if gate.waits else None
                self._context.stats.resume()
                if answer is not None:
                    self._answer(answer)
                    return
        except Refused as error:
            self._context.stats.resume()
            self._refuse(error)
            return
        self._go_on()

    def _waited(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._defect(error)

    # --- what becomes of the request

    def _go_on(self) -> None:
        """Hand the request over to its exchange, with what came of the body. Its trailers are dropped, as no gate has
        read them."""
        body = bytes(self._body)
        known = None if self._incomplete else body
        handler = self._serve(Passed(self._gates, known, continued=self._continued))
        self._done = True  # not before: if that failed, this would have to answer
        whole = self._has_body and not self._incomplete
        self._client.hand_over(handler, [body] if body else [], b"" if whole else None)

    def _answer(self, answer: OwnAnswer) -> None:
        relay, stats = ResponseRelay(self._client, self._context), self._context.stats
        relay.answer(answer)
        stats.note, stats.bytes_out = answer.note, relay.bytes_out
        self._finish(relay.status)

    def _refuse(self, error: Refused) -> None:
        """Answer for the gate."""
        if self._done:
            return
        context, stats = self._context, self._context.stats
        stats.refusal, stats.bytes_out = error, send_refusal(self._client, error, context.request, context.rules)
        self._finish(error.sent_status)

    def _defect(self, error: BaseException) -> None:
        self._accounting.defect("gate", error)
        self._context.stats.resume()
        self._stop()
        self._refuse(internal_error())

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _finish(self, status: int, fault: str = "") -> None:
        """Close the account of a request of which nothing left."""
        if self._done:
            return
        self._done = True
        stats = self._context.stats
        now = stats.spend()
        stats.bytes_in, stats.fault = len(self._body), fault
        taps = [gate.tap for gate in self._gates if gate.tap is not None]
        self._accounting.tell_taps(taps, _NOTHING, stats)
        self._accounting.exchanged(stats, status, self._context, now)
