"""Cases on the request line and on line ends in a request's head (RFC 9112, 2.2 and 3)."""

from __future__ import annotations

from tests.conformance.case import Refused
from tests.conformance.cases.build import BAD, BAD_OR_CLOSED, HOST, PASSED, case, family, get, message, passed, slug

LENIENT = (BAD_OR_CLOSED, passed(target=b"/case"))
METHOD = Refused((400, 405, 501), silent=True)

WHITESPACE = (
    (b"GET  /case HTTP/1.1", "two spaces after the method"),
    (b"GET /case  HTTP/1.1", "two spaces before the version"),
    (b"GET\t/case HTTP/1.1", "a tab after the method"),
    (b"GET /case\tHTTP/1.1", "a tab before the version"),
    (b"GET /case HTTP/1.1 ", "a space at the end"),
    (b" GET /case HTTP/1.1", "a space at the start"),
    (b"GET\x0b/case HTTP/1.1", "a vertical tab after the method"),
    (b"GET /case\x0cHTTP/1.1", "a form feed before the version"),
)
BROKEN = (
    (b"GET", "a method alone"),
    (b"GET HTTP/1.1", "no target"),
    (b"GET  HTTP/1.1", "an empty target"),
    (b"/case HTTP/1.1", "no method"),
    (b"GET /ca se HTTP/1.1", "a space in the target"),
    (b"GET /case HTTP/1.1 HTTP/1.1", "a second version"),
    (b"GET /case HTTP/1.1\x00", "a NUL at the end"),
    (b"GET /ca\x00se HTTP/1.1", "a NUL in the target"),
    (b"GET /ca\x01se HTTP/1.1", "a control in the target"),
    (b"GET /ca\x7fse HTTP/1.1", "a DEL in the target"),
    (b"GET /ca\x1bse HTTP/1.1", "an ESC in the target"),
    (b"GET /ca\rse HTTP/1.1", "a CR in the target"),
)
METHODS = (
    (b"G\x00T", "a NUL in the method"),
    (b"G(T", "a delimiter in the method"),
    (b"GE\x80T", "a byte beyond ASCII in the method"),
    (b"GET:", "a colon in the method"),
    (b"G\x1bT", "a control in the method"),
    (b'"GET"', "a quoted method"),
    (b"G/T", "a slash in the method"),
)

CASES = (
    *family(
        case(
            f"line-space-{slug(line)}",
            "9112 3",
            f"A request line with {what} is refused or read once, never two ways.",
            message(line, HOST),
            LENIENT,
            BAD,
        )
        for line, what in WHITESPACE
    ),
    *family(
        case(
            f"line-broken-{slug(line)}",
            "9112 3",
            f"A request line with {what} is no request line.",
            message(line, HOST),
            BAD_OR_CLOSED,
            BAD,
        )
        for line, what in BROKEN
    ),
    *family(
        case(
            f"line-method-{slug(method)}",
            "9110 9.1",
            f"A method is a token; this one has {what}.",
            message(method + b" /case HTTP/1.1", HOST),
            METHOD,
            BAD,
        )
        for method, what in METHODS
    ),
    case(
        "line-empty-before",
        "9112 2.2",
        "One empty line before a request should be ignored, and may be refused.",
        b"\r\n" + get(b"/case"),
        LENIENT,
    ),
    case(
        "line-lf-end",
        "9112 2.2",
        "A bare LF may end the request line for a lenient reader; this one refuses it.",
        b"GET /case HTTP/1.1\nHost: 127.0.0.1\r\n\r\n",
        LENIENT,
        BAD,
    ),
    case(
        "line-lf-everywhere",
        "9112 2.2",
        "A head of bare LF lines is read the lenient way or refused.",
        b"GET /case HTTP/1.1\nHost: 127.0.0.1\n\n",
        LENIENT,
        BAD,
    ),
    case(
        "line-cr-end",
        "9112 2.2",
        "A bare CR ends no line.",
        b"GET /case HTTP/1.1\rHost: 127.0.0.1\r\n\r\n",
        BAD_OR_CLOSED,
        BAD,
    ),
    case(
        "line-cr-cr-lf",
        "9112 2.2",
        "A CR before CRLF is a bare CR.",
        b"GET /case HTTP/1.1\r\r\nHost: 127.0.0.1\r\n\r\n",
        BAD_OR_CLOSED,
        BAD,
    ),
    case(
        "line-head-ends-lf-lf",
        "9112 2.2",
        "A head that ends in two bare LF is read the lenient way or refused.",
        b"GET /case HTTP/1.1\r\nHost: 127.0.0.1\n\n",
        LENIENT,
        BAD,
    ),
    case(
        "line-head-ends-crlf-lf",
        "9112 2.2",
        "A head that ends in CRLF and LF is read the lenient way or refused.",
        b"GET /case HTTP/1.1\r\nHost: 127.0.0.1\r\n\n",
        LENIENT,
        BAD,
    ),
    case(
        "line-head-ends-lf-crlf",
        "9112 2.2",
        "A head that ends in LF and CRLF is read the lenient way or refused.",
        b"GET /case HTTP/1.1\r\nHost: 127.0.0.1\n\r\n",
        LENIENT,
        BAD,
    ),
    case(
        "line-space-before-first-field",
        "9112 2.2",
        "A line that begins with a space after the request line is refused or dropped.",
        b"GET /case HTTP/1.1\r\n X-Odd: 1\r\nHost: 127.0.0.1\r\n\r\n",
        (BAD_OR_CLOSED, passed(target=b"/case", lacks=(b"x-odd",))),
        BAD,
    ),
    case(
        "line-blank-with-space",
        "9112 2.2",
        "A line of one space is no empty line.",
        b" \r\n" + get(b"/case"),
        BAD_OR_CLOSED,
        BAD,
    ),
    case(
        "line-garbage",
        "9112 2.2",
        "Bytes that are no HTTP are answered 400 or cut.",
        b"\x00\x01\x02\xff\xfe garbage\r\n\r\n",
        BAD_OR_CLOSED,
        BAD,
    ),
    case(
        "line-tls-hello",
        "9112 2.2",
        "A TLS hello on the plain port is answered 400 or cut.",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
        BAD_OR_CLOSED,
    ),
    case(
        "line-byte-by-byte",
        "9112 2.2",
        "A request that arrives a byte at a time is the same request.",
        tuple(bytes((b,)) for b in get(b"/case?slow=1", b"X-Slow: yes")),
        passed(target=b"/case?slow=1", has=((b"x-slow", b"yes"),)),
    ),
    case(
        "line-split-crlf",
        "9112 2.2",
        "A packet may end between CR and LF.",
        (b"GET /case HTTP/1.1\r", b"\nHost: 127.0.0.1\r", b"\n\r", b"\n"),
        PASSED,
    ),
    case(
        "line-8000",
        "9112 3",
        "Request lines of 8,000 octets should be supported.",
        get(b"/case?" + b"q" * 7970),
        passed(target=b"/case?" + b"q" * 7970),
    ),
)
