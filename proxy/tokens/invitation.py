"""Links that ask an advertiser for consent: what they hold, how they are signed, and whether one is still good. Pure.

A link names one account and its end, under a signature; what became of it is kept in `invitation_ledger`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.secret import Secret

PATH: Final = "/invite"
MAX_TOKEN_LENGTH: Final = 1024


class InvitationState(StrEnum):
    """What a link is worth."""

    OPEN = "open"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    """Never made here, or forgotten since."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that was made. Every time is wall-clock time; `sender` is who asks, as the page names them."""

    id: str
    account: str
    made_at: float
    expires_at: float
    sender: str = ""
    revoked: bool = False
    used_at: float | None = None


@dataclass(frozen=True, slots=True)
class InvitationClaim:
    """What a link says of itself."""

    id: str
    account: str
    expires_at: int


def state_of(invitation: Invitation | None, now: float) -> InvitationState:
    """What a link is worth now."""
    if invitation is None:
        return InvitationState.UNKNOWN
    if invitation.used_at is not None:
        return InvitationState.USED
    if invitation.revoked:
        return InvitationState.REVOKED
    return InvitationState.EXPIRED if now >= invitation.expires_at else InvitationState.OPEN


def signing_key(client_secret: Secret) -> bytes:
    """The key of an account's links. Another secret of the application makes older links worthless."""
    return hmac.new(b"ads-proxy invitation", client_secret.reveal().encode(), hashlib.sha256).digest()


def sign(invitation: Invitation, key: bytes) -> str:
    """The last part of a link's path."""
    claim = [invitation.id, invitation.account, int(invitation.expires_at)]
    payload = _encode(json.dumps(claim, separators=(",", ":")).encode())
    return f"{payload}.{_encode(_signature(payload, key))}"


def link(url: str, invitation: Invitation, key: bytes) -> str:
    """The address to send to the advertiser; `url` is where the listener for invitations is reached."""
    return f"{url}{PATH}/{sign(invitation, key)}"


def read_claim(token: str) -> InvitationClaim | None:
    """What a link says of itself, not yet believed; None where it is no link of ours."""
    payload = token.partition(".")[0]
    if len(token) > MAX_TOKEN_LENGTH:
        return None
    try:
        id_, account, expires_at = json.loads(_decode(payload))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        return None
    if not isinstance(id_, str) or not isinstance(account, str) or type(expires_at) is not int:
        return None
    return InvitationClaim(id_, account, expires_at)


def is_signed(token: str, key: bytes) -> bool:
    """Whether a link was made with this key."""
    payload, _, signature = token.partition(".")
    try:
        return hmac.compare_digest(_decode(signature), _signature(payload, key))
    except (ValueError, binascii.Error):
        return False


def _signature(payload: str, key: bytes) -> bytes:
    return hmac.new(key, payload.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
