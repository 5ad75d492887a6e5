"""What is told because of the audit: who used the admin listener, what became of keys, and how the stream itself is.

Frozen facts as those of `proxy.events`, and never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.events import Event


@dataclass(frozen=True, slots=True)
class AdminSignedIn(Event):
    """Somebody opened the console with the admin key, or with none where none is needed; `address` is where from."""

    address: str


@dataclass(frozen=True, slots=True)
class AdminRefused(Event):
    """Somebody showed the admin listener a key that is not its own."""

    address: str
    path: str


class KeyChange(StrEnum):
    """What became of a client's key."""

    ADDED = "added"
    REMOVED = "removed"
    ENDED = "ended"
    """Its end came."""
    CHANGED = "changed"
    """Its end or its note is another."""


@dataclass(frozen=True, slots=True)
class ClientKeyChanged(Event):
    """A client's key began, ended or changed. `key` is the beginning of its digest; `ends_at` wall-clock time."""

    client: str
    key: str
    change: KeyChange
    note: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ClientKeysInForce(Event):
    """The keys that there are at the start: `client id`, the id being the beginning of the digest."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditFailed(Event):
    """The audit stream cannot be written; so many records wait. Traffic goes on."""

    detail: str
    waiting: int


@dataclass(frozen=True, slots=True)
class AuditRecovered(Event):
    """The audit stream is written again; so many records are lost."""

    lost: int


@dataclass(frozen=True, slots=True)
class AuditOpened(Event):
    """The audit stream begins after this line: number and digest. `trouble` is what was found amiss, else empty."""

    sequence: int
    digest: str
    trouble: str
