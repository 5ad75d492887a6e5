"""A credential's states, what moves it from one to another, and when it is asked for again.

Pure: times and randomness come as arguments (`chance` is in [0, 1)), nothing is awaited, no clock is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.errors import RefreshTokenRevoked

if TYPE_CHECKING:
    from proxy.errors import TokenFailure

LONGEST_BACKOFF = 30.0
SLOWEST_RETRY = 300.0
LONGEST_RETRY_AFTER = 120.0
SHORTEST_INTERVAL = 0.5
"""No two planned refreshes are closer, however short the tokens live."""


class State(StrEnum):
    """`pending`: no token yet. `valid`. `degraded`: a working token, but renewing it fails. `expired`: none in hand.
    `revoked`: a person must sign in. `misconfigured`: the application is wrong. The last two may still hold a
    token that works."""

    PENDING = "pending"
    VALID = "valid"
    DEGRADED = "degraded"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISCONFIGURED = "misconfigured"


class Occurrence(StrEnum):
    """What can happen to a credential."""

    GRANTED = "granted"
    TROUBLED = "troubled"
    """A token request failed for a reason that passes."""
    REFUSED_GRANT = "refused-grant"
    """`invalid_grant`."""
    REFUSED_APP = "refused-app"
    """`invalid_client` and other refusals of the request as such."""
    LAPSED = "lapsed"
    """The access token in hand expired."""
    CHANGED = "changed"
    """Other credentials are in force; the access token in hand still serves."""
    RESET = "reset"
    """Other credentials are in force, and there is no access token."""


_S, _O = State, Occurrence

TRANSITIONS: dict[tuple[State, Occurrence], State] = {
    **{(state, _O.GRANTED): _S.VALID for state in State},
    **{(state, _O.REFUSED_GRANT): _S.REVOKED for state in State},
    **{(state, _O.REFUSED_APP): _S.MISCONFIGURED for state in State},
    **{(state, _O.RESET): _S.PENDING for state in State},
    (_S.PENDING, _O.TROUBLED): _S.PENDING,
    (_S.VALID, _O.TROUBLED): _S.DEGRADED,
    (_S.DEGRADED, _O.TROUBLED): _S.DEGRADED,
    (_S.EXPIRED, _O.TROUBLED): _S.EXPIRED,
    (_S.REVOKED, _O.TROUBLED): _S.REVOKED,
    (_S.MISCONFIGURED, _O.TROUBLED): _S.MISCONFIGURED,
    (_S.PENDING, _O.LAPSED): _S.PENDING,
    (_S.VALID, _O.LAPSED): _S.EXPIRED,
    (_S.DEGRADED, _O.LAPSED): _S.EXPIRED,
    (_S.EXPIRED, _O.LAPSED): _S.EXPIRED,
    (_S.REVOKED, _O.LAPSED): _S.REVOKED,
    (_S.MISCONFIGURED, _O.LAPSED): _S.MISCONFIGURED,
    (_S.PENDING, _O.CHANGED): _S.PENDING,
    (_S.VALID, _O.CHANGED): _S.VALID,
    (_S.DEGRADED, _O.CHANGED): _S.DEGRADED,
    (_S.EXPIRED, _O.CHANGED): _S.PENDING,
    (_S.REVOKED, _O.CHANGED): _S.DEGRADED,
    (_S.MISCONFIGURED, _O.CHANGED): _S.DEGRADED,
}


def after(state: State, occurrence: Occurrence) -> State:
    """The state that follows."""
    return TRANSITIONS[state, occurrence]


def is_hopeless(state: State) -> bool:
    """Waiting does not help: a person has to do something first."""
    return state in (State.REVOKED, State.MISCONFIGURED)


def occurrence_of(failure: TokenFailure) -> Occurrence:
    """What a failed token request means for the credential."""
    if not failure.permanent:
        return Occurrence.TROUBLED
    return Occurrence.REFUSED_GRANT if isinstance(failure, RefreshTokenRevoked) else Occurrence.REFUSED_APP


def lead(expires_in: float, refresh_ahead: float) -> float:
    """How long before expiry a token is renewed: `refresh_ahead`, or a quarter of a life too short for that."""
    return refresh_ahead if refresh_ahead < expires_in / 2 else expires_in / 4


def refresh_at(sent_at: float, expires_in: float, refresh_ahead: float, chance: float) -> float:
    """When to renew a token that was asked for at `sent_at`. Jitter of up to a fifth of the lead, only earlier."""
    ahead = lead(expires_in, refresh_ahead)
    return sent_at + max(SHORTEST_INTERVAL, expires_in - ahead * (1 + chance / 5))


def backoff(failures: int, chance: float, retry_after: float | None = None) -> float:
    """Seconds to the next attempt after so many passing failures in a row (1 or more): doubling from half a second
    to 30, the upper half of it random. A longer Retry-After is honoured up to two minutes."""
    ceiling = min(LONGEST_BACKOFF, 0.5 * 2.0 ** min(failures - 1, 16))
    wait = ceiling * (1 + chance) / 2
    return max(wait, min(retry_after, LONGEST_RETRY_AFTER)) if retry_after is not None else wait


def slow_retry(failures: int, chance: float) -> float:
    """Seconds to the next attempt after so many refusals in a row (1 or more): from half a minute, so that one odd
    answer costs little, to five minutes, and up to a fifth more by chance."""
    return min(SLOWEST_RETRY, 30.0 * 2.0 ** min(failures - 1, 16)) * (1 + chance / 5)


def retry_in(failure: TokenFailure, failures: int, chance: float) -> float:
    """Seconds to the next attempt after `failure`, the last of so many in a row."""
    return slow_retry(failures, chance) if failure.permanent else backoff(failures, chance, failure.retry_after)


@dataclass(frozen=True, slots=True)
class Damper:
    """How many refreshes 401s may still cause: a bucket of `burst`, refilled by one each `interval` seconds.

    A 401 may be about the Scope (docs/amazon.md, Unauthorized); a tool that keeps sending a foreign one must not
    hammer the token endpoint.
    """

    left: float = 5.0
    at: float = 0.0
    burst: float = 5.0
    interval: float = 30.0

    def take(self, now: float) -> Damper | None:
        """The bucket after one refresh, or None if there is none to be had."""
        filled = min(self.burst, self.left + max(0.0, now - self.at) / self.interval)
        return Damper(filled - 1, now, self.burst, self.interval) if filled >= 1 else None
