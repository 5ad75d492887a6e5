"""Heads are read as RFC 9112 has them, or refused with the first thing that is wrong."""

from __future__ import annotations

import pytest

from proxy.errors import MalformedRequest, Refused, UpstreamMalformed, VersionNotSupported
from proxy.http1.message import (
    check_beginning,
    parse_answer_head,
    parse_request_head,
    read_answer_fields,
    read_fields,
)


def test_a_request_head_is_cut_into_its_parts() -> None:
    """Method, target, minor version and the unread field lines come out as they were sent."""
    head = parse_request_head(b"GET /v2/x?a=https://b//c HTTP/1.1\r\nHost: a\r\nX: y\r\n")
    assert (head.method, head.target, head.minor) == (b"GET", b"/v2/x?a=https://b//c", 1)
    assert head.section == b"Host: a\r\nX: y\r\n"


def test_a_target_may_hold_bytes_beyond_ascii() -> None:
    """Bytes of 0x80 and more in a target are handed on as they are."""
    assert parse_request_head(b"GET /caf\xc3\xa9 HTTP/1.0\r\n").target == b"/caf\xc3\xa9"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"GET /", "no HTTP version"),
        (b"GET  / HTTP/1.1", "single spaces"),
        (b"GET / HTTP/1.1 ", "single spaces"),
        (b" GET / HTTP/1.1", "single spaces"),
        (b"GET /a b HTTP/1.1", "single spaces"),
        (b"G@T / HTTP/1.1", "not valid"),
        (b"GET /\x00 HTTP/1.1", "not valid"),
        (b"GET / http/1.1", "no HTTP version"),
        (b"GET / HTTP/11", "not valid"),
        (b"GET / HTTP/1.1\nHost: a", "bare CR or LF"),
        (b"GET / HTTP/1.1\rHost: a", "bare CR or LF"),
    ],
)
def test_a_bad_request_line_is_refused_with_its_reason(line: bytes, says: str) -> None:
    """Each way to get a request line wrong has its own sentence, and the connection ends."""
    with pytest.raises(MalformedRequest, match=says) as caught:
        parse_request_head(line + b"\r\nHost: a\r\n")
    assert caught.value.close


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0"])
def test_other_versions_are_505(version: bytes) -> None:
    """Only 1.0 and 1.1 are spoken."""
    with pytest.raises(VersionNotSupported):
        parse_request_head(b"GET / " + version + b"\r\n")


def test_fields_keep_order_case_repetition_and_odd_bytes() -> None:
    """White space around a value goes, all else stays, bytes that are not UTF-8 included."""
    section = b"X-a:  1\t\r\nx-A:\xff\xfe\r\nEmpty:\r\nX-a: b: c\r\n"
    assert read_fields(section) == [(b"X-a", b"1"), (b"x-A", b"\xff\xfe"), (b"Empty", b""), (b"X-a", b"b: c")]


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (b"Host: a\r\n folded\r\n", "line 2 begins with white space"),
        (b"\tHost: a\r\n", "line 1 begins with white space"),
        (b"Host : a\r\n", "before the colon"),
        (b"Host\r\n", "no colon"),
        (b": a\r\n", "a name that is empty"),
        (b"H@st: a\r\n", "a name that is empty"),
        (b"X: a\nY: b\r\n", "bare CR or LF"),
        (b"X: a\rb\r\n", "bare CR or LF"),
        (b"X: a\x00b\r\n", "control character"),
        (b"X: a\x7f\r\n", "control character"),
        (b"X: a", "does not end in CRLF"),
    ],
)
def test_a_bad_field_line_is_refused_with_its_number(section: bytes, says: str) -> None:
    """The reason names the line and never shows its value."""
    with pytest.raises(MalformedRequest, match=says):
        read_fields(section)


def test_an_answer_head_may_lack_its_reason() -> None:
    """A status line without reason, or without even the space before it, is accepted (RFC 9112, 4)."""
    assert parse_answer_head(b"HTTP/1.1 200\r\n").reason == b""
    head = parse_answer_head(b"HTTP/1.0 404 Not Found\r\nA: b\r\n")
    assert (head.status, head.reason, head.minor, head.section) == (404, b"Not Found", 0, b"A: b\r\n")


@pytest.mark.parametrize(
    "line", [b"HTTP/2 200 OK", b"HTTP/1.1 99 X", b"HTTP/1.1 2000 X", b"ICY 200 OK", b"HTTP/1.1 200 a\x00"]
)
def test_a_bad_status_line_is_refused(line: bytes) -> None:
    """What is no HTTP/1.1 status line is a malformed answer."""
    with pytest.raises(UpstreamMalformed):
        parse_answer_head(line + b"\r\n")


def test_white_space_before_a_colon_is_taken_from_an_answer() -> None:
    """RFC 9112, 5.1 demands it of a proxy."""
    assert read_answer_fields(b"A : b\r\nC:d\r\n") == [(b"A", b"b"), (b"C", b"d")]


def test_a_folded_answer_is_refused() -> None:
    """RFC 9112, 5.2 lets a proxy answer 502 for it."""
    with pytest.raises(UpstreamMalformed, match="folded"):
        read_answer_fields(b"A: b\r\n c\r\n")


@pytest.mark.parametrize(
    ("beginning", "says"),
    [
        (b"\x16\x03\x01\x02", "TLS handshake"),
        (b"\x00\x01", "method"),
        (b" GET", "method"),
        (b"G@T / ", "method"),
        (b"GET / HTTP/1.1\nHost", "bare LF"),
        (b"GET /\r\n", "no HTTP version"),
        (b"PRI * HTTP/2.0\r\n", "HTTP/2.0"),
    ],
)
def test_what_can_never_become_a_request_is_refused_at_once(beginning: bytes, says: str) -> None:
    """A peer that speaks something else need not wait for the head timer."""
    with pytest.raises(Refused, match=says):
        check_beginning(beginning)


@pytest.mark.parametrize("beginning", [b"G", b"GET", b"GET ", b"GET /x", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nHo"])
def test_an_unfinished_head_is_waited_for(beginning: bytes) -> None:
    """Whatever can still become a request raises nothing."""
    check_beginning(beginning)
    assert b"\r\n\r\n" not in beginning
