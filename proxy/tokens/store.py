"""Where refresh tokens are kept between runs: the protocol of every store, and which token wins.

Stores are in `file_store` and `redis_store`, which one a `state.url` means in `opening`;
when to write is for `refresh_token`. Small JSON documents that may be lost are kept next to the tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from proxy.tokens.day_counts import DocumentCounts
from proxy.tokens.leases import LocalLeases
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from proxy.secret import Secret
    from proxy.tokens.day_counts import DayCounts
    from proxy.tokens.leases import Leases, SharedFormat, T
    from proxy.tokens.token_response import Grant


class StoredSource(StrEnum):
    """How a stored refresh token came: in the answer to a token request, or by a person."""

    ROTATED = "rotated"
    SIGN_IN = "sign-in"


class RefreshTokenOrigin(StrEnum):
    """Where the refresh token in force is from."""

    NONE = ""
    CONFIGURATION = "configuration"
    STORE = "store"
    """Amazon gave it in the place of another one."""
    SIGN_IN = "sign-in"

    @property
    def is_stored(self) -> bool:
        """Whether it is the store's entry, and not the configured one."""
        return self in (RefreshTokenOrigin.STORE, RefreshTokenOrigin.SIGN_IN)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A refresh token as it is kept. `saved_at` and `consented_at` are wall-clock time.

    `configured_fingerprint` is `fingerprint` of the configured refresh token that was in force when this one was
    written. `consented_at` is when this program saw the consent given, None where it did not. `follows` is the
    `fingerprint` of the refresh token that this one replaced, empty where that is unknown.
    """

    refresh_token: Secret
    source: StoredSource
    configured_fingerprint: str
    saved_at: float
    consented_at: float | None = None
    follows: str = ""


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What may have been written: an account's entry, or a document; anything where neither is named."""

    account: str | None = None
    document: str | None = None

    def concerns_document(self, name: str) -> bool:
        """Whether the document may be another now."""
        return self.account is None and self.document in (None, name)


class Store(Protocol):
    """What keeps tokens. Every failure to write or read is a `StateError` that says what to do.

    An entry that can be read no more is a `StateFileDamaged`; a new one takes its place, and it is kept aside.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences worth saying at start."""

    @property
    def leases(self) -> Leases[Grant]:
        """Who may ask for access tokens, among those who share the store."""

    def leases_for(self, form: SharedFormat[T]) -> Leases[T]:
        """The leases for values of another form that replicas share."""

    @property
    def fleet(self) -> Fleet | None:
        """What replicas tell each other; None where the store is one program's own."""

    @property
    def counts(self) -> DayCounts:
        """What is counted in a day, by all who share the store."""

    async def read(self, account: str) -> StoredToken | None: ...

    async def write(self, account: str, entry: StoredToken) -> None:
        """Returns once the entry would survive the machine losing power, where the store can promise that."""

    async def unwritten(self, account: str) -> StoredToken | None:
        """The entry that an earlier run of this program could not write, None where the store has it or a newer one."""

    async def read_document(self, name: str) -> object | None:
        """What `write_document` kept under this name, or None: a document that cannot be read counts as lost."""

    async def require_document(self, name: str) -> object | None:
        """The same, but None only for a document that was never written. Raises `StateError` if the store is away, and
        `StateFileDamaged` for a document that cannot be read any more."""

    async def write_document(self, name: str, data: object) -> None:
        """Keeps what `json.dumps` accepts."""

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        """Replace a document by what `change` makes of it, unless that is the same object. `change` alters nothing of
        what it gets. After a conflict with another process, it is called again with the newer document. Raises
        `StateError`, also for a document that cannot be read; the change may have been made then."""

    @property
    def unsettled(self) -> float:
        """Seconds in which those who share the store may still have to tell it what it lost; 0 for none."""

    def changes(self) -> AsyncIterator[StoreChange]:
        """Yields at first, and after something may have been written, by this process or another."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RefreshTokenChoice:
    """The refresh token in force, and where it is from."""

    refresh_token: Secret | None
    origin: RefreshTokenOrigin


class LastReadings:
    """The documents that were read to be changed, with the text of each: most are read again as they were, and large
    ones take long to decode."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, object | None]] = {}

    def __repr__(self) -> str:
        return f"<LastReadings of {len(self._known)} documents>"

    def read(self, name: str, text: T, decode: Callable[[T], object | None]) -> object | None:
        """What a document says; the same object as last time for the same text. Raises what `decode` raises."""
        known = self._known.get(name)
        if known is None or known[0] != text:
            known = self._known[name] = text, decode(text)
        return known[1]


def digest(name: str) -> str:
    """What stands for a name where others may read it: in the names of files, and of keys on a server."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def fingerprint(refresh_token: Secret | None) -> str:
    """A fingerprint of a configured refresh token, to notice a change; empty for none."""
    return hashlib.sha256(refresh_token.reveal().encode()).hexdigest() if refresh_token is not None else ""


def choose(configured: Secret | None, stored: StoredToken | None) -> RefreshTokenChoice:
    """The stored one, until the configured one changes (docs/explanation/tokens.md, Which refresh token is used)."""
    if stored is not None and (configured is None or stored.configured_fingerprint == fingerprint(configured)):
        is_sign_in = stored.source is StoredSource.SIGN_IN
        return RefreshTokenChoice(
            stored.refresh_token, RefreshTokenOrigin.SIGN_IN if is_sign_in else RefreshTokenOrigin.STORE
        )
    return RefreshTokenChoice(
        configured, RefreshTokenOrigin.NONE if configured is None else RefreshTokenOrigin.CONFIGURATION
    )


def outranks(entry: StoredToken, other: StoredToken) -> bool:
    """Whether an entry replaces another one that was written without knowledge of it.

    A token that replaced the other wins, whatever the clocks say. Else the newer consent wins, and of one consent the
    entry that was saved later.
    """
    if entry.follows == fingerprint(other.refresh_token):
        return True
    if other.follows == fingerprint(entry.refresh_token):
        return False
    return (entry.consented_at or 0.0, entry.saved_at) > (other.consented_at or 0.0, other.saved_at)


def signed_in(refresh_token: Secret, configured: Secret | None, now: float) -> StoredToken:
    """The entry for a fresh sign-in, which beats the configured token of the day. `now` is wall-clock time."""
    return StoredToken(refresh_token, StoredSource.SIGN_IN, fingerprint(configured), now, consented_at=now)


def rotated(
    refresh_token: Secret,
    configured: Secret | None,
    now: float,
    consented_at: float | None = None,
    before: Secret | None = None,
) -> StoredToken:
    """The entry for a refresh token that Amazon gave in the place of `before`. `now` is wall-clock time.

    `consented_at` is that of the one before: another token of the same consent prolongs nothing.
    """
    follows = fingerprint(before)
    return StoredToken(refresh_token, StoredSource.ROTATED, fingerprint(configured), now, consented_at, follows)


class UnsharedStore:
    """What a store answers that belongs to one program: nothing is shared."""

    fleet = None
    unsettled = 0.0

    def __init__(self) -> None:
        self.leases: LocalLeases[Grant] = LocalLeases()

    def leases_for(self, form: SharedFormat[T]) -> LocalLeases[T]:
        return LocalLeases()

    async def unwritten(self, account: str) -> StoredToken | None:
        return None

    async def close(self) -> None:
        """Nothing is held between changes."""


# --- A store that lasts as long as the process -----------------------------------------------------------


class MemoryStore(UnsharedStore):
    """Keeps everything in two dictionaries."""

    notes = ("State is kept in memory only (state.url is memory:): sign-ins and new refresh tokens are lost at exit.",)

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, StoredToken] = {}
        self._documents: dict[str, str] = {}
        self._last = LastReadings()
        self.counts = DocumentCounts(self)
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._entries)} accounts>"

    async def read(self, account: str) -> StoredToken | None:
        return self._entries.get(account)

    async def write(self, account: str, entry: StoredToken) -> None:
        self._entries[account] = entry
        self._changed.set()

    async def read_document(self, name: str) -> object | None:
        text = self._documents.get(name)
        document: object = json.loads(text) if text is not None else None
        return document

    require_document = read_document

    async def write_document(self, name: str, data: object) -> None:
        self._documents[name] = json.dumps(data)

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        text = self._documents.get(name)
        kept = self._last.read(name, text, json.loads) if text is not None else None
        anew = change(kept)
        if anew is not kept:
            await self.write_document(name, anew)

    async def changes(self) -> AsyncIterator[StoreChange]:
        while True:
            yield StoreChange()
            await self._changed.wait()
            self._changed.clear()


# --- What replicas share in addition to tokens, and the store's state ----------------


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """How the store is: `problem` in a sentence, empty where there is none, and how many replicas share it."""

    problem: str = ""
    replicas: int = 1


class Fleet(Protocol):
    """One replica's side. Nothing here raises: without the store, every replica works alone."""

    @property
    def health(self) -> StoreHealth: ...

    def follow(self, changed: Callable[[], None]) -> None:
        """Calls this whenever `health` is another."""

    async def share(self, told: dict[str, Any]) -> None:
        """Tells the others, if they can be told."""

    def heard(self) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        """How many seconds ago something was told, and what, our own words too. Never ends."""

    async def settle(self, name: str, capacity: float, interval: float, spent: int) -> float | None:
        """Takes off what was spent of a bucket that the fleet shares; `interval` is in seconds.

        Gives what is left, which may be less than nothing; None without a store.
        """
