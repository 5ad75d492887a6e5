"""The inputs and outputs of the token side, as frozen values. No behaviour, no input or output."""

from __future__ import annotations

import random
import time
from dataclasses import field
from typing import TYPE_CHECKING

from proxy.clock import boot_time
from proxy.tokens.consent import Consent
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from proxy.secret import Secret


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How early to refresh, how long a request may wait, and how long a token request may take; all in seconds.

    After two that took too long, the next may take longer: `lifecycle.request_timeout`. `probe_interval` is how long a
    revoked refresh token may go unnoticed (`probe`); 0 for no probes.
    """

    refresh_ahead: float = 300.0
    request_wait: float = 10.0
    refresh_timeout: float = 8.0
    probe_interval: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenSource:
    """What the token side must know of an account. `refresh_token` is the configured one, if there is one.

    `older_secret` and `older_refresh_token` are tried where the other is refused. `consented_on` is the day of the
    consent behind the refresh token. `sign_in_url` is where a browser on this machine begins to sign in, empty where
    that is not known.
    """

    account: str
    token_url: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret | None
    sign_in_url: str = ""
    consented_on: date | None = None
    older_secret: Secret | None = None
    older_refresh_token: Secret | None = None

    @property
    def application(self) -> tuple[object, ...]:
        """The credentials of a request besides the refresh token: after a change, a failed request is tried again at
        once."""
        return self.token_url, self.client_id, self.client_secret, self.older_secret, self.older_refresh_token


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token in use. `generation` counts the account's tokens; `expires_at` is on the clock of `clock.boot_time`.

    `client_id` is that of the application it was minted for: Amazon takes a token with no other. `lineage` is the
    `fingerprint` of the refresh token that it was minted for, or of the one that replaced it.
    """

    account: str
    value: Secret
    generation: int
    expires_at: float
    client_id: str
    lineage: str = ""

    def is_same(self, other: AccessToken) -> bool:
        """Whether both are one of an account's tokens."""
        return self.generation == other.generation and self.value == other.value


@dataclass(frozen=True, slots=True)
class CredentialFailure:
    """Why the last token request failed. `reason` is the metric's label; `at` is wall-clock time."""

    reason: str
    permanent: bool
    detail: str
    advice: str
    at: float


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """One account's credential for people to look at. Every time is wall-clock time.

    `refresh_token_source` is `configuration`, `store` (rotated by Amazon and kept), `sign-in`, or empty where there
    is none. `refused` is whether Amazon answers 401 to the cached token. `last_failure` is None once a token came
    after it. `advice` says what to do, and is empty where nothing needs doing.
    """

    account: str
    state: str
    generation: int
    has_refresh_token: bool
    refresh_token_source: str
    expires_at: float | None
    last_success: float | None
    last_failure: CredentialFailure | None
    next_refresh_at: float | None
    unpersisted: bool
    advice: str
    consent: Consent = field(default_factory=Consent)
    older_secret_in_use: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks and the dice, so that tests can hold them. `clock` counts suspended time; `wall` is the epoch's."""

    clock: Callable[[], float] = boot_time
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random

    def wall_at(self, moment: float) -> float:
        """What the wall clock shows at a moment of `clock`."""
        return self.wall() + moment - self.clock()
