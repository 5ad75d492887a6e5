"""Cases on requests that are framed twice, by Transfer-Encoding and Content-Length (RFC 9112, 6.3 and 11.2)."""

from __future__ import annotations

from tests.conformance.case import Relayed, RequestLooks
from tests.conformance.cases.build import BAD, CHUNKED, CODING, HOST, case, family, get, message, passed, post
from tests.conformance.cases.transfer_encoding import BY_LENGTH, CHUNKS, CODING_SILENT, DECHUNKED, both

SMUGGLED = b"0\r\n\r\n" + get(b"/smuggled")
ODD_BYTES = (0x01, 0x04, 0x08, 0x0B, 0x0C, 0x0D, 0x1F, 0x7F, 0xA0, 0xFF)


def odd(place: str, byte: int) -> bytes:
    """A Transfer-Encoding line with one odd byte at a place."""
    pad = bytes((byte,))
    return {
        "before-name": pad + b"Transfer-Encoding: chunked",
        "after-name": b"Transfer-Encoding" + pad + b": chunked",
        "before-value": b"Transfer-Encoding:" + pad + b"chunked",
        "after-value": b"Transfer-Encoding: chunked" + pad,
        "behind-field": b"X-A: 1" + pad + b"Transfer-Encoding: chunked",
    }[place]


PLACES = ("before-name", "after-name", "before-value", "after-value", "behind-field")

CASES = (
    *family(
        case(
            f"coding-odd-{place}-{byte:02x}",
            "9112 11.2",
            "One odd byte must not make two readers frame this differently.",
            both(odd(place, byte)),
            BY_LENGTH,
            BY_LENGTH[1] if place == "behind-field" and byte >= 0x80 else CODING,
        )
        for place in PLACES
        for byte in ODD_BYTES
    ),
    case(
        "coding-length",
        "9112 6.3",
        "Both framings at once: refused, or chunked alone with the length gone.",
        both(CHUNKED),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-length-first",
        "9112 6.3",
        "The order of the two does not matter.",
        post(CHUNKS, b"Content-Length: %d" % len(CHUNKS), CHUNKED),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-length-smuggle",
        "9112 11.2",
        "A length that covers a second request does not carry it behind the chunks.",
        post(SMUGGLED, CHUNKED, b"Content-Length: %d" % len(SMUGGLED)),
        (CODING_SILENT, Relayed(requests=(RequestLooks(body=b""),), closes=True)),
        BAD,
    ),
    case(
        "coding-length-short",
        "9112 11.2",
        "A length that cuts the chunks leaves no rest that is a request.",
        post(b"1c\r\n" + b"GET /smuggled HTTP/1.1\r\nX: y" + b"\r\n0\r\n\r\n", b"Content-Length: 4", CHUNKED),
        (CODING_SILENT, passed(body=b"GET /smuggled HTTP/1.1\r\nX: y")),
        BAD,
    ),
    case(
        "coding-length-close",
        "9112 6.3",
        "Connection: close does not excuse both framings.",
        post(CHUNKS, CHUNKED, b"Content-Length: 3", b"Connection: close"),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-length-bad",
        "9112 6.3",
        "A bad length beside chunked is refused or dropped.",
        post(CHUNKS, CHUNKED, b"Content-Length: x"),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-length-zero",
        "9112 6.3",
        "A zero length beside chunked is refused or dropped.",
        post(CHUNKS, CHUNKED, b"Content-Length: 0"),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-length-get",
        "9112 6.3",
        "The method does not matter to it.",
        message(b"GET /case HTTP/1.1", HOST, CHUNKED, b"Content-Length: 5", body=CHUNKS),
        DECHUNKED,
        BAD,
    ),
)
