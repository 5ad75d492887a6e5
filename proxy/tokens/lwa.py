"""Login with Amazon on the wire: the sign-in address, and the two requests for tokens.

Every failure leaves here as a `TokenFailure`, whatever the network or the far side did; no other exception does
but cancellation. Nothing is kept: neither tokens nor credentials. No redirect is followed, no answer is read
beyond a bound, and nothing that is said about a failure holds a secret. What LWA is asked and answers:
docs/development/amazon-login.md, Token requests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from dataclasses import field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urljoin

from proxy.errors import AppMisconfigured, TokenAnswerMalformed, TokenFailure, TokenNetworkError, TokenTimeout
from proxy.net.session import opened, proxy_url, through, why_unreachable
from proxy.tokens.token_response import (
    MAX_RESPONSE_BYTES,
    TokenRequest,
    TokenResponse,
    host_of,
    parse_retry_after,
    parse_token_response,
    shown_url,
)
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import aiohttp

    from proxy.net.session import HttpSession
    from proxy.secret import Secret
    from proxy.tokens.token_response import Grant


USER_SCOPE: Final = "profile"
"""The scope with which a user lets Login with Amazon tell who they are."""
USER_PROFILE_PATH: Final = "/user/profile"
SECRET_FIELDS = ("client_secret", "refresh_token", "code", "code_verifier")


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """The application that asks. `older_secret` is tried once where the other is refused."""

    client_id: str
    client_secret: Secret
    older_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a person is asked to grant. `code_verifier` stays here; the page sees its challenge (RFC 7636)."""

    client_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    state: str = field(repr=False)
    code_verifier: Secret


def sign_in_url(auth_grant_url: str, request: AuthorizationRequest) -> str:
    """The address at which a person grants access (docs/development/amazon-login.md, Sign-in); several scopes are
    joined by a space."""
    query = {
        "client_id": request.client_id,
        "scope": " ".join(request.scopes),
        "response_type": "code",
        "redirect_uri": request.redirect_uri,
        "state": request.state,
        "code_challenge": code_challenge(request.code_verifier.reveal()),
        "code_challenge_method": "S256",
    }
    return f"{auth_grant_url}{'&' if '?' in auth_grant_url else '?'}{urlencode(query, quote_via=quote)}"


class LoginWithAmazon:
    """Asks token endpoints. One per process; it owns nothing but the given session.

    The session is made with `trust_env=False` and without a cookie jar. `proxy` is the outbound proxy's URL, which
    may hold a password. `timeout` bounds one request from connecting to the last byte of the answer.
    """

    def __init__(
        self,
        session: HttpSession,
        *,
        proxy: Secret | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._ssl: ssl.SSLContext | bool = ssl_context if ssl_context is not None else True
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<LoginWithAmazon: {self._timeout:g} s at most{through(self._proxy)}>"

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        """A new access token for a refresh token, or a `TokenFailure`."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
        return await self._request(token_url, credentials, form)

    async def exchange(
        self, token_url: str, credentials: AppCredentials, code: Secret, redirect_uri: str, code_verifier: Secret
    ) -> Grant:
        """The tokens for a code that the sign-in page gave, or a `TokenFailure`. The grant has a refresh token."""
        form = {
            "grant_type": "authorization_code",
            "code": code.reveal(),
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier.reveal(),
        }
        grant = await self._request(token_url, credentials, form)
        if grant.refresh_token is None:
            raise TokenAnswerMalformed("Login with Amazon answered the code without a refresh token.")
        return grant

    async def user_id(self, token_url: str, access_token: Secret) -> str:
        """What Login with Amazon calls the user of an access token with the scope `profile`; empty if it does not tell.

        The address is next to the token endpoint (docs/development/amazon-login.md, Consent).
        """
        url = urljoin(token_url, USER_PROFILE_PATH)
        headers = {"Authorization": f"Bearer {access_token.reveal()}", "Accept": "application/json"}
        with contextlib.suppress(TokenFailure, ValueError, RecursionError):
            answer = await self._answer("GET", url, headers)
            said = json.loads(answer.body) if answer.status == HTTPStatus.OK else None
            user = said.get("user_id") if isinstance(said, dict) else None
            return user if isinstance(user, str) else ""
        return ""

    async def _request(self, token_url: str, credentials: AppCredentials, form: Mapping[str, str]) -> Grant:
        try:
            return await self._request_with(token_url, credentials.client_id, credentials.client_secret, form)
        except AppMisconfigured:
            if credentials.older_secret is None:
                raise
        grant = await self._request_with(token_url, credentials.client_id, credentials.older_secret, form)
        return replace(grant, older_secret=True)

    async def _request_with(self, token_url: str, client_id: str, secret: Secret, form: Mapping[str, str]) -> Grant:
        whole = {**form, "client_id": client_id, "client_secret": secret.reveal()}
        secrets = tuple(whole[name] for name in SECRET_FIELDS if whole.get(name))
        started = time.monotonic()
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8", "Accept": "application/json"}
        response = await self._answer("POST", token_url, headers, urlencode(whole).encode())
        request = TokenRequest(form["grant_type"], client_id, secrets)
        return parse_token_response(request, response, time.monotonic() - started)

    async def _answer(
        self, method: str, token_url: str, headers: Mapping[str, str], data: bytes | None = None
    ) -> TokenResponse:
        session = await opened(self._session)
        from aiohttp import ClientError, ClientTimeout  # not above: see `proxy.net.session`

        host = host_of(token_url)
        try:
            async with session.request(
                method,
                token_url,
                data=data,
                headers={**headers, "Accept-Encoding": "identity", "User-Agent": "ads-proxy"},
                allow_redirects=False,
                timeout=ClientTimeout(total=self._timeout, connect=min(10.0, self._timeout)),
                ssl=self._ssl,
                proxy=proxy_url(self._proxy),
            ) as response:
                body = await _read(response.content)
                retry_after = parse_retry_after(response.headers.get("Retry-After"))
                location = response.headers.get("Location", "")
                return TokenResponse(response.status, body, retry_after, location, shown_url(token_url))
        except TimeoutError:
            way, limit = through(self._proxy), self._timeout
            raise TokenTimeout(f"{host} did not answer the token request{way} in {limit:g} seconds.") from None
        except (ClientError, OSError) as error:
            if words := why_unreachable(error, host, self._proxy):
                raise TokenNetworkError(f"Asking for a token failed: {words}.") from None
            raise TokenAnswerMalformed(f"{host} answered the token request with what is no HTTP.") from None
        except ValueError:  # a URL or a header that no request can be made of or an answer that is no HTTP
            raise TokenAnswerMalformed(f"{host} could not be asked, or answered what is no HTTP.") from None


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The answer's body, at most one byte beyond the bound."""
    body = bytearray()
    while len(body) <= MAX_RESPONSE_BYTES and (chunk := await stream.read(MAX_RESPONSE_BYTES + 1 - len(body))):
        body += chunk
    return bytes(body)


# --- Proof that who exchanges a code is who asked for it -------------------------------------------------


def code_challenge(verifier: str) -> str:
    """What of a verifier the authorization request shows (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
