"""One request of one client on its way to Amazon and back: a state machine that makes attempts until one is delivered.

It stands between a client's connection and, attempt by attempt, Amazon, and does what `retry` decides. The usual run
takes two steps, without a task: *send*, if the body is here and a token and a connection are ready, and *deliver*,
where the response comes whole and nothing else is to be done about it. Everything else is told bit by bit, and what it
alone needs is made then. What has to be waited for before an attempt is for its `Departure`. Every attempt is made from
the request as it came.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from proxy.errors import Refused, UpstreamTimeout
from proxy.events import Fault
from proxy.forwarding import retry
from proxy.forwarding.attempt import Attempt
from proxy.forwarding.departure import Departure
from proxy.forwarding.phases import ADMITTED, DONE, SENT, Phase, follow
from proxy.forwarding.refusal import internal_error, send_refusal
from proxy.forwarding.relay import CHUNKED_LINE, ResponseRelay, connection_line, render_response_head
from proxy.forwarding.replays import Replays
from proxy.forwarding.request_body import NO_BODY, ReplayBuffer
from proxy.forwarding.rights import StreamWatch
from proxy.forwarding.sockets import End
from proxy.forwarding.unauthorized import tell_accepted
from proxy.http1.framing import whole_chunks
from proxy.routing.explanation import EXPLAINED
from proxy.upstream.hedging import RESTED

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.gated_request import Passed
    from proxy.forwarding.sockets import Tap
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.http1.response_forms import Recalled
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection


MAX_WHOLE = 8192
"""Bytes of a body that are cheaper written in one piece with the head than after it."""
_LOOKED_AT = retry.DECIDING_STATUSES | EXPLAINED
"""Statuses that may lead to another try, or are explained in the log."""


class Exchange:
    """One request under way. Implements `RequestHandler` for the client's side, `AttemptOwner` for Amazon's,
    `DepartureOwner` and `StreamOwner`. `passed` is what came of its gates, None without any."""

    max_wire_bytes = 0
    phase = ADMITTED
    taps: tuple[Tap, ...] = ()
    _passed: Passed | None = None
    _body: ReplayBuffer = NO_BODY
    _read_body: bytes | None = None  # if gates have read it
    _sent: tuple[AccessToken, UpstreamConnection] | None = None  # while it is under way in one step
    _made_attempt: Attempt | None = None
    _departure: Departure | None = None
    _relay: ResponseRelay | None = None
    _replays: Replays | None = None
    _watch: StreamWatch | None = None
    _is_begun = False  # it is a write, and on record

    def __init__(
        self, dependencies: Dependencies, client: ClientPort, context: RequestContext, passed: Passed | None = None
    ) -> None:
        self._dependencies = dependencies
        self._client = client
        self._context = context
        fields, decision = context.admission.fields, context.decision
        if fields.chunked or fields.content_length:
            self._body = ReplayBuffer(fields, decision.rules.replay_bytes)
        if decision.taps:
            self.taps = tuple([make(context) for make in decision.taps])
        if passed is not None:
            self._passed, self._read_body, self.taps = passed, passed.body, passed.taps + self.taps

    def __repr__(self) -> str:
        return f"<Exchange {self._context.request_id}: {self.phase}, {self._made_attempt or 'in one step'}>"

    # --- the usual run

    def start(self) -> None:
        """Send all of the request, if it is here and nothing has to be waited for."""
        body, dependencies, decision = self._body, self._dependencies, self._context.decision
        if (
            (self._context.own_stats is None if decision.is_plain else self._has_passed_at_once())
            and body.complete
            and body.size <= MAX_WHOLE
            and not dependencies.throttles.active
            and (token := dependencies.tokens.current(decision.route.account)) is not None
            and (connection := decision.pool.take_warm(decision.family)) is not None
        ):
            if decision.is_write and not self._begins(connection):
                return
            self.phase = SENT  # not checked, because each request comes here: it is admitted, as this is its start
            self._send_whole(token, connection)
            if not decision.is_plain:
                self._context.measure_sent()
        else:
            self.phase = follow(self.phase, Phase.RECEIVING)
            self._begin()

    def _has_passed_at_once(self) -> bool:
        """Whether gates have just let the request pass, and nothing else is to be done about it. Raises
        `AssertionError` where its body is not the one that they have read."""
        passed, stats = self._passed, self._context.own_stats
        if passed is None or not passed.at_once:
            return False
        if self._body.data != ([passed.body] if passed.body else []):
            raise AssertionError("gates have read another body than the one that is to be sent")
        return stats is None or stats.span is None

    def _begins(self, connection: UpstreamConnection) -> bool:
        """Put a write on record before it leaves for the first time. If that is not possible, refuse it and return
        False."""
        if self._is_begun or not self._context.is_write:
            return True
        try:
            self._dependencies.accounting.write_gate.begin(self._context)
        except Refused as error:
            self._context.pool.release(connection)
            self.refuse(error)
            return False
        self._is_begun = True
        return True

    def _send_whole(self, token: AccessToken, connection: UpstreamConnection) -> None:
        context, body = self._context, self._body
        data = context.admission.head(token, self._dependencies.account_lines)
        if body is not NO_BODY:
            data = b"".join((data, *body.data))
        context.decision.budget.earn()
        self._sent = token, connection
        connection.send_whole(self, data, context.decision.rules.timeouts)
        context.sent_at = now = perf_counter()
        context.overhead = now - context.counted

    def whole_response(self, found: Recalled, payload: Buffer) -> bool:
        """Pass on a response that came whole, if nothing else is to be done; the exchange is over then."""
        form, length, amazon_request_id, lines = found
        context, client, dependencies, body = self._context, self._client, self._dependencies, payload
        admission, status = context.admission, form.status
        if status in _LOOKED_AT or not client.writable:
            return False
        if dependencies.tokens.watchful and self._sent is not None:
            tell_accepted(self._sent[0], status, dependencies.tokens, context)
        keep = client.stays_open(admission)
        framing = b"" if keep and admission.minor else connection_line(admission.minor, keep=keep)
        if form.chunked and admission.minor:
            framing = CHUNKED_LINE + framing
            payload = whole_chunks(payload)
        elif form.chunked and keep:  # HTTP/1.0 has no chunks: a length alone keeps its connection (RFC 9112, 9.3)
            framing += b"Content-Length: %d\r\n" % len(payload)
        further, request_id = context.decision.rules.response_lines, context.request_id
        head = render_response_head(lines, request_id, form.has_date, further, framing)
        self._sent = None  # the connection is free for others
        self.phase = DONE  # before the write: a client that does not take it pauses nothing here
        if keep and len(payload) <= MAX_WHOLE:
            client.respond(head + payload)
        else:
            client.send([head, payload] if payload else [head])
            client.finish(keep=keep)
        if not self.taps and self._passed is None:  # a gate may have more to say of the request
            dependencies.accounting.passed_on(context, status, amazon_request_id, self._body.size, len(body))
            return True
        stats = context.stats
        now = stats.spend()
        stats.upstream_status, stats.amazon_request_id, stats.attempts = status, amazon_request_id, 1
        stats.bytes_in, stats.bytes_out = self._body.size, len(body)
        end = End(form.response(length, amazon_request_id, lines), bytes(body), None, sent=True)
        dependencies.accounting.tell_taps(self.taps, end, stats)
        dependencies.accounting.exchanged(stats, status, context, now)
        return True

    # --- leaving the usual run

    def goes_in_steps(self) -> None:
        """The request was sent in one step, and what comes of it has to be told bit by bit: it is an attempt from now
        on."""
        assert self._sent is not None
        token, connection = self._sent
        self._sent = None
        attempt = self._made_attempt = Attempt(self, 1, token, connection)
        attempt.whole = True
        connection.tell(attempt)

    @property
    def _attempt(self) -> Attempt | None:
        """The try that is under way, or was the last one."""
        if self._sent is not None:
            self.goes_in_steps()
        return self._made_attempt

    # --- made when they are needed

    @property
    def relay(self) -> ResponseRelay:
        if self._relay is None:
            passed = self._passed
            self._relay = ResponseRelay(self._client, self._context, self.taps, passed.rewrite if passed else None)
            self._relay.continued = passed is not None and passed.continued
        return self._relay

    @property
    def replays(self) -> Replays:
        if self._replays is None:
            self._replays = Replays(self._context, self._dependencies.accounting.observer)
            if self._attempt is not None:
                self._replays.went(self._context.stats.sent_at)
        return self._replays

    @property
    def departure(self) -> Departure:
        self._departure = self._departure or Departure(self, self._context, self._dependencies)
        return self._departure

    # --- RequestHandler: the client's side

    @property
    def rate_limited(self) -> bool:
        return not self.relay.is_event_stream

    @property
    def endless(self) -> bool:
        return self.relay.is_stream and self._context.request.method == b"GET"

    def request_data(self, pieces: list[Buffer]) -> None:
        for tap in self.taps:
            tap.request_data(pieces)
        data = self._body.add(pieces, sent=self._is_sent)
        if (attempt := self._attempt) is not None and attempt.live:
            attempt.send_body(data)
        if self._body.full and not self._is_sent:
            self._client.pause_reading()
            self._begin()

    def request_ended(self, trailers: bytes) -> None:
        for tap in self.taps:
            tap.request_ended()
        data = self._body.end(trailers, sent=self._is_sent)
        if (attempt := self._attempt) is not None and attempt.live:
            if data:
                attempt.send_body(data)
            attempt.request_sent()
        else:
            self._begin()

    def request_broken(self, error: Refused) -> None:
        self._stop()
        self.refuse(error)

    def client_gone(self) -> None:
        if self.phase is not DONE:
            self._stop()
            self._finish(self.relay.status if self.relay.began else 0, fault=Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        if self._is_sent and self._attempt is not None:
            (self._attempt.resume if writable else self._attempt.pause)()

    def time_out(self) -> None:
        if self.phase is not DONE:
            self._stop()
            self._break(Fault.CLIENT_STALLED)

    @property
    def _is_sent(self) -> bool:
        """What comes of the body goes on to Amazon, and the response on to the client."""
        return self.phase is SENT or self.phase is Phase.RELAYING

    def _begin(self) -> None:
        """Make the first attempt once there is enough of the body."""
        if self.phase is not Phase.RECEIVING or not self._body.sendable:
            return
        try:
            ready = self.departure.leave()
        except Refused as error:
            self.refuse(error)
        else:
            if ready is not None:
                self._leave(*ready)
            else:
                self.phase = follow(self.phase, Phase.WAITING)
                self._context.stats.spend()

    # --- DepartureOwner

    @property
    def known_body(self) -> bytes | None:
        return b"" if self._body is NO_BODY else self._read_body

    def departs(self, token: AccessToken, connection: UpstreamConnection) -> None:
        self._context.stats.resume()
        self._leave(token, connection)

    def _leave(self, token: AccessToken, connection: UpstreamConnection) -> None:
        """Send the request after a wait, or with the last of its body: in one step if nothing else is to be done."""
        if self._context.decision.is_write and not self._begins(connection):
            return
        context, body = self._context, self._body
        plain = context.decision.in_one_step and body.complete and body.size <= MAX_WHOLE and context.stats.span is None
        first = self._made_attempt is None and self._replays is None and self.departure.throttled is None
        if plain and first and connection.was_used_within(RESTED):
            self._departure = None  # it refers to this exchange, which would wait for the garbage collector
            self.phase = follow(self.phase, SENT)
            self._send_whole(token, connection)
            context.stats.sent_at = context.sent_at
        else:
            self._send(token, connection)
        context.stats.spend()
        context.overhead = context.stats.overhead

    def _send(self, token: AccessToken, connection: UpstreamConnection) -> None:
        context, stats, body, replays = self._context, self._context.stats, self._body, self.replays
        stats.sent_at = perf_counter()
        replays.sent(stats.sent_at)
        channel = replays.hedge(connection)
        attempt = self._made_attempt = Attempt(self, replays.attempts, token, channel)
        further = self._dependencies.accounting.trace(attempt, context)
        data: list[Buffer] = [context.head(token, self._dependencies.account_lines, further), *body.data]
        body.forget_if_large()
        self.phase = follow(self.phase, SENT)
        channel.send(attempt, data, to_head=context.request.method == b"HEAD", timeouts=context.rules.timeouts)
        if body.complete:
            attempt.request_sent()
        elif channel.writable:
            self._client.resume_reading()

    def _situation(self) -> retry.Situation:
        return self.replays.situation(self._progress, self._client.loop.time(), replayable=self._body.replayable)

    @property
    def _progress(self) -> retry.Progress:
        """How far the try got that is under way: none is, while something is waited for."""
        attempt = self._attempt if self.phase is not Phase.WAITING else None
        return attempt.progress if attempt is not None else retry.Progress.UNCONNECTED

    # --- AttemptOwner: Amazon's side

    def attempt_interim(self, response: Response) -> None:
        self.relay.interim(response)

    def attempt_answered(self, response: Response) -> None:
        attempt, stats, status, fields = self._attempt, self._context.stats, response.status, response.fields
        assert attempt is not None
        stats.upstream_status, stats.amazon_request_id = status, fields.request_id or stats.amazon_request_id
        stats.retry_after = fields.retry_after if status >= 400 else None
        if status == 429:
            self.departure.limit.refused(attempt.token, fields.retry_after)
        elif (departure := self._departure) is not None and departure.throttled is not None:
            departure.throttled.passed()
        tap = next((tap for tap in self.taps if tap.holds(response)), None)
        needs_body = self._context.api.refusals.needs_body(response)
        if tap is not None or needs_body or status in retry.DECIDING_STATUSES:
            answered = retry.Answered(status, fields.retry_after, needs_body, tap is not None)
            decision = retry.decide(self._situation(), answered)
            if isinstance(decision, retry.Replace) and tap is not None:
                self.replays.answered(status)
                self._hold(attempt)
                self.departure.spawn(self._replace(tap, attempt))
            elif isinstance(decision, retry.Replay):
                self._hold(attempt)
                self.departure.renew(attempt)
            elif isinstance(decision, retry.Wait):
                self._hold(attempt)
                self.replays.begin(retry.ReplayReason.THROTTLED, self._client.loop.time(), status)
                self.departure.pause(attempt, 0.0 if status == 429 else decision.seconds)  # a 429's limit decides
            elif isinstance(decision, retry.Deliver):
                self.replays.impossible(decision.impossible)
        if self.phase is SENT:
            self._deliver(response, shows_token=not needs_body)

    def attempt_data(self, pieces: list[Buffer]) -> None:
        self.relay.data(pieces)

    def attempt_ended(self, trailers: bytes) -> None:
        self.relay.end(trailers)
        self._stop()
        self._client.finish(keep=self.relay.keep)
        self._finish(self.relay.status)

    def attempt_failed(self, error: Refused) -> None:
        if self.phase is Phase.RELAYING and self.relay.began:
            self._break(Fault.UPSTREAM_TIMEOUT if isinstance(error, UpstreamTimeout) else Fault.UPSTREAM_DIED)
            return
        decision = retry.decide(self._situation(), retry.Broken(error)) if self.phase is SENT else None
        if isinstance(decision, retry.Replay):
            self.replays.begin(retry.ReplayReason.CONNECTION, self._client.loop.time())
            self.phase = follow(self.phase, Phase.WAITING)
            self.departure.wait(fresh=True)
        else:
            self.replays.impossible(decision.impossible if isinstance(decision, retry.GiveUp) else None)
            self.refuse(error)

    def attempt_writable(self, writable: bool) -> None:
        if self._is_sent:  # else no more of the body is wanted for now
            (self._client.resume_reading if writable else self._client.pause_reading)()

    def defect(self, error: BaseException) -> None:
        """A defect of ours must not leave a client waiting for ever."""
        self._dependencies.accounting.defect("exchange", error)
        self._context.stats.resume()
        self._stop()
        if self.phase is DONE:
            self._client.abort()  # it is unknown how much of the response has left
        else:
            self.refuse(internal_error())

    def flush(self) -> None:
        self._client.flush()
        if self.phase is not DONE and self._attempt is not None:
            self._context.stats.spend()

    def rights_ended(self, error: Refused) -> None:
        self._stop()
        self.relay.end_early()
        self._finish(self.relay.status, fault=error.slug)

    # --- a response that is held back until it is known whether a better one can be had

    def _hold(self, attempt: Attempt) -> None:
        self.phase = follow(self.phase, Phase.HOLDING)
        attempt.hold()
        if not self._body.complete:
            self._client.pause_reading()

    def drops(self, attempt: Attempt) -> None:
        attempt.abandon()
        self.phase = follow(self.phase, Phase.WAITING)

    def keeps(self, attempt: Attempt) -> None:
        """The held response is the best one: deliver it as Amazon sent it."""
        assert attempt.response is not None
        attempt.held = False
        self._deliver(attempt.response)
        if attempt.pieces:
            self.relay.data(attempt.pieces)
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

    async def _replace(self, tap: Tap, attempt: Attempt) -> None:
        answer = await tap.replace(attempt)
        self._context.stats.resume()
        if answer is None:
            self.keeps(attempt)
        else:
            self._stop()
            self.phase = follow(self.phase, Phase.RELAYING)
            self.relay.answer(answer)
            self._context.stats.note = answer.note
            self._finish(self.relay.status)

    # --- the response, and the end

    def _deliver(self, response: Response, *, shows_token: bool = True) -> None:
        """Pass it on. It does not show that Amazon took the token if an unread body may say the contrary."""
        self.phase = follow(self.phase, Phase.RELAYING)
        self.replays.answered(response.status)
        attempt = self._attempt
        if shows_token and attempt is not None and not attempt.refused:
            tell_accepted(attempt.token, response.status, self._dependencies.tokens, self._context)
        for tap in self.taps:
            tap.began(response)
        self._body.forget()
        self.relay.begin(response)
        if self.relay.is_event_stream:
            self._watch = StreamWatch(self, self._dependencies.rights, self._context, self.known_body)
        self._read_body = None
        if not self._client.writable and attempt is not None:
            attempt.pause()  # interim responses may have filled what waits for the client

    def _break(self, fault: str) -> None:
        self.relay.break_off(fault)
        self._finish(self.relay.status, fault=fault)

    def refuse(self, error: Refused) -> None:
        """Answer for Amazon, which did not; or, where a response has begun, break it."""
        if self.phase is DONE:
            return
        if self.relay.began:
            self._break(error.slug)
            return
        self.replays.failed()
        error = retry.told(error, self.replays.reads, self._progress)
        self.relay.bytes_out = send_refusal(self._client, error, self._context.request, self._context.rules)
        self._context.stats.refusal = error
        self._finish(error.sent_status)

    def _stop(self) -> None:
        if self._departure is not None:
            self._departure.stop()
        if self._attempt is not None:
            self._attempt.abandon()

    def _finish(self, status: int, *, fault: str = "") -> None:
        """Close the account."""
        if self.phase is DONE:
            return
        self.phase = follow(self.phase, DONE)
        if (departure := self._departure) is not None:
            self._departure = None  # it refers to this exchange, which would wait for the garbage collector
            if departure.throttled is not None:
                departure.throttled.ended()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        stats, attempt, relay, replays = self._context.stats, self._attempt, self.relay, self.replays
        now = stats.spend()
        stats.attempts, stats.sent_at, stats.upstream = replays.attempts, replays.sent_at, replays.upstream
        stats.bytes_in, stats.bytes_out, stats.fault = self._body.size, relay.bytes_out, fault
        if relay.may_be_explained:
            stats.explanation = relay.explain(self._dependencies.tokens.problem(self._context.route.account))
        if self.taps:
            response, body = (None, None) if stats.refusal is not None else relay.response
            cut = response if fault and relay.is_stream else None
            end = End(None if fault else response, body, cut, sent=bool(stats.attempts))
            self._dependencies.accounting.tell_taps(self.taps, end, stats)
        self._dependencies.accounting.exchanged(stats, status, self._context, now)
        if attempt is not None and not attempt.live:
            self._made_attempt = None  # they refer to each other, and would wait for the garbage collector
