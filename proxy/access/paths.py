"""Paths where they decide what a client may do: which cannot be judged, and which a pattern matches. Pure.

A path that two servers could read differently is refused rather than judged: dot segments, encoded slashes, and
whatever else a server is known to undo.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from proxy.errors import UnacceptablePath
from proxy.http1.target import percent_decoded

_WRONG_CODE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_STILL_ENCODED = re.compile(rb"%(?:2e|2f|5c|25)", re.IGNORECASE)
_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_BYTES = 512
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern cut at its stars. `*` matches anything, `/` too; all else is literal, case included."""

    pieces: tuple[bytes, ...]

    @classmethod
    def read(cls, pattern: str) -> PathPattern:
        return cls(tuple(pattern.encode().split(b"*")))

    def matches(self, path: bytes) -> bool:
        """Whether the pattern matches a path from `unambiguous_path`; in linear time, whatever the path."""
        first, *middle = self.pieces
        if not middle:
            return path == first
        last = middle.pop()
        if not path.startswith(first) or not path.endswith(last) or len(path) < len(first) + len(last):
            return False
        at, end = len(first), len(path) - len(last)
        for piece in middle:
            at = path.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True


def unambiguous_path(path: bytes) -> bytes:
    """A path percent-decoded, for `PathPattern.matches`. Raises `UnacceptablePath` where that leaves a doubt."""
    return _remembered_path(path) if len(path) <= _MAX_REMEMBERED_BYTES else _read_path(path)


def _read_path(path: bytes) -> bytes:
    decoded = percent_decoded(path)
    if b"%" in path:
        if _WRONG_CODE.search(path):
            raise _unacceptable("a '%' that two hexadecimal digits do not follow")
        if b"/" in percent_decoded(path.replace(b"/", b"")):
            raise _unacceptable("an encoded slash")
        if _STILL_ENCODED.search(decoded):
            raise _unacceptable("a part that is encoded twice")
    if b"?" in decoded or b"#" in decoded:
        raise _unacceptable("an encoded '?' or '#'")
    if b"\\" in decoded:
        raise _unacceptable("a backslash")
    if _CONTROL.search(decoded):
        raise _unacceptable("a control character")
    for segment in decoded.split(b"/"):
        if segment.partition(b";")[0].strip() in (b".", b".."):
            raise _unacceptable("a dot segment")
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise _unacceptable("bytes that are not UTF-8") from None
    return decoded


_remembered_path = lru_cache(maxsize=_MAX_REMEMBERED)(_read_path)


def _unacceptable(what: str) -> UnacceptablePath:
    return UnacceptablePath(f"This client's paths are limited, and the path holds {what}; write it plainly.")
