"""What an error of Amazon's says, as far as it is looked at: the beginning of its body, readable. Pure."""

from __future__ import annotations

import zlib

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
    """As much as there is, and no more than is looked at."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_READ)
    except zlib.error:
        return b""
