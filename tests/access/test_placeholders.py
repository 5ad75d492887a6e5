"""Placeholders: their content, their lifetime, and that only the proxy can make them."""

from __future__ import annotations

import base64

import pytest

from proxy.access.placeholders import ACCESS, LIFETIME, REFRESH, Holder, Placeholder, Placeholders, sign

MINE = Placeholders(b"k" * 32)
DIGESTS = {"": ("",), "reporting": ("b" * 64, "a" * 64)}


def digests_of(name: str) -> tuple[str, ...]:
    return DIGESTS.get(name, ())


def read(text: str, prefix: bytes = ACCESS, placeholders: Placeholders = MINE) -> Placeholder | None:
    return placeholders.read(prefix, text.encode(), digests_of)


def test_an_access_placeholder_says_who_what_and_until_when() -> None:
    """Client, bound name, and an hour from now; it looks like Amazon's and fits a header."""
    text = MINE.issue_access(Holder("reporting", "a" * 64), "brand-eu", 1000.9)
    assert read(text) == Placeholder("reporting", "brand-eu", 1000 + LIFETIME, key_digest="a" * 64)
    assert text.startswith("Atza|")
    assert text.isascii() and " " not in text and text.count(".") == 2


def test_an_access_placeholder_for_a_jwt_says_whose_it_is() -> None:
    """The longest subject, with signs that JSON escapes, fits as well."""
    for subject in ("repo:acme/bidder", "\\" * 203):
        text = MINE.issue_access(Holder("reporting", "a" * 64, subject), "b" * 64, 1000.9)
        assert read(text) == Placeholder("reporting", "b" * 64, 1000 + LIFETIME, subject, "a" * 64)


def test_a_refresh_placeholder_does_not_expire() -> None:
    """A client of the authorization_code grant refreshes with this placeholder."""
    assert read(MINE.issue_refresh("", "", "acme"), REFRESH) == Placeholder("", "acme", 0)


def test_it_survives_a_restart_but_not_another_key() -> None:
    """The key alone decides."""
    text = MINE.issue_access(Holder("", ""), "", 0)
    assert read(text, placeholders=Placeholders(b"k" * 32)) is not None
    assert read(text, placeholders=Placeholders(b"x" * 32)) is None


def test_a_clients_new_key_ends_its_placeholders() -> None:
    """The signature covers the digest of the key that the client had."""
    text = MINE.issue_access(Holder("reporting", "c" * 64), "", 0)
    assert read(text) is None


def test_each_of_a_clients_keys_has_placeholders_of_its_own() -> None:
    """While one key takes another's place both are good, and each is known for the key it came of."""
    for digest in ("a" * 64, "b" * 64):
        found = read(MINE.issue_access(Holder("reporting", digest), "", 0))
        assert found is not None and found.key_digest == digest


def test_one_kind_does_not_pass_for_the_other() -> None:
    """A refresh placeholder with the other prefix is a forgery."""
    refresh = MINE.issue_refresh("", "", "").encode()
    assert MINE.read(ACCESS, ACCESS + refresh.removeprefix(REFRESH), digests_of) is None
    assert MINE.read(ACCESS, refresh, digests_of) is None


def sealed(payload: bytes) -> str:
    """A text with a genuine signature over any payload."""
    encoded = base64.urlsafe_b64encode(payload).rstrip(b"=")
    return (ACCESS + encoded + b"." + sign(MINE.key, ACCESS, encoded)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Atza|something-of-amazon",
        "Atza|ap1.",
        "Atza|ap1.x",
        "Atza|ap1.!!!.x",
        "Atza|ap1.\u00fc.x",
        sealed(b"no json"),
        sealed(b"[]"),
        sealed(b'["a",1,2]'),
        sealed(b'{"a":1}'),
        sealed(b'["nobody","",1]'),
        sealed(b'["","",1]') + "x",
        sealed(b'["","",1]')[:-1],
        sealed(b'["","",1]').replace("ap1.W", "ap1.X"),
        sealed(b"[" * 400),
        sealed(b'["","' + b"x" * 1000 + b'",1]'),
    ],
)
def test_what_is_not_genuine_is_none(text: str) -> None:
    """Forged, torn, foreign or of a client that is gone."""
    assert read(text) is None


def test_it_does_not_show_its_key() -> None:
    """The key is not shown even by accident."""
    assert "k" * 8 not in repr(MINE)
