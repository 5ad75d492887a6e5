"""Patterns of responses: what stands literally in them, what is a hole, and which responses are worth none."""

from __future__ import annotations

import pytest

from proxy.http1.message import read_response
from proxy.http1.response_shape import LENGTH, UPSTREAM_ID, ResponseShape, make_response_shape

IDS = (b"x-amz-rid", b"x-amz-request-id")
LINES = (
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


def head(*lines: bytes) -> bytes:
    """A head of these lines, without the empty one."""
    return b"".join(line + b"\r\n" for line in lines)


def shape_of(*lines: bytes) -> ResponseShape | None:
    text = head(*lines)
    return make_response_shape(text, read_response(text, IDS), IDS)


def passing(shape: ResponseShape, text: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
    """What the shape hands on of a head, and what it gives out; None where it does not fit."""
    cut = text.find(shape.marker) + 2
    before, behind = shape.before.pattern.fullmatch(text, 0, cut), shape.behind.pattern.match(text, cut)
    if before is None or behind is None:
        return None
    given = {name: before[group] for name, group in shape.before.given.items()}
    given |= {name: behind[group] for name, group in shape.behind.given.items()}
    return shape.before.lines(before) + shape.behind.lines(behind), given


def changed(old: bytes, new: bytes) -> tuple[bytes, ...]:
    return tuple(new if line == old else line for line in LINES)


USUAL = shape_of(*LINES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LINES[1], b"Server: another"),
        (LINES[2], b"Date: Thu, 26 Nov 2026 13:00:00 GMT"),
        (LINES[4], b"Content-Length: 17"),
        (LINES[6], b"x-amz-rid: R2"),
        (LINES[7], b"X-Request-Id: another"),
        (LINES[8], b"ETag: d e f"),
    ],
)
def test_values_that_only_pass_may_differ(old: bytes, new: bytes) -> None:
    """And what passes of such a head is what the ordinary path would pass."""
    assert USUAL is not None
    lines = changed(old, new)
    response = read_response(head(*lines), IDS)
    assert passing(USUAL, head(*lines) + b"\r\nbody") == (
        b"HTTP/1.1 200 OK\r\n" + response.fields.passing,
        {LENGTH: b"%d" % (response.fields.content_length or 0), UPSTREAM_ID: response.fields.request_id.encode()},
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LINES[0], b"HTTP/1.1 201 Created"),
        (LINES[3], b"Content-Type: text/csv"),
        (LINES[5], b"Connection: close"),
        (LINES[1], b"server: nginx"),
        (LINES[1], b"Server: a\x01b"),
        (LINES[4], b"Content-Length: +5"),
        (LINES[8], b"ETag: abc "),
        (LINES[8], b"ETag: abc\r\nLocation: /x"),
    ],
)
def test_what_is_read_may_not_differ(old: bytes, new: bytes) -> None:
    """Nor how it is written, nor which fields there are."""
    assert USUAL is not None
    assert passing(USUAL, head(*changed(old, new)) + b"\r\n") is None


def test_a_host_that_names_no_request_has_a_shape() -> None:
    """Then the whole head stands before the cut."""
    shape = shape_of(LINES[0], LINES[4], b"Vary: ")
    assert shape is not None
    assert (shape.marker, shape.dated, repr(shape)) == (b"\r\n\r\n", False, "<ResponseShape of 200>")
    text = head(LINES[0], LINES[4], b"Vary: ")
    assert passing(shape, text + b"\r\n") == (text, {LENGTH: b"5"})


def test_the_length_may_stand_behind_the_cut() -> None:
    """It is given out by whichever part has it."""
    shape = shape_of(LINES[0], LINES[6], LINES[2], LINES[4])
    assert shape is not None
    assert (dict(shape.before.given), dict(shape.behind.given)) == ({}, {UPSTREAM_ID: 2, LENGTH: 3})
    assert shape.dated
    assert repr(shape.before) == "<FieldPattern that gives nothing>"
    assert repr(shape.behind) == "<FieldPattern that gives upstream-request-id, content-length>"


@pytest.mark.parametrize(
    "lines",
    [
        (b"HTTP/1.1 100 Continue",),
        (b"HTTP/1.1 204 No Content", LINES[4]),
        (b"HTTP/1.1 304 Not Modified", LINES[4]),
        (b"HTTP/1.0 200 OK", LINES[4], b"Connection: keep-alive"),
        (b"HTTP/1.1 200", LINES[4]),
        (LINES[0],),
        (LINES[0], b"Transfer-Encoding: chunked", b"Connection: close"),
        (LINES[0], b"Transfer-Encoding: chunked", b"Location: /x"),
        (LINES[0], b"Transfer-Encoding: chunked", b"Content-Type: text/event-stream"),
        (LINES[0], LINES[4], b"Connection: close"),
        (LINES[0], LINES[4], b"Connection: X-Hop", b"X-Hop: 1"),
        (LINES[0], LINES[4], b"Location: /x"),
        (LINES[0], LINES[4], b"Content-Type: text/event-stream"),
        (LINES[0], LINES[4], b"X_Odd: 1"),
        (LINES[0], LINES[4], b"Server:nginx"),
        (LINES[0], LINES[4], b"x-amz-rid: "),
    ],
)
def test_an_unusual_response_is_worth_no_shape(lines: tuple[bytes, ...]) -> None:
    """It has no body that ends by itself, ends its connection, leads elsewhere, or is written in an odd way."""
    assert shape_of(*lines) is None


def test_a_body_in_chunks_is_told_and_has_no_length() -> None:
    """The coding stands literally, and does not pass."""
    shape = shape_of(LINES[0], b"Transfer-Encoding: chunked", LINES[6])
    assert shape is not None and shape.chunked
    text = head(LINES[0], b"Transfer-Encoding: chunked", b"x-amz-rid: R2")
    assert passing(shape, text + b"\r\n") == (head(LINES[0], b"x-amz-rid: R2"), {UPSTREAM_ID: b"R2"})
    for other in (b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5"):
        assert passing(shape, head(LINES[0], other, LINES[6]) + b"\r\n") is None
    assert USUAL is not None and not USUAL.chunked


def test_the_upstreams_id_is_the_first_that_counts() -> None:
    """As the ordinary path has it, however often and in whatever case it is named."""
    for lines in (
        (LINES[0], b"x-amz-request-id: A", LINES[4], b"x-amz-rid: B", b"x-amz-rid: C"),
        (LINES[0], LINES[4], b"X-AMZ-RID: B", b"x-amz-rid: A"),
    ):
        shape, text = shape_of(*lines), head(*lines)
        assert shape is not None
        assert passing(shape, text + b"\r\n") == (text, {LENGTH: b"5", UPSTREAM_ID: b"B"})
