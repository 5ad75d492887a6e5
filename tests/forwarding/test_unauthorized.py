"""What a 401 says of itself."""

from __future__ import annotations

import gzip

import pytest

from proxy.forwarding.unauthorized import MAX_READ, is_about_scope

MISSING = b'{"code": "401", "details": "Scope header is missing"}'


@pytest.mark.parametrize(
    ("body", "about_scope"),
    [
        (MISSING, True),
        (b'{"message":"NO MATCHING ADVERTISER FOUND FOR SCOPE: 1"}', True),
        (b'{"details":"Not authorized to access scope 123"}', True),
        (b'{"message":"Unauthorized"}', False),
        (b'{"code":"401","details":"Authentication failed"}', False),
        (b'{"code":"UNAUTHORIZED","details":"HTTP 401 Unauthorized"}', False),
        (b"Scope header is", False),
        (b"", False),
        (b" " * MAX_READ + MISSING, False),
    ],
)
def test_only_three_texts_are_about_the_scope(body: bytes, about_scope: bool) -> None:
    """In any case of letters, in whatever form the error has; everything else can mean the token."""
    assert is_about_scope(body, b"") is about_scope
    assert is_about_scope(gzip.compress(body), b"GZIP") is about_scope


def test_what_cannot_be_unzipped_says_nothing() -> None:
    """Nor does a coding that is not known; a beginning is enough, and a bomb is not unpacked."""
    assert not is_about_scope(MISSING, b"gzip")
    assert not is_about_scope(gzip.compress(MISSING), b"br")
    assert is_about_scope(gzip.compress(MISSING + bytes(10_000_000))[:1000], b"gzip")
