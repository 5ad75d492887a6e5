"""Patterns of requests: what stands literally in them, what is a hole, and which requests are worth none."""

from __future__ import annotations

import pytest

from proxy.errors import MalformedRequest
from proxy.http1.message import HeadLimits, Request, RequestReader
from proxy.http1.request_fields import RequestFieldRules
from proxy.http1.request_shape import CHUNKED, USUAL_LINE, RequestShape, ShapeRules, make_request_shape

RULES = RequestFieldRules(
    dropped=frozenset((b"authorization", b"cookie")),
    dropped_if_empty=frozenset((b"x-account",)),
    single=frozenset((b"authorization", b"x-mode")),
)
SHAPES = ShapeRules(RULES, (b"authorization", b"x-account", b"user-agent"), lambda name: name == b"x-judged")
READER = RequestReader(HeadLimits(65536, 8192, 100), RULES, remember=False)
LINES = (
    b"Host: 127.0.0.1:8080",
    b"User-Agent: tool/1",
    b"Accept: */*",
    b"Connection: keep-alive",
    b"Authorization: Bearer one",
    b"X-Account: a.1",
    b"X-Judged: yes",
    b"Content-Length: 12",
    b"X-Request-Id: id-1",
)


def section(*lines: bytes) -> bytes:
    """A header section of these lines, without the empty one."""
    return b"".join(line + b"\r\n" for line in lines)


def read(*lines: bytes, start: bytes = b"POST /x HTTP/1.1") -> Request:
    return READER.read(start + b"\r\n" + section(*lines), lambda: "new")


def shape_of(*lines: bytes, start: bytes = b"POST /x HTTP/1.1") -> RequestShape | None:
    return make_request_shape(section(*lines), read(*lines, start=start), SHAPES)


def changed(old: bytes, new: bytes) -> bytes:
    """The usual section with one line in another's place, and its empty line."""
    return section(*(new if line == old else line for line in LINES)) + b"\r\n"


USUAL = shape_of(*LINES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LINES[1], b"User-Agent: another tool/2.0 (x; y)"),
        (LINES[2], b"Accept: text/csv"),
        (LINES[4], b"Authorization: Bearer two"),
        (LINES[5], b"X-Account: b.2"),
        (LINES[7], b"Content-Length: 7"),
        (LINES[8], b"X-Request-Id: another"),
        (LINES[8], b"X-Request-Id: " + b"a" * 128),
    ],
)
def test_what_is_looked_up_or_not_read_may_differ(old: bytes, new: bytes) -> None:
    """And what is read of such a section is what the shape says of it."""
    assert USUAL is not None
    found = USUAL.fields.pattern.fullmatch(changed(old, new))
    assert found is not None
    fields = read(*(new if line == old else line for line in LINES)).fields
    assert USUAL.fields.lines(found) == fields.passing
    assert USUAL.length(found) == fields.content_length
    assert USUAL.request_id(found) == fields.request_id
    every = dict(fields.every)
    assert USUAL.names == (b"authorization", b"x-account", b"user-agent")
    assert USUAL.values(found) == tuple(every[name] for name in USUAL.names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LINES[0], b"Host: other"),
        (LINES[3], b"Connection: close"),
        (LINES[6], b"X-Judged: no"),
        (LINES[2], b"accept: */*"),
        (LINES[2], b"Accept:  */*"),
        (LINES[2], b"Accept: */* "),
        (LINES[2], b"Accept: */*\t"),
        (LINES[2], b"Accept: "),
        (LINES[2], b"Accept: a\x00b"),
        (LINES[2], b"Accept: a\x7fb"),
        (LINES[2], b"Accept: a\nX: b"),
        (LINES[2], b"Accept: a\rb"),
        (LINES[2], b"Accept: a\r\nX: b"),
        (LINES[5], b"X-Account: "),
        (LINES[7], b"Content-Length: x"),
        (LINES[7], b"Content-Length: 1234567890123456789"),
        (LINES[8], b"X-Request-Id: not ours"),
        (LINES[8], b"X-Request-Id: " + b"a" * 129),
    ],
)
def test_what_is_read_may_not_differ(old: bytes, new: bytes) -> None:
    """Nor how a line is written, nor may a value hold what is no value."""
    assert USUAL is not None
    assert USUAL.fields.pattern.fullmatch(changed(old, new)) is None


def test_a_section_without_length_and_id_says_neither() -> None:
    """Then there is no body, and the request has no name of its own."""
    shape = shape_of(b"Host: a", start=b"GET /x HTTP/1.1")
    assert shape is not None
    found = shape.fields.pattern.fullmatch(b"Host: a\r\n\r\n")
    assert found is not None
    assert (shape.values(found), shape.length(found), shape.request_id(found)) == ((), 0, "")
    assert (repr(shape), repr(USUAL)) == (
        "<RequestShape with nothing looked up>",
        "<RequestShape with authorization, x-account, user-agent>",
    )


def test_a_body_in_chunks_is_told() -> None:
    """The coding stands literally, and there is no length."""
    shape = shape_of(b"Host: a", b"Transfer-Encoding: chunked")
    assert shape is not None
    found = shape.fields.pattern.fullmatch(b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert found is not None
    assert (shape.length(found), shape.fields.lines(found)) == (CHUNKED, b"")
    for other in (b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5"):
        assert shape.fields.pattern.fullmatch(b"Host: a\r\n" + other + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close",
        b"Connection: keep-alive, X-Hop",
        b"Transfer-Encoding:chunked",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"Trailer: x",
        b"X_Odd: 1",
        b"User-Agent:tool",
        b"User-Agent:  tool",
        b"X-Account: ",
        b"X-Request-Id: not ours",
    ],
)
def test_an_unusual_request_is_worth_no_shape(line: bytes) -> None:
    """Its body, its answer or its end is not of the usual kind, or it is written in an odd way."""
    assert shape_of(b"Host: a", line) is None


def test_what_is_looked_up_stands_once() -> None:
    """Two of it are for the ordinary path to judge."""
    assert shape_of(b"Host: a", b"User-Agent: x", b"User-Agent: x") is None


def test_http_1_0_is_worth_no_shape() -> None:
    """Its connections end in another way."""
    assert shape_of(b"Host: a", start=b"GET /x HTTP/1.0") is None


def test_hop_by_hop_fields_are_dropped_unread() -> None:
    """Their values say nothing that is acted on, and may be secrets."""
    shape = shape_of(b"Host: a", b"Proxy-Authorization: Basic c2VjcmV0", b"Keep-Alive: timeout=5", b"Accept: x")
    assert shape is not None
    assert b"c2VjcmV0" not in shape.fields.pattern.pattern
    found = shape.fields.pattern.fullmatch(
        section(b"Host: a", b"Proxy-Authorization: Basic z", b"Keep-Alive: 9", b"Accept: y") + b"\r\n"
    )
    assert found is not None
    assert shape.fields.lines(found) == b"Accept: y\r\n"


def test_no_secret_stands_in_a_shape() -> None:
    """Keys are holes."""
    assert USUAL is not None
    assert b"Bearer" not in USUAL.fields.pattern.pattern


def test_a_section_that_cannot_be_read_has_no_shape() -> None:
    """Whoever asks has read it before."""
    with pytest.raises(MalformedRequest):
        make_request_shape(b"Bad Name: x\r\n", read(b"Host: a"), SHAPES)


def test_a_usual_line_is_cut_into_its_parts() -> None:
    """Method, target, path and query."""
    found = USUAL_LINE.fullmatch(b"GET /a/b?c=d HTTP/1.1")
    assert found is not None
    assert found.groups() == (b"GET", b"/a/b?c=d", b"/a/b", b"?c=d")


@pytest.mark.parametrize(
    "line",
    [
        b"HEAD /a HTTP/1.1",
        b"OPTIONS /a HTTP/1.1",
        b"get /a HTTP/1.1",
        b"GET http://a/b HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /a?b#c HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a\x00 HTTP/1.1",
        b"GET /a HTTP/1.0",
        b"GET  /a HTTP/1.1",
        b"GET /a HTTP/1.1 ",
        b"GET ?a HTTP/1.1",
    ],
)
def test_any_other_line_is_not_usual(line: bytes) -> None:
    """It is for the ordinary path."""
    assert USUAL_LINE.fullmatch(line) is None
