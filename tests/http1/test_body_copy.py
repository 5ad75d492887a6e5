"""Copies of bodies: bounded in number of bytes, whatever pieces and codings they come in."""

from __future__ import annotations

import gzip

import pytest

from proxy.http1.body_copy import MAX_MEMBERS, BodyCopy, decode_body

TEXT = b'{"campaigns": {"success": []}}'


@pytest.mark.parametrize(
    ("pieces", "beginning", "whole"),
    [
        ([], b"", b""),
        ([b"abc", memoryview(b"de")], b"abcde", b"abcde"),
        ([b"abcde", b"f"], b"abcde", None),
        ([b"abcdefg", b"h"], b"abcde", None),
    ],
)
def test_a_copy_is_bounded(pieces: list[bytes | memoryview], beginning: bytes, whole: bytes | None) -> None:
    """Bytes beyond the bound are counted, and not kept; the beginning of a larger body only if it is wanted."""
    copy, small = BodyCopy(5, keeps_beginning=True), BodyCopy(5)
    for piece in pieces:
        copy.add([piece])
        small.add([piece])
    assert (copy.beginning, copy.whole) == (beginning, whole)
    assert (small.beginning, small.whole) == (whole or b"", whole)
    assert copy.size == small.size == sum(map(len, pieces))
    assert repr(copy) == f"<BodyCopy of {len(beginning)} of {copy.size} bytes>"


def test_a_copy_of_nothing_tells_whether_there_was_a_body() -> None:
    """By its size alone."""
    copy = BodyCopy(0)
    assert copy.whole == b""
    copy.add([b"a"])
    assert copy.whole is None


@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip", b"GZip "])
def test_gzip_is_undone(coding: bytes) -> None:
    """Also of several members, which is one file."""
    assert decode_body(gzip.compress(TEXT), coding, 100) == TEXT
    assert decode_body(gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), coding, 100) == TEXT
    assert decode_body(gzip.compress(b"a") * MAX_MEMBERS, coding, 100) == b"a" * MAX_MEMBERS
    assert decode_body(b"", coding, 100) == b""


@pytest.mark.parametrize("coding", [b"", b"identity"])
def test_a_body_without_a_coding_is_itself(coding: bytes) -> None:
    """As long as it is small enough."""
    assert decode_body(TEXT, coding, len(TEXT)) == TEXT
    assert decode_body(TEXT, coding, len(TEXT) - 1) is None


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (TEXT, b"br"),
        (TEXT, b"gzip, gzip"),
        (TEXT, b"gzip"),
        (gzip.compress(TEXT)[:-9], b"gzip"),
        (gzip.compress(TEXT) + b"more", b"gzip"),
        (gzip.compress(b" " * 101), b"gzip"),
        (gzip.compress(b" " * (64 << 20), 1), b"gzip"),
        (gzip.compress(b" " * 60) * 2, b"gzip"),
        (gzip.compress(b"") * (MAX_MEMBERS + 1), b"gzip"),
    ],
    ids=[
        *("unknown", "twice", "not gzip", "cut", "more behind it", "too large", "far too large", "too large together"),
        "of too many members",
    ],
)
def test_what_cannot_be_undone_is_none(body: bytes, coding: bytes) -> None:
    """A small body that becomes a large one is given up at the bound."""
    assert decode_body(body, coding, 100) is None
