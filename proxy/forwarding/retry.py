"""What follows an attempt: deliver, send again, wait and send again, or give up. Pure. The one home of retry rules.

docs/explanation/reliability.md has them as a table, and tests/forwarding/test_retry.py a test for each of its rows.
Nothing here is asked once a byte of the response has gone to the client. Sources: docs/development/amazon.md for 401,
429 and what a write may have done; RFC 9110, 9.2.2 for requests that may be sent twice, and RFC 9112, 9.3.1 for a
connection that dies under one. How many retries a host is sent at most is for its `RetryBudget`.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.errors import Refused, UpstreamClosed
from proxy.value_classes import dataclass

MAX_ATTEMPTS = 3
DECIDING_STATUSES = frozenset((401, 429, 503))
"""The statuses after which a request may be sent again; all others are the client's at once."""
_MAY_HAVE_RUN = "Amazon may have carried it out: check before you send it again."


class ReplayReason(StrEnum):
    """Why a request is sent again."""

    UNAUTHORIZED = "unauthorized"
    CONNECTION = "connection"
    THROTTLED = "throttled"
    """429, or 503 with Retry-After."""
    SILENCE = "silence"
    """An answer later than usual, on a connection that may have died."""


class ReplayOutcome(StrEnum):
    """What came of it."""

    RECOVERED = "recovered"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


class Progress(StrEnum):
    """How far a request got, as far as it can be known here."""

    UNCONNECTED = "unconnected"
    """There was no connection: nothing of it can be at Amazon."""
    UNSENT = "unsent"
    """The connection had ended before anything was written to it."""
    PARTLY = "partly"
    """Its head was written, and perhaps some of its body."""
    WHOLE = "whole"
    """All of it was written."""
    ANSWERING = "answering"
    """The head of a response began."""
    REFUSED = "refused"
    """Amazon refused the token, which it does before it does anything."""


_LEFT = frozenset((Progress.PARTLY, Progress.WHOLE, Progress.ANSWERING))


@dataclass(frozen=True, slots=True)
class Situation:
    """An attempt and what came before it.

    `number` counts the heads that were sent, this attempt's included. `reads` tells that the request changes nothing at
    Amazon, `replayable` that the body so far is still kept. `unauthorized` and `cut` count what was sent again for 401
    and for a connection that ended, `waited` the seconds spent waiting out Retry-After; `retry_wait` is the configured
    bound of these. `time_left` is what is left of `response_timeout` since the first sending, in seconds. `affordable`
    tells that the host's budget of retries is not spent.
    """

    number: int
    reads: bool
    progress: Progress
    replayable: bool = True
    unauthorized: int = 0
    cut: int = 0
    waited: float = 0.0
    retry_wait: float = 0.0
    time_left: float = 60.0
    affordable: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """Amazon's answer began. `retry_after` is in seconds, None where it was absent or a date.

    `needs_body` tells that its body may say that the token was refused, though it is no 401. `replaceable` tells that
    a better answer may be had than this one.
    """

    status: int
    retry_after: float | None
    needs_body: bool = False
    replaceable: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came, or not the whole of its head."""

    error: Refused


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand the answer to the client as Amazon sent it. `impossible` names the replay that could not be made for it."""

    impossible: ReplayReason | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the request again: with a newer token if `renewed`, else on a fresh connection.

    Without a newer token there is nothing to gain: the kept answer is delivered.
    """

    renewed: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Send the request again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Replace:
    """Keep the answer back until it is known whether a better one can be had."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer the client with this failure. `impossible` names the replay that could not be made for it."""

    error: Refused
    impossible: ReplayReason | None = None


Outcome = Answered | Broken
Decision = Deliver | Replay | Wait | Replace | GiveUp


def decide(attempt: Situation, outcome: Outcome) -> Decision:
    """What to do next."""
    if isinstance(outcome, Broken):
        return _after_failure(attempt, outcome.error)
    if outcome.replaceable:
        return Replace()
    if outcome.needs_body:
        return Replay(renewed=True) if not attempt.unauthorized and _may_send_again(attempt) else Deliver()
    if outcome.status == 401:
        return _after_401(attempt)
    if outcome.status in (429, 503):
        return _after_pause_asked(attempt, outcome.retry_after)
    return Deliver()


def _after_failure(attempt: Situation, error: Refused) -> Decision:
    """What ended without an answer is sent again once, if it was cut off and that can do nothing twice.

    A slow or absent Amazon is told to the client, which knows better how long it can wait.
    """
    if not isinstance(error, UpstreamClosed) or attempt.progress is Progress.UNCONNECTED:
        return GiveUp(error)
    harmless = attempt.reads or attempt.progress is Progress.UNSENT
    if harmless and attempt.cut == 0 and attempt.time_left > 0 and _may_send_again(attempt) and attempt.affordable:
        return Replay(renewed=False)
    return GiveUp(error, ReplayReason.CONNECTION if attempt.cut == 0 else None)


def _after_401(attempt: Situation) -> Decision:
    """Nothing was done: any request goes once more with a newer token. It costs the budget of retries nothing, as how
    often there is a newer token is bounded by itself."""
    if attempt.unauthorized:
        return Deliver()
    return Replay(renewed=True) if _may_send_again(attempt) else Deliver(ReplayReason.UNAUTHORIZED)


def _after_pause_asked(attempt: Situation, retry_after: float | None) -> Decision:
    """Neither 429 nor 503 proves that nothing was done: only what reads is sent again."""
    if retry_after is None or not attempt.retry_wait:
        return Deliver()
    within = attempt.waited + retry_after <= attempt.retry_wait
    if within and attempt.reads and attempt.affordable and _may_send_again(attempt):
        return Wait(retry_after)
    return Deliver(ReplayReason.THROTTLED)


def may_hedge(attempt: Situation) -> bool:
    """Whether to send a request with a late answer once more, on a second connection."""
    return attempt.reads and attempt.time_left > 0 and attempt.affordable and _may_send_again(attempt)


def _may_send_again(attempt: Situation) -> bool:
    return attempt.replayable and attempt.number < MAX_ATTEMPTS


def told(error: Refused, reads: bool, progress: Progress) -> Refused:
    """A failure as the client is told it: nothing invites to send a write again that may have been carried out."""
    if reads or progress not in _LEFT:
        return error
    return type(error)(f"{error.detail} {_MAY_HAVE_RUN}", close=error.close, retryable=False)


def outcome_of(reason: ReplayReason, status: int, refusing: frozenset[int]) -> ReplayOutcome:
    """Whether the response to the replay is still the failure that it was sent for. `refusing` are the statuses by
    which the API refuses a token."""
    failures = {ReplayReason.UNAUTHORIZED: refusing, ReplayReason.THROTTLED: (429, 503)}
    return ReplayOutcome.FAILED if status in failures.get(reason, ()) else ReplayOutcome.RECOVERED
