"""Who may sign in, and which tokens are good: apps, users, refresh tokens, codes and access tokens.

Only memory; no HTTP. The rules of the token endpoint are in `lwa`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.settings import SimulatorSettings


PRUNE_ABOVE = 5000


@dataclass(slots=True)
class App:
    """A security profile of Login with Amazon. Without `redirect_uris`, any address is taken.

    `older_secrets` are those that were replaced and are still good.
    """

    client_id: str
    client_secret: str
    older_secrets: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    authorized: bool = True

    def knows(self, secret: str) -> bool:
        """Whether a secret is good."""
        good = (self.client_secret, *self.older_secrets)
        return any(secrets.compare_digest(known.encode(), secret.encode()) for known in good)


@dataclass(slots=True)
class Grant:
    """A refresh token: one user's consent to one app. `dies_at` is set once it was rotated away.

    `consented_at` is in seconds since 1970; None: so long ago that the consent has no end.
    """

    token: str
    client_id: str
    user: str
    scope: str
    revoked: bool = False
    dies_at: float | None = None
    consented_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an access token stands for."""

    token: str
    client_id: str
    user: str
    refresh_token: str
    expires_at: float


@dataclass(slots=True)
class AuthorizationCode:
    """A code of the sign-in page, good once and for a short time."""

    code: str
    client_id: str
    user: str
    redirect_uri: str
    scope: str
    expires_at: float
    consented_at: float
    challenge: str | None = None
    challenge_method: str = "plain"
    used: bool = False


@dataclass(slots=True)
class Credentials:
    """Everything that Login with Amazon would remember. `now` gives the simulator's time in seconds.

    `calendar` gives the simulator's date, in seconds since 1970.
    """

    settings: SimulatorSettings
    now: Callable[[], float]
    calendar: Callable[[], float]
    apps: dict[str, App] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        self.apps[settings.client_id] = App(settings.client_id, settings.client_secret)
        first = self.add_grant(settings.client_id, "default", token=settings.refresh_token)
        first.consented_at = None if settings.consented_on is None else moment_of(settings.consented_on)

    def add_app(self, name: str) -> App:
        """Registers one more app, with credentials of its own."""
        app = App(f"amzn1.application-oa2-client.{name}", f"amzn1.oa2-cs.v1.{secrets.token_hex(16)}")
        self.apps[app.client_id] = app
        return app

    def add_grant(self, client_id: str, user: str, scope: str = "", *, token: str | None = None) -> Grant:
        """A new refresh token of `user` for the app `client_id`."""
        grant = Grant(token or self._new_token("Atzr|"), client_id, user, scope or "advertising::campaign_management")
        self.grants[grant.token] = grant
        return grant

    def grant_is_good(self, grant: Grant) -> bool:
        """Whether the refresh token can still be used."""
        alive = grant.dies_at is None or self.now() < grant.dies_at
        return alive and not grant.revoked and not self.consent_is_over(grant)

    def consent_is_over(self, grant: Grant) -> bool:
        """Whether the advertiser's consent has come to its end."""
        end = end_of(grant.consented_at)
        return end is not None and self.calendar() >= end

    def set_consent(self, consented_at: float | None, refresh_token: str | None = None) -> int:
        """Says when the consent of one refresh token, or of all, was given. Returns how many there are."""
        chosen = [g for g in self.grants.values() if refresh_token in (None, g.token)]
        for grant in chosen:
            grant.consented_at = consented_at
        return len(chosen)

    def rotate(self, grant: Grant) -> Grant:
        """The grant whose token goes into the answer: the same, or its successor."""
        if self.settings.rotation == "none":
            return grant
        if grant.dies_at is None:
            grace = self.settings.rotation_grace if self.settings.rotation == "grace" else 0.0
            grant.dies_at = self.now() + grace
        successor = self.add_grant(grant.client_id, grant.user, grant.scope)
        successor.consented_at = grant.consented_at
        return successor

    def mint(self, grant: Grant) -> AccessToken:
        """Issue one more access token; earlier ones stay good until they expire."""
        now = self.now()
        if len(self.access_tokens) > PRUNE_ABOVE:
            self.access_tokens = {k: t for k, t in self.access_tokens.items() if t.expires_at > now}
        expires_at = now + self.settings.access_token_lifetime
        token = AccessToken(self._new_token("Atza|"), grant.client_id, grant.user, grant.token, expires_at)
        self.access_tokens[token.token] = token
        return token

    def add_code(self, client_id: str, user: str, redirect_uri: str, scope: str) -> AuthorizationCode:
        """A code for the consent that `user` just gave."""
        expires_at = self.now() + self.settings.code_lifetime
        code = AuthorizationCode(
            secrets.token_urlsafe(15), client_id, user, redirect_uri, scope, expires_at, self.calendar()
        )
        self.codes[code.code] = code
        return code

    def expire_access_tokens(self) -> int:
        """All access tokens die now. Returns how many there were."""
        count = len(self.access_tokens)
        self.access_tokens.clear()
        return count

    def revoke(self, refresh_token: str | None = None, *, access_tokens: bool = False) -> int:
        """Revokes one refresh token, or all; with `access_tokens`, what was minted from them dies too."""
        chosen = [g for g in self.grants.values() if refresh_token in (None, g.token)]
        for grant in chosen:
            grant.revoked = True
        if access_tokens:
            gone = {g.token for g in chosen}
            self.access_tokens = {k: t for k, t in self.access_tokens.items() if t.refresh_token not in gone}
        return len(chosen)

    def restore(self) -> int:
        """Every revoked refresh token is good again."""
        chosen = [g for g in self.grants.values() if g.revoked]
        for grant in chosen:
            grant.revoked = False
        return len(chosen)

    def _new_token(self, prefix: str) -> str:
        length = max(self.settings.token_length - len(prefix), 16)
        return prefix + secrets.token_urlsafe(length)[:length]


# --- How long an advertiser's consent holds --------------------------------------------------------------

CUT_OFF = date(2026, 6, 30)
LIFETIME = timedelta(days=365)
ENDED = "User may have revoked or didn't grant the permission."
"""What Login with Amazon says of a consent that is over."""


def moment_of(day: str) -> float:
    """Seconds since 1970 of a day, or of a moment, in UTC. ValueError where it is none."""
    read = datetime.fromisoformat(day)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def as_text(moment: float) -> str:
    """A moment as people write it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def end_of(consented_at: float | None) -> float | None:
    """When a consent expires; None if it never expires, or its day is unknown."""
    if consented_at is None:
        return None
    given = datetime.fromtimestamp(consented_at, UTC)
    return (given + LIFETIME).timestamp() if given.date() >= CUT_OFF else None
