"""A store that a fleet shares: entries and documents in Redis or Valkey, encrypted with `state.key`.

A key's name is a digest, and the name itself is within what is encrypted, and checked. Of two entries of an account
the one of the newer consent wins, and of one consent the one that was saved later; but whoever has seen what is there
may replace it. What cannot be decrypted is kept beside what takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import InvalidToken

from proxy.errors import StateError, StateFileDamaged, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import redis_scripts as scripts
from proxy.tokens.redis_connection import CHECK, NEWS, digest
from proxy.tokens.redis_fleet import RedisFleet
from proxy.tokens.redis_leases import RedisLeases
from proxy.tokens.sealing import decode_document, decode_entry, encode_document, encode_entry, make_cipher
from proxy.tokens.store import StoreChange, outranks
from proxy.tokens.token_response import Grant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.tokens.leases import Form, T, Wanted
    from proxy.tokens.redis_connection import RedisConnection
    from proxy.tokens.spill import Spill
    from proxy.tokens.store import StoredToken


_PROOF: Final = b"ads-proxy"
_PAUSE: Final = 0.5
"""Seconds between two attempts to read news from a server that is away."""


class RedisStore:
    """Speaks the protocol of `store.Store`. The connection is shared with whatever else the fleet keeps there."""

    def __init__(self, connection: RedisConnection, keys: tuple[Secret, ...]) -> None:
        self._connection = connection
        self.spill: Spill | None = None
        self.spill_problem = ""
        self.cipher = make_cipher(keys)
        self.leases = RedisLeases(connection, self.cipher, TokenForm())
        self.fleet = RedisFleet(connection, self.cipher)
        self._shared: dict[str, RedisLeases[Any]] = {}
        self._names: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._damaged: set[str] = set()
        self._superseded = asyncio.Event()
        self._checked = False
        self._check_seen: bytes | None = None

    def __repr__(self) -> str:
        return f"<RedisStore at {self._connection.address}>"

    def leases_for(self, form: Form[T]) -> RedisLeases[T]:
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
        except (InvalidToken, ValueError, KeyError, TypeError):
            self._note_damage(account)
            raise StateFileDamaged(
                f"What the state store keeps of the account '{account}' is damaged, or encrypted with another key."
            ) from None
        if owner != account:
            self._note_damage(account)
            raise StateFileDamaged(f"What the state store keeps of the account '{account}' belongs to another.")
        return entry

    async def write(self, account: str, entry: StoredToken) -> None:
        """If another replica has written a newer one, that one stays, and `changes` reports it."""
        async with self.spill.guarding(account, entry) if self.spill is not None else contextlib.nullcontext():
            if await self._is_overtaken(account, entry):
                self._superseded.set()
            else:
                await self._write(account, entry)

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
        """Whether the store has a newer entry that this replica has not seen: after a start without the store."""
        if account in self._versions:
            return False
        try:
            kept = await self.read(account)
        except StateFileDamaged:
            return False
        return kept is not None and not outranks(entry, kept)

    async def _write(self, account: str, entry: StoredToken) -> None:
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

    async def read_document(self, name: str) -> object | None:
        try:
            content = await self._connection.command("GET", self._key("document", digest(name)))
            return decode_document(name, self.cipher.decrypt(content)) if content is not None else None
        except (StateUnavailable, InvalidToken, ValueError, KeyError, TypeError):
            return None

    async def write_document(self, name: str, data: object) -> None:
        await self._check()
        content = self.cipher.encrypt(encode_document(name, data))
        await self._connection.run(scripts.WRITE_DOCUMENT, (f"document:{digest(name)}", NEWS), name, content)

    async def changes(self) -> AsyncIterator[StoreChange]:
        """Never ends, and keeps the pulse: after every trouble with the server, anything may have changed."""
        last = ""
        while True:
            try:
                if self._connection.trouble is not None:
                    last = ""
                    await self._connection.returned()
                elif await self._connection.pulse() != self._check_seen:
                    last = ""
                if not last:
                    await self._recover()
                    last = await self._last_news()
                    self._spread_news()
                    yield StoreChange()
                for _, id_, fields in await self._connection.news({NEWS: last}):
                    last = id_
                    if (change := self._change(fields)) is not None:
                        yield change
            except StateError:
                last = ""
                await asyncio.sleep(_PAUSE)
            if self._superseded.is_set():
                self._superseded.clear()
                yield StoreChange()

    async def rotate(self) -> int:
        """Encrypts all entries and documents anew with the first key, and gives how many entries that were.

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

    def _spread_news(self) -> None:
        """To those who share something else than tokens: anything may have been published."""
        for leases in self._shared.values():
            leases.hear("")

    def _note_damage(self, account: str) -> None:
        """What cannot be read was not seen: a newer login than ours may lie there, under a key that we do not have."""
        self._damaged.add(account)
        self._versions.pop(account, None)

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

    async def _last_news(self) -> str:
        found = await self._connection.command("XREVRANGE", self._key("", NEWS), "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0"

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


# --- How a granted access token is written where replicas share it; see `leases.Form` --------------------


class TokenForm:
    """Implements `leases.Form`."""

    kind: Final = "lease"

    def news(self, wanted: Wanted) -> tuple[str, str]:
        return "account", wanted.account

    def is_long(self, value: Grant) -> bool:
        return False

    def write(self, wanted: Wanted, value: Grant) -> tuple[bytes, float]:
        content = {
            "for": _purpose(wanted),
            "access_token": value.access_token.reveal(),
            "expires_in": value.expires_in,
            "older_secret": value.older_secret,
        }
        return json.dumps(content).encode(), value.expires_in - value.took

    def read(self, wanted: Wanted, content: bytes, left: float) -> Grant | None:
        """The grant's `took` is the age of the token."""
        kept = json.loads(content)
        if kept["for"] != _purpose(wanted):
            return None
        expires_in = float(kept["expires_in"])
        return Grant(
            access_token=Secret(str(kept["access_token"])),
            refresh_token=None,
            expires_in=expires_in,
            client_id=wanted.client_id,
            took=max(0.0, expires_in - left),
            older_secret=bool(kept["older_secret"]),
        )


def _purpose(wanted: Wanted) -> list[str]:
    return [wanted.account, wanted.url, wanted.client_id, wanted.lineage]
