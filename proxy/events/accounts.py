"""What happened to accounts: their tokens, their consents, and the lists of what they reach. Never a secret."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.events.root import Event


class RefreshCause(StrEnum):
    """Why an access token was asked for."""

    START = "start"
    AHEAD = "ahead"
    """Renewed before it ends."""
    EXPIRED = "expired"
    UNAUTHORIZED = "unauthorized"
    """Amazon answered 401."""
    RETRY = "retry"
    """The attempt before failed."""
    PROBE = "probe"
    """To learn whether the refresh token still works."""
    OPERATOR = "operator"
    SIGN_IN = "sign-in"
    SHARED = "shared"
    """Another replica of the fleet asked for it."""
    CREDENTIALS_CHANGED = "credentials-changed"


@dataclass(frozen=True, slots=True)
class TokenRefreshed(Event):
    """A new access token is in use. `expires_at` is wall-clock time."""

    account: str
    generation: int
    duration: float
    expires_at: float
    trigger: RefreshCause


@dataclass(frozen=True, slots=True)
class TokenTakenOver(Event):
    """An access token that another replica was granted is in use here. `expires_at` is wall-clock time."""

    account: str
    generation: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshFailed(Event):
    """A token request failed. `reason` is the metric's label; `retry_in` is when it is tried again."""

    account: str
    reason: str
    permanent: bool
    detail: str
    advice: str
    duration: float
    retry_in: float
    token_expires_at: float | None
    """Wall-clock end of the token still in use, or None."""


@dataclass(frozen=True, slots=True)
class CredentialStateChanged(Event):
    """`old` and `new` are of pending, valid, degraded, expired, revoked, misconfigured."""

    account: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class SignInNeeded(Event):
    """An account has no refresh token, at start or from now on: nothing is asked of Amazon until somebody signs in."""

    account: str
    advice: str


@dataclass(frozen=True, slots=True)
class ConsentRecorded(Event):
    """What is known of an account's consent, at start and whenever it changes.

    `given_on` is a day (ISO 8601), empty where it is not known; `origin` is `sign-in`, `configuration` or empty;
    `ends_at` is None where the consent has no end, or its day is not known.
    """

    account: str
    given_on: str
    origin: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ConsentEnding(Event):
    """An account's consent ends within so many days: 30, 7 or 1, each told once."""

    account: str
    ends_at: float
    days: int
    advice: str


@dataclass(frozen=True, slots=True)
class ConsentEnded(Event):
    """An account's consent is over by its age: its refresh token brings no more access tokens."""

    account: str
    ends_at: float
    advice: str


@dataclass(frozen=True, slots=True)
class InvitationMade(Event):
    """Somebody at the console made a link that asks for an account's consent. `expires_at` is wall-clock time."""

    account: str
    invitation: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class InvitationUsed(Event):
    """An invited person gave the consent, and it is in force; the link is worth nothing from now on."""

    account: str
    invitation: str


@dataclass(frozen=True, slots=True)
class RefreshTokenReplaced(Event):
    """Another refresh token is in use. `source`: `rotated`, `sign-in`, `configuration`."""

    account: str
    source: str


@dataclass(frozen=True, slots=True)
class AccessTokenRefused(Event):
    """Amazon answers 401 to the access token in hand, and refuses to issue another: the account no longer serves."""

    account: str
    detail: str


@dataclass(frozen=True, slots=True)
class OlderRefreshTokenUsed(Event):
    """Amazon refuses the newer of two configured refresh tokens, and takes the older one."""

    account: str


@dataclass(frozen=True, slots=True)
class TokenUnpersisted(Event):
    """A rotated refresh token is in memory only (`unpersisted`), or its write held at last (`not unpersisted`)."""

    account: str
    unpersisted: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RefreshTokenLost(Event):
    """The program stops, or the account is removed, and its newest refresh token could not be written: `detail` says
    why not. The one before may be worth nothing any more."""

    account: str
    detail: str
    advice: str


@dataclass(frozen=True, slots=True)
class StoredTokenDamaged(Event):
    """What the store holds of an account cannot be used, or is gone. `restored`: it is written anew from memory;
    otherwise the account has the configured refresh token, or none."""

    account: str
    restored: bool
    detail: str


@dataclass(frozen=True, slots=True)
class AccountRemoved(Event):
    """An account left the configuration: its series end."""

    account: str


@dataclass(frozen=True, slots=True)
class ProfilesListed(Event):
    """`taken_over`: another replica of the fleet asked Amazon, and this one was handed the list."""

    account: str
    region: str
    count: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class SharedListDamaged(Event):
    """A list that replicas share cannot be read, or is another's. The next listing takes its place."""

    account: str
    url: str


@dataclass(frozen=True, slots=True)
class ProfilesFailed(Event):
    """Listing the profiles failed; what was known stays in use."""

    account: str
    region: str
    detail: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class AdsAccountsListed(Event):
    """`count` ads accounts are listed in this region; `total` are known of the account, each once. `taken_over` as of
    profiles."""

    account: str
    region: str
    count: int
    total: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class AdsAccountsFailed(Event):
    """Listing ads accounts and what else is beside the usual profiles failed; what was known stays in use."""

    account: str
    region: str
    detail: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class DefaultProfileChanged(Event):
    """`default_profile: first` now means another profile than before."""

    account: str
    region: str
    old: str
    new: str
