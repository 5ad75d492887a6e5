"""What passes, what is read and what is refused of a response's header section."""

from __future__ import annotations

import pytest

from proxy.errors import UpstreamMalformed
from proxy.http1.response_fields import (
    ResponseFields,
    passing_response_trailers,
    read_response_section,
    with_length,
    with_location,
)

REQUEST_IDS = (b"x-amz-rid", b"x-amz-request-id", b"x-amzn-requestid")


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


@pytest.mark.parametrize(
    ("lines", "minor"),
    [
        ((b"Content-Length: 1", b"Content-Length: 2"), 1),
        ((b"Content-Length: x",), 1),
        ((b"Content-Length: 1", b"Transfer-Encoding: chunked"), 1),
        ((b"Transfer-Encoding: gzip",), 1),
        ((b"Transfer-Encoding: chunked",), 0),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 1),
    ],
)
def test_a_response_whose_framing_leaves_a_doubt_is_malformed(lines: tuple[bytes, ...], minor: int) -> None:
    """RFC 9112, 6.3: what could be read in two ways is not handed on."""
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


def test_a_location_and_a_length_are_replaced_in_place() -> None:
    """The other lines stay as they were."""
    passing = b"LOCATION: http://a/\r\nX: Location: http://a/\r\nContent-Length: 10\r\n"
    assert with_location(passing, b"http://a/", rb"http://\1/") == passing.replace(
        b"LOCATION: http://a/", rb"LOCATION: http://\1/"
    )
    assert with_length(passing, 7) == passing.replace(b"10", b"7")


def test_a_responses_trailers_pass_but_for_framing() -> None:
    """What would frame or redirect does not come behind a body."""
    assert passing_response_trailers(b"X-Sum: 1\r\nContent-Length: 3\r\nLocation: x\r\n") == b"X-Sum: 1\r\n"
    assert passing_response_trailers(b"") == b""
