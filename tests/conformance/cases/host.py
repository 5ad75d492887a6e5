"""Cases on the Host field (RFC 9112, 3.2; RFC 9110, 7.2) and on the requests that it admits."""

from __future__ import annotations

from tests.conformance.case import Refused
from tests.conformance.cases.build import BAD, HOST, PASSED, case, family, get, message, passed, slug

AWAY = Refused((421,))
BAD_OR_AWAY = Refused((400, 421))
INVALID = (
    b"127.0.0.1 x",
    b"http://127.0.0.1/",
    b"user@127.0.0.1",
    b"127.0.0.1/path",
    b"127.0.0.1, evil.example",
    b"[::1",
    b"127.0.0.1:99x",
    b"127.0.0.1:-1",
    b"127.0.0.1?x",
    b"127.0.0.1#x",
    b"127.0.0.1\\x",
    b"127.0.0.1:80:80",
    b"<localhost>",
)
FOREIGN = (
    b"evil.example",
    b"localhost.evil.example",
    b"127.0.0.1.evil.example",
    b"advertising-api.amazon.com.evil.example",
    b"evil-advertising-api.amazon.com",
    b"0x7f000001",
    b"amazon.com",
    b"xn--lcalhost-0hb",
)
GOOD = (
    b"Host: 127.0.0.1:8080",
    b"Host: localhost",
    b"Host: LOCALHOST:1",
    b"Host: [::1]:80",
    b"Host:127.0.0.1",
    b"host:\t127.0.0.1\t",
    b"HOST: 127.0.0.1",
    b"Host:   127.0.0.1   ",
)

CASES = (
    case("host-missing", "9112 3.2", "HTTP/1.1 without Host must be refused.", message(b"GET /case HTTP/1.1"), BAD),
    case(
        "host-missing-others",
        "9112 3.2",
        "Other fields are no Host.",
        message(b"GET /case HTTP/1.1", b"X-Host: 127.0.0.1", b"Hosts: 127.0.0.1"),
        BAD,
    ),
    case(
        "host-two-same", "9112 3.2", "Two Host fields must be refused even when they agree.", get(b"/case", HOST), BAD
    ),
    case(
        "host-two-differ",
        "9112 3.2",
        "Two Host fields that differ must be refused.",
        get(b"/case", b"Host: localhost"),
        BAD,
    ),
    case(
        "host-two-case",
        "9112 3.2",
        "Field names have no case, so these are two.",
        get(b"/case", b"hOST: 127.0.0.1"),
        BAD,
    ),
    case(
        "host-two-apart",
        "9112 3.2",
        "Fields between two Host fields hide nothing.",
        get(b"/case", b"X-A: 1", b"X-B: 2", b"Host: evil.example"),
        BAD,
    ),
    case("host-two-second-empty", "9112 3.2", "An empty second Host counts.", get(b"/case", b"Host:"), BAD),
    case(
        "host-empty",
        "9110 4.2.1",
        "An http address has a host, so an empty Host fits none.",
        message(b"GET /case HTTP/1.1", b"Host:"),
        (PASSED, BAD_OR_AWAY),
        BAD_OR_AWAY,
    ),
    case(
        "host-nul",
        "9110 5.5",
        "A NUL in Host must not pass.",
        get(b"/case", host=b"Host: 127.0.0.1\x00.evil.example"),
        BAD,
    ),
    case(
        "host-space-colon",
        "9112 5.1",
        "Whitespace before the colon must be refused.",
        get(b"/case", host=b"Host : 127.0.0.1"),
        BAD,
    ),
    case(
        "host-fold",
        "9112 5.2",
        "A folded Host is refused, or read with a space.",
        get(b"/case", host=b"Host:\r\n 127.0.0.1"),
        (BAD, PASSED),
        BAD,
    ),
    case(
        "host-old-two",
        "9112 3.2",
        "HTTP/1.0 may omit Host, not double it.",
        message(b"GET /case HTTP/1.0", HOST, b"Host: evil.example"),
        BAD,
    ),
    *family(
        case(
            f"host-invalid-{slug(value)}",
            "9112 3.2",
            f"{value!r} is no host and port.",
            get(b"/case", host=b"Host: " + value),
            BAD_OR_AWAY,
        )
        for value in INVALID
    ),
    *family(
        case(
            f"host-foreign-{slug(value)}",
            "9110 7.4",
            "A name that is not ours is misdirected: a page may have rebound it.",
            get(b"/case", host=b"Host: " + value),
            (),
            AWAY,
        )
        for value in FOREIGN
    ),
    *family(
        case(
            f"host-good-{slug(field)}",
            "9112 3.2",
            "This Host is right, whatever its case, port and blanks.",
            get(b"/case", host=field),
            PASSED,
        )
        for field in GOOD
    ),
    case(
        "host-amazon",
        "9110 7.2",
        "An API host's name is one of ours.",
        get(b"/case", host=b"Host: advertising-api-fe.amazon.com"),
        (),
        PASSED,
    ),
    case(
        "host-last",
        "9112 3.2",
        "Host should come first and need not.",
        message(b"GET /case HTTP/1.1", b"X-A: 1", b"X-B: 2", HOST),
        passed(has=((b"x-a", b"1"),)),
    ),
    case(
        "host-replaced",
        "9110 7.2",
        "What leaves names the upstream's authority, not ours.",
        get(b"/case", host=b"Host: localhost:8080"),
        (),
        passed(not_raw=(b"localhost:8080",)),
    ),
    case(
        "host-x-forwarded",
        "9110 7.2",
        "X-Forwarded-Host decides nothing and does not pass.",
        get(b"/case", b"X-Forwarded-Host: evil.example"),
        (),
        passed(lacks=(b"x-forwarded-host",)),
    ),
    case(
        "host-in-body",
        "9112 3.2",
        "A Host line in the body is body.",
        message(b"POST /case HTTP/1.1", HOST, b"Content-Length: 20", body=b"Host: evil.example\r\n"),
        passed(body=b"Host: evil.example\r\n"),
    ),
)
