"""A person signs in: the address to send them to, the one-time state that brings them back, and what came of it.

The flow and its outcomes live here, free of HTTP: cookies and parameters are handed in, a `SignInResult` comes out. A
state is random, used once, bound to the browser that began, and forgotten after ten minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from cachetools import TTLCache

from proxy.admin.pages import SignInResult
from proxy.errors import AdsProxyError, RefreshTokenRevoked, TokenFailure
from proxy.events import Event, Observer, SignInFinished
from proxy.secret import Secret
from proxy.tokens.lwa import sign_in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.admin.view import AdminView, ProfileView, SignInSource

STATE_SECONDS: Final = 600
MAX_PENDING: Final = 256
CALLBACK_PATH: Final = "/login/callback"


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that began. The browser keeps `cookie_value` under `cookie_name` until it comes back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    cookie_name: str
    cookie_value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What is remembered of a sign-in until the browser is back."""

    source: SignInSource
    browser: bytes = field(repr=False)


def cookie_name(state: str) -> str:
    """One cookie for each state, so that sign-ins in two tabs do not disturb each other."""
    return f"ads_proxy_sign_in_{hashlib.sha256(state.encode('utf-8', 'replace')).hexdigest()[:16]}"


class PendingSignIns:
    """The sign-ins under way, at most 256 of them."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, token: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._pending: TTLCache[str, PendingSignIn] = TTLCache(MAX_PENDING, STATE_SECONDS, clock)
        self._token = token

    def __repr__(self) -> str:
        return f"<PendingSignIns {len(self._pending)}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        state, browser = self._token(), self._token()
        self._pending[state] = PendingSignIn(source, _digest(browser))
        url = sign_in_url(source.auth_grant_url, source.client_id, source.scopes, source.redirect_uri, state)
        return BegunSignIn(url, state, cookie_name(state), browser)

    def take(self, state: str, cookies: Mapping[str, str]) -> PendingSignIn | None:
        """The sign-in of a state, once, and only for the browser that began it."""
        kept = self._pending.get(state)
        browser = cookies.get(cookie_name(state), "")
        if kept is None or not hmac.compare_digest(kept.browser, _digest(browser)):
            return None
        del self._pending[state]
        return kept


class SignInFlow:
    """Finishes sign-ins: exchanges the code, hands over what was granted, lists the profiles, and tells observers."""

    def __init__(self, view: AdminView, observer: Observer, pending: PendingSignIns) -> None:
        self._view, self._observer, self._pending = view, observer, pending

    def __repr__(self) -> str:
        return f"<SignInFlow {self._pending!r}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        return self._pending.begin(source)

    async def finish(self, parameters: Mapping[str, str], cookies: Mapping[str, str]) -> SignInResult:
        """What came of it. `parameters` are those that Amazon's redirect carries."""
        pending = self._pending.take(parameters.get("state", ""), cookies)
        if pending is None:
            return self._end(_unknown_state())
        source = pending.source
        if "error" in parameters:
            return self._end(_denied(source, parameters["error"], parameters.get("error_description", "")))
        code = parameters.get("code", "")
        if not code:
            return self._end(_no_code(source))
        try:
            grant = await self._view.exchange(source, Secret(code))
            await self._view.adopt(source.account, grant)
        except RefreshTokenRevoked as failure:
            return self._end(_code_rejected(source, failure))
        except AdsProxyError as failure:
            return self._end(_failed(source, failure))
        return self._end(await self._connected(source.account))

    async def _connected(self, account: str) -> SignInResult:
        try:
            profiles = await self._view.list_profiles(account)
        except AdsProxyError as failure:
            return _connected(account, (), f"Its profiles could not be listed yet: {failure}")
        return _connected(account, profiles, "" if profiles else _NO_PROFILES)

    def _end(self, result: SignInResult) -> SignInResult:
        event: Event = SignInFinished(result.account, result.outcome, f"{result.detail} {result.advice}".strip())
        self._observer.observe(event)
        return result


def landing_parameters(landing: str) -> dict[str, str]:
    """The parameters of a pasted landing address, or a bare code. The first of a name counts."""
    text = landing.strip()
    if "?" not in text and "=" not in text:
        return {"code": text} if text else {}
    query = (text.partition("?")[2] or text).partition("#")[0]
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def comes_back_here(redirect_uri: str) -> bool:
    """Whether the configured redirect address looks like this listener's callback."""
    return urlsplit(redirect_uri).path == CALLBACK_PATH


def right_host(source: SignInSource, host: str, moved: bool) -> str | None:
    """Where the sign-in must begin so that its cookie meets the callback: the redirect address's own host.

    A person at 127.0.0.1 whose redirect address is at localhost is moved there, once.
    """
    wanted = urlsplit(source.redirect_uri)
    if moved or not comes_back_here(source.redirect_uri) or wanted.hostname == urlsplit(f"//{host}").hostname:
        return None
    return f"{wanted.scheme}://{wanted.netloc}/login/{quote(source.account)}?at=1"


_NO_PROFILES: Final = (
    "The login works, but it sees no advertising profile in any region: sign in as a user who has access to one."
)


def _connected(account: str, profiles: tuple[ProfileView, ...], advice: str) -> SignInResult:
    regions = ", ".join(dict.fromkeys(profile.region for profile in profiles))
    found = f" {len(profiles)} profiles were found in {regions}." if profiles else ""
    return SignInResult(
        account, "connected", f"{account} is connected", f"Its token is in use.{found}", advice, profiles
    )


def _unknown_state() -> SignInResult:
    return SignInResult(
        account="",
        outcome="state-unknown",
        title="This sign-in is not known",
        detail="It was begun more than ten minutes ago, in another browser, before a restart, or it was used already.",
        advice="Go to the console and press Connect again, in the browser in which you finish.",
        status=400,
    )


def _denied(source: SignInSource, error: str, description: str) -> SignInResult:
    if error == "access_denied":
        return SignInResult(
            account=source.account,
            outcome="denied",
            title="Access was not granted",
            detail=f"The sign-in for {source.account} ended without consent.",
            advice="Try again and press Allow, as a user who has access to the advertising account.",
            status=403,
        )
    said = f"{error[:80]}: {description[:300]}" if description else error[:80]
    return SignInResult(
        account=source.account,
        outcome="failed",
        title="Amazon refused the sign-in",
        detail=f"The sign-in page answered {said}.",
        advice=(
            "Compare scopes, client id and the allowed return URLs of the Login with Amazon security profile with "
            f"the account's configuration; {source.redirect_uri} must be among the return URLs."
        ),
        status=400,
    )


def _no_code(source: SignInSource) -> SignInResult:
    return SignInResult(
        account=source.account,
        outcome="code-rejected",
        title="There is no code in the address",
        detail="The address that came back holds neither a code nor an error.",
        advice="Copy the whole address of the page you landed on, from https to its end.",
        status=400,
    )


def _code_rejected(source: SignInSource, failure: TokenFailure) -> SignInResult:
    return SignInResult(
        account=source.account,
        outcome="code-rejected",
        title="The code was not accepted",
        detail=failure.detail,
        advice=(
            "A code works once, within five minutes, for the application and the redirect address that asked for it: "
            "sign in again."
        ),
        status=400,
    )


def _failed(source: SignInSource, failure: AdsProxyError) -> SignInResult:
    detail = failure.detail if isinstance(failure, TokenFailure) else str(failure)
    advice = failure.advice if isinstance(failure, TokenFailure) else "Look at the proxy's log, then sign in again."
    return SignInResult(source.account, "failed", "The sign-in could not be finished", detail, advice, status=502)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
