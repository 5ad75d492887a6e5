"""Leases in Redis or Valkey. Where the server is away, nobody waits: each replica asks Amazon for itself.

What is published names the account, the application and the refresh token it is for, within what is encrypted; whoever
finds another there than it wants takes no notice of it. A lease is short and renewed while it is used, so that a holder
that died holds nobody up for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic

from cryptography.fernet import InvalidToken

from proxy.errors import StateError
from proxy.tokens import redis_scripts as scripts
from proxy.tokens.leases import FailedAttempt, LeaseOfNobody, Shared, T
from proxy.tokens.redis_connection import NEWS, digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.fernet import MultiFernet

    from proxy.tokens.leases import Form, Lease, Listener, Urgency, Wanted
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
MAX_CONTENT: Final = 16 * 1024 * 1024
"""Bytes of one value, encrypted. What is longer is not shared."""
LONG: Final = 64 * 1024
"""From so many bytes on, what is read is read in a thread: the event loop has requests to serve."""


@dataclass(frozen=True, slots=True)
class RedisLease(Generic[T]):
    """The right to ask, under this fence. Nothing is `shared`: there was nothing to hand over."""

    leases: RedisLeases[T]
    wanted: Wanted
    fence: int
    shared: Shared[T] | None = None
    failed: FailedAttempt | None = None
    held_back: FailedAttempt | None = None

    async def fail(self, attempt: FailedAttempt) -> None:
        await self.leases.fail(self.wanted, attempt, self.fence)

    async def publish(self, value: T, lineage: str) -> int:
        return await self.leases.publish(replace(self.wanted, lineage=lineage), value, self.fence)


class RedisLeases(Generic[T]):
    """See `leases.Leases`. Each replica has one of each form, for all its accounts."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet, form: Form[T]) -> None:
        self._connection, self._cipher, self._form = connection, cipher, form
        self._holder = secrets.token_hex(8)
        self._places: dict[str, tuple[str, str]] = {}
        self._damaged: dict[str, int] = {}
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<RedisLeases of {self._holder}, {self._form.kind}, at {self._connection.address}>"

    def follow(self, listener: Listener) -> None:
        self._listener = listener

    def hear(self, name: str) -> None:
        """News of this name came; of anything, where it is empty."""
        if self._listener is not None and (not name or name in self._places):
            self._listener.heard(self._form.kind, *self._places.get(name, ("", "")))

    @contextlib.asynccontextmanager
    async def lease(self, wanted: Wanted, urgency: Urgency) -> AsyncIterator[Lease[T]]:
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
                await self._connection.run(scripts.RELEASE, (self._key(wanted),), self._holder, lease.fence)

    async def newest(self, wanted: Wanted) -> Shared[T] | None:
        try:
            found = await self._connection.run(scripts.NEWEST, (self._key(wanted),), wanted.known)
        except StateError:
            return None
        return await self._open(wanted, *found) if found else None

    async def announce(self, wanted: Wanted, value: T) -> int:
        content, life = await self._seal(wanted, value)
        try:
            words = content, life, *self._news(wanted)
            return int(await self._connection.run(scripts.SEIZE, (self._key(wanted), NEWS), *words))
        except StateError:
            return 0

    async def publish(self, wanted: Wanted, value: T, fence: int) -> int:
        """Gives the fence where it was taken, else 0."""
        content, life = await self._seal(wanted, value)
        words = self._holder, fence, content, life, *self._news(wanted)
        if len(content) > MAX_CONTENT:
            return 0
        try:
            return fence if await self._connection.run(scripts.PUBLISH, (self._key(wanted), NEWS), *words) else 0
        except StateError:
            return 0

    async def forget(self, wanted: Wanted) -> None:
        self._places.pop(self._news(wanted)[1], None)
        self._damaged.pop(self._key(wanted), None)
        with contextlib.suppress(StateError):
            await self._connection.run(scripts.FORGET, (self._key(wanted),))

    async def fail(self, wanted: Wanted, attempt: FailedAttempt, fence: int) -> None:
        """Ends the lease, and keeps all who would send the same from asking for a while."""
        told = f"{attempt.reason} {int(attempt.permanent)} {attempt.failures}"
        words = self._holder, fence, digest(wanted.sent), int(attempt.wait * 1000), int(attempt.sooner * 1000), told
        with contextlib.suppress(StateError):
            await self._connection.run(scripts.FAIL, (self._key(wanted),), *words)

    async def _turn(self, wanted: Wanted, urgency: Urgency) -> Lease[T]:
        """Waits for the lease, or for what its holder was granted."""
        known = wanted.known
        self._news(wanted)
        while True:
            try:
                words = known, self._holder, int(LEASE * 1000), digest(wanted.sent), urgency, int(TURN * 1000)
                told, *rest = await self._connection.run(scripts.ACQUIRE, (self._key(wanted),), *words)
            except StateError:
                return LeaseOfNobody()
            if told == b"granted":
                return RedisLease(self, wanted, int(rest[0]), failed=_failed(rest[1], b"0", b"0"))
            if told == b"failed":
                return LeaseOfNobody(held_back=_failed(*rest))
            if told == b"held":
                await asyncio.sleep(min(POLL, int(rest[0]) / 1000 + 0.001))
                continue
            shared = await self._open(wanted, *rest)
            if shared is not None:
                return LeaseOfNobody(shared)
            known = int(rest[0])  # it is for another refresh token

    async def _renew(self, lease: RedisLease[T]) -> None:
        for _ in range(_RENEWALS):
            await asyncio.sleep(RENEWAL)
            with contextlib.suppress(StateError):
                words = self._holder, lease.fence, int(LEASE * 1000)
                if not await self._connection.run(scripts.RENEW, (self._key(lease.wanted),), *words):
                    return

    async def _seal(self, wanted: Wanted, value: T) -> tuple[bytes, int]:
        """A value as it is published, and what is left of its life in milliseconds."""
        if self._form.is_long(value):
            return await asyncio.to_thread(self._sealed, wanted, value)
        return self._sealed(wanted, value)

    def _sealed(self, wanted: Wanted, value: T) -> tuple[bytes, int]:
        content, life = self._form.write(wanted, value)
        return self._cipher.encrypt(content), max(1, int(life * 1000))

    async def _open(self, wanted: Wanted, fence: bytes, content: bytes, left: bytes) -> Shared[T] | None:
        """What was published, if it is what is wanted."""
        words = wanted, content, int(left) / 1000
        try:
            value = await asyncio.to_thread(self._opened, *words) if len(content) > LONG else self._opened(*words)
        except (InvalidToken, ValueError, KeyError, TypeError):
            self._note_damage(wanted, int(fence))
            return None
        return Shared(value, int(fence), words[2]) if value is not None else None

    def _opened(self, wanted: Wanted, content: bytes, left: float) -> T | None:
        return self._form.read(wanted, self._cipher.decrypt(content), left)

    def _note_damage(self, wanted: Wanted, fence: int) -> None:
        """Told once of each that was published."""
        key = self._key(wanted)
        if self._damaged.get(key) != fence and self._listener is not None:
            self._damaged[key] = fence
            self._listener.met_damage(wanted.account, wanted.url)

    def _news(self, wanted: Wanted) -> tuple[str, str]:
        """The kind of news, and their name, by which it is known from now on what they are about."""
        kind, name = self._form.news(wanted)
        told = digest(name)
        self._places[told] = wanted.account, wanted.url
        return kind, told

    def _key(self, wanted: Wanted) -> str:
        """One lease for each account and application: another configuration of the account is another matter."""
        name = "\0".join((wanted.account, wanted.url, wanted.client_id))
        return f"{self._form.kind}:{digest(name)}"


def _failed(told: bytes, wait: bytes, sooner: bytes) -> FailedAttempt | None:
    """What was kept of an attempt, if one was."""
    if not told:
        return None
    reason, permanent, failures = told.decode().split(" ")
    return FailedAttempt(reason, permanent == "1", int(failures), int(wait) / 1000, int(sooner) / 1000)
