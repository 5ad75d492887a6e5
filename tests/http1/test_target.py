"""A target is split once, and not a byte of it changes."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedRequest
from proxy.http1.target import TargetForm, parse_target, percent_decoded, query_parameters, unread_target


@pytest.mark.parametrize(
    ("raw", "path", "query", "segments"),
    [
        (b"/", b"/", b"", ()),
        (b"/?", b"/", b"?", ()),
        (b"/a/b", b"/a/b", b"", (b"a", b"b")),
        (b"//a//b/", b"//a//b/", b"", (b"a", b"b")),
        (b"/a%2Fb/%63?x=/y?z", b"/a%2Fb/%63", b"?x=/y?z", (b"a/b", b"c")),
        (b"/%2561", b"/%2561", b"", (b"%61",)),
    ],
)
def test_origin_form_is_split(raw: bytes, path: bytes, query: bytes, segments: tuple[bytes, ...]) -> None:
    """Path, query with its mark, and segments decoded once without the empty ones."""
    target = parse_target(raw)
    assert (target.form, target.path, target.segments) == (TargetForm.ORIGIN, path, segments)
    assert target.origin_form == path + query
    assert (target.raw, target.authority, target.scheme) == (raw, b"", b"")


@pytest.mark.parametrize(
    ("raw", "scheme", "authority", "path", "query"),
    [
        (b"http://H.example/a?b", b"http", b"h.example", b"/a", b"?b"),
        (b"HTTPS://h:1", b"https", b"h:1", b"/", b""),
        (b"http://h?x=http://y/", b"http", b"h", b"/", b"?x=http://y/"),
    ],
)
def test_absolute_form_is_split(raw: bytes, scheme: bytes, authority: bytes, path: bytes, query: bytes) -> None:
    """Scheme and authority in lower case; an empty path is a slash."""
    target = parse_target(raw)
    assert target.form is TargetForm.ABSOLUTE
    assert (target.scheme, target.authority, target.path) == (scheme, authority, path)
    assert target.origin_form == path + query


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        *((b"/a?b", b"/a"), (b"http://h/a?b", b"/a"), (b"*", b"*"), (b"a?b", b"a"), (b"?b?c", b"")),
        *((b"/@a/b", b"/@a/b"), (b"http://h/@a", b"/@a"), (b"user:word@h:443", b"h:443"), (b"u:w@rd@h?b", b"h")),
    ],
)
def test_what_is_shown_of_a_target_has_no_query(raw: bytes, shown: bytes) -> None:
    """A password before a host is left out, too, in every form."""
    assert parse_target(raw).shown == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"/@a/b?c", b"/@a/b"), (b"/a#b?c", b"/a"), (b"http://user:word@h/a?b", b"h/a"), (b"http://h/a", b"http://h/a")],
)
def test_what_is_shown_of_an_unread_target_has_no_secret(raw: bytes, shown: bytes) -> None:
    """Neither query nor fragment, and no password before a host, is shown: some clients leave it in the address."""
    assert (unread_target(raw).shown, unread_target(raw).path) == (shown, shown)


def test_the_other_forms_have_no_path() -> None:
    """What they mean is for others to say."""
    assert parse_target(b"*").form is TargetForm.ASTERISK
    assert parse_target(b"example.com:443").form is TargetForm.AUTHORITY
    assert parse_target(b"a/b").path == parse_target(b"a/b?c").origin_form == b""


@pytest.mark.parametrize("raw", [b"/a#b", b"http:///x", b"http://", b"http://u@h/", b"#"])
def test_what_is_no_target_is_refused(raw: bytes) -> None:
    """A fragment, a user, no host: the connection ends."""
    with pytest.raises(MalformedRequest) as refused:
        parse_target(raw)
    assert refused.value.close


@given(st.binary(max_size=40).map(lambda rest: b"/" + rest.replace(b"#", b"")))
def test_an_origin_form_is_the_target_as_it_came(raw: bytes) -> None:
    """Whatever the bytes; its path ends before the first question mark."""
    target = parse_target(raw)
    assert target.origin_form == raw
    assert raw.startswith(target.path) and b"?" not in target.path and raw[len(target.path) :][:1] in (b"", b"?")
    assert all(target.segments)


@given(st.lists(st.sampled_from((b"%", b"4", b"1", b"a", b"F", b"g", b"+", b"%41", b"%ff", b"\xff"))).map(b"".join))
def test_codes_are_decoded_as_the_standard_library_does(text: bytes) -> None:
    """Invalid codes stay."""
    assert percent_decoded(text) == unquote_to_bytes(text)


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", ()),
        (b"?", ()),
        (b"?a=1&b=2", ((b"a", b"1"), (b"b", b"2"))),
        (b"a=1;b=2", ((b"a", b"1"), (b"b", b"2"))),
        (b"?a=1&a=2&&", ((b"a", b"1"), (b"a", b"2"))),
        (b"?a", ((b"a", b""),)),
        (b"?=x&a==y", ((b"", b"x"), (b"a", b"=y"))),
        (b"?%61+b=%2561+c%ff", ((b"a b", b"%61 c\xff"),)),
        (b"??a=/?", ((b"?a", b"/?"),)),
    ],
)
def test_a_query_is_read_once_decoded(query: bytes, parameters: tuple[tuple[bytes, bytes], ...]) -> None:
    """Every parameter in order, repeated ones too, whatever separates them."""
    assert query_parameters(query) == parameters
