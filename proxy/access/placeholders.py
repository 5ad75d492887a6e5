"""Tokens that the proxy issues instead of Amazon's: signed, expiring, useless anywhere else. Pure.

They look like LWA's (`Atza|...`, `Atzr|...`), because clients check that, and say who holds them and which account or
route they are bound to. The signature covers the digest of the holder's key, so that a new key invalidates the old
tokens. Who may have one is for `token_endpoint`; who may use one, for `clients`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ACCESS = b"Atza|ap1."
REFRESH = b"Atzr|ap1."
LIFETIME = 3600
"""Seconds an access placeholder lives, as Amazon's tokens do. Refresh placeholders do not expire."""

_MAX_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What a placeholder says. `client` is empty where no clients were configured, `bound` where nothing was chosen.

    `expires` is in seconds since the epoch; 0 means never. `subject` is the `sub` of the JWT it was issued for, empty
    for a key. `key_digest` is that of the key it was issued for: what was found to be so, not what it says.
    """

    client: str
    bound: str
    expires: int
    subject: str = ""
    key_digest: str = ""


class Holder(NamedTuple):
    """Who gets an access placeholder: the client, the digest of what it has shown, and the `sub` of its JWT."""

    client: str
    key_digest: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Issues and reads placeholders with one key, which outlives restarts."""

    key: bytes

    def issue_access(self, holder: Holder, bound: str, now: float, until: float = math.inf) -> str:
        """An access placeholder that lives `LIFETIME` seconds, but no longer than `until` (wall-clock time)."""
        expires = int(min(int(now) + LIFETIME, until))
        return self._seal(ACCESS, Placeholder(holder.client, bound, expires, holder.subject), holder.key_digest)

    def issue_refresh(self, client: str, key_digest: str, bound: str) -> str:
        """A refresh placeholder: what a client of the authorization_code grant refreshes with."""
        return self._seal(REFRESH, Placeholder(client, bound, 0), key_digest)

    def read(self, prefix: bytes, text: bytes, digests_of: Callable[[str], Iterable[str]]) -> Placeholder | None:
        """What a placeholder says if it is genuine, else None. Whether it has expired is not looked at.

        `digests_of` gives the key digests of a client's name, none for an unknown client.
        """
        if not text.startswith(prefix) or len(text) > _MAX_BYTES:
            return None
        payload, _, signature = text[len(prefix) :].partition(b".")
        found = _parse(payload)
        if found is None:
            return None
        for digest in digests_of(found.client):
            if hmac.compare_digest(sign(self.key, prefix, payload, digest), signature):
                return replace(found, key_digest=digest)
        return None

    def _seal(self, prefix: bytes, content: Placeholder, key_digest: str) -> str:
        said: list[str | int] = [content.client, content.bound, content.expires]
        payload = write_payload([*said, content.subject] if content.subject else said)
        return (prefix + payload + b"." + sign(self.key, prefix, payload, key_digest)).decode("ascii")

    def __repr__(self) -> str:
        return "Placeholders(***)"


def _parse(payload: bytes) -> Placeholder | None:
    try:
        content = read_payload(payload)
    except (ValueError, RecursionError):
        return None
    match content:
        case [str(client), str(bound), int(expires)]:
            return Placeholder(client, bound, expires)
        case [str(client), str(bound), int(expires), str(subject)]:
            return Placeholder(client, bound, expires, subject)
    return None


# --- Signed texts in the characters of a token --------------------------------------------------------------


def write_payload(content: list[str | int]) -> bytes:
    """Some values as letters, digits, `-` and `_`."""
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).rstrip(b"=")


def read_payload(payload: bytes) -> Any:
    """What `write_payload` was given. Raises `ValueError` or `RecursionError` for what it never returned."""
    return json.loads(base64.b64decode(payload + b"=" * (-len(payload) % 4), altchars=b"-_", validate=True))


def sign(key: bytes, prefix: bytes, payload: bytes, holder: str = "") -> bytes:
    """The signature of a payload. Texts of another `prefix` or `holder` have another one."""
    message = b"\n".join((prefix, payload, holder.encode()))
    return base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).rstrip(b"=")
