"""A client's keys: what is kept of each, until when it opens anything, and when it was last used.

Only digests are here, never a key. Pure but for the memory of uses. Who a key belongs to is for `clients`.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key. `digest` is its SHA-256 in hexadecimal; `ends_at` is wall-clock time, None for no end."""

    digest: str
    ends_at: float | None = None
    note: str = ""

    @property
    def id(self) -> str:
        """What people call it by: the beginning of its digest, which tells nothing of the key."""
        return short_id(self.digest)

    @property
    def until(self) -> float:
        """The moment from which it opens nothing: infinity without an end."""
        return math.inf if self.ends_at is None else self.ends_at

    def has_ended(self, now: float) -> bool:
        return now >= self.until


CERTIFICATE = "certificate"
"""What people call a client's certificate by, where keys have an id."""


def stand_for_certificate(san: str) -> ClientKey:
    """What stands for a client's certificate of this name where a key is asked for: a digest that no key has."""
    return ClientKey(f"{CERTIFICATE} {san}", None, san)


class KnownKey(NamedTuple):
    """A client's key for people to look at; `last_used` is wall-clock time, None without a use since the start."""

    client: str
    key: ClientKey
    last_used: float | None


def short_id(digest: str) -> str:
    """What people call the key of a digest by; `certificate` for what stands for one."""
    return digest.partition(" ")[0][:_ID_LENGTH]


@dataclass(slots=True)
class KeyUses:
    """When each key was last used, by digest, as wall-clock time; outlives a reload, and no restart."""

    _last: dict[str, float] = field(default_factory=dict)

    def note(self, digest: str, now: float) -> None:
        self._last[digest] = now

    def last(self, digest: str) -> float | None:
        """When the key was last used; None if it was not used since the start."""
        return self._last.get(digest)

    def all(self) -> dict[str, float]:
        """When each key was last used, by digest."""
        return dict(self._last)

    def keep(self, digests: Iterable[str]) -> None:
        """Forget all other keys."""
        kept = frozenset(digests)
        self._last = {digest: at for digest, at in self._last.items() if digest in kept}


def locked_out_at(keys: Iterable[ClientKey]) -> float | None:
    """When a client is without any key: the end of the last one, None where one has no end."""
    last = max((key.until for key in keys), default=math.inf)
    return None if math.isinf(last) else last
