"""What Amazon's 401 says of itself: whether it is about the Scope that was sent, never about the token. Pure."""

from __future__ import annotations

import zlib

MAX_READ = 4096
"""Bytes of a 401's body that are looked at: Amazon's are a sentence long."""
PATIENCE = 0.25
"""Seconds that the body may lag behind its head before the answer is judged without it."""
_ABOUT_SCOPE = (
    b"no matching advertiser found for scope",
    b"scope header is missing",
    b"not authorized to access scope",
)
"""Rights or consent are wanting: another token would change nothing (docs/amazon.md, Unauthorized)."""


def is_about_scope(body: bytes, content_encoding: bytes) -> bool:
    """Whether the beginning of a 401's body says that the Scope is at fault."""
    text = _unzipped(body) if content_encoding.lower() in (b"gzip", b"x-gzip") else body
    text = text[:MAX_READ].lower()
    return any(words in text for words in _ABOUT_SCOPE)


def _unzipped(body: bytes) -> bytes:
    """As much as there is, and no more than is looked at; nothing of what is no gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_READ)
    except zlib.error:
        return b""
