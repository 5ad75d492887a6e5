"""Paths where they decide what a client may do: which cannot be checked, and which a pattern matches. Pure.

A path that two servers could read differently is refused rather than checked. What is checked are the segments that
`http1.target` cut from the bytes that are sent, percent-decoded once; nothing is taken apart here a second time.
"""

from __future__ import annotations

import re

from proxy.errors import UnacceptablePath
from proxy.routing.operations import PUBLISHED
from proxy.value_classes import dataclass

_PLAIN = re.compile(rb"/?|(?:/[A-Za-z0-9_-]+)+")
"""A path that every server reads in the same way, and most are."""
_WRONG_CODE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_STILL_ENCODED = re.compile(rb"%(?:[0-9A-Fa-f]{2}|[uU])")
_BLANK_OR_DOT = (b" ", b".")
_ODD_SIGNS = re.compile(rb"[\x00-\x1f\x7f-\xff/\\?#;]")
_SIGNS = {
    b"/": "an encoded slash",
    b"\\": "a backslash",
    b"?": "an encoded '?'",
    b"#": "an encoded '#'",
    b";": "a ';'",
}
_CLOSED_BY_SLASH = frozenset(row.template.encode() for row in PUBLISHED if row.template.endswith("/"))
"""The published paths that end in a slash."""


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


def unambiguous_path(path: bytes, segments: tuple[bytes, ...], named: frozenset[bytes] = frozenset()) -> bytes:
    """A path percent-decoded, for `PathPattern.matches`. Raises `UnacceptablePath` where that leaves a doubt.

    `path` is what is sent, `segments` are its parts. A closing slash is taken where Amazon's specifications have it, or
    where the operator wrote it: `named` are the paths that a configuration holds letter by letter.
    """
    if _PLAIN.fullmatch(path):
        return path
    doubt = _doubt(path, segments, named)
    if doubt:
        raise UnacceptablePath(f"This client is limited, and the path holds {doubt}; write it plainly.")
    return b"/" + b"/".join(segments) + (b"/" if path.endswith(b"/") else b"")


def _doubt(path: bytes, segments: tuple[bytes, ...], named: frozenset[bytes]) -> str:
    """What of a path a second reader could read differently, empty for nothing."""
    if _WRONG_CODE.search(path):
        return "a '%' that two hexadecimal digits do not follow"
    if b"//" in path:
        return "an empty segment"
    if path.endswith(b"/") and path not in _CLOSED_BY_SLASH and path not in named:
        return "a slash at its end"
    for segment in segments:
        if _STILL_ENCODED.search(segment):
            return "a part that is encoded twice"
        odd = _ODD_SIGNS.search(segment)
        if odd is not None:
            return _SIGNS.get(odd[0], "a control character or a letter beyond ASCII")
        if segment.startswith(_BLANK_OR_DOT) or segment.endswith(_BLANK_OR_DOT):
            return "a segment that begins or ends with a dot or a blank"
    return ""
