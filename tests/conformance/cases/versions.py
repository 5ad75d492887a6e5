"""Cases on HTTP versions and on HTTP/1.0 clients (RFC 9112, 2.3 and 9.3; RFC 9110, 2.5)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import BAD, CHUNKED, HOST, PASSED, answer, case, family, get, message, slug

NO_VERSION = Refused((400, 505), silent=True)
OTHER_MAJOR = Refused((505,))
WRONG = (
    b"http/1.1",
    b"Http/1.1",
    b"HTTP/1",
    b"HTTP/1.",
    b"HTTP/.1",
    b"HTTP/1.1.1",
    b"HTTP/ 1.1",
    b"HTTP/1.1x",
    b"HTTP/1,1",
    b"HTTP/01.1",
    b"HTTP/1.01",
    b"HTTP/1.10",
    b"HTTP/-1.1",
    b"HTTP/+1.1",
    b"HTTP/11",
    b"HTTP",
    b"HTTPS/1.1",
    b"XTTP/1.1",
    b"ICY/1.1",
    b"HTTP\\1.1",
    b"HTTP/1 .1",
    b"HTTP/a.b",
    b"HTTP/1.\xb9",
)
MAJORS = (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9")


def old(*fields: bytes, target: bytes = b"/case") -> bytes:
    """An HTTP/1.0 GET request."""
    return message(b"GET " + target + b" HTTP/1.0", *fields)


def to_old(**looks: object) -> Relayed:
    """What an HTTP/1.0 client gets: never chunked, never an interim answer."""
    framing = ("length", "close", "none")
    return Relayed(answers=(AnswerLooks(framing=framing, interim=(), **looks),))  # type: ignore[arg-type]  # each of its own type


CASES = (
    *family(
        case(
            f"version-{slug(version)}",
            "9112 2.3",
            f"{version!r} is no HTTP version.",
            message(b"GET /case " + version, HOST),
            NO_VERSION,
            Refused((400, 505)),
        )
        for version in WRONG
    ),
    *family(
        case(
            f"version-{slug(version)}",
            "9110 15.6.6",
            f"{version.decode()} is another protocol on this wire: refused, or served as 1.1.",
            message(b"GET /case " + version, HOST),
            (NO_VERSION, PASSED),
            OTHER_MAJOR,
        )
        for version in MAJORS
    ),
    case(
        "version-0.9-line",
        "9112 2.3",
        "A request without a version is HTTP/0.9, which is not served.",
        b"GET /case\r\n\r\n",
        (),
        BAD,
    ),
    case(
        "version-0.9-named",
        "9110 2.5",
        "HTTP/0.9 never named itself.",
        message(b"GET /case HTTP/0.9", HOST),
        NO_VERSION,
        Refused((400, 505)),
    ),
    case(
        "version-2-preface",
        "9113 3.4",
        "HTTP/2's preface on an HTTP/1.1 port is refused and its frames are not read as requests.",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        Refused((400, 405, 501, 505), silent=True),
        OTHER_MAJOR,
    ),
    case(
        "version-1.2",
        "9110 2.5",
        "A higher minor version may be served as 1.1, or refused.",
        message(b"GET /case HTTP/1.2", HOST),
        (PASSED, NO_VERSION),
        OTHER_MAJOR,
    ),
    case(
        "version-1.9",
        "9110 2.5",
        "A far higher minor version may be served as 1.1, or refused.",
        message(b"GET /case HTTP/1.9", HOST),
        (PASSED, NO_VERSION),
        OTHER_MAJOR,
    ),
    case(
        "version-own",
        "9110 2.5",
        "An intermediary sends its own version, not the one it received.",
        old(HOST),
        Relayed(requests=(RequestLooks(version=b"HTTP/1.1"),)),
    ),
    case("old-close", "9112 9.3", "A connection of HTTP/1.0 closes after the answer.", old(HOST), Relayed(closes=True)),
    case("old-no-host", "9112 3.2", "An HTTP/1.0 request needs no Host.", old(), PASSED),
    case(
        "old-keep-alive",
        "9112 9.3",
        "HTTP/1.0 with keep-alive may persist, and the answer stays delimited.",
        old(HOST, b"Connection: keep-alive"),
        to_old(body=b"ok"),
    ),
    case(
        "old-never-chunked",
        "9112 6.1",
        "A chunked answer reaches an HTTP/1.0 client without chunks.",
        old(HOST),
        to_old(body=b"hello"),
        (),
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
    ),
    case(
        "old-never-chunked-alive",
        "9112 6.1",
        "Keep-alive is no leave to chunk towards HTTP/1.0.",
        old(HOST, b"Connection: keep-alive"),
        to_old(body=b"hello"),
        (),
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
    ),
    case(
        "old-chunked-trailers",
        "9112 6.1",
        "Trailers do not spill into an HTTP/1.0 client's body.",
        old(HOST),
        to_old(body=b"hello"),
        (),
        answer(CHUNKED, body=b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    ),
    case(
        "old-head",
        "9112 6.3",
        "HEAD by HTTP/1.0 gets a head and no body.",
        message(b"HEAD /case HTTP/1.0", HOST),
        Relayed(),
        (),
        answer(b"Content-Length: 7"),
        heads=frozenset({0}),
    ),
    case(
        "old-body",
        "9112 6.3",
        "A counted HTTP/1.0 body passes.",
        message(b"POST /case HTTP/1.0", HOST, b"Content-Length: 5", body=b"hello"),
        Relayed(requests=(RequestLooks(body=b"hello"),)),
    ),
    case(
        "old-second-ignored",
        "9112 9.3",
        "What follows an HTTP/1.0 request without keep-alive is not served.",
        old(HOST) + get(b"/second"),
        Relayed(closes=True),
    ),
    case(
        "old-absolute-no-host",
        "9112 3.2.2",
        "An absolute target names the host for an HTTP/1.0 request.",
        old(target=b"http://advertising-api.amazon.com/case"),
        (),
        Relayed(requests=(RequestLooks(target=b"/case"),)),
    ),
)
