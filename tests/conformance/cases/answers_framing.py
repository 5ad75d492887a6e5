"""Cases on how the upstream frames its answers (RFC 9112, 6.3 and 9.2)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Broken, Case, HalfClose, Relayed, Reply
from tests.conformance.cases.build import (
    CHUNKED,
    FAULT,
    GATEWAY,
    HOST,
    answer,
    case,
    delivered,
    family,
    get,
    message,
    slug,
)

GET = get(b"/case")
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
HELLO = delivered(b"hello")
ENDED = (HELLO, FAULT)
BAD_LENGTHS = (
    b"+5",
    b"-5",
    b"0x5",
    b"5 5",
    b"five",
    b"5.0",
    b"5, 6",
    b"5,6",
    b"5;",
    b"",
    b"5a",
    b"\x0b5",
    b"99999999999999999999",
    b"5_0",
    b'"5"',
)
OTHER_CODINGS = (
    b"gzip, chunked",
    b"identity",
    b"chunked, identity",
    b"chunked, chunked",
    b"cow",
    b"xchunked",
    b"chunked, cow",
    b'"chunked"',
    b"chunked;q=1",
)


def until_close(*fields: bytes, body: bytes, start: bytes = b"HTTP/1.1 200 OK") -> Reply:
    """An answer that the end of the connection ends."""
    return Reply((message(start, *fields, body=body), HalfClose()))


def replied(case_id: str, rfc: str, why: str, reply: Reply, allowed: object, promised: object = ()) -> Case:
    """A GET that is answered so."""
    return case(case_id, rfc, why, GET, allowed, promised, reply)  # type: ignore[arg-type]  # by kind


CASES = (
    replied("frame-length", "9112 6.3", "A counted answer passes.", answer(b"Content-Length: 5", body=b"hello"), HELLO),
    replied("frame-chunked", "9112 6.3", "A chunked answer passes.", answer(CHUNKED, body=CHUNKS), HELLO),
    replied(
        "frame-close",
        "9112 6.3",
        "An answer that ends with the connection passes whole.",
        until_close(b"Connection: close", body=b"hello"),
        HELLO,
    ),
    replied("frame-close-empty", "9112 6.3", "So does an empty one.", until_close(body=b""), delivered(b"")),
    replied(
        "frame-close-old",
        "9112 6.3",
        "So does one of HTTP/1.0.",
        until_close(body=b"hello", start=b"HTTP/1.0 200 OK"),
        HELLO,
    ),
    replied(
        "frame-old-length",
        "9112 6.3",
        "A counted answer of HTTP/1.0 passes.",
        answer(b"Content-Length: 5", body=b"hello", start=b"HTTP/1.0 200 OK"),
        delivered(b"hello", version=b"HTTP/1.1"),
    ),
    case(
        "frame-close-to-old",
        "9112 6.3",
        "An undelimited answer ends for an HTTP/1.0 client with the connection.",
        message(b"GET /case HTTP/1.0", HOST),
        Relayed(answers=(AnswerLooks(body=b"hello", framing=("close", "length")),), closes=True),
        (),
        until_close(body=b"hello"),
    ),
    case(
        "frame-close-to-old-alive",
        "9112 9.3",
        "Even if that client asked to keep it.",
        message(b"GET /case HTTP/1.0", HOST, b"Connection: keep-alive"),
        Relayed(answers=(AnswerLooks(body=b"hello", framing=("close", "length")),)),
        (),
        until_close(body=b"hello"),
    ),
    replied(
        "frame-204",
        "9112 6.3",
        "204 has no body.",
        answer(start=b"HTTP/1.1 204 No Content"),
        delivered(b"", 204, framing=("none",)),
    ),
    replied(
        "frame-204-length",
        "9110 8.6",
        "A length must not be in 204, so it does not pass.",
        answer(b"Content-Length: 0", start=b"HTTP/1.1 204 No Content"),
        delivered(b"", 204, lacks=(b"content-length",)),
    ),
    replied(
        "frame-204-body",
        "9112 6.3",
        "Bytes behind 204 are not its body.",
        answer(b"Content-Length: 5", body=b"hello", start=b"HTTP/1.1 204 No Content"),
        (delivered(b"", 204), FAULT),
    ),
    replied(
        "frame-204-chunked",
        "9112 6.1",
        "204 has no chunks.",
        answer(CHUNKED, body=CHUNKS, start=b"HTTP/1.1 204 No Content"),
        (delivered(b"", 204, lacks=(b"transfer-encoding",)), FAULT),
    ),
    replied(
        "frame-304-length",
        "9110 15.4.5",
        "304 may tell a length and has no body.",
        answer(b"Content-Length: 500", b'ETag: "x"', start=b"HTTP/1.1 304 Not Modified"),
        delivered(b"", 304),
    ),
    replied(
        "frame-304-chunked",
        "9110 15.4.5",
        "304 may say chunked and has no chunk.",
        answer(CHUNKED, start=b"HTTP/1.1 304 Not Modified"),
        delivered(b"", 304),
    ),
    replied(
        "frame-205",
        "9110 15.3.6",
        "205 with an empty body passes.",
        answer(b"Content-Length: 0", start=b"HTTP/1.1 205 Reset Content"),
        delivered(b"", 205),
    ),
    replied(
        "frame-both",
        "9112 6.3",
        "Both framings in an answer: chunked alone, or 502.",
        answer(CHUNKED, b"Content-Length: 3", body=CHUNKS),
        ENDED,
        GATEWAY,
    ),
    replied(
        "frame-both-first",
        "9112 6.3",
        "Whatever their order.",
        answer(b"Content-Length: 15", CHUNKED, body=CHUNKS),
        ENDED,
        GATEWAY,
    ),
    replied(
        "frame-two-same",
        "9112 6.3",
        "Two equal lengths are one, or 502.",
        answer(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
        ENDED,
        GATEWAY,
    ),
    replied(
        "frame-list-same",
        "9112 6.3",
        "A list of equal lengths is one, or 502.",
        answer(b"Content-Length: 5, 5", body=b"hello"),
        ENDED,
        GATEWAY,
    ),
    replied(
        "frame-two-differ",
        "9112 6.3",
        "Two lengths that differ are 502.",
        answer(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"),
        GATEWAY,
    ),
    replied(
        "frame-two-case",
        "9112 6.3",
        "Whatever the case of their names.",
        answer(b"Content-Length: 5", b"content-length: 0", body=b"hello"),
        GATEWAY,
    ),
    *family(
        replied(
            f"frame-length-{slug(value)}",
            "9112 6.3",
            f"Content-Length {value!r} in an answer is 502.",
            answer(b"Content-Length: " + value, body=b"hello"),
            GATEWAY,
        )
        for value in BAD_LENGTHS
    ),
    *family(
        replied(
            f"frame-coding-{slug(value)}",
            "9112 6.3",
            f"Transfer-Encoding {value!r} in an answer is 502, or lasts until the connection ends.",
            until_close(b"Transfer-Encoding: " + value, body=CHUNKS),
            (Relayed(), Broken(), FAULT),
            GATEWAY,
        )
        for value in OTHER_CODINGS
    ),
    replied(
        "frame-coding-two",
        "9112 6.3",
        "Chunked in two fields is 502 or read once.",
        until_close(CHUNKED, CHUNKED, body=CHUNKS),
        (Relayed(), Broken(), FAULT),
        GATEWAY,
    ),
    replied(
        "frame-coding-case",
        "9112 7.1",
        "Codings have no case.",
        answer(b"Transfer-Encoding: Chunked", body=CHUNKS),
        HELLO,
    ),
    replied(
        "frame-coding-old",
        "9112 6.1",
        "Chunked in an HTTP/1.0 answer is faulty: 502, read until the end, or as chunks and then closed.",
        until_close(CHUNKED, body=CHUNKS, start=b"HTTP/1.0 200 OK"),
        (HELLO, delivered(CHUNKS), FAULT),
        GATEWAY,
    ),
    replied(
        "frame-coding-odd-vt",
        "9112 6.3",
        "An odd byte beside chunked is 502, or the field is unknown.",
        until_close(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
        (Relayed(), Broken(), FAULT),
        GATEWAY,
    ),
    replied(
        "frame-coding-space-colon",
        "9112 5.1",
        "A blank before the colon is 502 or is removed.",
        until_close(b"Transfer-Encoding : chunked", body=CHUNKS),
        (HELLO, FAULT),
    ),
    replied(
        "frame-extra-alone",
        "9112 9.2",
        "Bytes behind a counted answer do not reach the client.",
        answer(b"Content-Length: 5", body=b"hello, world"),
        HELLO,
    ),
    replied(
        "frame-extra-answer",
        "9112 9.2",
        "A second answer behind the first is nobody's.",
        answer(b"Content-Length: 5", body=b"hello" + message(b"HTTP/1.1 200 OK", b"Content-Length: 4", body=b"evil")),
        HELLO,
    ),
    replied(
        "frame-extra-chunked",
        "9112 9.2",
        "Bytes behind the last chunk neither.",
        answer(CHUNKED, body=CHUNKS + b"extra"),
        HELLO,
    ),
    replied(
        "frame-extra-304",
        "9112 6.3",
        "Bytes behind 304 neither.",
        answer(b"Content-Length: 5", body=b"hello", start=b"HTTP/1.1 304 Not Modified"),
        (delivered(b"", 304), FAULT),
    ),
    replied(
        "frame-length-zero", "9112 6.3", "An empty counted answer passes.", answer(b"Content-Length: 0"), delivered(b"")
    ),
    replied(
        "frame-megabyte",
        "9112 6.3",
        "A megabyte passes whole.",
        answer(b"Content-Length: 1048576", body=bytes(range(256)) * 4096),
        delivered(bytes(range(256)) * 4096),
    ),
    replied(
        "frame-byte-by-byte",
        "9112 6.3",
        "An answer may arrive a byte at a time.",
        Reply(tuple(bytes((b,)) for b in message(b"HTTP/1.1 200 OK", CHUNKED, body=CHUNKS))),
        HELLO,
    ),
    replied(
        "frame-tiny-chunks",
        "9112 7.1",
        "500 chunks of a byte pass whole.",
        answer(CHUNKED, body=b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"),
        delivered(b"x" * 500),
    ),
    replied(
        "frame-gzip",
        "9110 8.4",
        "Compressed bytes are not touched.",
        answer(b"Content-Encoding: gzip", b"Content-Length: 6", body=b"\x1f\x8b\x08\x00\x00\xff"),
        delivered(b"\x1f\x8b\x08\x00\x00\xff", has=((b"content-encoding", b"gzip"),)),
    ),
)
