"""Sign-ins under way: each has a state that is random, used once, bound to the browser that began, soon forgotten."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from proxy.secret import Secret
from proxy.tokens.lwa import AuthorizationRequest, sign_in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.admin.view import SignInSource
    from proxy.profiles.replacement import Comparison
    from proxy.tokens.token_response import Grant

STATE_SECONDS: Final = 600
MAX_PENDING: Final = 256
TICKET_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that began. The browser keeps `cookie_value` under `cookie_name` until it comes back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    cookie_name: str
    cookie_value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What is remembered of a sign-in until the browser is back, and of one that waits for a person's word.

    `grant` is what Amazon granted, where it would take the place of a login that works; `comparison` is what of it.
    """

    source: SignInSource
    browser: bytes = field(repr=False)
    code_verifier: Secret
    grant: Grant | None = field(default=None, repr=False)
    comparison: Comparison | None = field(default=None, repr=False)


def cookie_name(state: str) -> str:
    """One cookie for each state, so that sign-ins in two tabs do not disturb each other."""
    return f"ads_proxy_sign_in_{hashlib.sha256(state.encode('utf-8', 'replace')).hexdigest()[:16]}"


class PendingSignIns:
    """The sign-ins under way, at most 256 of them."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, token: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._pending: TTLCache[str, PendingSignIn] = TTLCache(MAX_PENDING, STATE_SECONDS, clock)
        self._tickets: TTLCache[str, str] = TTLCache(MAX_PENDING, TICKET_SECONDS, clock)
        self._token = token

    def __repr__(self) -> str:
        return f"<PendingSignIns {len(self._pending)}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        state, browser = self._token(), self._token()
        verifier = Secret(self._token())
        self._pending[state] = PendingSignIn(source, _digest(browser), verifier)
        request = AuthorizationRequest(source.client_id, source.scopes, source.redirect_uri, state, verifier)
        url = sign_in_url(source.auth_grant_url, request)
        return BegunSignIn(url, state, cookie_name(state), browser)

    def ticket(self, account: str) -> str:
        """What shows, for a minute and once, that a person's own step for this account was taken here a moment ago."""
        ticket = self._token()
        self._tickets[ticket] = account
        return ticket

    def redeem(self, ticket: str, account: str) -> bool:
        return self._tickets.pop(ticket, "") == account

    def find(self, state: str, cookies: Mapping[str, str]) -> PendingSignIn | None:
        """The sign-in of a state, only for the browser that began it."""
        pending = self._pending.get(state)
        browser = cookies.get(cookie_name(state), "")
        if pending is None or not hmac.compare_digest(pending.browser, _digest(browser)):
            return None
        return pending

    def take(self, state: str, cookies: Mapping[str, str]) -> PendingSignIn | None:
        """As `find`, once."""
        pending = self.find(state, cookies)
        if pending is not None:
            del self._pending[state]
        return pending

    def forget(self, state: str) -> None:
        """Nobody comes back with this state any more."""
        self._pending.pop(state, None)

    def hold(self, state: str, pending: PendingSignIn, grant: Grant, comparison: Comparison) -> None:
        """Keep what was granted until the browser says what becomes of it; forgotten like any other."""
        self._pending[state] = replace(pending, grant=grant, comparison=comparison)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
