"""Which links were made, revoked and used, in two documents of the state store.

Who makes and revokes writes the one, the server that sees a link used the other: so a command at a terminal never takes
back that a link was used.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from proxy.tokens.invitation import Invitation, InvitationState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.store import Store

MADE: Final = "invitations"
USED: Final = "invitations-used"
REMEMBERED_SECONDS: Final = 90 * 86400.0
"""How long a link that ended is still known by what ended it."""


class InvitationLedger:
    """The links of all accounts. Raises `StateError` where the store cannot be written."""

    def __init__(self, store: Store, wall: Callable[[], float]) -> None:
        self._store, self._wall = store, wall
        self._used: dict[str, float] = {}
        self._changing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<InvitationLedger: {len(self._used)} used since the start>"

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
