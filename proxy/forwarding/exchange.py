"""One request of one tool on its way to Amazon and back: the attempt loop of the design's walk, steps 4 to 9.

It stands between a `ToolConnection` and, attempt by attempt, an upstream `Connection`, and does what `retry` decides.
A request whose token and connection are at hand leaves within the call that read it; only where something must be
waited for is there a task. Every attempt is made from the request as it came.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.errors import Refused, UpstreamTimeout
from proxy.events import Replayed
from proxy.forwarding import retry
from proxy.forwarding.accounting import Tally
from proxy.forwarding.relay import Admitted, AnswerRelay, HeldAnswer
from proxy.forwarding.request_body import KeptBody
from proxy.http1.headers import AnswerFacts, Facts, request_head

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from proxy.downstream.connection import ToolConnection
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.framing import Buffer
    from proxy.http1.message import AnswerHead, RequestHead
    from proxy.tokens.manager import AccessToken
    from proxy.upstream.connection import Connection


class Exchange:
    """See the module's docstring. Implements `Work` for the tool's side and `AnswerSink` for Amazon's."""

    def __init__(
        self, forwarder: Forwarder, tool: ToolConnection, head: RequestHead, facts: Facts, admitted: Admitted
    ) -> None:
        self._forwarder = forwarder
        self._tool = tool
        self._head = head
        self._facts = facts
        self._admitted = admitted
        self._rules = admitted.rules
        self._route = admitted.route
        self._loop = tool._loop
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._token: AccessToken | None = None
        self._reused = False
        self._body = KeptBody(facts, self._rules.replay_bytes)
        # the answer
        self._held: HeldAnswer | None = None
        self._answer = AnswerRelay(tool, head, facts, admitted)
        self._trying: str | None = None
        self._continued = False
        # the account of it
        self.entered = tool.head_done
        self._tally = Tally(admitted.request_id, admitted.client, head.method)
        self._unauthorized = 0
        self._waited_for_amazon = 0.0
        self._done = False

    # --- Work: the tool's side

    def start(self) -> None:
        """Begin the first attempt: at once where token and connection are at hand, else in a task."""
        forwarder = self._forwarder
        if self._rules.retry_wait and (left := forwarder.throttle_left(self._route)):
            self._hold_off(left)
            return
        token = forwarder.tokens.current(self._route.account)
        connection = self._admitted.pool.take() if token is not None else None
        if token is not None and connection is not None:
            self._send(token, connection)
        else:
            self._spawn(self._obtain_and_send(fresh=False))
        self._tally.own += perf_counter() - self._tool.head_done

    def request_data(self, pieces: list[Buffer]) -> None:
        connection = self._connection
        data = self._body.add(pieces, sent=connection is not None and self._held is None)
        if connection is not None:
            connection.send_body(data)
        elif self._body.full:
            self._tool.pause_reading()

    def request_ended(self, trailers: bytes) -> None:
        connection = self._connection
        data = self._body.end(trailers, sent=connection is not None and self._held is None)
        if connection is not None:
            if data:
                connection.send_body(data)
            connection.request_sent()

    def request_broken(self, error: Refused) -> None:
        self._stop()
        self._refuse(error)

    def tool_gone(self) -> None:
        if not self._done:
            self._stop()
            self.entered = perf_counter()
            self._account(self._answer.status, fault="client-gone")

    def tool_writable(self, writable: bool) -> None:
        if self._connection is not None and self._held is None:
            if writable:
                self._connection.resume()
            else:
                self._connection.pause()

    def time_out(self) -> None:
        """The tool has stopped taking its answer."""
        if not self._done:
            self._stop()
            self.entered = perf_counter()
            self._break("client-stalled")

    # --- attempts

    def _hold_off(self, left: float) -> None:
        """Amazon asked for a pause that has not passed."""
        decision = retry.before_sending(left, self._rules.retry_wait)
        if isinstance(decision, retry.Wait):
            self._spawn(self._wait_and_replay(decision.seconds))
        else:
            self._refuse(decision.error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """A defect in a task must not leave its tool waiting for ever."""
        if task is self._task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.defect(error)

    async def _obtain_and_send(self, *, fresh: bool, token: AccessToken | None = None) -> None:
        error: Refused | None = None
        try:
            if token is None:
                token = await self._forwarder.tokens.get(self._route.account)
            connection = await self._admitted.pool.acquire(fresh=fresh, patience=self._rules.response_timeout)
        except Refused as raised:
            error = raised
        self.entered = perf_counter()
        if error is not None:
            self._attempt_failed(error, connected=False)
        else:
            assert token is not None
            self._send(token, connection)
        if not self._done:
            self._tally.own += perf_counter() - self.entered

    def _send(self, token: AccessToken, connection: Connection) -> None:
        self._tally.attempts += 1
        self._token, self._connection = token, connection
        self._reused = connection.served > 0
        route, admitted = self._route, self._admitted
        head = request_head(
            b"%b %b" % (self._head.method, route.target),
            admitted.pool.host_line,
            self._forwarder.account_lines(token),
            route.profile,
            self._facts,
        )
        data: list[Buffer] = [head, *self._body.data]
        self._body.forget_if_large()
        self._tally.sent_at = perf_counter()
        connection.send(self, data, to_head=self._head.method == b"HEAD", timeouts=self._rules)
        if self._body.complete:
            connection.request_sent()
        elif connection.writable:
            self._tool.resume_reading()

    def _attempt_failed(self, error: Refused, *, connected: bool) -> None:
        """An attempt ended without an answer: send again where that is safe, else say so."""
        decision = retry.decide(self._attempt(), retry.Broken(error=error, connected=connected))
        if isinstance(decision, retry.Replay):
            self._trying = "connection"
            self._spawn(self._obtain_and_send(fresh=True))
            return
        self._replay_over("failed")
        self._refuse(error)

    def _attempt(self) -> retry.Attempt:
        return retry.Attempt(
            number=self._tally.attempts,
            method=self._head.method,
            replayable=self._body.replayable,
            reused=self._reused,
            unauthorized=self._unauthorized,
            waited=self._waited_for_amazon,
            retry_wait=self._rules.retry_wait,
        )

    # --- AnswerSink: Amazon's side

    def interim(self, head: AnswerHead, facts: AnswerFacts) -> None:
        """Interim answers pass, but not to HTTP/1.0 (RFC 9110, 15.2), and of all attempts but one 100."""
        if self._head.minor == 0 or (head.status == 100 and self._continued):
            return
        self._continued = self._continued or head.status == 100
        self._answer.interim(head, facts)
        if head.status == 100:
            self._tool.expect_body()

    def answer_began(self, head: AnswerHead, facts: AnswerFacts) -> None:
        if facts.amazon_request_id:
            self._tally.amazon_request_id = facts.amazon_request_id
        if head.status == 429:
            self._forwarder.throttled(self._route, facts.retry_after)
        if head.status in (401, 429):
            decision = retry.decide(self._attempt(), retry.Answered(status=head.status, retry_after=facts.retry_after))
            if isinstance(decision, retry.Replay | retry.Wait):
                self._hold(head, facts, decision)
                return
            if head.status == 401:
                self._unreplayed()
        self._deliver(head, facts)

    def answer_data(self, pieces: list[Buffer]) -> None:
        if self._held is not None:
            self._held.pieces += pieces
        else:
            self._answer.data(pieces)

    def answer_ended(self, trailers: bytes) -> None:
        self._connection = None
        if self._held is not None:
            self._held.trailers = trailers
        else:
            self._finish(trailers)

    def upstream_failed(self, error: Refused) -> None:
        self._connection = None
        if self._held is not None:
            self._held.error = error
        elif self._answer.began:
            self._break("upstream-timeout" if isinstance(error, UpstreamTimeout) else "upstream-died")
        elif self._answer.status:
            self._refuse(error)
        else:
            self._attempt_failed(error, connected=True)

    def upstream_writable(self, writable: bool) -> None:
        if writable:
            self._tool.resume_reading()
        else:
            self._tool.pause_reading()

    def defect(self, error: BaseException) -> None:
        """A defect of ours must not leave a tool waiting for ever."""
        self._forwarder.defect("exchange", error)
        if not self._done:
            self._stop()
            self._refuse(self._forwarder.internal_error())

    def flush(self) -> None:
        self._tool.flush()
        if not self._done:
            self._tally.own += perf_counter() - self.entered

    # --- sending again

    def _hold(self, head: AnswerHead, facts: AnswerFacts, decision: retry.Replay | retry.Wait) -> None:
        """Keep the answer back, unread beyond what is here, until it is known whether a better one can be had."""
        self._held = HeldAnswer(head, facts, [])
        if self._connection is not None:
            self._connection.pause()
        if not self._body.complete:
            self._tool.pause_reading()
        if isinstance(decision, retry.Wait):
            self._trying = "throttled"
            self._spawn(self._wait_and_replay(decision.seconds))
        else:
            self._trying = "unauthorized"
            self._unauthorized += 1
            self._spawn(self._renew_and_replay())

    async def _renew_and_replay(self) -> None:
        assert self._token is not None
        renewed = await self._forwarder.tokens.renewed(self._token)
        if renewed is None:
            self._trying = None
            self._observe_replay("unauthorized", "impossible")
            self._deliver_held()
        else:
            await self._replay(renewed)

    async def _wait_and_replay(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._waited_for_amazon += seconds
        await self._replay(None)

    async def _replay(self, token: AccessToken | None) -> None:
        self._held = None
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None
        await self._obtain_and_send(fresh=False, token=token)

    def _deliver_held(self) -> None:
        """The answer that was kept back is the best there is: hand it on as Amazon sent it."""
        held, self._held = self._held, None
        assert held is not None
        self._deliver(held.head, held.facts)
        if held.pieces:
            self._answer.data(held.pieces)
        if held.trailers is not None:
            self._finish(held.trailers)
        elif held.error is not None:
            self._break("upstream-died")
        elif self._connection is not None:
            self._connection.resume()
            if not self._body.complete:
                self._tool.resume_reading()
        self._tool.flush()

    def _unreplayed(self) -> None:
        """A 401 is handed on: either the replay brought it too, or there can be none."""
        if self._trying == "unauthorized":
            return
        self._observe_replay("unauthorized", "impossible")

    def _replay_over(self, outcome: str) -> None:
        if self._trying is not None:
            self._observe_replay(self._trying, outcome)
            self._trying = None

    def _observe_replay(self, reason: str, outcome: str) -> None:
        self._forwarder.observer.observe(Replayed(self._admitted.request_id, reason, outcome))

    # --- the answer

    def _deliver(self, head: AnswerHead, facts: AnswerFacts) -> None:
        if self._trying is not None:
            failed = {"unauthorized": head.status == 401, "throttled": head.status == 429}.get(self._trying, False)
            self._replay_over("failed" if failed else "recovered")
        self._body.forget()
        self._answer.begin(head, facts)

    def _finish(self, trailers: bytes) -> None:
        self._answer.end(trailers)
        self._stop()
        self._tool.finish(keep=self._answer.keep)
        self._account(self._answer.status)

    def _break(self, fault: str) -> None:
        """An answer that has begun cannot be ended: make sure that it does not look complete."""
        self._tool.abort(loudly=not self._answer.delimited)
        self._account(self._answer.status, fault=fault)

    def _refuse(self, error: Refused) -> None:
        """Answer for Amazon, which did not; or, where an answer has begun, break it."""
        if self._done:
            return
        if self._answer.began:
            self._break(error.slug)
            return
        keep = self._body.complete and not error.close and self._tool.stays_open(self._head, self._facts)
        self._tool.send([self._forwarder.problem(error, self._admitted.request_id, self._head, not keep)])
        self._tool.finish(keep=keep)
        self._account(error.status, refusal=error)

    def _stop(self) -> None:
        """Let go of Amazon's side."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    # --- the account of it

    def _account(self, status: int, *, refusal: Refused | None = None, fault: str = "") -> None:
        if self._done:
            return
        self._done = True
        now, tally = perf_counter(), self._tally
        if self.entered > tally.sent_at:
            tally.own += now - self.entered
        tally.bytes_in, tally.bytes_out = self._body.size, self._answer.bytes_out
        tally.refusal, tally.fault = refusal, fault
        path = self._route.path.decode("latin-1")
        self._forwarder.finished(tally.finished(status, self._route, path, self._tool.head_done, now))
