"""What follows an attempt: deliver, send again, wait and send again, or give up. Pure; the one home of retry rules.

Nothing here is asked once a byte of the answer has gone to the tool. Sources: facts 7 and 8 for 401 and 429;
RFC 9110, 9.2.2 for which methods may be sent twice, and RFC 9112, 9.3.1 for a connection that dies under a request.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import Refused, Throttled, UpstreamClosed

MOST_ATTEMPTS = 3
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


@dataclass(frozen=True, slots=True)
class Attempt:
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


def decide(attempt: Attempt, outcome: Outcome) -> Decision:
    """What to do next."""
    may_replay = attempt.replayable and attempt.number < MOST_ATTEMPTS
    if isinstance(outcome, Broken):
        return Replay(renewed=False) if may_replay and _died_idle(attempt, outcome) else GiveUp(outcome.error)
    if not may_replay:
        return Deliver()
    if outcome.status == 401 and attempt.unauthorized == 0:
        return Replay(renewed=True)
    if outcome.status == 429 and _may_wait(attempt, outcome.retry_after):
        return Wait(outcome.retry_after or 0.0)
    return Deliver()


def _may_wait(attempt: Attempt, retry_after: float | None) -> bool:
    return retry_after is not None and 0 < attempt.retry_wait >= attempt.waited + retry_after


def before_sending(left: float, retry_wait: float) -> Wait | GiveUp:
    """What to do with a request while Amazon's Retry-After still runs, for `left` seconds: wait it out, or say so.

    Asked only where `retry_wait` is set: as a rule every request is Amazon's to judge.
    """
    if left <= retry_wait:
        return Wait(left)
    return GiveUp(Throttled(f"Amazon asked this account to wait, for {left:.0f} s more.", retry_after=left))


def _died_idle(attempt: Attempt, outcome: Broken) -> bool:
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
