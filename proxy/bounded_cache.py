"""A cache that is bounded by the bytes of what it holds: what clients send fills it, in pieces of any size."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(dict[K, V]):
    """A cache of at most `max_entries` values, of `max_bytes` together. It forgets all of them if one more would be too
    many.

    Look values up as in any dictionary, which costs nothing more, and add them with `keep` alone. `bytes` is the sum of
    the sizes with which they were kept.
    """

    __slots__ = ("bytes", "max_bytes", "max_entries")

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        super().__init__()
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<BoundedCache: {len(self)} entries, {self.bytes} of {self.max_bytes} bytes>"

    def keep(self, key: K, value: V, size: int) -> None:
        """Add a value, with its key of about so many bytes. One that is larger than the whole cache is not kept."""
        if size > self.max_bytes:
            return
        if len(self) >= self.max_entries or self.bytes + size > self.max_bytes:
            self.clear()
        self[key] = value
        self.bytes += size

    def clear(self) -> None:
        super().clear()
        self.bytes = 0
