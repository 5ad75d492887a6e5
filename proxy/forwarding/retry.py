"""What follows an attempt: deliver, send again, wait and send again, or give up. Pure. The one home of retry rules.

Nothing here is asked once a byte of the response has gone to the tool. Sources: docs/amazon.md for 401 and 429;
RFC 9110, 9.2.2 for which methods may be sent twice, and RFC 9112, 9.3.1 for a connection that dies under a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.errors import Refused, Throttled, UpstreamClosed

MAX_ATTEMPTS = 3
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class ReplayReason(StrEnum):
    """Why a request is sent again."""

    UNAUTHORIZED = "unauthorized"
    CONNECTION = "connection"
    THROTTLED = "throttled"


class ReplayOutcome(StrEnum):
    """What came of it."""

    RECOVERED = "recovered"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Situation:
    """An attempt and what came before it.

    `number` counts the heads that were sent, this attempt's included. `replayable` tells that the body so far is still
    kept. `reused` tells that the connection had served before. `unauthorized` counts replays for 401, `waited` the
    seconds spent waiting out Retry-After; `retry_wait` is the configured bound of these.
    """

    number: int
    method: bytes
    replayable: bool
    reused: bool
    unauthorized: int
    waited: float
    retry_wait: float


@dataclass(frozen=True, slots=True)
class Answered:
    """Amazon's answer began. `retry_after` is in seconds, None where it was absent or a date."""

    status: int
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Broken:
    """No byte of an answer came. `connected` tells that a connection was had, so that bytes may have reached Amazon."""

    error: Refused
    connected: bool


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand the answer to the tool as Amazon sent it."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the request again: with a newer token if `renewed`, else on a fresh connection.

    Without a newer token there is nothing to gain: the answer in hand is delivered.
    """

    renewed: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Send the request again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer the tool with this failure."""

    error: Refused


Outcome = Answered | Broken
Decision = Deliver | Replay | Wait | GiveUp


def decide(attempt: Situation, outcome: Outcome) -> Decision:
    """What to do next."""
    may_replay = attempt.replayable and attempt.number < MAX_ATTEMPTS
    if isinstance(outcome, Broken):
        return Replay(renewed=False) if may_replay and _died_idle(attempt, outcome) else GiveUp(outcome.error)
    if not may_replay:
        return Deliver()
    if outcome.status == 401 and attempt.unauthorized == 0:
        return Replay(renewed=True)
    if outcome.status == 429 and _may_wait(attempt, outcome.retry_after):
        return Wait(outcome.retry_after or 0.0)
    return Deliver()


def _may_wait(attempt: Situation, retry_after: float | None) -> bool:
    return retry_after is not None and 0 < attempt.retry_wait >= attempt.waited + retry_after


def before_sending(left: float, retry_wait: float) -> Wait | GiveUp:
    """What to do with a request while Amazon's Retry-After still runs, for `left` seconds: wait it out, or say so.

    Asked only where `retry_wait` is set: as a rule every request is Amazon's to judge.
    """
    if left <= retry_wait:
        return Wait(left)
    return GiveUp(Throttled(f"Amazon asked this account to wait, for {left:.0f} s more.", retry_after=left))


def _died_idle(attempt: Situation, outcome: Broken) -> bool:
    """A pooled connection closed under the request: most often Amazon had closed it while it was idle.

    Whether Amazon read the request cannot be known, so only methods that may be sent twice are. A fresh connection that
    closes has another cause; one that could not be made, or was slow, would cost the tool its time again.
    """
    return (
        outcome.connected
        and attempt.reused
        and attempt.method in IDEMPOTENT
        and isinstance(outcome.error, UpstreamClosed)
    )


def outcome_of(reason: ReplayReason, status: int) -> ReplayOutcome:
    """Whether the response to the replay is still the failure that it was sent for."""
    failures = {ReplayReason.UNAUTHORIZED: 401, ReplayReason.THROTTLED: 429}
    return ReplayOutcome.FAILED if failures.get(reason) == status else ReplayOutcome.RECOVERED
