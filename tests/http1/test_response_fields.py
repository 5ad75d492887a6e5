"""What passes, what is read and what is refused of a response's header section."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamMalformed
from proxy.http1.response_fields import (
    ResponseFields,
    is_event_stream,
    passing_response_trailers,
    read_response_section,
    with_length,
    with_location,
    with_value,
    without_coding,
    without_length,
)

REQUEST_IDS = (b"x-amz-rid", b"x-amz-request-id", b"x-amzn-requestid")
ODD = b"Odd:1\r\n"
"""A section that has it is not a usual one, and is read line by line."""


def response(*lines: bytes, minor: int = 1) -> ResponseFields:
    """A section with these lines."""
    return read_response_section(b"".join(line + b"\r\n" for line in lines), minor, REQUEST_IDS)


def test_a_responses_lines_pass_but_for_the_hop_by_hop_ones() -> None:
    """Proxy-Status and X-Request-Id are the proxy's own; names that Connection lists end here."""
    seen = response(
        b"Content-Type: a/b",
        b"Connection: x-hop, close",
        b"X-Hop: 1",
        b"Proxy-Status: x",
        b"X-Request-Id: y",
        b"Set-Cookie: a",
        b"Set-Cookie: b",
    )
    assert seen.passing == b"Content-Type: a/b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    assert seen.close


def test_a_responses_framing_is_read() -> None:
    """A length, the chunked coding, or neither."""
    assert response(b"Content-Length: 5").content_length == 5
    assert response(b"transfer-encoding: CHUNKED").chunked
    assert (response().content_length, response().chunked) == (None, False)
    assert response(minor=0).close
    assert not response(b"Connection: keep-alive", minor=0).close


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked"])
@pytest.mark.parametrize("more", [b"X: 1", b"Retry-After: 1"])
def test_the_chunked_coding_ends_here(coding: bytes, more: bytes) -> None:
    """Next to usual lines and to others; the order of the rest stays."""
    seen = response(b"Date: today", b"Transfer-Encoding: " + coding, b"Connection: keep-alive", more)
    assert (seen.passing, seen.content_length, seen.chunked) == (b"Date: today\r\n" + more + b"\r\n", None, True)
    assert not seen.close


@pytest.mark.parametrize(
    ("lines", "minor"),
    [
        ((b"Content-Length: 1", b"Content-Length: 2"), 1),
        ((b"Content-Length: x",), 1),
        ((b"Content-Length: 1", b"Transfer-Encoding: chunked"), 1),
        ((b"Content-Length: 1", b"Transfer-Encoding: chunked", b"Odd:1"), 1),
        ((b"Transfer-Encoding: gzip",), 1),
        ((b"Transfer-Encoding: chunked",), 0),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 1),
    ],
)
def test_a_response_whose_framing_leaves_a_doubt_is_malformed(lines: tuple[bytes, ...], minor: int) -> None:
    """Ambiguous framing is not passed through (RFC 9112, 6.3)."""
    with pytest.raises(UpstreamMalformed):
        response(*lines, minor=minor)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((b"x-amzn-RequestId: c", b"x-amz-rid: a"), "a"),
        ((b"x-amz-request-id: b",), "b"),
        ((b"x-amzn-RequestId: c",), "c"),
        ((), ""),
    ],
)
def test_the_upstreams_request_id_is_found(lines: tuple[bytes, ...], found: str) -> None:
    """The first of the names that is there."""
    assert response(*lines).request_id == found
    section = b"".join(line + b"\r\n" for line in lines)
    assert read_response_section(section, 1).request_id == ""


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"7", 7.0), (b"Wed, 21 Oct 2026 07:28:00 GMT", None), (b"", None), (b"9999999999", None)]
)
def test_retry_after_is_read_in_seconds(value: bytes, seconds: float | None) -> None:
    """A date, which Amazon does not send, counts as absent."""
    assert response(b"Retry-After: " + value).retry_after == seconds
    assert response().retry_after is None


def test_where_a_response_leads_and_how_it_is_written_is_read() -> None:
    """Location, type and coding as they came; empty where they are absent."""
    seen = response(b"Location: http://a/B", b"Content-Type: Text/HTML", b"Content-Encoding: gzip")
    assert (seen.location, seen.content_type, seen.content_encoding) == (b"http://a/B", b"Text/HTML", b"gzip")
    assert (response().location, response().content_type, response().content_encoding) == (b"", b"", b"")


@pytest.mark.parametrize(("option", "close"), [(b"keep-alive", False), (b"Keep-Alive", False), (b"close", True)])
@pytest.mark.parametrize("more", [b"X: 1", b"Retry-After: 1"])
def test_the_connection_field_ends_here(option: bytes, close: bool, more: bytes) -> None:
    """Next to usual lines and to others; the length and the order of the rest stay."""
    seen = response(b"Content-Length: 5", b"Connection: " + option, more)
    assert (seen.passing, seen.content_length, seen.close) == (b"Content-Length: 5\r\n" + more + b"\r\n", 5, close)


def test_a_location_and_a_length_are_replaced_in_place() -> None:
    """All other lines stay unchanged."""
    passing = b"LOCATION: http://a/\r\nX: Location: http://a/\r\nContent-Length: 10\r\n"
    assert with_location(passing, b"http://a/", rb"http://\1/") == passing.replace(
        b"LOCATION: http://a/", rb"LOCATION: http://\1/"
    )
    assert with_length(passing, 7) == passing.replace(b"10", b"7")


def test_a_responses_trailers_pass_but_for_framing() -> None:
    """What would frame or redirect does not come behind a body."""
    assert passing_response_trailers(b"X-Sum: 1\r\nContent-Length: 3\r\nLocation: x\r\n") == b"X-Sum: 1\r\n"
    assert passing_response_trailers(b"") == b""


NAMES = (
    *b"Content-Length content-length Content_Length Transfer-Encoding Transfer_Encoding Keep-Alive Connection".split(),
    *b"connection X-Hop X_Hop Proxy_Status X-Request-Id Set-Cookie Content-Type Retry-After Location".split(),
    *b"Content-Encoding x-amz-rid X-Amz-Request-Id x-amzn-requestid".split(),
    *(b"", b"a b"),
)
SEPARATORS = (*(b": ",) * 6, b":", b":  ", b":\t", b" : ", b"", b" ")
VALUES = (
    *(b"5", b"005", b"x", b"", b"keep-alive", b"close", b"X-Hop, close", b"content-length", b"chunked", b"gzip"),
    *(b"1" * 19, b" 5", b"5 ", b"5\t", b"a: b", b"a\rb", b"a\nb", b"5\r", b"\xff", b"\x00"),
)
LINE = st.tuples(st.sampled_from(NAMES), st.sampled_from(SEPARATORS), st.sampled_from(VALUES)).map(b"".join)
SECTION = st.lists(LINE, max_size=5).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def outcome(section: bytes, minor: int = 1) -> object:
    """What a section is read as, or the error that refuses it."""
    try:
        return read_response_section(section, minor, REQUEST_IDS)
    except UpstreamMalformed as refused:
        return refused.detail


@pytest.mark.long
@settings(max_examples=800)
@given(SECTION)
def test_a_usual_section_is_read_as_any_other(section: bytes) -> None:
    """What one expression finds is what reading line by line does, in whichever order the lines come."""
    alone, with_odd = outcome(section), outcome(section + ODD)
    if isinstance(with_odd, ResponseFields):
        with_odd = replace(with_odd, passing=with_odd.passing.removesuffix(b"Odd: 1\r\n"))
    assert alone == with_odd


@pytest.mark.parametrize(
    ("odd", "passing"),
    [
        (b"X-Sum:1", b"X-Sum: 1"),
        (b"X-Sum:  1", b"X-Sum: 1"),
        (b"X-Sum: 1 ", b"X-Sum: 1"),
        (b"X-Sum: 1\t", b"X-Sum: 1"),
        (b"X-Sum : 1", b"X-Sum: 1"),
        (b"X_Sum: 1", b"X_Sum: 1"),
        (b"X_Request_Id: 1", b""),
        (b"X-Sum 1", None),
        (b"X-Sum: 1\r", None),
        (b"X-Sum: 1\n", None),
        (b" X-Sum: 1", None),
        (b"", None),
    ],
)
def test_an_odd_line_is_not_taken_for_a_usual_one(odd: bytes, passing: bytes | None) -> None:
    """Next to a usual line, it is read as what it is."""
    if passing is None:
        with pytest.raises(UpstreamMalformed):
            response(b"X-Sum: 2", odd)
    else:
        assert response(b"X-Sum: 2", odd).passing == b"X-Sum: 2\r\n" + (passing + b"\r\n" if passing else b"")


def test_no_section_takes_long_to_be_told_from_a_usual_one() -> None:
    """Each line can match in one way: with two ways for each, these would never end."""
    for line in (b"Date: x", b"X-Amz-Rid: x", b"Content-Type: x", b"X: x"):
        assert outcome(b"%b\r\n" % line * 5_000 + b"Odd line\r\n") == (
            "Amazon's answer has a header section that is not valid: Header line 5001 has no colon."
        )


def test_a_rewritten_body_has_neither_its_length_nor_its_coding() -> None:
    """All other lines stay."""
    seen = response(b"Content-Length: 5", b"CONTENT-ENCODING: gzip", b"X: content-length: 5")
    assert without_coding(seen) == b"X: content-length: 5\r\n"


def test_a_response_without_a_body_has_no_length() -> None:
    """RFC 9110, 8.6; where there is none, nothing is changed."""
    assert without_length(response(b"Content-Length: 5", b"X: y")) == b"X: y\r\n"
    assert without_length(response(b"X: y")) == b"X: y\r\n"


@pytest.mark.parametrize(
    ("kind", "events"),
    [(b"text/event-stream", True), (b"Text/Event-Stream; charset=utf-8", True), (b"text/event", False), (b"", False)],
)
def test_an_event_stream_is_told_by_its_media_type(kind: bytes, events: bool) -> None:
    """In any case, with any parameters; without a media type it is none."""
    assert is_event_stream(response(b"Content-Type: " + kind)) is events


def test_each_value_of_a_header_is_changed_however_it_is_written() -> None:
    """The header's name may be in any case, with any blanks around the value."""
    passing = b"A: x\r\nmcp-session-id: one\r\nMcp-Session-Id:two \r\nX-Mcp-Session-Id: three\r\n"
    changed = with_value(passing, b"mcp-session-id", bytes.upper)
    assert changed == b"A: x\r\nmcp-session-id: ONE\r\nMcp-Session-Id:TWO \r\nX-Mcp-Session-Id: three\r\n"
