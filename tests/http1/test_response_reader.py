"""Responses that are read by what was read before: they say what they would say by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamMalformed
from proxy.http1.message import read_response
from proxy.http1.response_reader import MAX_BEGINNINGS, MAX_SHAPES, MAX_TRIES, ResponseReader

IDS = (b"x-amz-rid", b"x-amz-request-id")
USUAL = (
    b"HTTP/1.1 200 OK",
    b"Server: nginx",
    b"Date: Wed, 25 Nov 2026 13:00:00 GMT",
    b"Content-Type: application/json",
    b"Content-Length: 5",
    b"Connection: keep-alive",
    b"x-amz-rid: R1",
    b"X-Request-Id: theirs",
    b"ETag: abc",
)
OTHER_LINES = (
    b"Content-Length: 17",
    b"content-length: 0",
    b"Content-Length: 5x",
    b"Content-Type: text/event-stream",
    b"Content-Encoding: gzip",
    b"Connection: close",
    b"Connection: keep-alive, ETag",
    b"Transfer-Encoding: chunked",
    b"Retry-After: 7",
    b"Retry-After: Wed, 25 Nov 2026 13:00:00 GMT",
    b"Location: /v2/reports/1",
    b"x-amz-rid: R2",
    b"x-amz-rid:R3",
    b"x-amz-request-id: Q1",
    b"Proxy-Status: theirs",
    b"ETag : d",
    b"X_Request_Id: odd",
)
STATUS_LINES = (USUAL[0], b"HTTP/1.1 404 Not Found", b"HTTP/1.1 204 No Content", b"HTTP/1.0 200 OK", b"HTTP/1.1 429")


def head(lines: tuple[bytes, ...]) -> bytes:
    """A head of these lines, with the empty one."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def read(reader: ResponseReader, lines: tuple[bytes, ...], rest: bytes = b"") -> object:
    """The response, or the words of what refused it."""
    data = head(lines) + rest
    try:
        return reader.read(data, data.find(b"\r\n\r\n"))
    except UpstreamMalformed as error:
        return error.detail


def read_alone(lines: tuple[bytes, ...]) -> object:
    try:
        return read_response(head(lines)[:-2], IDS)
    except UpstreamMalformed as error:
        return error.detail


def changed(number: int, line: bytes) -> tuple[bytes, ...]:
    return (*USUAL[:number], line, *USUAL[number + 1 :])


CHANGES = st.lists(
    st.tuples(st.integers(1, len(USUAL) - 1), st.sampled_from((*USUAL[1:], *OTHER_LINES)), st.booleans()), max_size=2
)


def whole(status_line: bytes, changes: list[tuple[int, bytes, bool]]) -> tuple[bytes, ...]:
    """A usual head with other lines in places, or before them."""
    lines = [status_line, *USUAL[1:]]
    for at, line, instead in changes:
        lines[at : at + instead] = [line]
    return tuple(lines)


@given(
    st.lists(
        st.tuples(st.sampled_from(STATUS_LINES), CHANGES, st.sampled_from((b"", b"body", b"\r\n\r\n"))), max_size=12
    )
)
def test_what_was_read_before_changes_nothing(heads: list[tuple[bytes, list[tuple[int, bytes, bool]], bytes]]) -> None:
    """Whatever heads came before, each says what it says when it is read by itself."""
    reader = ResponseReader(IDS)
    for status_line, changes, rest in heads:
        lines = whole(status_line, changes)
        assert read(reader, lines, rest) == read_alone(lines)
        assert read(reader, lines, rest) == read_alone(lines)


@pytest.mark.parametrize(
    ("number", "line"),
    [(2, b"Date: Thu, 26 Nov 2026 13:00:00 GMT"), (4, b"Content-Length: 17"), (6, b"x-amz-rid: R2"), (8, b"ETag: d e")],
)
def test_what_only_passes_makes_no_new_shape(number: int, line: bytes) -> None:
    """A head that differs in what passes, in length or request id is known by the shape of the one before."""
    reader = ResponseReader(IDS)
    read(reader, USUAL)
    assert read(reader, changed(number, line)) == read_alone(changed(number, line))
    assert repr(reader) == "<ResponseReader: 1 shapes>"


@pytest.mark.parametrize("line", [b"Retry-After: 7", b"Retry-After: Wed, 25 Nov 2026 13:00:00 GMT"])
def test_a_time_to_wait_is_read_each_time(line: bytes) -> None:
    """Retry-After is what a decision reads, so that a head with one has no shape."""
    reader = ResponseReader(IDS)
    read(reader, (*USUAL, line))
    assert repr(reader) == "<ResponseReader: 0 shapes>"


def test_the_memory_is_bounded() -> None:
    """However many kinds of heads, and beginnings of heads, an upstream sends, only so much is kept and tried."""
    reader = ResponseReader(IDS)
    for number in range(MAX_TRIES + 10):
        read(reader, (*USUAL, b"X-%d: a" % number))
        read(reader, (*USUAL, b"X-%d: a" % number))
    for number in range(MAX_BEGINNINGS + 10):
        read(reader, changed(1, b"Server: s%d" % number))
    assert repr(reader) == f"<ResponseReader: {MAX_SHAPES} shapes>"
    assert len(reader._known) <= MAX_BEGINNINGS
    assert reader._tries == MAX_TRIES


def test_a_known_head_tells_its_status() -> None:
    """What is kept of a head shows nothing of its values."""
    reader = ResponseReader(IDS)
    for _ in range(2):
        read(reader, USUAL)
    assert [repr(known) for known in reader._known.values()] == ["<KnownHead of 200>"]
