"""Cases on trailer sections of requests (RFC 9110, 6.5; RFC 9112, 7.1.2)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, HalfClose, Reach, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import BAD_BODY, CHUNKED, case, family, get, passed, streamed

PROMISE = Refused((400,), reach=Reach.PART)
LIMIT = Refused((400, 413, 431), silent=True, reach=Reach.PART)
FRAMING = (b"Content-Length: 100", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Host: evil.example")
FORBIDDEN = (
    b"Authorization: Bearer evil",
    b"authorization: Bearer evil",
    b"Amazon-Advertising-API-ClientId: evil",
    b"Amazon-Ads-ClientId: evil",
    b"Amazon-Advertising-API-Scope: 666",
    b"amazon_advertising_api_scope: 666",
    b"Cookie: evil=1",
    b"X-Ads-Account: evil",
    b"X-Ads-Region: eu",
    b"X-Ads-Proxy-Key: evil",
    b"X-Forwarded-For: 6.6.6.6",
    b"Via: 1.1 evil",
    b"Connection: close",
    b"Keep-Alive: timeout=5",
    b"Trailer: X-Evil",
    b"Expect: 100-continue",
    b"Content-Type: text/evil",
    b"Content-Encoding: gzip",
    b"Upgrade: websocket",
    b"TE: trailers",
    b"Proxy-Authorization: evil",
)
BROKEN = (
    (b"X-Odd", "without a colon"),
    (b"X-Odd : 1", "with a space before the colon"),
    (b": odd", "without a name"),
    (b"X Odd: 1", "with a space in the name"),
    (b"X-Odd: a\x00b", "with a NUL"),
    (b"X-Odd: a\rb", "with a bare CR"),
    (b"X-Odd: a\r\n b", "that is folded"),
    (b" X-Odd: 1", "that begins with a space"),
    (b"X-Odd: \x01", "with a control"),
    (b"GET /smuggled HTTP/1.1", "that is a request line"),
)


def with_trailer(*lines: bytes) -> bytes:
    """A chunked request with a trailer section."""
    return streamed(b"5\r\nhello\r\n0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def dropped(line: bytes) -> Relayed:
    """The request without that line, neither in its head nor in its trailers."""
    return passed(body=b"hello", not_raw=() if line == CHUNKED else (line,), trailers=())


CASES = (
    case(
        "trailer-good",
        "9112 7.1.2",
        "A harmless trailer may pass or be dropped; the body is whole.",
        with_trailer(b"X-Checksum: abc"),
        passed(body=b"hello"),
    ),
    case(
        "trailer-good-kept",
        "9110 6.5",
        "A trailer that passes stays in the trailer section.",
        with_trailer(b"X-Checksum: abc"),
        passed(body=b"hello", lacks=(b"x-checksum",)),
        passed(body=b"hello", lacks=(b"x-checksum",), trailers=((b"X-Checksum", b"abc"),)),
    ),
    case(
        "trailer-good-two",
        "9112 7.1.2",
        "Two trailers are right too.",
        with_trailer(b"X-A: 1", b"X-B: 2"),
        passed(body=b"hello"),
    ),
    case(
        "trailer-announced",
        "9110 6.6.2",
        "Trailer may announce it.",
        streamed(b"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n", b"Trailer: X-Checksum"),
        passed(body=b"hello"),
    ),
    case("trailer-empty-value", "9112 7.1.2", "An empty value is right.", with_trailer(b"X-A:"), passed(body=b"hello")),
    case(
        "trailer-then-request",
        "9112 9.3.2",
        "What follows the trailers is the next request.",
        with_trailer(b"X-A: 1") + get(b"/second"),
        Relayed(
            requests=(RequestLooks(body=b"hello"), RequestLooks(target=b"/second")),
            answers=(AnswerLooks(), AnswerLooks()),
        ),
        answers=2,
    ),
    *family(
        case(
            f"trailer-framing-{number}",
            "9110 6.5.1",
            f"{line.decode()} in a trailer frames and routes nothing.",
            with_trailer(line) + get(b"/second"),
            (
                BAD_BODY,
                Relayed(
                    requests=(RequestLooks(body=b"hello"), RequestLooks(target=b"/second")),
                    answers=(AnswerLooks(), AnswerLooks()),
                ),
            ),
            answers=2,
        )
        for number, line in enumerate(FRAMING)
    ),
    *family(
        case(
            f"trailer-forbidden-{number:02}",
            "9110 6.5.1",
            f"{line.decode()} is not added through a trailer.",
            with_trailer(line),
            (),
            (PROMISE, dropped(line)),
        )
        for number, line in enumerate((*FRAMING, *FORBIDDEN))
    ),
    *family(
        case(
            f"trailer-broken-{number:02}",
            "9112 7.1.2",
            f"A trailer {what} is refused or dropped.",
            with_trailer(line),
            (BAD_BODY, passed(body=b"hello", not_raw=() if line.endswith(b"\x01") else (line,))),
            PROMISE,
        )
        for number, (line, what) in enumerate(BROKEN)
    ),
    case(
        "trailer-lf",
        "9112 2.2",
        "A trailer that ends in a bare LF is refused or normalised.",
        streamed(b"5\r\nhello\r\n0\r\nX-A: 1\n\r\n"),
        (BAD_BODY, passed(body=b"hello")),
        PROMISE,
    ),
    case(
        "trailer-lf-end",
        "9112 2.2",
        "A trailer section that ends in a bare LF is refused or normalised.",
        streamed(b"5\r\nhello\r\n0\r\nX-A: 1\r\n\n"),
        (BAD_BODY, passed(body=b"hello")),
        PROMISE,
    ),
    case(
        "trailer-endless",
        "9110 6.5.1",
        "A trailer section meets a limit, or is dropped whole.",
        with_trailer(*(b"X-T%d: " % n + b"x" * 100 for n in range(900))),
        (LIMIT, passed(body=b"hello")),
        Refused((400, 413, 431), reach=Reach.PART),
    ),
    case(
        "trailer-cut",
        "9112 8",
        "A trailer section that is cut is no message.",
        (streamed(b"5\r\nhello\r\n0\r\nX-A: 1\r\n"), HalfClose()),
        Refused((400, 408, 499, 502), silent=True, reach=Reach.PART),
    ),
)
