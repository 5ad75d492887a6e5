"""Cases on chunked answers of the upstream (RFC 9112, 7.1): what cannot be read must not look whole to the client."""

from __future__ import annotations

from tests.conformance.case import Broken, Reply
from tests.conformance.cases.answers_framing import HELLO, replied
from tests.conformance.cases.build import CHUNKED, FAULT, answer, delivered, family, message, slug

BROKEN_BODY = (Broken(), FAULT)
BAD_SIZES = (
    b"0x5",
    b"+5",
    b"-5",
    b"g",
    b"",
    b"5_0",
    b"FFFFFFFFFFFFFFFFF",
    b"10000000000000005",
    b"five",
    b"\x005",
    b"5:",
)

CASES = (
    *family(
        replied(
            f"frame-chunk-size-{slug(size)}",
            "9112 7.1",
            f"{size!r} is no chunk size: the client sees a broken answer or 502.",
            answer(CHUNKED, body=b"3\r\nabc\r\n" + size + b"\r\nhello\r\n0\r\n\r\n"),
            BROKEN_BODY,
        )
        for size in BAD_SIZES
    ),
    replied(
        "frame-chunk-long",
        "9112 7.1",
        "Data longer than its chunk breaks the answer.",
        answer(CHUNKED, body=b"4\r\nhello\r\n0\r\n\r\n"),
        BROKEN_BODY,
    ),
    replied(
        "frame-chunk-lf",
        "9112 7.1",
        "A bare LF after a size breaks the answer, or is normalised.",
        answer(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"),
        (HELLO, *BROKEN_BODY),
        (),
    ),
    replied(
        "frame-chunk-extension",
        "9112 7.1.1",
        "Extensions are dropped or passed, and the body is whole.",
        answer(CHUNKED, body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        HELLO,
    ),
    replied(
        "frame-chunk-upper",
        "9112 7.1",
        "Sizes may be of upper case, with zeros before them.",
        answer(CHUNKED, body=b"000A\r\n0123456789\r\n0\r\n\r\n"),
        delivered(b"0123456789"),
    ),
    replied(
        "frame-trailers",
        "9112 7.1.2",
        "Trailers pass or are dropped; the body is whole.",
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n"),
        HELLO,
    ),
    replied(
        "frame-trailers-framing",
        "9110 6.5.1",
        "A length in a trailer frames nothing.",
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
        (HELLO, *BROKEN_BODY),
    ),
    replied(
        "frame-trailers-broken",
        "9112 7.1.2",
        "A broken trailer breaks the answer, or is dropped.",
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\nX Odd\x00\r\n\r\n"),
        (HELLO, *BROKEN_BODY),
        (),
    ),
    replied(
        "frame-trailers-endless",
        "9110 6.5.1",
        "Trailers without end meet a limit.",
        Reply(
            (
                message(b"HTTP/1.1 200 OK", CHUNKED, body=b"5\r\nhello\r\n0\r\n"),
                *(b"X-T: " + b"x" * 1000 + b"\r\n" for _ in range(300)),
                b"\r\n",
            )
        ),
        (HELLO, *BROKEN_BODY),
        (),
    ),
)
