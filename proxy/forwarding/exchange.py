"""One request of one client on its way to Amazon and back: a state machine that makes attempts until one is delivered.

It stands between a client's connection and, attempt by attempt, Amazon, and does what `retry` decides. The usual run
takes two steps, without a task: *send*, if the body is here and a token and a connection are ready, and *deliver*,
where the response comes whole and nothing else is to be done about it. Everything else is told bit by bit, and what it
alone needs is made then. Every attempt is made from the request as it came.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from proxy.errors import ContentTooLarge, NoUsableToken, Refused, Throttled, UpstreamTimeout, WriteNotRecorded
from proxy.events import Fault
from proxy.forwarding import retry
from proxy.forwarding.attempt import Attempt
from proxy.forwarding.body_copy import BodyCopy
from proxy.forwarding.body_reader import READER
from proxy.forwarding.decision import tell_held_back
from proxy.forwarding.explanation import EXPLAINED
from proxy.forwarding.injection import render_section, request_line
from proxy.forwarding.refusal import internal_error, payload_size, refusal_response
from proxy.forwarding.relay import CHUNKED_LINE, ResponseRelay, connection_line, render_response_head
from proxy.forwarding.replays import Replays
from proxy.forwarding.request_body import CHECKED_AT_ONCE, NO_BODY, McpReplayBuffer, UncheckedBody, body_of
from proxy.forwarding.rights import StreamWatch
from proxy.forwarding.throttled import ThrottledRequest
from proxy.mcp.hints import learn_tools
from proxy.forwarding.unauthorized import may_refuse_token, renew_after_refusal, tell_accepted
from proxy.audit.write_reading import WriteBodies, written_request
from proxy.http1.framing import whole_chunks
from proxy.net.deadlines import NEVER
from proxy.routing.target import TargetKind
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.downstream.ports import ClientPort
    from proxy.events import Observer
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.reports.shared_report import OwnAnswer, SharedReport
    from proxy.audit.write_reading import WriteReading
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection


# --- The phases of an exchange, and which may follow which -----------------------------------------------


class Phase(StrEnum):
    """Where an exchange stands."""

    __hash__ = str.__hash__  # that of an Enum is written in Python, and each request is hashed several times

    ADMITTED = "admitted"
    CHECKING_BODY = "checking"
    """Its body is gathered, and checked when it is whole, or what others asked answers it: nothing has been sent."""
    RECEIVING = "receiving"
    """A small body is still arriving, or the first part of a large one: nothing is asked of Amazon for it yet."""
    WAITING = "waiting"
    """For a pause to pass, a token or a connection: nothing of it is at Amazon."""
    SENT = "sent"
    """An attempt is at Amazon, and no final response has begun."""
    HOLDING = "holding"
    """A response is held back until it is known whether a better one can be had."""
    RELAYING = "relaying"
    """A response goes to the client: nothing is sent again from here on."""
    DONE = "done"


ADMITTED, SENT, DONE = Phase.ADMITTED, Phase.SENT, Phase.DONE
"""For each request: to look a member up in an Enum takes longer than to compare it."""

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.ADMITTED: frozenset((Phase.CHECKING_BODY, Phase.RECEIVING, Phase.SENT, Phase.DONE)),
    Phase.CHECKING_BODY: frozenset((Phase.RECEIVING, Phase.RELAYING, Phase.DONE)),
    Phase.RECEIVING: frozenset((Phase.WAITING, Phase.SENT, Phase.DONE)),
    Phase.WAITING: frozenset((Phase.SENT, Phase.DONE)),
    Phase.SENT: frozenset((Phase.WAITING, Phase.HOLDING, Phase.RELAYING, Phase.DONE)),
    Phase.HOLDING: frozenset((Phase.WAITING, Phase.RELAYING, Phase.DONE)),
    Phase.RELAYING: frozenset((Phase.DONE,)),
    Phase.DONE: frozenset(),
}


def follow(old: Phase, new: Phase) -> Phase:
    """The new phase, if it may follow the old one: anything else is a defect of the exchange."""
    if new not in TRANSITIONS[old]:
        raise AssertionError(f"an exchange cannot go from {old} to {new}")
    return new


# --- The wait of one request for a connection, in its client's turn --------------------------------------


class WaitOwner(Protocol):
    """Whose request waits. Each method ends the wait."""

    def connection_given(self, token: AccessToken, connection: UpstreamConnection) -> None: ...

    def slot_granted(self, token: AccessToken) -> None:
        """No connection is free, but one may be made with `ConnectionWait.dial`."""

    def wait_failed(self, error: Refused) -> None:
        """No connection became free in time."""

    def defect(self, error: BaseException) -> None: ...


class ConnectionWait:
    """See the module's docstring. Implements the pool's `ConnectionWaiter`, and `Timed`. It begins when it is made.

    `token` is the one that the request is sent with.
    """

    fresh = gone = False
    __slots__ = ("_has_slot", "_owner", "_patience", "_pool", "client", "deadline", "family", "token")

    def __init__(self, owner: WaitOwner, context: RequestContext, token: AccessToken, observer: Observer) -> None:
        pool = self._pool = context.pool
        self._owner = owner
        self._patience = context.rules.timeouts.response
        self._has_slot = False
        self.client, self.family, self.token = context.client, context.family, token
        self.deadline = pool.loop.time() + self._patience
        tell_held_back(pool, self.family, observer)
        pool.deadlines.add(self)
        pool.join(self)

    def __repr__(self) -> str:
        return f"<ConnectionWait of {self.client or 'nobody'} for {self.family}>"

    def give(self, connection: UpstreamConnection | None) -> None:
        """Its turn has come. A defect of this request must not reach the one that released the connection."""
        self._end()
        self._has_slot = connection is None
        try:
            if connection is None:
                self._owner.slot_granted(self.token)
            else:
                self._owner.connection_given(self.token, connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the client gets an answer
            if connection is not None:
                connection.close()
            self._owner.defect(error)

    async def dial(self) -> UpstreamConnection:
        """Make the connection for which there is a place. Raises `Refused` where that fails."""
        self._has_slot = False
        return await self._pool.dial(self.family)

    def expire(self, now: float) -> None:
        self.leave()
        self._owner.wait_failed(self._pool.none_became_free(self.family, self._patience))

    def leave(self) -> None:
        """Wait no longer, and return a place that was not used yet."""
        self._end()
        self._pool.leave(self)
        if self._has_slot:
            self._has_slot = False
            self._pool.decline(self.family)

    def _end(self) -> None:
        self.deadline = NEVER  # a sweep that is under way may still look at it
        self._pool.deadlines.discard(self)


# --- One request of one client on its way to Amazon and back ---------------------------------------------

MAX_WHOLE = 8192
"""Bytes of a body that are cheaper written in one piece with the head than after it."""
_LOOKED_AT = retry.DECIDING_STATUSES | EXPLAINED
"""Statuses that may lead to another try, or are explained in the log."""


class Exchange:
    """See the module's docstring. Implements `RequestHandler` for the client's side and `AttemptOwner` for Amazon's.

    `check` is called with the whole body before anything is sent, and raises the `Refused` that forbids it. `report`
    knows what others asked of reports; None for any other request.
    """

    max_wire_bytes = 0
    phase = ADMITTED
    _task: asyncio.Task[None] | None = None
    _waiting: ConnectionWait | None = None
    _checking: asyncio.Future[Refused | None] | None = None
    _attempt: Attempt | None = None
    _throttled: ThrottledRequest | None = None
    _made_relay: ResponseRelay | None = None
    _made_replays: Replays | None = None
    _copy: BodyCopy | None = None
    """Of the body of a write, if what it changes is recorded."""
    _checked_body: bytes | None = None
    """The body, if it was checked before anything was sent."""
    _watch: StreamWatch | None = None

    def __init__(
        self,
        dependencies: Dependencies,
        client: ClientPort,
        context: RequestContext,
        check: Callable[[JsonBody], None] | None = None,
        report: SharedReport | None = None,
    ) -> None:
        self._dependencies = dependencies
        self._client = client
        self._context = context
        self._report = report
        read = report.read if report is not None else None
        self._unchecked = None if check is None and read is None else UncheckedBody(check, context, read)
        self._entered = client.head_done
        self._stats = dependencies.accounting.begin(context.request, client.head_done)
        self._body = body_of(context, self._stats, dependencies.hints)
        if context.decision.reads_request:
            self._copy = BodyCopy(context.rules.replay_bytes)

    def __repr__(self) -> str:
        return f"<Exchange {self._context.request.id}: {self.phase}, {self._attempt or 'no attempt'}>"

    # --- the usual run

    def begin_late(self) -> None:
        """The request waited before it was decided: what was before is not the proxy's time."""
        self._entered = perf_counter()

    def start(self) -> None:
        if self._unchecked is not None:
            self._start_body_check(self._unchecked)
        elif not self._send_at_once():
            self.phase = follow(self.phase, Phase.RECEIVING)
            self._begin(self._entered)

    def _send_at_once(self) -> bool:
        """Send all of the request, if it is here and nothing has to be waited for."""
        context, body, dependencies = self._context, self._body, self._dependencies
        decision, stats = context.decision, self._stats
        if not decision.is_plain or not body.complete or body.size > MAX_WHOLE or stats.trace is not None:
            return False
        token = dependencies.tokens.current(decision.route.account)
        if token is None or dependencies.throttles.active:
            return False
        connection = decision.pool.take_warm(decision.family)
        if connection is None:
            return False
        target = decision.route.target(context.destination)
        data = request_line(context.request.method, target) + decision.section(token, dependencies.account_lines)
        if pieces := body.data:
            data = b"".join((data, *pieces))
        decision.budget.earn()
        stats.sent_at = perf_counter()
        attempt = self._attempt = Attempt(self, 1, token, connection)
        self.phase = follow(self.phase, SENT)
        attempt.whole = True
        connection.send_whole(attempt, data, decision.rules.timeouts)
        stats.overhead = perf_counter() - self._entered
        return True

    def deliver_whole(self, response: Response, payload: bytes) -> bool:
        """Pass on a response that came whole, if nothing else is to be done; the exchange is over then."""
        context, client, stats, attempt = self._context, self._client, self._stats, self._attempt
        request, fields, status = context.request, response.fields, response.status
        assert attempt is not None
        if status in _LOOKED_AT or fields.location or self._throttled is not None or not client.writable:
            return False
        if (fields.chunked and request.minor == 0) or self._report is not None:
            return False
        stats.upstream_status = status
        stats.amazon_request_id = fields.request_id
        if self._dependencies.tokens.watchful:
            tell_accepted(attempt, self._dependencies.tokens, context)
        keep = client.stays_open(request)
        framing = b"" if keep and request.minor else connection_line(request.minor, keep=keep)
        stats.bytes_out, body = len(payload), payload
        if fields.chunked:
            framing = CHUNKED_LINE + framing
            payload = whole_chunks(payload)
        head = render_response_head(response, fields.passing, request, context.decision.rules.response_lines, framing)
        self.phase = follow(self.phase, DONE)  # before the write: a client that does not take it pauses nothing here
        if keep and len(payload) <= MAX_WHOLE:
            client.respond(head + payload)
        else:
            client.send([head, payload] if payload else [head])
            client.finish(keep=keep)
        now = perf_counter()
        stats.attempts, stats.bytes_in = 1, self._body.size
        stats.overhead += now - attempt.entered
        context.decision.in_flight.value -= 1
        if context.decision.has_outcome:
            self._account_for_write(status, now, response, body)
        else:
            self._dependencies.accounting.passed_on(stats, status, context, now)
        self._attempt = None  # they refer to each other, and would wait for the garbage collector
        return True

    # --- a body that is checked before anything is sent

    def _start_body_check(self, unchecked: UncheckedBody) -> None:
        self.phase = follow(self.phase, Phase.CHECKING_BODY)
        fields = self._context.request.fields
        if max(fields.content_length or 0, len(unchecked.data)) >= self._context.rules.replay_bytes:
            self._refuse_or_pass_unread(unchecked)
        elif unchecked.complete:
            self._check_body(unchecked)
        elif fields.expects_continue:
            self._relay.ask_for_body()
            self._client.flush()

    def _add_to_body(self, unchecked: UncheckedBody, pieces: list[Buffer]) -> None:
        unchecked.add(pieces)
        is_early = self.phase is ADMITTED and unchecked.may_pass_unread  # `start` is still to come
        if len(unchecked.data) >= self._context.rules.replay_bytes and not is_early:
            self._refuse_or_pass_unread(unchecked)

    def _note_arrival(self) -> None:
        """More of the body came: what was before is its client's time, not the proxy's."""
        if self.phase is Phase.CHECKING_BODY:
            self._entered = perf_counter()

    def _refuse_or_pass_unread(self, unchecked: UncheckedBody) -> None:
        """The body is too large to be read before it is sent. That of an order for a report waits for its turn all the
        same, and no more of it is read meanwhile."""
        if not unchecked.may_pass_unread or self._report is None:
            self._refuse(self._too_large_to_check())
        elif not unchecked.passes_unread:
            unchecked.passes_unread = True
            if not unchecked.complete:
                self._client.pause_reading()
            self._spawn(self._share(self._report, unchecked))

    def _check_body(self, unchecked: UncheckedBody) -> None:
        """The body is whole: check it, a costly one in a thread, when it is its client's turn."""
        if self.phase is DONE:
            return
        body = JsonBody(bytes(unchecked.data))
        if not body.costs_more_than(CHECKED_AT_ONCE):
            self._apply_check(unchecked.result_of(body), body)
            return
        context = self._context
        self._checking = READER.read(self._client.loop, context.client, unchecked.result_of, body)
        self._checking.add_done_callback(partial(self._body_checked, body))

    def _body_checked(self, body: JsonBody, checking: asyncio.Future[Refused | None]) -> None:
        if self.phase is DONE or checking.cancelled():
            return
        self._checking = None
        defect = checking.exception()
        if defect is not None:
            self.defect(defect)
        else:
            self._apply_check(checking.result(), body)
        self._client.flush()

    def _apply_check(self, refusal: Refused | None, body: JsonBody) -> None:
        """What the judgement says: the request goes on with this body, or is refused."""
        if refusal is not None:
            self._refuse(refusal)
        elif self._report is not None and self._unchecked is not None:
            self._spawn(self._share(self._report, self._unchecked))
        else:
            self._expect_answer(body)
            self._pass_body(body.raw)

    def _expect_answer(self, body: JsonBody) -> None:
        """A message to the MCP endpoint may pass: what it asks for decides about the answer, and is not read again."""
        decision, calls = self._context.decision, self._unchecked.calls if self._unchecked is not None else None
        if decision.tools is not None:
            decision.tools = decision.tools.after(body)
        if calls is not None and isinstance(self._body, McpReplayBuffer):
            self._body.expect(calls)

    def _pass_body(self, body: bytes, *, complete: bool = True) -> None:
        """Go on with this body, or with what is here of it."""
        self._unchecked = None
        self._checked_body = body if complete else None
        self.phase = follow(self.phase, Phase.RECEIVING)
        self._begin(self._entered)
        if body:
            self.request_data([body])
        if complete and not self._body.complete:
            self.request_ended(b"")  # without its trailers, which are not checked

    async def _share(self, report: SharedReport, unchecked: UncheckedBody) -> None:
        """Answer with what others got for the same, or go on when it is this request's turn."""
        try:
            answer = await report.prepare()
        except Refused as error:
            self._entered = perf_counter()
            self._refuse(error)
            return
        self._entered = perf_counter()
        if answer is None:
            if unchecked.passes_unread:
                self._client.resume_reading()
            self._pass_body(bytes(unchecked.data), complete=unchecked.complete)
        else:
            self._answer(answer)

    def _answer(self, answer: OwnAnswer) -> None:
        """Give the client this instead of what Amazon answers, or would answer."""
        self._stop()
        self.phase = follow(self.phase, Phase.RELAYING)
        relay, client = self._relay, self._client
        relay.begin(answer.response)
        relay.data([answer.body])
        relay.end(b"")
        client.finish(keep=relay.keep)
        self._stats.note = answer.note
        self._finish(relay.status)

    def _too_large_to_check(self) -> ContentTooLarge:
        limit = self._context.rules.replay_bytes
        return ContentTooLarge(
            f"The body of this request is read before it is sent, and must be smaller than {limit} bytes "
            "(limits.replay_bytes)."
        )

    # --- made when they are needed

    @property
    def _relay(self) -> ResponseRelay:
        self._made_relay = self._made_relay or ResponseRelay(self._client, self._context)
        return self._made_relay

    @property
    def _replays(self) -> Replays:
        if self._made_replays is None:
            self._made_replays = Replays(self._context, self._dependencies.accounting.observer)
            if self._attempt is not None:
                self._made_replays.went(self._stats.sent_at)
        return self._made_replays

    # --- RequestHandler: the client's side

    @property
    def rate_limited(self) -> bool:
        return not self._relay.is_event_stream

    def _begin(self, entered: float) -> None:
        """Make the first attempt once there is enough of the body, which came at the moment `entered`."""
        if self.phase is not Phase.RECEIVING or not self._body.sendable:
            return
        self._entered, context = entered, self._context
        if self._is_refused_now():
            return
        token = self._dependencies.tokens.current(context.route.account)
        if token is None or not (self._dependencies.throttles.active and self._is_held_off(token)):
            connection = context.take(self._dependencies.accounting.write_gate) if token is not None else None
            if token is not None and connection is not None:
                self._send(token, connection)
            elif token is not None and self._must_queue():
                self.phase = follow(self.phase, Phase.WAITING)
                self._queue(token)
            else:
                self._wait(self._obtain_and_send(fresh=False, token=token))
        self._stats.overhead += perf_counter() - entered

    def request_data(self, pieces: list[Buffer]) -> None:
        if self._unchecked is not None:
            self._note_arrival()
            self._add_to_body(self._unchecked, pieces)
            return
        if self._copy is not None:
            self._copy.add(pieces)
        attempt = self._attempt
        data = self._body.add(pieces, sent=self._is_sent)
        if attempt is not None and attempt.live:
            attempt.send_body(data)
        if self._body.full and not self._is_sent:
            self._client.pause_reading()
            self._begin(perf_counter())

    def request_ended(self, trailers: bytes) -> None:
        if self._unchecked is not None:
            self._unchecked.complete = True
            self._note_arrival()
            if self.phase is Phase.CHECKING_BODY and not self._unchecked.passes_unread:
                self._check_body(self._unchecked)
            return
        attempt = self._attempt
        data = self._body.end(trailers, sent=self._is_sent)
        if attempt is not None and attempt.live:
            if data:
                attempt.send_body(data)
            attempt.request_sent()
        else:
            self._begin(perf_counter())

    def request_broken(self, error: Refused) -> None:
        self._stop()
        self._entered = perf_counter()
        self._refuse(error)

    def client_gone(self) -> None:
        if self.phase is not Phase.DONE:
            self._stop()
            self._entered = perf_counter()
            relay = self._relay
            self._finish(relay.status if relay.began else 0, fault=Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        if self._is_sent and self._attempt is not None:
            (self._attempt.resume if writable else self._attempt.pause)()

    def time_out(self) -> None:
        """The client has stopped taking its response."""
        if self.phase is not Phase.DONE:
            self._stop()
            self._entered = perf_counter()
            self._break(Fault.CLIENT_STALLED)

    @property
    def endless(self) -> bool:
        return self._relay.is_stream and self._context.request.method == b"GET"

    @property
    def _is_sent(self) -> bool:
        """What comes of the body goes on to Amazon, and the response on to the client."""
        return self.phase is Phase.SENT or self.phase is Phase.RELAYING

    def _is_held_off(self, token: AccessToken) -> bool:
        """Whether a limit of Amazon's makes the request wait, or refuses it."""
        try:
            if self._limited().may_leave(token, self._context.rules.retry_wait):
                return False
            self._wait(self._obtain_and_send(fresh=False))
        except Throttled as error:
            self._refuse(error)
        return True

    def _limited(self) -> ThrottledRequest:
        self._throttled = self._throttled or ThrottledRequest(self._context, self._dependencies, self._client.loop)
        return self._throttled

    def _wait(self, work: Coroutine[None, None, None]) -> None:
        """Go on in a task, with nothing at Amazon meanwhile."""
        self.phase = follow(self.phase, Phase.WAITING)
        self._spawn(work)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._task = self._client.loop.create_task(work)
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.defect(error)

    async def _obtain_and_send(self, *, fresh: bool, token: AccessToken | None = None) -> None:
        context = self._context
        try:
            if token is None:
                token = await self._dependencies.tokens.get(context.route.account)
                if self._dependencies.throttles.active:
                    await self._limited().wait(token, self._replays)
            if not fresh and self._must_queue():
                self._queue(token)
                return
            accounting = self._dependencies.accounting
            connection = await context.acquire(accounting.observer, accounting.write_gate, fresh=fresh)
        except Refused as error:
            self.wait_failed(error)
        else:
            self._send_late(token, connection, context.pool.release)

    def _send_late(
        self, token: AccessToken, connection: UpstreamConnection, release: Callable[[UpstreamConnection], None]
    ) -> None:
        """Send after a wait. If Amazon asked for a pause meanwhile, release the connection and wait again."""
        if self._is_refused_now():
            release(connection)
            return
        if self._dependencies.throttles.active and self._limited().is_paused(token):
            release(connection)
            self._spawn(self._obtain_and_send(fresh=False))
            return
        self._entered = perf_counter()
        self._send(token, connection)
        self._stats.overhead += perf_counter() - self._entered

    def _is_refused_now(self) -> bool:
        """Answer a request that its client may not send any more."""
        try:
            self._dependencies.rights.check(self._context, self._known_body)
        except Refused as error:
            self._entered = perf_counter()
            self._refuse(error)
            return True
        return False

    @property
    def _known_body(self) -> bytes | None:
        """The body, if it was checked or there is none."""
        return b"" if self._body is NO_BODY else self._checked_body

    # --- WaitOwner: while others have the connections

    def _must_queue(self) -> bool:
        """Whether the request may leave, and all connections that it may have are in use."""
        context, gate = self._context, self._dependencies.accounting.write_gate
        return not gate.stops(is_write=context.decision.is_write) and context.pool.is_full(context.family)

    def _queue(self, token: AccessToken) -> None:
        self._waiting = ConnectionWait(self, self._context, token, self._dependencies.accounting.observer)

    def connection_given(self, token: AccessToken, connection: UpstreamConnection) -> None:
        self._waiting = None
        try:
            self._context.check_gate(self._dependencies.accounting.write_gate)
        except WriteNotRecorded as error:
            self._context.pool.give_back(connection)  # the pool gives it to the next
            self.wait_failed(error)
        else:
            self._send_late(token, connection, self._context.pool.give_back)

    def slot_granted(self, token: AccessToken) -> None:
        self._spawn(self._dial_and_send(token))

    async def _dial_and_send(self, token: AccessToken) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        context = self._context
        try:
            connection = await waiting.dial()
            context.check_late(connection, self._dependencies.accounting.write_gate)
        except Refused as error:
            self.wait_failed(error)
        else:
            self._send_late(token, connection, context.pool.release)

    def wait_failed(self, error: Refused) -> None:
        """What the request waited for will not come."""
        self._waiting = None
        self._entered = perf_counter()
        self._try_failed(error)
        if self.phase is not Phase.DONE:
            self._stats.overhead += perf_counter() - self._entered

    def _send(self, token: AccessToken, connection: UpstreamConnection) -> None:
        context, stats, body = self._context, self._stats, self._body
        stats.sent_at = perf_counter()
        self._replays.sent(stats.sent_at)
        channel = self._replays.hedge(connection)
        attempt = self._attempt = Attempt(self, self._replays.attempts, token, channel)
        data: list[Buffer] = [self._head(attempt, token), *body.data]
        body.forget_if_large()
        self.phase = follow(self.phase, Phase.SENT)
        channel.send(attempt, data, to_head=context.request.method == b"HEAD", timeouts=context.rules.timeouts)
        if body.complete:
            attempt.request_sent()
        elif channel.writable:
            self._client.resume_reading()

    def _head(self, attempt: Attempt, token: AccessToken) -> bytes:
        """What leaves before the body in this attempt."""
        context, stats = self._context, self._stats
        decision, request = context.decision, context.request
        line, account_lines = request_line(request.method, context.target), self._dependencies.account_lines
        if request.fields is decision.asked.fields:
            return line + decision.section(token, account_lines)
        lines = account_lines.of(token)
        if stats.trace is not None:
            lines += stats.trace.follow(attempt, context)
        return line + render_section(request.fields, decision.route, decision.pool.host_line, lines)

    def _try_failed(self, error: Refused) -> None:
        """A try ended without a response: send again if that is safe, else answer with the failure."""
        decision = retry.decide(self._situation(), retry.Broken(error))
        if isinstance(decision, retry.Replay):
            self._replays.begin(retry.ReplayReason.CONNECTION, self._client.loop.time())
            self._wait(self._obtain_and_send(fresh=True))
        elif isinstance(decision, retry.GiveUp):
            self._replays.impossible(decision.impossible)
            self._refuse(decision.error)

    def _situation(self) -> retry.Situation:
        return self._replays.situation(self._progress, self._client.loop.time(), replayable=self._body.replayable)

    @property
    def _progress(self) -> retry.Progress:
        """How far the try got that is under way: none is, while something is waited for."""
        attempt = self._attempt if self.phase is not Phase.WAITING else None
        return attempt.progress if attempt is not None else retry.Progress.UNCONNECTED

    # --- StreamOwner: an event stream

    def rights_ended(self, error: Refused) -> None:
        """Its client may not have it any more."""
        self._stop()
        self._entered = perf_counter()
        self._relay.end_early()
        self._finish(self._relay.status, fault=error.slug)

    # --- AttemptOwner: Amazon's side

    def attempt_interim(self, response: Response) -> None:
        self._relay.interim(response)

    def attempt_answered(self, response: Response) -> None:
        status, fields = response.status, response.fields
        self._stats.upstream_status = status
        self._stats.amazon_request_id = fields.request_id or self._stats.amazon_request_id
        if status == 429 and self._attempt is not None:
            self._limited().refused(self._attempt.token, fields.retry_after)
        elif self._throttled is not None:
            self._throttled.passed()
        if self._report is not None and self._report.answered(response):
            self._replays.answered(status)
            self._hold_duplicate(self._report)
            return
        needs_body = self._context.route.endpoint is TargetKind.MCP and may_refuse_token(response)
        if needs_body or status in retry.DECIDING_STATUSES:
            decision = retry.decide(self._situation(), retry.Answered(status, fields.retry_after, needs_body))
            if isinstance(decision, retry.Replay | retry.Wait):
                self._hold(decision)
                return
            self._replays.impossible(decision.impossible)
        self._deliver(response, shows_token=not needs_body)

    def attempt_data(self, pieces: list[Buffer]) -> None:
        self._relay.data(pieces)

    def attempt_failed(self, error: Refused) -> None:
        if self.phase is not Phase.RELAYING:
            self._try_failed(error)
        elif self._relay.began:
            self._break(Fault.UPSTREAM_TIMEOUT if isinstance(error, UpstreamTimeout) else Fault.UPSTREAM_DIED)
        else:
            self._refuse(error)

    def attempt_writable(self, writable: bool) -> None:
        if self._is_sent:  # else no more of the body is wanted for now
            (self._client.resume_reading if writable else self._client.pause_reading)()

    def defect(self, error: BaseException) -> None:
        """A defect of ours must not leave a client waiting for ever."""
        self._dependencies.accounting.defect("exchange", error)
        self._stop()
        if self.phase is DONE:
            self._client.abort()  # it is unknown how much of the response has left
        else:
            self._refuse(internal_error())

    def flush(self) -> None:
        self._client.flush()
        if self.phase is not Phase.DONE and self._attempt is not None:
            self._stats.overhead += perf_counter() - self._attempt.entered

    def _hold(self, decision: retry.Replay | retry.Wait) -> None:
        """Keep the response back until it is known whether a better one can be had."""
        assert self._attempt is not None
        self.phase = follow(self.phase, Phase.HOLDING)
        self._attempt.hold()
        if not self._body.complete:
            self._client.pause_reading()
        if isinstance(decision, retry.Wait):
            self._attempt.pause()
            status = self._attempt.status
            self._replays.begin(retry.ReplayReason.THROTTLED, self._client.loop.time(), status)
            self._spawn(self._pause_and_send(0.0 if status == 429 else decision.seconds))
        else:
            self._spawn(self._renew_and_send(self._attempt))

    def _hold_duplicate(self, report: SharedReport) -> None:
        """Keep a 425 back until it is known whether the report that it names is what the order asks for."""
        assert self._attempt is not None
        self.phase = follow(self.phase, Phase.HOLDING)
        self._attempt.hold()
        self._spawn(self._resolve(report, self._attempt))

    async def _resolve(self, report: SharedReport, attempt: Attempt) -> None:
        answer = await report.resolve(attempt)
        self._entered = perf_counter()
        if answer is None:
            self._deliver_held()
        else:
            self._answer(answer)

    async def _renew_and_send(self, attempt: Attempt) -> None:
        now = self._client.loop.time()
        try:
            renewed = await renew_after_refusal(attempt, self._dependencies.tokens, self._context, self._replays, now)
        except NoUsableToken as error:
            attempt.abandon()
            self._entered = perf_counter()
            self._refuse(error)
            return
        if renewed is None:
            self._entered = perf_counter()
            self._deliver_held()
        else:
            await self._send_again(renewed)

    async def _pause_and_send(self, seconds: float) -> None:
        """After a 429, its limit decides for how long."""
        await self._replays.pause(seconds)
        await self._send_again(None)

    async def _send_again(self, token: AccessToken | None) -> None:
        if self.phase is Phase.HOLDING:
            self._stop()
            self.phase = follow(self.phase, Phase.WAITING)
        await self._obtain_and_send(fresh=False, token=token)

    def _deliver_held(self) -> None:
        """The kept response is the best one: deliver it as Amazon sent it."""
        attempt = self._attempt
        assert attempt is not None and attempt.response is not None
        attempt.held = False
        self._deliver(attempt.response)
        if attempt.pieces:
            self._relay.data(attempt.pieces)
        if attempt.trailers is not None:
            self.attempt_ended(attempt.trailers)
        elif attempt.error is not None:
            self._break(Fault.UPSTREAM_DIED)
        else:
            if self._client.writable:
                attempt.resume()
            if not self._body.complete and attempt.writable:
                self._client.resume_reading()
        self._client.flush()

    def _deliver(self, response: Response, *, shows_token: bool = True) -> None:
        """Pass it on. It does not show that Amazon took the token if an unread body may say the contrary."""
        self.phase = follow(self.phase, Phase.RELAYING)
        self._replays.answered(response.status)
        if shows_token:
            tell_accepted(self._attempt, self._dependencies.tokens, self._context)
        if self._context.route.endpoint is TargetKind.MCP:
            self._dependencies.sessions.answered(self._context, response)
            may_list = self._body.lists_tools or self._context.decision.tools is not None  # what it gets is read anyway
            if may_list and response.status == 200:
                hints, observer = self._dependencies.hints, self._dependencies.accounting.observer
                self._relay.learn_tools(partial(learn_tools, hints, observer, self._context))
        self._body.forget()
        self._relay.begin(response)
        if self._relay.is_event_stream:
            self._watch = StreamWatch(self, self._dependencies.rights, self._context, self._known_body)
        self._checked_body = None
        if not self._client.writable and self._attempt is not None:
            self._attempt.pause()  # interim responses may have filled what waits for the client

    def attempt_ended(self, trailers: bytes) -> None:
        relay = self._relay
        relay.end(trailers)
        self._stop()
        self._client.finish(keep=relay.keep)
        self._finish(relay.status)

    def _break(self, fault: str) -> None:
        self._relay.break_off(fault)
        self._finish(self._relay.status, fault=fault)

    def _refuse(self, error: Refused) -> None:
        """Answer for Amazon, which did not; or, where a response has begun, break it."""
        if self.phase is Phase.DONE:
            return
        if self._relay.began:
            self._break(error.slug)
            return
        self._replays.failed()
        error = retry.told(error, self._replays.reads, self._progress)
        context, client = self._context, self._client
        keep = not error.close and client.stays_open(context.request)
        response = refusal_response(error, context.request, context.rules.response_lines, close=not keep)
        client.send([response])
        client.finish(keep=keep)
        self._relay.bytes_out = payload_size(response)
        self._stats.refusal = error
        self._finish(error.sent_status)

    def _stop(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            self._task = None
        if self._waiting is not None:
            self._waiting.leave()
            self._waiting = None
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        if self._attempt is not None:
            self._attempt.abandon()

    def _finish(self, status: int, *, fault: str = "") -> None:
        """The account of it."""
        if self.phase is Phase.DONE:
            return
        self.phase = follow(self.phase, Phase.DONE)
        if self._throttled is not None:
            self._throttled.ended()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        now, stats, attempt = perf_counter(), self._stats, self._attempt
        entered = max(self._entered, attempt.entered) if attempt is not None else self._entered
        if entered > stats.sent_at:
            stats.overhead += now - entered
        replays = self._replays
        stats.attempts, stats.sent_at, stats.upstream = replays.attempts, replays.sent_at, replays.upstream
        stats.bytes_in, stats.bytes_out, stats.fault = self._body.size, self._relay.bytes_out, fault
        if (unchecked := self._unchecked) is not None:
            stats.bytes_in = len(unchecked.data)
            if self._context.decision.tools is not None and unchecked.data:
                stats.mcp_tools = unchecked.tools
        context = self._context
        is_cut = fault and not self._may_be_answered
        response, body = (None, None) if is_cut or stats.refusal is not None else self._relay.response
        if self._report is not None:
            self._report.ended(response, body, sent=bool(stats.attempts))
        if self._relay.may_be_explained:
            stats.explanation = self._relay.explain(self._dependencies.tokens.problem(context.route.account))
        accounting = self._dependencies.accounting
        if fault and stats.naming is not None:  # or a client that always leaves could have any number of bodies read
            stats.naming.add_done_callback(self._leave)
        else:
            self._leave()  # not with its account, which may wait for a thread
        if not context.decision.has_outcome or not stats.attempts:
            accounting.exchanged(stats, status, context, now)
        else:
            self._account_for_write(status, now, response, body)
        if attempt is not None and not attempt.live:
            self._attempt = None  # they refer to each other, and would wait for the garbage collector

    @property
    def _may_be_answered(self) -> bool:
        """Whether what came of a stream can hold the answer: clients of MCP leave once they have it."""
        return self._relay.is_stream and self._body.one_message

    def _leave(self, _named: object = None) -> None:
        """It is not under way for its client any more."""
        self._context.decision.in_flight.value -= 1

    def _account_for_write(self, status: int, now: float, response: Response | None, body: bytes | None) -> None:
        """The account of a write that was sent: what its bodies say belongs to it. Without a response its outcome is
        unknown."""
        accounting, context, stats, copy = self._dependencies.accounting, self._context, self._stats, self._copy
        reader = accounting.write_reader

        def account(said: WriteReading) -> None:
            stats.write, stats.changes = said
            accounting.exchanged(stats, status, context, now)

        request = None if copy is None else written_request(context, copy.whole)
        bodies = WriteBodies(response, body, request)
        reading = reader.read(bodies, context.client, self._client.loop)
        if isinstance(reading, asyncio.Future):
            accounting.wait_for(reading, stats, context, lambda: account(reader.result_of(reading, bodies)))
        else:
            account(reading)
