"""Heads are read as RFC 9112 has them, or refused with the first thing that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedRequest, Refused, UpstreamMalformed, VersionNotSupported
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.fields import read_fields, read_response_fields
from proxy.http1.message import (
    HeadLimits,
    RequestReader,
    check_beginning,
    parse_request_line,
    read_response,
    unread_request,
    without_empty_lines,
)

LIMITS = HeadLimits(max_bytes=200, max_target_bytes=100, max_fields=3)
LINES = b"GET /v2/x?a=https://b//c HTTP/1.1\r\nHost: a\r\nX: y\r\n"
HEAD = LINES + b"\r\n"


@pytest.fixture
def reader() -> RequestReader:
    """One that has read nothing yet."""
    return RequestReader(LIMITS, REQUEST_FIELDS)


def test_a_request_is_read_once_into_its_parts(reader: RequestReader) -> None:
    """Method, target, minor version and passing lines come out unchanged; the bytes behind the head are left."""
    cut = reader.cut(HEAD + b"body")
    assert cut == (HEAD, b"body")
    for _ in range(2):
        request = reader.read(HEAD, lambda: "made")
        assert (request.method, request.minor, request.id) == (b"GET", 1, "made")
        assert (request.target.raw, request.target.path) == (b"/v2/x?a=https://b//c", b"/v2/x")
        assert (request.fields.host, request.fields.passing) == (b"a", b"X: y\r\n")


def test_a_request_brings_its_name_or_gets_one(reader: RequestReader) -> None:
    """A well-formed X-Request-Id is the request's; each other request gets a new name."""
    assert reader.read(LINES + b"X-Request-Id: mine-1\r\n\r\n", lambda: "made").id == "mine-1"
    names = iter(("1", "2"))
    assert [reader.read(HEAD, lambda: next(names)).id for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "target is longer than 100"),
        (b"GET /" + b"x" * 170, "target is longer than 100"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200, "head is larger than 200"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200 + b"\nZ: 1\r\n\r\n", "bare LF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n", "at most 3"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD", "at most 3"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n:\r\n:\r\n:\r\n\r\n", "at most 3"),
    ],
)
def test_a_head_beyond_its_limits_is_refused(reader: RequestReader, data: bytes, says: str) -> None:
    """Bytes, bytes of the target, number of fields; also while the head is not complete."""
    with pytest.raises(Refused, match=says) as caught:
        found = reader.cut(data)
        assert found is not None
        reader.read(found[0], str)
    assert caught.value.close


def test_what_is_remembered_of_heads_has_a_bound() -> None:
    """Two thousand header sections, each twice, and then the first: each is read as what it is."""
    reader = RequestReader(LIMITS, REQUEST_FIELDS)
    for number in (number for number in (*range(2_000), 0) for _ in range(2)):
        request = reader.read(b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number, lambda: "made")
        assert request.fields.passing == b"X: %d\r\n" % number


def test_a_remembered_section_is_that_of_its_version(reader: RequestReader) -> None:
    """The same bytes mean different things in HTTP/1.0 and HTTP/1.1: an expectation has no meaning in HTTP/1.0."""
    head = b"POST / HTTP/1.%d\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"
    read = [reader.read(head % minor, str).fields.expects_continue for minor in (1, 0, 1, 0)]
    assert read == [True, False, True, False]


def test_a_section_that_came_with_another_target_is_not_read_again(reader: RequestReader) -> None:
    """A client sends the same header section with many targets."""
    first, second = (reader.read(HEAD.replace(b"x?a", name), str) for name in (b"y?a", b"z?a"))
    assert first.target != second.target
    assert first.fields is second.fields


def test_a_long_section_is_read_without_being_remembered() -> None:
    """A long section has the same result as a short one, and is parsed each time."""
    reader = RequestReader(HeadLimits(100_000, 100, 10), REQUEST_FIELDS)
    head = LINES + b"Long: " + b"x" * 5000 + b"\r\n\r\n"
    first, second = reader.read(head, str), reader.read(head, str)
    assert first.fields == second.fields and first.fields is not second.fields
    assert reader.read(HEAD, str).fields is reader.read(HEAD, str).fields


HEADS = st.tuples(
    st.sampled_from((b"GET", b"POST", b"G T")),
    st.sampled_from((b"/", b"/a?b", b"*", b"http://h/a", b"/a#b", b"h:1")),
    st.sampled_from((b"1.1", b"1.0", b"2.0")),
    st.lists(
        st.sampled_from(
            (b"Host: a", b"Host:a", b"Host: a ", b"Host : a", b"X: y", b"X_: y", b"X y", b"X: y\r", b"Connection: X")
        ),
        max_size=4,
    ),
).map(lambda parts: b"%b %b HTTP/%b\r\n" % parts[:3] + b"".join(line + b"\r\n" for line in parts[3]) + b"\r\n")


def outcome(reader: RequestReader, head: bytes) -> object:
    """What a head is read as, or the error that refuses it."""
    try:
        return reader.read(head, lambda: "made")
    except Refused as refused:
        return type(refused), refused.detail


@given(st.lists(HEADS, max_size=4), HEADS)
def test_a_head_is_read_alike_with_and_without_memory(before: list[bytes], head: bytes) -> None:
    """Whatever heads came before, itself among them."""
    reader = RequestReader(LIMITS, REQUEST_FIELDS)
    for earlier in before:
        outcome(reader, earlier)
    expected = outcome(RequestReader(LIMITS, REQUEST_FIELDS), head)
    assert [outcome(reader, head) for _ in range(2)] == [expected] * 2


def test_a_head_at_its_limits_is_read(reader: RequestReader) -> None:
    """The limits are the most that is allowed: of the target's bytes, and of the head's."""
    line = b"GET /" + b"x" * (LIMITS.max_target_bytes - 1) + b" HTTP/1.1\r\nHost: a\r\n"
    head = line + b"X: " + b"y" * (LIMITS.max_bytes - len(line) - 3)
    found = reader.cut(head + b"\r\n\r\n")
    assert found is not None
    assert len(reader.read(found[0], str).target.raw) == LIMITS.max_target_bytes
    with pytest.raises(Refused, match=f"head is larger than {LIMITS.max_bytes}"):
        reader.cut(head + b"y\r\n\r\n")


def test_an_unfinished_head_is_no_request_yet(reader: RequestReader) -> None:
    """However it is cut."""
    data = HEAD
    assert [reader.cut(data[:end]) for end in range(1, len(data))] == [None] * (len(data) - 1)


def test_what_could_not_be_read_still_has_a_name() -> None:
    """Method and path of the request line for the log, nothing where there is none."""
    known = unread_request(b"GET /a?secret HTTP/1.1\r\nbroken\r\n", "id-1")
    assert (known.method, known.target.path, known.id) == (b"GET", b"/a", "id-1")
    assert (unread_request(b"G@T /", "id-2").method, unread_request(b"", "id-2").target.path) == (b"", b"")


def test_a_target_may_hold_bytes_beyond_ascii() -> None:
    """Bytes of 0x80 and more in a target are passed through unchanged."""
    assert parse_request_line(b"GET /caf\xc3\xa9 HTTP/1.0") == (b"GET", b"/caf\xc3\xa9", 0)


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
        parse_request_line(line)
    assert caught.value.close


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0"])
def test_other_versions_are_505(version: bytes) -> None:
    """Only versions 1.0 and 1.1 are implemented."""
    with pytest.raises(VersionNotSupported):
        parse_request_line(b"GET / " + version)


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
    assert read_response(b"HTTP/1.1 200\r\n").reason == b""
    head = read_response(b"HTTP/1.0 404 Not Found\r\nA: b\r\n")
    assert (head.status, head.reason, head.minor, head.fields.passing) == (404, b"Not Found", 0, b"A: b\r\n")


@pytest.mark.parametrize(
    "line", [b"HTTP/2 200 OK", b"HTTP/1.1 99 X", b"HTTP/1.1 2000 X", b"ICY 200 OK", b"HTTP/1.1 200 a\x00"]
)
def test_a_bad_status_line_is_refused(line: bytes) -> None:
    """What is no HTTP/1.1 status line is a malformed answer."""
    with pytest.raises(UpstreamMalformed):
        read_response(line + b"\r\n")


def test_white_space_before_a_colon_is_taken_from_an_answer() -> None:
    """RFC 9112, 5.1 demands it of a proxy."""
    assert read_response_fields(b"A : b\r\nC:d\r\n") == [(b"A", b"b"), (b"C", b"d")]


def test_a_folded_answer_is_refused() -> None:
    """RFC 9112, 5.2 lets a proxy answer 502 for it."""
    with pytest.raises(UpstreamMalformed, match="folded"):
        read_response_fields(b"A: b\r\n c\r\n")


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


def test_empty_lines_before_a_request_are_read_over() -> None:
    """RFC 9112, 2.2; half of one may still become one."""
    assert without_empty_lines(b"\r\n\r\n" + HEAD) == HEAD
    assert without_empty_lines(HEAD) == HEAD
    check_beginning(b"\r")
