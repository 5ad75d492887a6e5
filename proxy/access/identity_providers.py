"""Identity providers, and what a JWT of theirs must say to be a client's. Pure.

A token is read here, and its claims are judged (RFC 7519, RFC 8725). Nothing here verifies a signature: that is for
`token_verification`. Refusals say what is wrong with a token, and nothing of what would be right.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from proxy.access.paths import PathPattern
from proxy.errors import TokenRefused
from proxy.strict_json import read_json
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

LEEWAY: Final = 60.0
"""Seconds by which the clock of a provider may differ from this machine's."""
MAX_TOKEN_BYTES: Final = 8192
"""The largest token that is decoded."""
MAX_SHOWN: Final = 200
"""Characters of a token's own text that a refusal or the log repeats."""
_FORM = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
_UNREAD: Final = "crit", "b64", "zip", "enc", "cty"
"""Members of a header that change how a token is read: none is implemented (RFC 7515, 4.1.11; RFC 8725, 3.11)."""
_LAST_MOMENT: Final = 253402300800.0
"""The end of the year 9999."""
_SEPARATOR = re.compile("([:/])")
_GET_ANOTHER: Final = "Get a new token from its issuer, and send that."


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Who signs tokens, for whom they must be, and with which algorithms they may be signed."""

    name: str
    issuer: str
    audience: str
    algorithms: frozenset[str]
    requires_nbf: bool = True
    """Whether its tokens have a time `nbf`: a few issuers leave it out."""


# --- What a client's token must say -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimPattern:
    """A text that a claim must have. `*` matches anything within one segment: segments end at `:` and at `/`."""

    text: str
    _parts: tuple[PathPattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parts", tuple(map(PathPattern.read, _SEPARATOR.split(self.text))))

    def matches(self, value: str) -> bool:
        """Whether a claim's text is like this, in linear time."""
        parts = _SEPARATOR.split(value)
        return len(parts) == len(self._parts) and all(
            pattern.matches(part.encode("utf-8", "surrogatepass"))
            for pattern, part in zip(self._parts, parts, strict=True)
        )


@dataclass(frozen=True, slots=True)
class TokenRule:
    """What a client's token must be: `provider` signed it, and each claim is like one of its patterns."""

    provider: IdentityProvider
    claims: tuple[tuple[str, tuple[ClaimPattern, ...]], ...]

    @property
    def digest(self) -> str:
        """A text in hexadecimal that another rule does not have: it stands where the digest of a key stands."""
        claims = [[name, [pattern.text for pattern in patterns]] for name, patterns in self.claims]
        said = json.dumps([self.provider.issuer, self.provider.audience, claims])
        return hashlib.sha256(b"jwt\n" + said.encode()).hexdigest()

    def find_misfit(self, claims: Mapping[str, Any]) -> str:
        """The name of the first claim that does not fit, empty if the token fits. Only texts fit: of a claim that is a
        list, one of its texts has to."""
        for name, patterns in self.claims:
            value = claims.get(name)
            texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
            if not any(pattern.matches(text) for pattern in patterns for text in texts):
                return name
        return ""


# --- Tokens -------------------------------------------------------------------------------------------------


def looks_like_token(text: bytes) -> bool:
    """Whether a credential has the form of a JWT: three parts in base64url (RFC 7515, 7.1). The last one may be empty,
    as that of a token without a signature is."""
    return text.count(b".") == 2 and _FORM.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a text says that looks like a token. Nothing of it is known to be true. `key_id` is empty for none."""

    algorithm: str
    key_id: str
    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def issuer(self) -> str:
        """The issuer that it names."""
        return str(self.claims["iss"])


def read_token(text: bytes) -> UnverifiedToken:
    """Read what looks like a token. Raises `TokenRefused` for what no reader should accept.

    Members that point to a key (`jku`, `jwk`, `x5u`, `x5c`) are not looked at (RFC 8725, 3.10).
    """
    if len(text) > MAX_TOKEN_BYTES:
        raise TokenRefused(f"The token is longer than {MAX_TOKEN_BYTES} bytes. {_GET_ANOTHER}")
    head, payload, signature = text.split(b".")
    header, claims = _read_object(head, "header"), _read_object(payload, "payload")
    kind, algorithm, key_id = header.get("typ", "JWT"), header.get("alg"), header.get("kid", "")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused(f"The token is of a type (typ) that is not accepted. {_GET_ANOTHER}")
    for name in _UNREAD:
        if name in header:
            raise TokenRefused(f"The header of the token has the member {name}, which is not accepted. {_GET_ANOTHER}")
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise TokenRefused(f"The header of the token has an alg or a kid that is no text. {_GET_ANOTHER}")
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise TokenRefused(f"The token has no issuer (iss). {_GET_ANOTHER}")
    return UnverifiedToken(algorithm, key_id, claims, head + b"." + payload, decode(signature))


def _read_object(part: bytes, name: str) -> Mapping[str, Any]:
    """The JSON object that a part of a token encodes."""
    try:
        found = read_json(decode(part), strictly=False)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokenRefused(f"The {name} of the token is not one unambiguous JSON object. {_GET_ANOTHER}")
    return found


def decode(part: bytes) -> bytes:
    """The bytes of a part in base64url, which has no padding. Raises `TokenRefused` for a length that none has, and for
    another spelling of the same bytes (RFC 4648, 3.5): the memories of tokens have their characters as keys."""
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except ValueError:
        decoded = b""
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise TokenRefused(f"A part of the token is not base64url. {_GET_ANOTHER}")
    return decoded


def check_times(claims: Mapping[str, Any], now: float, *, requires_nbf: bool = True) -> float:
    """The moment from which a token is accepted no more; `now` is wall-clock time. Raises `TokenRefused`."""
    ends, issued = _moment(claims, "exp"), _moment(claims, "iat")
    begins = _moment(claims, "nbf") if requires_nbf or "nbf" in claims else issued
    if now >= ends + LEEWAY:
        raise TokenRefused(f"The token expired at {_shown_moment(ends)}. {_GET_ANOTHER}")
    if now < begins - LEEWAY:
        raise TokenRefused(
            f"The token is not valid before {_shown_moment(begins)} (nbf). Wait, or set the clocks of both machines."
        )
    if now < issued - LEEWAY:
        raise TokenRefused(
            f"The token was issued at {_shown_moment(issued)} (iat), which is in the future. Set the clocks of both "
            "machines."
        )
    return ends + LEEWAY


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST_MOMENT:
        raise TokenRefused(f"The token has no time {name}, or none that is a number. {_GET_ANOTHER}")
    return float(value)


def _shown_moment(moment: float) -> str:
    """A moment as HTTP has it (RFC 9110, 5.6.7)."""
    return formatdate(moment, usegmt=True)


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """Raise `TokenRefused` for a token for another service. Of several, one suffices (RFC 7519, 4.1.3)."""
    value = claims.get("aud")
    audiences = value if isinstance(value, list) else [value]
    if not audiences or not all(isinstance(each, str) for each in audiences):
        raise TokenRefused(f"The token has no audience (aud), or none that is a text. {_GET_ANOTHER}")
    if audience not in audiences:
        raise TokenRefused(
            "The token is for another audience (aud). Ask its issuer for a token for this proxy; the operator of the "
            "proxy knows the audience."
        )


def shown(text: object) -> str:
    """A token's own text for people: printable ASCII of bounded length."""
    written = text if isinstance(text, str) else json.dumps(text)
    plain = written.encode("ascii", "backslashreplace").decode("ascii")
    plain = "".join(sign if sign.isprintable() else "?" for sign in plain)
    return plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}..."


def subject_of(claims: Mapping[str, Any]) -> str:
    """What log, audit and console call the holder of a token: its `sub`, empty where that is no text."""
    subject = claims.get("sub")
    return shown(subject) if isinstance(subject, str) else ""
