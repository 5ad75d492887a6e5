"""Leases in Redis or Valkey. Where the server is away, nobody waits: each replica mints for itself.

What is published names the account, the application and the refresh token it is for, within what is encrypted; whoever
finds another there than it wants takes no notice of it. A lease is short and renewed while it is used, so that a holder
that died holds nobody up for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken

from proxy.errors import StateError
from proxy.secret import Secret
from proxy.tokens import lease_scripts as scripts
from proxy.tokens.leases import FailedAttempt, LeaseOfNobody, SharedToken, TokenWanted
from proxy.tokens.redis_connection import NEWS, digest
from proxy.tokens.token_response import Grant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.fernet import MultiFernet

    from proxy.tokens.leases import Lease, Urgency
    from proxy.tokens.redis_connection import RedisConnection

LEASE: Final = 4.0
"""Seconds for which a lease holds that is not renewed."""
RENEWAL: Final = 1.0
POLL: Final = 0.2
"""Seconds between two looks at whether the holder has done."""
TURN: Final = 0.25
"""Seconds for which whoever failed last leaves the next attempt to the others: one without a way to Amazon keeps none
from it."""
_RENEWALS: Final = 90
"""A holder that never ends gives way at last."""


@dataclass(frozen=True, slots=True)
class RedisLease:
    """The right to ask for a token, under this fence. Nothing is `shared`: there was nothing to hand over."""

    leases: RedisLeases
    wanted: TokenWanted
    fence: int
    shared: SharedToken | None = None
    failed: FailedAttempt | None = None
    held_back: FailedAttempt | None = None

    async def fail(self, attempt: FailedAttempt) -> None:
        await self.leases.fail(self.wanted, attempt, self.fence)

    async def publish(self, grant: Grant, lineage: str) -> int:
        return await self.leases.publish(replace(self.wanted, lineage=lineage), grant, self.fence)


class RedisLeases:
    """See `leases.Leases`. Each replica has one, for all its accounts."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet) -> None:
        self._connection = connection
        self._cipher = cipher
        self._holder = secrets.token_hex(8)

    def __repr__(self) -> str:
        return f"<RedisLeases of {self._holder} at {self._connection.address}>"

    @contextlib.asynccontextmanager
    async def lease(self, wanted: TokenWanted, urgency: Urgency) -> AsyncIterator[Lease]:
        lease = await self._turn(wanted, urgency)
        if not isinstance(lease, RedisLease):
            yield lease
            return
        renewing = asyncio.create_task(self._renew(lease), name=f"keep the lease of {wanted.account}")
        try:
            yield lease
        finally:
            renewing.cancel()
            with contextlib.suppress(StateError):
                await self._connection.run(scripts.RELEASE, (_key(wanted),), self._holder, lease.fence)

    async def newest(self, wanted: TokenWanted) -> SharedToken | None:
        try:
            found = await self._connection.run(scripts.NEWEST, (_key(wanted),), wanted.known)
        except StateError:
            return None
        return self._open(wanted, *found) if found else None

    async def announce(self, wanted: TokenWanted, grant: Grant) -> int:
        content, life = self._seal(wanted, grant)
        keys = _key(wanted), NEWS
        try:
            return int(await self._connection.run(scripts.SEIZE, keys, content, life, digest(wanted.account)))
        except StateError:
            return 0

    async def publish(self, wanted: TokenWanted, grant: Grant, fence: int) -> int:
        """Gives the fence where it was taken, else 0."""
        content, life = self._seal(wanted, grant)
        words = self._holder, fence, content, life, digest(wanted.account)
        try:
            return fence if await self._connection.run(scripts.PUBLISH, (_key(wanted), NEWS), *words) else 0
        except StateError:
            return 0

    async def fail(self, wanted: TokenWanted, attempt: FailedAttempt, fence: int) -> None:
        """Ends the lease, and keeps all who would send the same from asking for a while."""
        told = f"{attempt.reason} {int(attempt.permanent)} {attempt.failures}"
        words = self._holder, fence, digest(wanted.sent), int(attempt.wait * 1000), int(attempt.sooner * 1000), told
        with contextlib.suppress(StateError):
            await self._connection.run(scripts.FAIL, (_key(wanted),), *words)

    async def _turn(self, wanted: TokenWanted, urgency: Urgency) -> Lease:
        """Waits for the lease, or for what its holder was granted."""
        known = wanted.known
        while True:
            try:
                words = known, self._holder, int(LEASE * 1000), digest(wanted.sent), urgency, int(TURN * 1000)
                told, *rest = await self._connection.run(scripts.ACQUIRE, (_key(wanted),), *words)
            except StateError:
                return LeaseOfNobody()
            if told == b"granted":
                return RedisLease(self, wanted, int(rest[0]), failed=_failed(rest[1], b"0", b"0"))
            if told == b"failed":
                return LeaseOfNobody(held_back=_failed(*rest))
            if told == b"held":
                await asyncio.sleep(min(POLL, int(rest[0]) / 1000 + 0.001))
                continue
            shared = self._open(wanted, *rest)
            if shared is not None:
                return LeaseOfNobody(shared)
            known = int(rest[0])  # it is for another refresh token

    async def _renew(self, lease: RedisLease) -> None:
        for _ in range(_RENEWALS):
            await asyncio.sleep(RENEWAL)
            with contextlib.suppress(StateError):
                words = self._holder, lease.fence, int(LEASE * 1000)
                if not await self._connection.run(scripts.RENEW, (_key(lease.wanted),), *words):
                    return

    def _seal(self, wanted: TokenWanted, grant: Grant) -> tuple[bytes, int]:
        """A token as it is published, and what is left of its life in milliseconds."""
        content = {
            "for": _purpose(wanted),
            "access_token": grant.access_token.reveal(),
            "expires_in": grant.expires_in,
            "older_secret": grant.older_secret,
        }
        return self._cipher.encrypt(json.dumps(content).encode()), max(1, int((grant.expires_in - grant.took) * 1000))

    def _open(self, wanted: TokenWanted, fence: bytes, content: bytes, left: bytes) -> SharedToken | None:
        """What was published, if it is what is wanted."""
        try:
            kept = json.loads(self._cipher.decrypt(content))
            if kept["for"] != _purpose(wanted):
                return None
            expires_in = float(kept["expires_in"])
            grant = Grant(
                access_token=Secret(str(kept["access_token"])),
                refresh_token=None,
                expires_in=expires_in,
                client_id=wanted.client_id,
                took=max(0.0, expires_in - int(left) / 1000),
                older_secret=bool(kept["older_secret"]),
            )
        except (InvalidToken, ValueError, KeyError, TypeError):
            return None
        return SharedToken(grant, int(fence))


def _failed(told: bytes, wait: bytes, sooner: bytes) -> FailedAttempt | None:
    """What was kept of an attempt, if one was."""
    if not told:
        return None
    reason, permanent, failures = told.decode().split(" ")
    return FailedAttempt(reason, permanent == "1", int(failures), int(wait) / 1000, int(sooner) / 1000)


def _purpose(wanted: TokenWanted) -> list[str]:
    return [wanted.account, wanted.token_url, wanted.client_id, wanted.lineage]


def _key(wanted: TokenWanted) -> str:
    """One lease for each account and application: another configuration of the account is another matter."""
    name = "\0".join((wanted.account, wanted.token_url, wanted.client_id))
    return f"lease:{digest(name)}"
