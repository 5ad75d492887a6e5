"""Cases on Content-Length in requests (RFC 9112, 6.2 and 6.3; RFC 9110, 8.6)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, HalfClose, Reach, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import BAD, HOST, case, counted, family, get, message, passed, post, slug

LIST = (BAD, passed(body=b"hello"))
LOST = Refused((400, 408, 499, 502), silent=True, reach=Reach.PART)
HUGE = Refused((400, 413), silent=True, reach=Reach.PART)
BAD_VALUES = (
    b"+5",
    b"-5",
    b"-1",
    b"0x5",
    b"5 5",
    b"5;",
    b"5.0",
    b"5e0",
    b'"5"',
    b"5_0",
    b"0b101",
    b"0o5",
    b"five",
    b"5a",
    b"a5",
    b"5, 6",
    b"5,6",
    b"6, 5",
    b"5 ,",
    b"\xef\xbc\x95",
    b"5\x0b",
    b"\x0b5",
    b"5\x0c",
    b"5\xa0",
    b"5\x00",
    b"5,five",
    b"=5",
    b"5-",
    b"$5",
)
OVERFLOWS = (
    b"99999999999999999999",
    b"18446744073709551621",
    b"36893488147419103237",
    b"9223372036854775813",
    b"4294967301" * 3,
)
DIGITS_AGAIN = (b"5, 5", b"5,5", b"5,5,5", b"5, 5, 5")
TWO_GETS = Relayed(
    requests=(RequestLooks(body=b"hello"), RequestLooks(target=b"/second")), answers=(AnswerLooks(), AnswerLooks())
)

CASES = (
    *family(
        case(
            f"length-bad-{slug(value)}",
            "9112 6.3",
            f"Content-Length {value!r} is invalid and must be refused.",
            post(b"hello", b"Content-Length: " + value),
            BAD,
        )
        for value in BAD_VALUES
    ),
    case("length-empty", "9112 6.3", "An empty Content-Length is invalid.", post(b"hello", b"Content-Length:"), BAD),
    case("length-blank", "9112 6.3", "A blank Content-Length is invalid.", post(b"hello", b"Content-Length: \t "), BAD),
    *family(
        case(
            f"length-overflow-{slug(value)}",
            "9110 8.6",
            "A length beyond what can be counted must not wrap around.",
            (post(b"hello", b"Content-Length: " + value), HalfClose()),
            HUGE,
        )
        for value in OVERFLOWS
    ),
    *family(
        case(
            f"length-list-{slug(value)}",
            "9110 8.6",
            "A list of one and the same length may be refused or taken for one.",
            post(b"hello", b"Content-Length: " + value),
            LIST,
            BAD,
        )
        for value in DIGITS_AGAIN
    ),
    case(
        "length-list-empty-member",
        "9110 8.6",
        "A length and an empty member is refused or taken for the length.",
        post(b"hello", b"Content-Length: 5,"),
        LIST,
        BAD,
    ),
    case(
        "length-two-same",
        "9110 8.6",
        "Two equal fields may be refused or taken for one.",
        post(b"hello", b"Content-Length: 5", b"Content-Length: 5"),
        LIST,
        BAD,
    ),
    case(
        "length-two-case",
        "9110 8.6",
        "Two equal fields of other case are two.",
        post(b"hello", b"Content-Length: 5", b"content-LENGTH: 5"),
        LIST,
        BAD,
    ),
    case(
        "length-two-differ",
        "9112 6.3",
        "Two lengths that differ must be refused.",
        post(b"hello", b"Content-Length: 5", b"Content-Length: 6"),
        BAD,
    ),
    case(
        "length-two-zero-first",
        "9112 6.3",
        "A zero before the length hides no second request.",
        post(get(b"/smuggled"), b"Content-Length: 0", b"Content-Length: %d" % len(get(b"/smuggled"))),
        BAD,
    ),
    case(
        "length-two-zero-last",
        "9112 6.3",
        "Nor does a zero after it.",
        post(get(b"/smuggled"), b"Content-Length: %d" % len(get(b"/smuggled")), b"Content-Length: 0"),
        BAD,
    ),
    case(
        "length-two-apart",
        "9112 6.3",
        "Fields between two lengths hide nothing.",
        post(b"hello", b"Content-Length: 5", b"X-A: 1", b"Content-Length: 4"),
        BAD,
    ),
    case(
        "length-zeros",
        "9110 8.6",
        "Leading zeros are digits: five, or refused, never octal.",
        post(b"hellohello", b"Content-Length: 010"),
        (BAD, passed(body=b"hellohello")),
    ),
    case(
        "length-many-zeros",
        "9110 8.6",
        "Many leading zeros do not overflow.",
        post(b"hello", b"Content-Length: 0000000000000000000000005"),
        (BAD, passed(body=b"hello")),
    ),
    case("length-minus-zero", "9112 6.3", "Minus zero is not a length.", post(b"", b"Content-Length: -0"), BAD),
    case(
        "length-tab",
        "9112 5.1",
        "A tab before the value is a blank.",
        post(b"hello", b"Content-Length:\t5"),
        passed(body=b"hello"),
    ),
    case(
        "length-tail-blank",
        "9112 5.1",
        "Blanks after the value are none of its own.",
        post(b"hello", b"Content-Length: 5 \t"),
        passed(body=b"hello"),
    ),
    case("length-tight", "9112 5.1", "No blank is needed.", post(b"hello", b"content-length:5"), passed(body=b"hello")),
    case(
        "length-space-colon",
        "9112 5.1",
        "Whitespace before this colon would hide the length.",
        post(b"hello", b"Content-Length : 5"),
        BAD,
    ),
    case(
        "length-fold",
        "9112 5.2",
        "A folded length is refused or unfolded.",
        post(b"hello", b"Content-Length:\r\n 5"),
        LIST,
        BAD,
    ),
    case(
        "length-name-nul",
        "9110 5.1",
        "A NUL in the name makes no length.",
        post(b"hello", b"Content-Length\x00: 5"),
        Refused((400,), silent=True),
        BAD,
    ),
    case(
        "length-underscore",
        "9110 5.1",
        "Content_Length is another field and frames nothing.",
        post(b"hello", b"Content-Length: 5", b"Content_Length: 0"),
        passed(body=b"hello", framing="length"),
    ),
    case(
        "length-get",
        "9110 9.3.1",
        "A GET may have a body, and it is not the next request.",
        message(b"GET /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        (passed(body=b"hello"), Refused((400, 413))),
    ),
    case(
        "length-get-request",
        "9112 6.3",
        "A body that looks like a request is body.",
        counted(get(b"/smuggled"), target=b"/case"),
        passed(body=get(b"/smuggled")),
    ),
    case(
        "length-get-zero",
        "9110 8.6",
        "A GET of length zero has no body.",
        get(b"/case", b"Content-Length: 0"),
        passed(body=b""),
    ),
    case("length-post-zero", "9110 8.6", "A POST of length zero says so upstream.", counted(b""), passed(body=b"")),
    case(
        "length-post-none",
        "9112 6.3",
        "A POST without framing has no body.",
        post(b""),
        (passed(body=b""), Refused((411,))),
    ),
    case(
        "length-pipelined",
        "9112 9.3.2",
        "What follows a counted body is the next request.",
        counted(b"hello") + get(b"/second"),
        TWO_GETS,
        answers=2,
    ),
    case(
        "length-one-more",
        "9112 6.3",
        "A byte too many begins a broken second request.",
        counted(b"hello") + b"\x01" + get(b"/second"),
        Refused((400,), silent=True, after=1),
        Refused((400,), after=1),
        answers=2,
    ),
    case(
        "length-short",
        "9112 8",
        "A body shorter than its length is incomplete and not a message.",
        (post(b"hel", b"Content-Length: 5"), HalfClose()),
        LOST,
    ),
    case(
        "length-none-sent",
        "9112 8",
        "A head without its body is incomplete.",
        (post(b"", b"Content-Length: 5"), HalfClose()),
        LOST,
    ),
    case(
        "length-split",
        "9112 6.2",
        "A body may arrive in pieces.",
        (post(b"h", b"Content-Length: 5"), b"e", b"l", b"l", b"o"),
        passed(body=b"hello"),
    ),
    case(
        "length-head-request",
        "9110 9.3.2",
        "A HEAD with a body keeps the connection in step.",
        message(b"HEAD /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        (passed(body=b"hello"), Refused((400, 413))),
        (),
        heads=frozenset({0}),
    ),
    case(
        "length-options",
        "9110 9.3.7",
        "An OPTIONS with a body keeps the connection in step.",
        message(b"OPTIONS /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        (passed(body=b"hello"), Refused((400, 413))),
    ),
    case(
        "length-delete",
        "9110 9.3.5",
        "A DELETE may have a body.",
        message(b"DELETE /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        (passed(body=b"hello"), Refused((400, 413))),
        passed(body=b"hello"),
    ),
    case(
        "length-megabyte",
        "9112 6.2",
        "A megabyte passes whole.",
        counted(bytes(range(256)) * 4096),
        passed(body=bytes(range(256)) * 4096),
    ),
)
