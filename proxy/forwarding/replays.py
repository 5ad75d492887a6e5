"""What was sent again for one request: how often, why, and what came of it, told as it becomes known.

It gathers what `retry` decides by; the deciding is done there.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.events import Replayed
from proxy.forwarding.retry import (
    Progress,
    ReplayOutcome,
    ReplayReason,
    Situation,
    may_hedge,
    outcome_of,
)
from proxy.upstream.hedging import HedgedConnection, hedge_delay

if TYPE_CHECKING:
    from proxy.events import Observer
    from proxy.forwarding.decision import RequestContext
    from proxy.upstream.connection import UpstreamConnection


class Replays:
    """What was sent again for one request. `attempts` counts the heads that were sent, `waited` is the seconds spent
    waiting for Amazon's sake; `current` is the reason of a replay under way. `sent_at` is when the attempt under way
    was sent, 0 without one; `upstream` is the seconds that Amazon took for the attempts before it."""

    __slots__ = (
        "_401s",
        "_budget",
        "_context",
        "_first_sent_at",
        "_observer",
        "attempts",
        "current",
        "cut",
        "sent_at",
        "upstream",
        "waited",
    )

    def __init__(self, context: RequestContext, observer: Observer) -> None:
        self._context = context
        self._budget = context.decision.budget
        self._observer = observer
        self._first_sent_at = 0.0
        self._401s = 0
        self.attempts = 0
        self.current: ReplayReason | None = None
        self.cut = 0
        self.waited = self.sent_at = self.upstream = 0.0

    def __repr__(self) -> str:
        return f"<Replays: {self.attempts} attempts, {self._401s} for 401, {self.cut} cut, {self.waited:g} s waited>"

    def sent(self, now: float) -> None:
        """A head was sent, at this moment of `perf_counter`."""
        if not self.attempts:
            self._budget.earn()
        self.went(now)

    def went(self, now: float) -> None:
        """Note a sent head whose share of the retry budget was counted already."""
        if not self.attempts:
            self._first_sent_at = now
        self.sent_at = now
        self.attempts += 1

    @property
    def reads(self) -> bool:
        """Whether the request changes nothing at Amazon."""
        return self._context.decision.reads

    @property
    def client(self) -> str:
        """The name of the client that sent the request."""
        return self._context.client

    def situation(self, progress: Progress, now: float, *, replayable: bool) -> Situation:
        """What there is to decide by. `now` is on the event loop's clock, `replayable` tells that the body is kept."""
        rules = self._context.rules
        return Situation(
            number=self.attempts,
            reads=self.reads,
            progress=progress,
            replayable=replayable,
            unauthorized=self._401s,
            cut=self.cut,
            waited=self.waited,
            retry_wait=rules.retry_wait,
            time_left=rules.timeouts.response - (perf_counter() - self._first_sent_at),
            affordable=self._budget.affords(now),
        )

    def hedge(self, connection: UpstreamConnection) -> UpstreamConnection | HedgedConnection:
        """What to send on: one that may have died unnoticed is hedged, where the request may be sent twice."""
        pool = self._context.pool
        after = hedge_delay(connection.rest, pool.recent)
        if after is None or not self.reads or not self._context.api.is_hedged:
            return connection
        return HedgedConnection(pool, connection, after, self)

    def may_hedge(self) -> bool:
        """The answer is later than usual: whether to send the request a second time, once there is a connection."""
        if not may_hedge(self.situation(Progress.WHOLE, self._context.pool.loop.time(), replayable=True)):
            return False
        self._budget.promised += 1
        return True

    def settle_hedge(self, *, sent: bool) -> None:
        """Note that the hedge was sent, or is not needed. What the request was sent again for before may still
        succeed."""
        self._budget.promised -= 1
        if sent:
            self._budget.spend(self._context.pool.loop.time())
            self.current = ReplayReason.SILENCE
            self.attempts += 1

    def begin(self, reason: ReplayReason, now: float, status: int = 0) -> None:
        """The request is to be sent again instead of passing on a response of this status; 0 where none came. All but a
        replay for 401 cost the host's budget."""
        if status:
            self.answered(status)
        self.failed()
        if self.sent_at:
            self.upstream += perf_counter() - self.sent_at
            self.sent_at = 0.0
        self.current = reason
        self.cut += reason is ReplayReason.CONNECTION
        if reason is ReplayReason.UNAUTHORIZED:
            self._401s += 1
        else:
            self._budget.spend(now)

    async def pause(self, seconds: float) -> None:
        """Wait for so long because Amazon asked for it."""
        if seconds:
            await asyncio.sleep(seconds)
            self.waited += seconds

    def impossible(self, reason: ReplayReason | None) -> None:
        """Report a retry that was not possible; None where there was no reason for one."""
        if reason is not None and self.current is None:
            self._tell(reason, ReplayOutcome.IMPOSSIBLE)

    def withdraw(self) -> None:
        """Cancel the retry that `begin` announced."""
        reason, self.current = self.current, None
        self.impossible(reason)

    def answered(self, status: int) -> None:
        """Amazon's response has this status."""
        if self.current is not None:
            self._end(self.current, outcome_of(self.current, status, self._context.api.refusals.statuses))

    def failed(self) -> None:
        """Amazon sent nothing to pass on."""
        if self.current is not None:
            self._end(self.current, ReplayOutcome.FAILED)

    def _end(self, reason: ReplayReason, outcome: ReplayOutcome) -> None:
        self._tell(reason, outcome)
        self.current = None

    def _tell(self, reason: ReplayReason, outcome: ReplayOutcome) -> None:
        self._observer.observe(Replayed(self._context.request.id, reason, outcome))
