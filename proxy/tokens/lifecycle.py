"""A credential's states, what moves it from one to another, and when a token is asked for next.

Pure: times and randomness come as arguments (`chance` is in [0, 1)), nothing is awaited, no clock is read.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.backoff import backoff
from proxy.errors import RefreshTokenRevoked, TokenTimeout
from proxy.events import CredentialState, RefreshCause
from proxy.tokens.leases import FailedAttempt, Urgency
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.errors import TokenFailure

MAX_BACKOFF = 30.0
MAX_BACKOFF_WHILE_WAITING = 5.0
"""While requests wait for a token, seconds count more than a failed attempt."""
MAX_REFUSAL_BACKOFF = 300.0
MAX_RETRY_AFTER = 120.0
MAX_REQUEST_TIMEOUT = 30.0
MIN_INTERVAL = 0.5
"""No two planned refreshes are closer, however short the tokens live."""


class Trigger(StrEnum):
    """What moves a credential from one state to another."""

    GRANTED = "granted"
    TROUBLED = "troubled"
    """A token request failed for a reason that passes."""
    REFUSED_GRANT = "refused-grant"
    """`invalid_grant`."""
    REFUSED_APP = "refused-app"
    """`invalid_client` and other refusals of the request as such."""
    LAPSED = "lapsed"
    """The cached access token expired."""
    CHANGED = "changed"
    """Other credentials are in force; the cached access token still works."""
    RESET = "reset"
    """Other credentials are in force, and there is no access token."""


_S, _T = CredentialState, Trigger

TRANSITIONS: dict[tuple[CredentialState, Trigger], CredentialState] = {
    **{(state, _T.GRANTED): _S.VALID for state in CredentialState},
    **{(state, _T.REFUSED_GRANT): _S.REVOKED for state in CredentialState},
    **{(state, _T.REFUSED_APP): _S.MISCONFIGURED for state in CredentialState},
    **{(state, _T.RESET): _S.PENDING for state in CredentialState},
    # The others leave a state as it is, except these:
    **{(state, trigger): state for state in CredentialState for trigger in (_T.TROUBLED, _T.LAPSED, _T.CHANGED)},
    (_S.VALID, _T.TROUBLED): _S.DEGRADED,
    (_S.VALID, _T.LAPSED): _S.EXPIRED,
    (_S.DEGRADED, _T.LAPSED): _S.EXPIRED,
    (_S.EXPIRED, _T.CHANGED): _S.PENDING,
    (_S.REVOKED, _T.CHANGED): _S.DEGRADED,
    (_S.MISCONFIGURED, _T.CHANGED): _S.DEGRADED,
}


def next_state(state: CredentialState, trigger: Trigger) -> CredentialState:
    """The state that follows."""
    return TRANSITIONS[state, trigger]


def trigger_of(failure: TokenFailure) -> Trigger:
    """What a failed token request means for the credential."""
    if not failure.permanent:
        return Trigger.TROUBLED
    return Trigger.REFUSED_GRANT if isinstance(failure, RefreshTokenRevoked) else Trigger.REFUSED_APP


def urgency_of(cause: RefreshCause, waiting: int) -> Urgency:
    """How a fleet's pause after a failure holds an attempt back, where so many requests wait for it."""
    if cause is RefreshCause.OPERATOR:
        return Urgency.AT_ONCE
    return Urgency.AWAITED if waiting else Urgency.PLANNED


def lead(expires_in: float, refresh_ahead: float) -> float:
    """How long before expiry a token is renewed: `refresh_ahead`, or a quarter of a life too short for that."""
    return refresh_ahead if refresh_ahead < expires_in / 2 else expires_in / 4


def refresh_at(sent_at: float, expires_in: float, refresh_ahead: float, chance: float) -> float:
    """When to renew a token that was asked for at `sent_at`. Jitter of up to a fifth of the lead, only earlier."""
    ahead = lead(expires_in, refresh_ahead)
    return sent_at + max(MIN_INTERVAL, expires_in - ahead * (1 + chance / 5))


def retry_in_while_waiting(failure: TokenFailure, wait: float, chance: float) -> float:
    """Seconds to the next attempt where requests wait for a token and `retry_in` said `wait`.

    Five at most, the upper half of it random; but a refusal and a Retry-After stand as they are.
    """
    if failure.permanent:
        return wait
    asked = min(failure.retry_after or 0.0, MAX_RETRY_AFTER)
    return min(wait, max(asked, MAX_BACKOFF_WHILE_WAITING * (1 + chance) / 2))


def retry_in(failure: TokenFailure, failures: int, chance: float) -> float:
    """Seconds to the next attempt after `failure`, the last of so many in a row (1 or more).

    After a refusal: from half a minute, so that one odd answer costs little, to five minutes, and up to a fifth more by
    chance. After a passing failure: from half a second to 30, the upper half of it random. A longer Retry-After is
    honoured up to two minutes.
    """
    if failure.permanent:
        return backoff(failures, first=30.0, limit=MAX_REFUSAL_BACKOFF, jitter=(1.0, 1.2), chance=chance)
    wait = backoff(failures, first=0.5, limit=MAX_BACKOFF, jitter=(0.5, 1.0), chance=chance)
    return max(wait, min(failure.retry_after or 0.0, MAX_RETRY_AFTER))


def request_timeout(first: float, timeouts: int) -> float:
    """Seconds that a token request may take after so many in a row that took too long.

    One that hangs is given up soon, and the next gets as long; then each gets twice as long, up to half a minute, so
    that a slow endpoint is reached at last.
    """
    return max(first, backoff(timeouts, first=first, limit=MAX_REQUEST_TIMEOUT))


@dataclass(frozen=True, slots=True)
class RefreshSchedule:
    """When an access token is asked for next, and why: `due_at` is on the clock of `clock.boot_time`.

    `failures` counts those in a row that are of one kind, `permanent` or not, `timeouts` those in a row that took too
    long. After a failure, `wait` is how many seconds it was before `due_at`, and `sooner` how many at most where
    requests wait for the token.
    """

    due_at: float
    cause: RefreshCause
    failures: int = 0
    permanent: bool = False
    wait: float = 0.0
    sooner: float = 0.0
    timeouts: int = 0

    @classmethod
    def after_grant(cls, sent_at: float, expires_in: float, refresh_ahead: float, chance: float) -> RefreshSchedule:
        """A token requested at `sent_at` has arrived: renew it ahead."""
        return cls(refresh_at(sent_at, expires_in, refresh_ahead, chance), RefreshCause.AHEAD)

    def after_failure(self, failure: TokenFailure, now: float, chance: float) -> RefreshSchedule:
        """An attempt failed: try again, ever later."""
        in_a_row = self.failures if self.permanent == failure.permanent else 0
        wait = retry_in(failure, in_a_row + 1, chance)
        return RefreshSchedule(
            due_at=now + wait,
            cause=RefreshCause.RETRY,
            failures=in_a_row + 1,
            permanent=failure.permanent,
            wait=wait,
            sooner=retry_in_while_waiting(failure, wait, chance),
            timeouts=self.timeouts + 1 if isinstance(failure, TokenTimeout) else 0,
        )

    def counting(self, attempt: FailedAttempt) -> RefreshSchedule:
        """The failed attempts of a fleet count as one's own."""
        return replace(self, failures=attempt.failures, permanent=attempt.permanent)

    def failed_attempt(self, reason: str) -> FailedAttempt:
        """The news for the fleet about the last failed attempt."""
        return FailedAttempt(reason, self.permanent, self.failures, self.wait, min(self.wait, self.sooner))

    def held_back(self, attempt: FailedAttempt, now: float, waiting: int) -> RefreshSchedule:
        """Another replica's attempt failed: it is not for this one to try the same sooner. So many requests wait."""
        due_at, cause = now + attempt.wait, RefreshCause.RETRY
        counted = replace(self.counting(attempt), due_at=due_at, cause=cause, wait=attempt.wait, sooner=attempt.sooner)
        return counted.for_waiting_requests() if waiting else counted

    def for_waiting_requests(self) -> RefreshSchedule:
        """This schedule while requests wait for the token: after a failure the next attempt is due sooner."""
        if self.wait <= self.sooner:
            return self
        return replace(self, due_at=self.due_at - self.wait + self.sooner, wait=self.sooner)

    def after_expiry(self) -> RefreshSchedule:
        """The cached token expired before it was renewed."""
        return replace(self, cause=RefreshCause.EXPIRED) if self.cause is RefreshCause.AHEAD else self
