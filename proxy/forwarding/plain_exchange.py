"""The usual run of an exchange, in one step each way: a request that is here whole leaves, its response comes whole.

A response that comes otherwise, or that anything is to be done about, is told bit by bit, as to any other exchange.
What then follows, and all that comes after a failure, is in `exchange`.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from proxy.errors import Refused
from proxy.forwarding import retry
from proxy.forwarding.attempt import Attempt, AttemptState
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.explanation import EXPLAINED
from proxy.forwarding.phase import DONE, SENT, follow
from proxy.forwarding.renewal import tell_accepted
from proxy.forwarding.response_head import CHUNKED_LINE, connection_line, render_response_head
from proxy.http1.framing import whole_chunks

if TYPE_CHECKING:
    from proxy.http1.message import Response
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.ports import Timeouts

_ENDED = AttemptState.ENDED
_MAX_WHOLE = 8192
"""Bytes of a body that are cheaper written in one piece with the head than beside it."""
_LOOKED_AT = retry.JUDGED | EXPLAINED
"""Statuses that may lead to another try, or are explained in the log."""


class WholeAttempt(Attempt):
    """Of a request that is sent whole. Implements `WholeResponseSink`."""

    __slots__ = ()
    _connection: UpstreamConnection
    _owner: PlainExchange

    def send_whole(self, data: bytes, timeouts: Timeouts, now: float) -> None:
        self._whole, self.entered = True, now
        self._connection.send_whole(self, data, timeouts)

    def recognise(self, data: bytes) -> bool:
        """Hand on the response that `data` is, if nothing else is to be done."""
        sent_at = self.entered
        self.entered = now = perf_counter()
        try:
            found = self._connection.read_whole(data)
        except Refused:
            return False  # it is read again, and what is wrong with it is told
        if found is None or not self._owner.may_pass(found[0]):
            return False
        if not self._connection.end_answered(now - sent_at):
            return False
        response, payload = found
        self._end(_ENDED)
        self.response = response
        self._owner.pass_on(response, payload)
        return True


class PlainExchange(Exchange):
    """That of a decision which is `plain`, where nobody traces."""

    __slots__ = ()

    def start(self) -> None:
        context, body, dependencies = self._context, self._body, self._dependencies
        decision = context.shared
        token = dependencies.tokens.current(decision.route.account)
        if token is None or dependencies.throttles.active or not body.complete or body.size > _MAX_WHOLE:
            super().start()
            return
        connection = decision.pool.take_warm(decision.family)
        if connection is None:
            super().start()
            return
        head, data = context.head(token, dependencies.account_lines), body.data
        decision.budget.earn()
        stats = self._stats
        stats.sent_at = now = perf_counter()
        attempt = self._attempt = WholeAttempt(self, 1, token, connection)
        self.phase = follow(self.phase, SENT)
        attempt.send_whole(b"".join((head, *data)) if data else head, decision.rules.timeouts, now)
        stats.overhead = perf_counter() - self._entered

    def may_pass(self, response: Response) -> bool:
        """Whether a whole response goes to the tool as it is."""
        return (
            response.status not in _LOOKED_AT
            and not response.fields.location
            and not (response.fields.chunked and self._context.request.minor == 0)
            and self._throttled is None
            and self._client.writable
        )

    def pass_on(self, response: Response, body: bytes) -> None:
        """Hand it on; the exchange is over."""
        context, client, stats = self._context, self._client, self._stats
        attempt = self._attempt
        assert attempt is not None
        status = stats.upstream_status = response.status
        stats.amazon_request_id = response.fields.request_id
        if self._dependencies.tokens.watchful:
            tell_accepted(attempt, self._dependencies.tokens, context)
        decision, request = context.shared, context.request
        keep = client.stays_open(request)
        framing, size = connection_line(request.minor, keep=keep), len(body)
        if response.fields.chunked:
            framing = CHUNKED_LINE + framing
            body = whole_chunks(body)
        head = render_response_head(response, response.fields.passing, request, decision.rules.response_lines, framing)
        if keep and len(body) <= _MAX_WHOLE:
            client.respond(head + body)
        else:
            client.send([head, body] if body else [head])
            client.finish(keep=keep)
        self.phase = follow(self.phase, DONE)
        now = perf_counter()
        stats.attempts, stats.bytes_in, stats.bytes_out = 1, self._body.size, size
        stats.overhead += now - attempt.entered
        self._dependencies.accounting.passed_on(stats, status, context, now)
