"""Whose writes are frozen: what this process knows of it, and how it is kept and shared.

A freeze binds every client, with limits or without. `Freezes` is asked for each write, in every process. `FreezeKeeper`
belongs to the program: it keeps the freezes as a document of the state store, and hears there what other replicas
freeze. Every change has its moment, and of two changes of the same client the later one counts, wherever it was made.
An unfrozen client is remembered, so that an older freeze does not come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from proxy.errors import FreezesUnknown, Frozen, Refused, StateError, StateFileDamaged
from proxy.events import WritesFrozen, WritesUnfrozen
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.events import Observer
    from proxy.tokens.store import StoreChange

DOCUMENT: Final = "freezes"
MAX_TEXT: Final = 500
"""Characters of a reason, and of the name of a person."""
RETRY_SECONDS: Final = 5.0
_TICK: Final = 0.001
"""Seconds by which a change is later than the one before it, if the clock says otherwise."""


@dataclass(frozen=True, slots=True)
class FreezeEntry:
    """The last change of one client, or of all: whether writes are `frozen` since, who did it, why, and when, in
    wall-clock time."""

    frozen: bool
    by: str
    because: str
    at: float


class Freeze(NamedTuple):
    """A freeze in force; `client` is None for the one of all clients."""

    client: str | None
    by: str
    because: str
    at: float


class Freezes:
    """The freezes that this process knows. `listeners` are called after each change. `unknown` says why it is not known
    what is frozen; empty where it is known."""

    def __init__(self) -> None:
        self._entries: dict[str | None, FreezeEntry] = {}
        self._frozen: dict[str | None, Freeze] = {}
        self.unknown = ""
        self.listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Freezes: {len(self._frozen)} in force{', others unknown' if self.unknown else ''}>"

    # --- questions

    def is_frozen(self, client: str) -> bool:
        """Whether a client's writes are stopped."""
        return self.refusal(client) is not None

    def refusal(self, client: str) -> Refused | None:
        """The refusal of a client's writes; None if they may leave."""
        if not self._frozen and not self.unknown:
            return None
        freeze = self._frozen.get(None) or self._frozen.get(client)
        if freeze is not None:
            return Frozen(explain(freeze))
        if self.unknown:
            return FreezesUnknown(
                f"The proxy cannot read which writes are frozen, so it sends none: {self.unknown} Reads go on. Send "
                "the request again later.",
                retry_after=RETRY_SECONDS,
            )
        return None

    def in_force(self) -> tuple[Freeze, ...]:
        """The freezes in force: that of all clients first, then by name."""
        return tuple(sorted(self._frozen.values(), key=lambda freeze: (freeze.client is not None, freeze.client or "")))

    def knows(self, client: str) -> bool:
        """Whether this client was ever frozen."""
        return client in self._entries

    def changed_at(self, client: str) -> tuple[float, float]:
        """When the freeze of this client, and the one of all, last began or ended; 0 for never. Neither goes back."""
        known = self._entries.get(client), self._entries.get(None)
        of_client, of_all = (0.0 if entry is None else entry.at for entry in known)
        return of_client, of_all

    # --- changes

    def change(self, client: str | None, entry: FreezeEntry) -> None:
        """Put a change in force that is later than what is known."""
        before = self._entries.get(client)
        at = entry.at if before is None else max(entry.at, before.at + _TICK)
        self._entries[client] = FreezeEntry(entry.frozen, entry.by, entry.because, at)
        if client is None and not entry.frozen:
            self.unknown = ""  # a person decided
        self._changed()

    def merge(self, others: Mapping[str | None, FreezeEntry]) -> tuple[str | None, ...]:
        """Take the changes that are later than what is known, and tell whose freeze began or ended by that."""
        later = {client: entry for client, entry in others.items() if _is_later(entry, self._entries.get(client))}
        moved = tuple(client for client, entry in later.items() if entry.frozen is not (client in self._frozen))
        self._entries.update(later)
        if later:
            self._changed()
        return moved

    def is_later_than(self, others: Mapping[str | None, FreezeEntry]) -> bool:
        """Whether this process knows a change that is not among the others."""
        return any(_is_later(entry, others.get(client)) for client, entry in self._entries.items())

    def set_unknown(self, why: str) -> None:
        """Note why it is not known what is frozen; empty once it is known."""
        if why != self.unknown:
            self.unknown = why
            self._changed()

    def to_document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        written = {client: _written(entry) for client, entry in self._entries.items()}
        clients = {client: entry for client, entry in written.items() if client is not None}
        return {"all": written.get(None), "clients": clients}

    def _changed(self) -> None:
        self._frozen = {
            client: Freeze(client, entry.by, entry.because, entry.at)
            for client, entry in self._entries.items()
            if entry.frozen
        }
        for listener in self.listeners:
            listener()


def explain(freeze: Freeze) -> str:
    """The sentence for a client whose write a freeze stops."""
    whose = "All writes through this proxy" if freeze.client is None else f"All writes of client {freeze.client}"
    why = f" ({freeze.because.rstrip('.')})" if freeze.because else ""
    return f"{whose} are frozen{why}. Nothing was sent, and reads go on. Ask the operator to unfreeze them."


def clean(text: str) -> str:
    """A person's words on one line, of printable characters."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:MAX_TEXT]


def read_document(document: object) -> dict[str | None, FreezeEntry]:
    """What `Freezes.to_document` made; empty for None. Raises `ValueError` for anything else."""
    if document is None:
        return {}
    try:
        clients: dict[str | None, Any] = {**document["clients"]}  # type: ignore[index]  # what is no dictionary raises
        every = document["all"]  # type: ignore[index]  # as above
        found = clients if every is None else {**clients, None: every}
        return {client: _read_entry(entry) for client, entry in found.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("The kept freezes have an unknown form.") from error


def _read_entry(entry: Any) -> FreezeEntry:
    return FreezeEntry(bool(entry["frozen"]), str(entry["by"]), str(entry["because"]), float(entry["at"]))


def _written(entry: FreezeEntry) -> dict[str, Any]:
    return {"frozen": entry.frozen, "by": entry.by, "because": entry.because, "at": entry.at}


def _is_later(entry: FreezeEntry, known: FreezeEntry | None) -> bool:
    """Whether an entry replaces the known one. Of two changes of one moment, the freeze counts."""
    return known is None or (entry.at, entry.frozen) > (known.at, known.frozen)


# --- Where freezes are kept, and shared between replicas -------------------------------------------------


class FreezeStore(Protocol):
    """Where the document is kept: see `proxy.tokens.store.Store`."""

    async def require_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...


class FreezeKeeper:
    """Keeps the freezes of a program in the store. `unkept` says why the store lacks a change that is in force here.

    `start` and `stop` are called one after the other. While the store cannot be read at the start, no write leaves: a
    freeze outlasts a restart. The first answer of the store ends that, and so does a person who unfreezes all clients.
    """

    def __init__(
        self, freezes: Freezes, store: FreezeStore, observer: Observer, wall: Callable[[], float] = time.time
    ) -> None:
        self.freezes, self._store, self._observer, self._wall = freezes, store, observer, wall
        self.unkept = ""
        self._unsaved = self._behind = False
        self._exchanging = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<FreezeKeeper of {self.freezes!r}{', not kept' if self.unkept else ''}>"

    async def start(self) -> None:
        """Read what is frozen, before the first client is served."""
        try:
            self._take(await self._read())
        except (StateError, ValueError) as error:
            self._behind = True
            self.freezes.set_unknown(str(error))
            self._observer.observe(WritesFrozen("", "", f"It is not known what is frozen: {error}", heard=True))
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))

    def store_changed(self, change: StoreChange) -> None:
        """Something of the store may be another now."""
        if change.concerns_document(DOCUMENT):
            self._wanted.set()

    async def freeze(self, client: str | None, by: str, because: str) -> None:
        """Stop the writes of a client, or of all, from now on; then keep that. `unkept` says if the store failed."""
        await self._change(client, FreezeEntry(True, clean(by), clean(because), self._wall()))

    async def unfreeze(self, client: str | None, by: str, because: str) -> None:
        """End the freeze of a client, or the one of all clients; clients with a freeze of their own stay frozen."""
        await self._change(client, FreezeEntry(False, clean(by), clean(because), self._wall()))

    async def _change(self, client: str | None, entry: FreezeEntry) -> None:
        self.freezes.change(client, entry)
        self._observer.observe(_event(client, entry, heard=False))
        self._unsaved = True
        await self._exchange()
        self._wanted.set()  # if that failed, it is tried again

    async def _follow(self) -> None:
        """Hear of changes, and try again what failed."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), RETRY_SECONDS if self._behind else None)
            self._wanted.clear()
            await self._exchange()

    async def _exchange(self) -> None:
        """Take what the store has, and write what it lacks."""
        async with self._exchanging:
            try:
                kept = await self._read_or_replace()
                self._take(kept)
                if self.freezes.is_later_than(kept):
                    await self._store.write_document(DOCUMENT, self.freezes.to_document())
            except (StateError, ValueError) as error:
                self._behind = True
                self.unkept = str(error) if self._unsaved else ""
            else:
                self._behind = self._unsaved = False
                self.unkept = ""

    async def _read_or_replace(self) -> Mapping[str | None, FreezeEntry]:
        """What the store has. A document that cannot be read any more gives way to what is known here, if it is
        known."""
        try:
            return await self._read()
        except (StateFileDamaged, ValueError):
            if self.freezes.unknown:
                raise
            return {}

    async def _read(self) -> Mapping[str | None, FreezeEntry]:
        return read_document(await self._store.require_document(DOCUMENT))

    def _take(self, kept: Mapping[str | None, FreezeEntry]) -> None:
        """Put in force what was frozen or unfrozen elsewhere, or before the start."""
        if self.freezes.unknown:
            self.freezes.set_unknown("")
            self._observer.observe(WritesUnfrozen("", "", "It is known again what is frozen.", heard=True))
        for client in self.freezes.merge(kept):
            self._observer.observe(_event(client, kept[client], heard=True))


def _event(client: str | None, entry: FreezeEntry, *, heard: bool) -> WritesFrozen | WritesUnfrozen:
    kind = WritesFrozen if entry.frozen else WritesUnfrozen
    return kind(client or "", entry.by, entry.because, heard=heard)
