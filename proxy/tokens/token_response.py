"""What a token endpoint's response means: a grant, or a failure (docs/development/amazon-login.md, Token errors).

Pure: a status, a few fields and a body come in. Nothing that is said about a failure holds a secret.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit, urlunsplit

from proxy.errors import (
    AppMisconfigured,
    RefreshTokenRevoked,
    TokenAnswerMalformed,
    TokenRequestRejected,
    TokenServerError,
    TokenThrottled,
)
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RESPONSE_BYTES = 256 * 1024
"""The most bytes of a token response: far above any real one."""
DEFAULT_LIFETIME = 3600.0
"""Amazon's documented life of an access token, for an answer that does not say it in a usable way."""
MAX_LIFETIME = 86400.0
REJECTIONS = frozenset({"unauthorized_client", "invalid_request", "unsupported_grant_type", "invalid_scope"})

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Grant:
    """What Login with Amazon granted to the application `client_id`.

    `expires_in` counts from the sending of the request, `took` seconds ago. `refresh_token` is what came back, None
    where none did: then the one that was sent stays good. `older_secret` tells that the application's newer secret was
    refused and the older one was not.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: float
    client_id: str
    took: float = 0.0
    older_secret: bool = False

    def check_life(self) -> None:
        """Raises `TokenAnswerMalformed` where the access token was dead on arrival; the refresh token is good."""
        if self.expires_in <= self.took:
            raise TokenAnswerMalformed("Login with Amazon issued an access token that has already expired.")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What of a token request its response is read with. `secrets` are struck out of every text about it."""

    grant_type: str
    client_id: str
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token endpoint's response as `parse_token_response` needs it. `url` is whose, as a sentence may show it."""

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None
    location: str = ""
    url: str = ""


def parse_token_response(request: TokenRequest, response: TokenResponse, took: float) -> Grant:
    """The grant, or the failure that it raises; `took` is how long ago the request was sent.

    The status speaks first: only a 4xx can be final, whatever a body says.
    """
    document = _document(response.body)
    said = _describe_error(document, request.secrets)
    if response.status == 429:
        raise TokenThrottled(f"Login with Amazon asks to wait (429{said}).", retry_after=response.retry_after)
    if response.status >= 500 or response.status == 408:
        raise TokenServerError(f"Login with Amazon answered {response.status}{said}.", retry_after=response.retry_after)
    if 400 <= response.status < 500:
        _raise_refusal(response, request.grant_type, document.get("error"), said)
    if 300 <= response.status < 400:
        target = _printable(host_of(response.location), request.secrets)
        where = f" to {target}" if target else ""
        raise TokenAnswerMalformed(f"The token endpoint redirects ({response.status}{where}), which is never followed.")
    access_token = _access_token(response, document, said)
    expires_in = _lifetime(document.get("expires_in"))
    return Grant(access_token, _token(document.get("refresh_token")), expires_in, request.client_id, took)


def _raise_refusal(response: TokenResponse, grant_type: str, error: object, said: str) -> NoReturn:
    if error == "invalid_grant" and grant_type == "authorization_code":
        raise RefreshTokenRevoked(f"The code was refused{said}: a code works once and expires after five minutes.")
    if error == "invalid_grant":
        raise RefreshTokenRevoked(
            f"The refresh token was refused{said}: it is revoked or expired, or was issued to another client id."
        )
    if error == "invalid_client":
        raise AppMisconfigured(f"The client id or client secret was refused{said}.")
    if isinstance(error, str) and error in REJECTIONS:
        raise TokenRequestRejected(f"Login with Amazon refused the token request{said}.")
    raise TokenAnswerMalformed(
        f"{response.url} answered {response.status}{said} which is not an answer of Login with Amazon: "
        "check the address, and whether a proxy in between answers.",
        retry_after=response.retry_after,
    )


def _access_token(response: TokenResponse, document: Mapping[str, object], said: str) -> Secret:
    if response.status != 200:
        raise TokenAnswerMalformed(
            f"Login with Amazon answered {response.status}{said}, which is not a token response."
        )
    if len(response.body) > MAX_RESPONSE_BYTES:
        raise TokenAnswerMalformed(f"Login with Amazon answered with more than {MAX_RESPONSE_BYTES} bytes.")
    access_token = _token(document.get("access_token"))
    if access_token is None:
        what = "an empty body" if not response.body.strip() else f"no usable access token{said}"
        raise TokenAnswerMalformed(f"Login with Amazon answered 200 with {what}.")
    return access_token


def host_of(url: str) -> str:
    """The host to name in a sentence; empty where the address is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def shown_url(url: str) -> str:
    """An address as a sentence may show it: without user, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _document(body: bytes) -> dict[str, object]:
    """The body as a JSON object; empty for anything else."""
    if len(body) > MAX_RESPONSE_BYTES:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _token(value: object) -> Secret | None:
    """A token that fits in a header: visible ASCII, nothing else."""
    return Secret(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def _lifetime(value: object) -> float:
    """`expires_in` in seconds, from a number or its text; Amazon's documented hour where it cannot be read."""
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DEFAULT_LIFETIME
    if isinstance(value, float) and not math.isfinite(value):
        return DEFAULT_LIFETIME
    return float(min(max(value, 0), MAX_LIFETIME))


def parse_retry_after(value: str | None) -> float | None:
    """`Retry-After` in seconds; a date or anything else counts as unsaid."""
    return float(value) if value is not None and _SECONDS.fullmatch(value.strip()) else None


def _describe_error(document: Mapping[str, object], secrets: tuple[str, ...]) -> str:
    """Amazon's own words and request id, short and without secrets, as ` (…)`."""
    parts = [document.get("error"), document.get("error_description")]
    words = ": ".join(_printable(part, secrets) for part in parts if isinstance(part, str) and part)
    request_id = document.get("request_id")
    if isinstance(request_id, str) and request_id:
        words = f"{words}; request id {_printable(request_id, secrets)}".removeprefix("; ")
    return f" ({words})" if words else ""


def _printable(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(char if char.isprintable() else " " for char in text)[:200]
