"""A copy of a body that is on its way: bounded, taken while it passes, and decoded when it is looked at. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.http1.framing import Buffer

LARGE: Final = 4096
"""Bytes from which on a body is large, and read in a thread: a smaller one takes less than the way to the thread and
back may take."""


class BodyCopy:
    """A body of at most `max_bytes`; `size` is that of the whole, as far as it came.

    Of a larger one nothing is kept, unless `keeps_beginning`.
    """

    __slots__ = ("_data", "_keeps_beginning", "_max_bytes", "size")

    def __init__(self, max_bytes: int, *, keeps_beginning: bool = False) -> None:
        self._data = bytearray()
        self._max_bytes = max_bytes
        self._keeps_beginning = keeps_beginning
        self.size = 0

    def __repr__(self) -> str:
        return f"<BodyCopy of {len(self._data)} of {self.size} bytes>"

    def add(self, pieces: list[Buffer]) -> None:
        """The next of it. One byte takes one byte, however many pieces a body comes in."""
        for piece in pieces:
            room = self._max_bytes - len(self._data)
            if room > 0:
                self._data += piece[:room]
            self.size += len(piece)
        if self.size > self._max_bytes and not self._keeps_beginning:
            self._data = bytearray()
            self._max_bytes = 0

    @property
    def beginning(self) -> bytes:
        """What is there."""
        return bytes(self._data)

    @property
    def whole(self) -> bytes | None:
        """All of the body; None where it was too large."""
        return bytes(self._data) if self.size <= self._max_bytes else None


def may_hold_results(content_type: bytes) -> bool:
    """Whether a response of this type can say what became of a write: JSON, text, a stream of events, or no type."""
    media_type = content_type.lower().strip()
    return not media_type or b"json" in media_type or media_type.startswith((b"text/plain", b"text/event-stream"))


def decode_body(body: bytes, content_encoding: bytes, max_bytes: int) -> bytes | None:
    """A body without its coding; None where that is not known, or wrong, or makes it larger than `max_bytes`."""
    coding = content_encoding.strip().lower()
    if coding in (b"", b"identity"):
        return body if len(body) <= max_bytes else None
    return _unzip(body, max_bytes) if coding in (b"gzip", b"x-gzip") else None


MAX_MEMBERS: Final = 64
"""Members of a gzip file that are read: each costs a copy of all that is behind it."""


def _unzip(body: bytes, max_bytes: int) -> bytes | None:
    """All members of a gzip file (RFC 1952, 2.2); None if there are too many."""
    found = bytearray()
    members = 0
    while body:
        members += 1
        if members > MAX_MEMBERS:
            return None
        member = zlib.decompressobj(wbits=31)
        try:
            found += member.decompress(body, max_bytes - len(found) + 1)
        except zlib.error:
            return None
        if len(found) > max_bytes or not member.eof:
            return None
        body = member.unused_data
    return bytes(found)


# --- What an error of Amazon's says, as far as it is looked at -------------------------------------------

MAX_READ = 4096
"""Bytes that are looked at: Amazon's errors are a sentence long."""


def readable(body: bytes, content_encoding: bytes) -> bytes:
    """The beginning of a body in lower case; empty where its coding is not known, or it is not what it says."""
    coding = content_encoding.lower()
    if coding in (b"gzip", b"x-gzip"):
        body = _unzipped(body)
    elif coding not in (b"", b"identity"):
        return b""
    return body[:MAX_READ].lower()


def _unzipped(body: bytes) -> bytes:
    """The beginning of a gzip file, without its coding: what is looked at of it."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_READ)
    except zlib.error:
        return b""
