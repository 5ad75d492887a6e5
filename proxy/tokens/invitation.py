"""Links that ask an advertiser for consent: what they hold, how they are signed, and whether one is still good.

A link names one account and its end, under a signature. `InvitationLedger` keeps what became of it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from proxy.tokens.delayed_writer import DelayedWriter
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.secret import Secret
    from proxy.tokens.store import Store


# --- Which links were made, revoked and used, in two documents of the state store ------------------------

MADE: Final = "invitations"
USED: Final = "invitations-used"
REMEMBERED_SECONDS: Final = 90 * 86400.0
"""How long a link that ended is still known by what ended it."""


class InvitationLedger:
    """The links of all accounts. Raises `StateError` where the store cannot be written.

    Between `begin` and `stop`, a use that could not be written is written later.
    """

    def __init__(self, store: Store, wall: Callable[[], float]) -> None:
        self._store, self._wall = store, wall
        self._used: dict[str, float] = {}
        self._changing = asyncio.Lock()
        self._writer = DelayedWriter(self._write_used)

    def __repr__(self) -> str:
        return f"<InvitationLedger: {len(self._used)} used since the start>"

    def begin(self) -> None:
        """Try again what cannot be written."""
        self._writer.begin()

    async def stop(self) -> None:
        """Write what is not written yet."""
        await self._writer.stop()

    async def all(self) -> tuple[Invitation, ...]:
        """Every link that is remembered, the newest last."""
        made = await self._store.read_document(MADE)
        used = {**_used(await self._store.read_document(USED)), **self._used}
        found = [_read(kept) for kept in (made if isinstance(made, list) else [])]
        return tuple(replace(each, used_at=used.get(each.id)) for each in found if each is not None)

    async def find(self, id_: str) -> Invitation | None:
        return next((each for each in await self.all() if each.id == id_), None)

    async def make(self, account: str, seconds: float, sender: str) -> Invitation:
        """A new link for an account, good for so many seconds."""
        now = self._wall()
        invitation = Invitation(secrets.token_hex(8), account, now, now + seconds, sender)
        async with self._changing:
            await self._write([*await self.all(), invitation])
        return invitation

    async def revoke(self, which: str) -> tuple[Invitation, ...]:
        """Ends the open links of an account, or the one of this id; gives those that were."""
        async with self._changing:
            known = await self.all()
            now = self._wall()
            ended = [
                each
                for each in known
                if which in (each.account, each.id) and state_of(each, now) is InvitationState.OPEN
            ]
            await self._write([replace(each, revoked=each.revoked or each in ended) for each in known])
        return tuple(ended)

    async def use(self, id_: str) -> None:
        """The link did what it was made for. It counts as used from now on, also where that cannot be written."""
        self._used[id_] = self._wall()
        try:
            await self._write_used()
        except BaseException:
            self._writer.changed()
            raise

    async def _write_used(self) -> None:
        async with self._changing:
            used = {**_used(await self._store.read_document(USED)), **self._used}
            oldest = self._wall() - REMEMBERED_SECONDS
            await self._store.write_document(USED, {id_: at for id_, at in used.items() if at > oldest})

    async def _write(self, invitations: list[Invitation]) -> None:
        oldest = self._wall() - REMEMBERED_SECONDS
        kept = [asdict(each) for each in invitations if each.expires_at > oldest]
        await self._store.write_document(MADE, kept)


def _used(document: object) -> dict[str, float]:
    if not isinstance(document, dict):
        return {}
    return {str(id_): float(at) for id_, at in document.items() if isinstance(at, int | float)}


def _read(kept: Any) -> Invitation | None:
    try:
        return Invitation(
            str(kept["id"]),
            str(kept["account"]),
            float(kept["made_at"]),
            float(kept["expires_at"]),
            str(kept["sender"]),
            bool(kept["revoked"]),
        )
    except (TypeError, KeyError, ValueError):
        return None


# --- Links that ask an advertiser for consent ------------------------------------------------------------

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
