"""Login with Amazon on the wire: the sign-in address, the two grants, and what each answer means.

Every failure leaves here as a `TokenFailure`, whatever the network or the far side did; no other exception does
but cancellation. Nothing is kept: neither tokens nor credentials. No redirect is followed, no answer is read
beyond a bound, and nothing that is said about a failure holds a secret. What LWA is asked and answers:
docs/amazon.md, Token requests.
"""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import aiohttp

from proxy.errors import (
    AppMisconfigured,
    RefreshTokenRevoked,
    TokenAnswerMalformed,
    TokenFailure,
    TokenNetworkError,
    TokenRequestRejected,
    TokenServerError,
    TokenThrottled,
    TokenTimeout,
)
from proxy.net.reachability import through, why_unreachable
from proxy.secret import Secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

ANSWER_BYTES = 256 * 1024
"""Far above any token answer; what is longer is not one."""
ASSUMED_LIFE = 3600.0
"""Amazon's documented life of an access token, for an answer that does not say it in a usable way."""
LONGEST_LIFE = 86400.0
REJECTIONS = frozenset({"unauthorized_client", "invalid_request", "unsupported_grant_type", "invalid_scope"})

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The application that asks."""

    client_id: str
    client_secret: Secret


@dataclass(frozen=True, slots=True)
class Grant:
    """What Login with Amazon granted. `expires_in` counts from the sending of the request, `took` seconds ago.

    `refresh_token` is what came back, None where none did: then the one that was sent stays good.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: float
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A token endpoint's answer as `judge` needs it. `url` is whose, as a sentence may show it."""

    status: int
    body: bytes
    retry_after: float | None = None
    location: str = ""
    url: str = ""


def sign_in_url(auth_grant_url: str, client_id: str, scopes: tuple[str, ...], redirect_uri: str, state: str) -> str:
    """The address at which a person grants access (docs/amazon.md, Sign-in); several scopes are joined by a space."""
    query = {
        "client_id": client_id,
        "scope": " ".join(scopes),
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{auth_grant_url}{'&' if '?' in auth_grant_url else '?'}{urlencode(query, quote_via=quote)}"


class LoginWithAmazon:
    """Asks token endpoints. One per process; it owns nothing but the given session.

    The session is made with `trust_env=False` and without a cookie jar. `proxy` is the outbound proxy's URL, which
    may hold a password. `timeout` bounds one request from connecting to the last byte of the answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        proxy: Secret | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._ssl: ssl.SSLContext | bool = ssl_context if ssl_context is not None else True
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(10.0, timeout))

    async def refresh(self, token_url: str, credentials: Credentials, refresh_token: Secret) -> Grant:
        """A new access token for a refresh token, or a `TokenFailure`."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
        return await self._ask(token_url, credentials, form)

    async def exchange(self, token_url: str, credentials: Credentials, code: Secret, redirect_uri: str) -> Grant:
        """The tokens for a code that the sign-in page gave, or a `TokenFailure`. The grant has a refresh token."""
        form = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
        grant = await self._ask(token_url, credentials, form)
        if grant.refresh_token is None:
            raise TokenAnswerMalformed("Login with Amazon answered the code without a refresh token.")
        return grant

    async def _ask(self, token_url: str, credentials: Credentials, form: Mapping[str, str]) -> Grant:
        whole = {**form, "client_id": credentials.client_id, "client_secret": credentials.client_secret.reveal()}
        secrets = tuple(whole[name] for name in ("client_secret", "refresh_token", "code") if whole.get(name))
        started = time.monotonic()
        answer = await self._post(token_url, whole)
        return judge(answer, form["grant_type"], secrets, took=time.monotonic() - started)

    async def _post(self, token_url: str, form: Mapping[str, str]) -> Answer:
        host = _host(token_url)
        try:
            async with self._session.post(
                token_url,
                data=urlencode(form).encode(),
                headers={
                    "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": "ads-proxy",
                },
                allow_redirects=False,
                timeout=self._timeout,
                ssl=self._ssl,
                proxy=self._proxy.reveal() if self._proxy is not None else None,
            ) as response:
                body = await _read(response.content)
                retry_after = parse_retry_after(response.headers.get("Retry-After"))
                location = response.headers.get("Location", "")
                return Answer(response.status, body, retry_after, location, _shown(token_url))
        except TimeoutError:
            way, limit = through(self._proxy), self._timeout.total
            raise TokenTimeout(f"{host} did not answer the token request{way} in {limit:g} seconds.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._network_failure(host, error) from None
        except ValueError:  # a URL or a header that no request can be made of or an answer that is no HTTP
            raise TokenAnswerMalformed(f"{host} could not be asked, or answered what is no HTTP.") from None

    def _network_failure(self, host: str, error: Exception) -> TokenFailure:
        if words := why_unreachable(error, host, self._proxy):
            return TokenNetworkError(f"Asking for a token failed: {words}.")
        return TokenAnswerMalformed(f"{host} answered the token request with what is no HTTP.")


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The answer's body, at most one byte beyond the bound."""
    body = bytearray()
    while len(body) <= ANSWER_BYTES and (chunk := await stream.read(ANSWER_BYTES + 1 - len(body))):
        body += chunk
    return bytes(body)


def judge(answer: Answer, grant_type: str, secrets: tuple[str, ...] = (), *, took: float = 0.0) -> Grant:
    """What an answer means: a grant, or the failure that it raises (docs/amazon.md, Token errors). Pure.

    The status speaks first: only a 4xx can be final, whatever a body says. `secrets` are struck out of every text.
    """
    document = _document(answer.body)
    said = _said(document, secrets)
    if answer.status == 429:
        raise TokenThrottled(f"Login with Amazon asks to wait (429{said}).", retry_after=answer.retry_after)
    if answer.status >= 500 or answer.status == 408:
        raise TokenServerError(f"Login with Amazon answered {answer.status}{said}.", retry_after=answer.retry_after)
    if 400 <= answer.status < 500:
        _raise_refusal(answer, grant_type, document.get("error"), said)
    if 300 <= answer.status < 400:
        target = _printable(_host(answer.location), secrets)
        where = f" to {target}" if target else ""
        raise TokenAnswerMalformed(f"The token endpoint redirects ({answer.status}{where}), which is never followed.")
    return _grant(answer, document, said, took)


def _raise_refusal(answer: Answer, grant_type: str, error: object, said: str) -> NoReturn:
    if error == "invalid_grant" and grant_type == "authorization_code":
        raise RefreshTokenRevoked(f"The code was refused{said}: a code serves once and dies after five minutes.")
    if error == "invalid_grant":
        raise RefreshTokenRevoked(f"The refresh token was refused{said}: it is revoked or expired.")
    if error == "invalid_client":
        raise AppMisconfigured(f"The client id or client secret was refused{said}.")
    if isinstance(error, str) and error in REJECTIONS:
        raise TokenRequestRejected(f"Login with Amazon refused the token request{said}.")
    raise TokenAnswerMalformed(
        f"{answer.url} answered {answer.status}{said} in a way that says nothing about the credentials: "
        "is it the address of Login with Amazon, and does nothing between answer in its stead?",
        retry_after=answer.retry_after,
    )


def _grant(answer: Answer, document: Mapping[str, object], said: str, took: float) -> Grant:
    if answer.status != 200:
        raise TokenAnswerMalformed(f"Login with Amazon answered {answer.status}{said}, which is no token answer.")
    if len(answer.body) > ANSWER_BYTES:
        raise TokenAnswerMalformed(f"Login with Amazon answered with more than {ANSWER_BYTES} bytes.")
    access_token = _token(document.get("access_token"))
    if access_token is None:
        what = "an empty body" if not answer.body.strip() else f"no usable access token{said}"
        raise TokenAnswerMalformed(f"Login with Amazon answered 200 with {what}.")
    expires_in = _life(document.get("expires_in"))
    if expires_in <= took:
        raise TokenAnswerMalformed("Login with Amazon granted an access token that has already expired.")
    return Grant(access_token, _token(document.get("refresh_token")), expires_in, took)


def _host(url: str) -> str:
    """The host to name in a sentence; empty where the address is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _shown(url: str) -> str:
    """An address as a sentence may show it: without user, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _document(body: bytes) -> dict[str, object]:
    """The body as a JSON object; empty for anything else."""
    if len(body) > ANSWER_BYTES:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _token(value: object) -> Secret | None:
    """A token that can stand in a header: visible ASCII, nothing else."""
    return Secret(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def _life(value: object) -> float:
    """`expires_in` in seconds, from a number or its text; Amazon's documented hour where it cannot be read."""
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ASSUMED_LIFE
    if isinstance(value, float) and not math.isfinite(value):
        return ASSUMED_LIFE
    return float(min(max(value, 0), LONGEST_LIFE))


def parse_retry_after(value: str | None) -> float | None:
    """`Retry-After` in seconds; a date or anything else counts as unsaid."""
    return float(value) if value is not None and _SECONDS.fullmatch(value.strip()) else None


def _said(document: Mapping[str, object], secrets: tuple[str, ...]) -> str:
    """Amazon's own words and request id, short and without secrets, as ` (…)`."""
    parts = [document.get("error"), document.get("error_description")]
    words = ": ".join(_printable(part, secrets) for part in parts if isinstance(part, str) and part)
    request_id = document.get("request_id")
    if isinstance(request_id, str) and request_id:
        words = f"{words}; request id {_printable(request_id, secrets)}" if words else f"request id {request_id[:100]}"
    return f" ({words})" if words else ""


def _printable(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(char if char.isprintable() else " " for char in text)[:200]
