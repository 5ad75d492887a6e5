"""A store that a fleet shares: entries and documents in Redis or Valkey, encrypted with `state.key`.

A key's name is a digest, and the name itself is within what is encrypted, and checked. Of two entries of an account the
one of the newer consent wins, and of one consent the one that was saved later; but a replica that has seen the stored
entry may replace it. An entry that cannot be decrypted is kept next to its replacement.

The store also has the fleet's leases (`leases`), and what its replicas tell each other and spend together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic

from cryptography.fernet import InvalidToken

from proxy.errors import StateError, StateFileDamaged, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import redis_scripts as scripts
from proxy.tokens.leases import LONGEST, FailedAttempt, LocalLease, SharedContent, T
from proxy.tokens.redis_connection import CHECK, NEWS
from proxy.tokens.redis_counts import SETTLING, RedisCounts
from proxy.tokens.sealing import (
    UNREADABLE,
    decode_document,
    decode_entry,
    digest,
    encode_document,
    encode_entry,
    make_cipher,
)
from proxy.tokens.store import LastReadings, StoreChange, StoreHealth, outranks
from proxy.tokens.token_response import Grant
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cryptography.fernet import MultiFernet

    from proxy.tokens.leases import Lease, LeaseListener, LeaseRequest, SharedFormat, Urgency
    from proxy.tokens.redis_connection import RedisConnection
    from proxy.tokens.spill import Spill
    from proxy.tokens.store import StoredToken


_PROOF: Final = b"ads-proxy"
_PAUSE: Final = 0.5
"""Seconds between two attempts to read news from a server that is away."""
_CHANGES: Final = 50
"""How often a change of a document begins again, because another replica was faster."""


class RedisStore:
    """Speaks the protocol of `store.Store`. The connection is shared with whatever else the fleet keeps there."""

    def __init__(self, connection: RedisConnection, keys: tuple[Secret, ...]) -> None:
        self._connection = connection
        self.spill: Spill | None = None
        self.spill_problem = ""
        self.cipher = make_cipher(keys)
        self.leases = RedisLeases(connection, self.cipher, TokenFormat())
        self.fleet = RedisFleet(connection, self.cipher)
        self.counts = RedisCounts(connection, self.cipher)
        self._shared: dict[str, RedisLeases[Any]] = {}
        self._names: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._damaged: set[str] = set()
        self._last = LastReadings()
        self._superseded = asyncio.Event()
        self._checked = self._recovering = False
        self._check_seen: bytes | None = None

    def __repr__(self) -> str:
        return f"<RedisStore at {self._connection.address}>"

    def leases_for(self, form: SharedFormat[T]) -> RedisLeases[T]:
        leases = RedisLeases(self._connection, self.cipher, form)
        self._shared[form.kind] = leases
        return leases

    @property
    def notes(self) -> tuple[str, ...]:
        spill = self.spill.notes if self.spill is not None else tuple(filter(None, (self.spill_problem,)))
        if self._connection.address.tls:
            return spill
        return (
            *spill,
            "state.url leads to Redis without TLS: its password crosses the network unencrypted. Tokens are encrypted "
            "with state.key.",
        )

    async def read(self, account: str) -> StoredToken | None:
        await self._check()
        name = self._name(account)
        content, version = await self._connection.command("HMGET", self._key("account", name), "content", "version")
        self._versions[account] = version.decode() if version is not None else ""
        self._damaged.discard(account)
        if content is None:
            return None
        try:
            owner, entry = decode_entry(self.cipher.decrypt(content))
        except UNREADABLE:
            what = "is damaged or encrypted with another key: add that key to state.key (a list), or"
        else:
            if owner == account:
                return entry
            what = "belongs to another account:"
        # What cannot be read was not seen: a newer login than ours may lie there, under a key that we do not have.
        self._damaged.add(account)
        self._versions.pop(account, None)
        raise StateFileDamaged(
            f"The entry of the account '{account}' in the state store {what} sign in again with `ads-proxy login "
            f"{account}`."
        )

    async def write(self, account: str, entry: StoredToken) -> None:
        """If another replica has written a newer one, that one stays, and `changes` reports it."""
        async with self.spill.guarding(account, entry) if self.spill is not None else contextlib.nullcontext():
            if account not in self._versions and await self._is_overtaken(account, entry):
                self._superseded.set()
                return
            await self._check()
            name = self._name(account)
            version, is_ours = await self._connection.run(
                scripts.WRITE_ENTRY,
                (f"account:{name}", NEWS),
                name,
                self.cipher.encrypt(encode_entry(account, entry)),
                entry.consented_at or 0.0,
                entry.saved_at,
                self._versions.get(account, ""),
                int(account in self._damaged),
            )
            self._versions[account] = version.decode()
            if not is_ours:
                self._superseded.set()

    async def unwritten(self, account: str) -> StoredToken | None:
        left = self.spill.copy_of(account) if self.spill is not None else None
        if left is None or self.spill is None:
            return None
        with contextlib.suppress(StateUnavailable):
            if await self._is_overtaken(account, left):
                await self.spill.remove(account, left)
                return None
        return left

    async def _is_overtaken(self, account: str, entry: StoredToken) -> bool:
        """Whether the store has the same entry, or a newer one."""
        try:
            kept = await self.read(account)
        except StateFileDamaged:
            return False
        return kept is not None and not outranks(entry, kept)

    async def read_document(self, name: str) -> object | None:
        try:
            return await self.require_document(name)
        except (StateUnavailable, StateFileDamaged):
            return None

    async def require_document(self, name: str) -> object | None:
        content = await self._connection.command("GET", self._key("document", digest(name)))
        try:
            return decode_document(name, self.cipher.decrypt(content)) if content is not None else None
        except UNREADABLE:
            raise _damaged(name) from None

    async def write_document(self, name: str, data: object) -> None:
        await self._check()
        content = self.cipher.encrypt(encode_document(name, data))
        await self._connection.run(scripts.WRITE_DOCUMENT, (f"document:{digest(name)}", NEWS), name, content)

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        await self._check()
        key = f"document:{digest(name)}"
        for _ in range(_CHANGES):
            content = await self._connection.command("GET", self._connection.key(key))
            document = self._read_changeable(name, content)
            anew = change(document)
            if anew is document:
                return
            sealed = self.cipher.encrypt(encode_document(name, anew))
            if await self._connection.run(scripts.CHANGE_DOCUMENT, (key, NEWS), name, content or b"", sealed):
                return
        raise StateUnavailable(f"The document '{name}' in the state store is changed by others all the time.")

    def _read_changeable(self, name: str, content: bytes | None) -> object | None:
        """A document that may be replaced: what cannot be read is left as it is, and so is one of another name."""
        if content is None:
            return None
        try:
            document = self._last.read(name, content, lambda sealed: decode_document(name, self.cipher.decrypt(sealed)))
        except UNREADABLE:
            raise _damaged(name) from None
        if document is None:
            raise _damaged(name)
        return document

    @property
    def unsettled(self) -> float:
        return SETTLING if self._recovering else self.counts.unsettled

    async def changes(self) -> AsyncIterator[StoreChange]:
        """Never ends, and keeps the pulse: after every trouble with the server, anything may have changed."""
        last = ""
        while True:
            try:
                if self._connection.problem is not None:
                    last = ""
                    await self._connection.returned()
                elif await self._connection.pulse() != self._check_seen:
                    last = ""
                if not last:
                    self._recovering = True
                    self.counts.doubt()
                    await self._recover()
                    newest = await self._connection.command("XREVRANGE", self._key("", NEWS), "+", "-", "COUNT", 1)
                    await self.counts.restore()
                    self._recovering = False
                    last = newest[0][0].decode() if newest else "0"
                    for leases in self._shared.values():
                        leases.hear("")  # anything may have been published
                    yield StoreChange()
                for id_, fields in await self._connection.news(NEWS, last):
                    last = id_
                    if fields.get(b"kind") == b"roll":
                        await self.counts.hear(fields.get(b"name", b"").decode("utf-8", "replace"))
                    elif (change := self._change(fields)) is not None:
                        yield change
            except StateError:
                last = ""
                await asyncio.sleep(_PAUSE)
            if self._superseded.is_set():
                self._superseded.clear()
                yield StoreChange()

    async def rotate(self) -> int:
        """Encrypts all entries and documents again with the first key; returns the number of entries.

        What cannot be read is left as it is. Access tokens are not worth it: they live for an hour.
        """
        await self._check()
        entries = await self._connection.names("account:*")
        for name in (*entries, *await self._connection.names("document:*"), CHECK):
            words = ("HGET", self._key("", name), "content") if name in entries else ("GET", self._key("", name))
            content = await self._connection.command(*words)
            with contextlib.suppress(InvalidToken):
                anew = self.cipher.rotate(content or b"")
                await self._connection.run(scripts.RESEAL, (name,), content, anew, int(name in entries))
        return len(entries)

    async def close(self) -> None:
        await self._connection.close()

    async def _recover(self) -> None:
        """The server answers; whether it is the one that was there before is looked at again."""
        self._connection.note(None)
        self._checked = False
        try:
            await self._check()
        except StateError as error:
            self._connection.note(error)
            raise

    async def _check(self) -> None:
        """Refuses another key than the one that the rest is encrypted with, before anything is read or written."""
        if self._checked:
            return
        await self._connection.check_permissions()
        key = self._key("", CHECK)
        kept = await self._connection.command("GET", key)
        if kept is None:
            await self._connection.command("SET", key, self.cipher.encrypt(_PROOF), "NX")
            kept = await self._connection.command("GET", key) or b""
        try:
            self.cipher.decrypt(kept)
        except InvalidToken:
            raise StateError(
                f"The state store at {self._connection.address} is encrypted with another key, and is left as it is: "
                "set state.key to the key it was written with (after a new one in a list), or name another database."
            ) from None
        self._checked, self._check_seen = True, kept

    def _change(self, fields: dict[bytes, bytes]) -> StoreChange | None:
        kind, name = fields.get(b"kind", b""), fields.get(b"name", b"").decode("utf-8", "replace")
        if kind == b"document":
            return StoreChange(document=name)
        if (shared := self._shared.get(kind.decode("utf-8", "replace"))) is not None:
            shared.hear(name)
            return None
        return StoreChange(account=self._names[name]) if name in self._names else None

    def _name(self, account: str) -> str:
        name = digest(account)
        self._names[name] = account
        return name

    def _key(self, kind: str, name: str) -> str:
        return self._connection.key(f"{kind}:{name}" if kind else name)


def _damaged(name: str) -> StateFileDamaged:
    return StateFileDamaged(
        f"The document '{name}' in the state store is damaged or encrypted with another key: add that key to "
        "state.key (a list)."
    )


# --- How a granted access token is written where replicas share it; see `leases.SharedFormat` --------------------


class TokenFormat:
    """Implements `leases.SharedFormat`."""

    kind: Final = "lease"
    longest: Final = LONGEST

    def news(self, request: LeaseRequest) -> tuple[str, str]:
        return "account", request.account

    def is_long(self, value: Grant) -> bool:
        return False

    def write(self, request: LeaseRequest, value: Grant) -> tuple[bytes, float]:
        content = {
            "for": _purpose(request),
            "access_token": value.access_token.reveal(),
            "expires_in": value.expires_in,
            "older_secret": value.older_secret,
        }
        return json.dumps(content).encode(), value.expires_in - value.took

    def read(self, request: LeaseRequest, content: bytes, left: float) -> Grant | None:
        """The grant's `took` is the age of the token."""
        kept = json.loads(content)
        if kept["for"] != _purpose(request):
            return None
        expires_in = float(kept["expires_in"])
        return Grant(
            access_token=Secret(str(kept["access_token"])),
            refresh_token=None,
            expires_in=expires_in,
            client_id=request.client_id,
            took=max(0.0, expires_in - left),
            older_secret=bool(kept["older_secret"]),
        )


def _purpose(request: LeaseRequest) -> list[str]:
    return [request.account, request.url, request.client_id, request.lineage]


# --- Leases in Redis or Valkey ---------------------------------------------------------------------------

LEASE: Final = 4.0
"""Seconds for which a lease holds that is not renewed."""
RENEWAL: Final = 1.0
POLL: Final = 0.2
"""Seconds between two looks at whether the holder has done."""
TURN: Final = 0.25
"""Seconds for which the replica that failed last leaves the next attempt to the others: one that cannot reach Amazon
delays none."""
MAX_CONTENT: Final = 16 * 1024 * 1024
"""Bytes of one value, encrypted. What is longer is not shared."""
LONG: Final = 64 * 1024
"""Bytes from which a value is read in a thread: the event loop has requests to serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLease(LocalLease[T]):
    """The right to ask, under this fence. Nothing is `shared`: there was nothing to hand over.

    `since` is when it was asked for, on the event loop's clock.
    """

    leases: RedisLeases[T]
    request: LeaseRequest
    since: float

    async def fail(self, attempt: FailedAttempt) -> None:
        await self.leases.fail(self.request, attempt, self.fence)

    async def publish(self, value: T, lineage: str) -> int:
        return await self.leases.publish(replace(self.request, lineage=lineage), value, self.fence)


class RedisLeases(Generic[T]):
    """The leases of one form, for all accounts of a replica; see `leases.Leases`."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet, form: SharedFormat[T]) -> None:
        self._connection, self._cipher, self._form = connection, cipher, form
        self._poll = POLL if form.longest <= LONGEST else RENEWAL
        self._holder = secrets.token_hex(8)
        self._places: dict[str, tuple[str, str]] = {}
        self._damaged: dict[str, int] = {}
        self._listener: LeaseListener | None = None

    def __repr__(self) -> str:
        return f"<RedisLeases of {self._holder}, {self._form.kind}, at {self._connection.address}>"

    def follow(self, listener: LeaseListener) -> None:
        self._listener = listener

    def hear(self, name: str) -> None:
        """News of this name came; of anything, where it is empty."""
        if self._listener is not None and (not name or name in self._places):
            self._listener.heard(self._form.kind, *self._places.get(name, ("", "")))

    @contextlib.asynccontextmanager
    async def lease(self, request: LeaseRequest, urgency: Urgency) -> AsyncIterator[Lease[T]]:
        lease = await self._turn(request, urgency)
        if not isinstance(lease, RedisLease):
            yield lease
            return
        renewing = asyncio.create_task(self._renew(lease), name=f"keep the lease of {request.account}")
        try:
            yield lease
        finally:
            renewing.cancel()
            await self._run(scripts.RELEASE, request, self._holder, lease.fence)

    async def newest(self, request: LeaseRequest) -> SharedContent[T] | None:
        found = await self._run(scripts.NEWEST, request, request.known)
        return await self._open(request, *found) if found else None

    async def announce(self, request: LeaseRequest, value: T) -> int:
        content, life = await self._seal(request, value)
        return int(await self._run(scripts.SEIZE, request, content, life, *self._news(request)) or 0)

    async def publish(self, request: LeaseRequest, value: T, fence: int) -> int:
        """Gives the fence where it was taken, else 0."""
        content, life = await self._seal(request, value)
        if len(content) > MAX_CONTENT:
            return 0
        words = self._holder, fence, content, life, *self._news(request)
        return fence if await self._run(scripts.PUBLISH, request, *words) else 0

    async def forget(self, request: LeaseRequest) -> None:
        self._places.pop(self._news(request)[1], None)
        self._damaged.pop(self._key(request), None)
        await self._run(scripts.FORGET, request)

    async def fail(self, request: LeaseRequest, attempt: FailedAttempt, fence: int) -> None:
        """Ends the lease, and keeps all who would send the same from asking for a while."""
        told = f"{attempt.reason} {int(attempt.permanent)} {attempt.failures}"
        words = self._holder, fence, digest(request.sent), int(attempt.wait * 1000), int(attempt.sooner * 1000), told
        await self._run(scripts.FAIL, request, *words)

    async def _run(self, script: str, request: LeaseRequest, *words: str | bytes | float) -> Any:
        """What a script gives that has the keys of a lease and of the news; None without the store."""
        try:
            return await self._connection.run(script, (self._key(request), NEWS), *words)
        except StateError:
            return None

    async def _turn(self, request: LeaseRequest, urgency: Urgency) -> Lease[T]:
        """Waits for the lease, or for the token that its holder got."""
        known, time = request.known, asyncio.get_running_loop().time
        self._news(request)
        while True:
            asked = time()
            words = known, self._holder, int(LEASE * 1000), digest(request.sent), urgency, int(TURN * 1000)
            answer = await self._run(scripts.ACQUIRE, request, *words)
            if answer is None:
                return LocalLease()
            told, *rest = answer
            if told == b"granted":
                failed = _failed(rest[1], b"0", b"0")
                return RedisLease(leases=self, request=request, fence=int(rest[0]), since=asked, failed=failed)
            if told == b"failed":
                return LocalLease(held_back=_failed(*rest))
            if told == b"held":
                await asyncio.sleep(min(self._poll, int(rest[0]) / 1000 + 0.001))
                continue
            shared = await self._open(request, *rest)
            if shared is not None:
                return LocalLease(shared)
            known = int(rest[0])  # it is for another refresh token

    async def _renew(self, lease: RedisLease[T]) -> None:
        """Renew a lease until it is lost or was held for too long. Its holder learns of a loss before another replica
        can get the lease."""
        time, renewed = asyncio.get_running_loop().time, lease.since
        while renewed - lease.since < self._form.longest and time() - renewed < LEASE - RENEWAL:
            await asyncio.sleep(RENEWAL)
            asked = time()
            with contextlib.suppress(StateError, TimeoutError):
                words = self._holder, lease.fence, int(LEASE * 1000)
                async with asyncio.timeout_at(renewed + LEASE - RENEWAL):
                    if not await self._connection.run(scripts.RENEW, (self._key(lease.request),), *words):
                        break
                renewed = asked
        lease.lost.set()

    async def _seal(self, request: LeaseRequest, value: T) -> tuple[bytes, int]:
        """A value as it is published, and what is left of its life in milliseconds."""

        def seal() -> tuple[bytes, int]:
            content, life = self._form.write(request, value)
            return self._cipher.encrypt(content), max(1, int(life * 1000))

        return await asyncio.to_thread(seal) if self._form.is_long(value) else seal()

    async def _open(self, request: LeaseRequest, fence: bytes, content: bytes, left: bytes) -> SharedContent[T] | None:
        """What was published, if it is what is wanted."""
        seconds = int(left) / 1000

        def read() -> T | None:
            return self._form.read(request, self._cipher.decrypt(content), seconds)

        try:
            value = await asyncio.to_thread(read) if len(content) > LONG else read()
        except UNREADABLE:
            key = self._key(request)
            if self._damaged.get(key) != int(fence) and self._listener is not None:  # each value is reported once
                self._damaged[key] = int(fence)
                self._listener.met_damage(request.account, request.url)
            return None
        return SharedContent(value, int(fence), seconds) if value is not None else None

    def _news(self, request: LeaseRequest) -> tuple[str, str]:
        """The kind of news, and their name, by which it is known from now on what they are about."""
        kind, name = self._form.news(request)
        told = digest(name)
        self._places[told] = request.account, request.url
        return kind, told

    def _key(self, request: LeaseRequest) -> str:
        """One lease for each account and application: another configuration of the account is another matter."""
        name = "\0".join((request.account, request.url, request.client_id))
        return f"{self._form.kind}:{digest(name)}"


def _failed(told: bytes, wait: bytes, sooner: bytes) -> FailedAttempt | None:
    """What was kept of an attempt, if one was."""
    if not told:
        return None
    reason, permanent, failures = told.decode().split(" ")
    return FailedAttempt(reason, permanent == "1", int(failures), int(wait) / 1000, int(sooner) / 1000)


# --- What replicas share in addition to tokens, through Redis or Valkey, and the server's state ---------

MEMORY: Final = 900.0
"""Seconds for which what was told is of interest."""
_TOLD: Final = "told"


class RedisFleet:
    """One replica's side; see `fleet.Fleet`."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet) -> None:
        self._connection = connection
        self._cipher = cipher

    def __repr__(self) -> str:
        return f"<RedisFleet of {self._connection.replicas} at {self._connection.address}>"

    @property
    def health(self) -> StoreHealth:
        problem = self._connection.problem
        return StoreHealth(str(problem) if problem is not None else "", self._connection.replicas)

    def follow(self, changed: Callable[[], None]) -> None:
        self._connection.changed = changed

    async def share(self, told: dict[str, Any]) -> None:
        try:
            content = self._cipher.encrypt(json.dumps(told).encode())
            await self._connection.run(scripts.SHARE, (_TOLD,), int(MEMORY * 1000), content)
        except StateError:
            return

    async def heard(self) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        last = ""
        while True:
            try:
                if not last:
                    last = f"{await self._now() - int(MEMORY * 1000)}-0"
                for id_, fields in await self._connection.news(_TOLD, last):
                    told = self._open(fields)
                    if told is not None:
                        yield (await self._now() - int(id_.partition("-")[0])) / 1000, told
                    last = id_
            except StateError:
                await asyncio.sleep(_PAUSE)

    async def settle(self, name: str, capacity: float, interval: float, spent: int) -> float | None:
        words = capacity, interval * 1000, spent
        try:
            return float(await self._connection.run(scripts.SETTLE, (f"budget:{digest(name)}",), *words))
        except StateError:
            return None

    async def _now(self) -> int:
        """The server's clock, in milliseconds."""
        seconds, micros = await self._connection.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def _open(self, fields: dict[bytes, bytes]) -> dict[str, Any] | None:
        """News that cannot be read is from no replica of ours."""
        try:
            told = json.loads(self._cipher.decrypt(fields[b"content"]))
        except UNREADABLE:
            return None
        return told if isinstance(told, dict) else None
