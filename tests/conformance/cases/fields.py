"""Cases on field syntax in requests (RFC 9112, 5; RFC 9110, 5)."""

from __future__ import annotations

from tests.conformance.case import Relayed, RequestLooks
from tests.conformance.cases.build import BAD, BAD_OR_CLOSED, HOST, case, family, get, passed, slug

DROPPED_OR_BAD = (BAD_OR_CLOSED, passed(not_raw=(b"x-odd",)), passed(not_raw=(b"odd-value",)))
NAMES = (
    (b"X Odd", "a space"),
    (b"X-Odd(", "a parenthesis"),
    (b"X-Odd@", "an at sign"),
    (b"X/Odd", "a slash"),
    (b'"X-Odd"', "quotes"),
    (b"X-Odd,", "a comma"),
    (b"X-Odd;", "a semicolon"),
    (b"X=Odd", "an equals sign"),
    (b"X[Odd]", "brackets"),
    (b"X{Odd}", "braces"),
    (b"X\\Odd", "a backslash"),
    (b"X?Odd", "a question mark"),
    (b"X<Odd>", "angle brackets"),
    (b"X-Odd\x01", "a control"),
    (b"X-\x7fOdd", "a DEL"),
    (b"X-\xe9Odd", "a byte beyond ASCII"),
    (b"\xefX-Odd", "a byte beyond ASCII first"),
)
CONTROLS = (0x01, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x7F)
LENIENT = (BAD_OR_CLOSED, Relayed())
FOLDED = (BAD_OR_CLOSED, passed(not_raw=(b"\r\n ", b"\r\n\t")))
VALUES = (
    (b"", "nothing"),
    (b"a:b:c", "colons"),
    (b"a\tb", "a tab inside"),
    (b"a  b", "two spaces inside"),
    (b'"quoted, \\"list\\""', "a quoted string"),
    (b"caf\xe9 \xc3\xa9 \xff", "bytes beyond ASCII"),
    (b"(comment); q=0.5, */*", "delimiters"),
    (b"x" * 4000, "4,000 bytes"),
    (b"=?utf-8?q?=C3=A9?=", "an encoded word"),
)

CASES = (
    case(
        "field-space-colon",
        "9112 5.1",
        "Whitespace before the colon must be refused.",
        get(b"/case", b"X-Odd : odd-value"),
        BAD,
    ),
    case(
        "field-tab-colon",
        "9112 5.1",
        "A tab before the colon must be refused.",
        get(b"/case", b"X-Odd\t: odd-value"),
        BAD,
    ),
    case(
        "field-no-colon", "9112 5", "A line without a colon is no field.", get(b"/case", b"X-Odd"), DROPPED_OR_BAD, BAD
    ),
    case("field-no-name", "9112 5", "A field has a name.", get(b"/case", b": odd-value"), DROPPED_OR_BAD, BAD),
    case("field-only-colon", "9112 5", "A colon alone is no field.", get(b"/case", b":"), LENIENT, BAD),
    *family(
        case(
            f"field-name-{slug(name)}",
            "9110 5.1",
            f"A field name is a token; this one has {what}.",
            get(b"/case", name + b": odd-value"),
            DROPPED_OR_BAD,
            BAD,
        )
        for name, what in NAMES
    ),
    case(
        "field-value-nul",
        "9110 5.5",
        "A NUL in a value must not pass.",
        get(b"/case", b"X-Odd: a\x00b"),
        (BAD_OR_CLOSED, passed(not_raw=(b"\x00",))),
        BAD,
    ),
    case(
        "field-value-cr",
        "9110 5.5",
        "A CR in a value must not pass.",
        get(b"/case", b"X-Odd: a\rb"),
        (BAD_OR_CLOSED, passed(not_raw=(b"a\rb",))),
        BAD,
    ),
    case(
        "field-value-cr-name",
        "9112 2.2",
        "A CR does not begin a new field.",
        get(b"/case", b"X-Odd: a\rX-Evil: b"),
        (BAD_OR_CLOSED, passed(lacks=(b"x-evil",))),
        BAD,
    ),
    case(
        "field-value-cr-last",
        "9110 5.5",
        "A CR at the end of a value must not pass.",
        get(b"/case", b"X-Odd: a\r"),
        (BAD_OR_CLOSED, passed(not_raw=(b"a\r\r",))),
        BAD,
    ),
    case(
        "field-lf-end",
        "9112 2.2",
        "A bare LF ends a field for a lenient reader; this one refuses it.",
        b"GET /case HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1\nX-B: 2\r\n\r\n",
        (BAD_OR_CLOSED, passed(has=((b"x-a", b"1"), (b"x-b", b"2")))),
        BAD,
    ),
    *family(
        case(
            f"field-value-{control:02x}",
            "9110 5.5",
            "A control in a value is invalid; it may be kept where that is safe.",
            get(b"/case", b"X-Odd: a" + bytes((control,)) + b"b"),
            LENIENT,
            BAD,
        )
        for control in CONTROLS
    ),
    case(
        "field-fold-space",
        "9112 5.2",
        "A folded line is refused or becomes a space.",
        get(b"/case", b"X-Odd: a\r\n b"),
        FOLDED,
        BAD,
    ),
    case(
        "field-fold-tab",
        "9112 5.2",
        "A line folded by a tab is refused or becomes a space.",
        get(b"/case", b"X-Odd: a\r\n\tb"),
        FOLDED,
        BAD,
    ),
    case(
        "field-fold-field",
        "9112 5.2",
        "A fold that looks like a field is none.",
        get(b"/case", b"X-Odd: a\r\n X-Evil: b"),
        (BAD_OR_CLOSED, passed(lacks=(b"x-evil",), not_raw=(b"\r\n ",))),
        BAD,
    ),
    case(
        "field-fold-blank",
        "9112 5.2",
        "A line of blanks after a field is a fold and no end.",
        get(b"/case", b"X-Odd: a\r\n  \r\nX-B: 1"),
        FOLDED,
        BAD,
    ),
    case(
        "field-fold-last",
        "9112 5.2",
        "A fold in the last field is a fold.",
        b"GET /case HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Odd: a\r\n \r\n\r\n",
        FOLDED,
        BAD,
    ),
    *family(
        case(
            f"field-good-{slug(value[:20])}",
            "9110 5.5",
            f"A value with {what} is right.",
            get(b"/case", b"X-Good: " + value),
            passed(has=((b"x-good", value),)),
        )
        for value, what in VALUES
    ),
    case(
        "field-good-blanks",
        "9112 5.1",
        "Blanks around a value are none of its own.",
        get(b"/case", b"X-Good: \t  value \t"),
        passed(has=((b"x-good", b"value"),)),
    ),
    case(
        "field-good-tight",
        "9112 5.1",
        "No blank is needed after the colon.",
        get(b"/case", b"X-Good:value"),
        passed(has=((b"x-good", b"value"),)),
    ),
    case(
        "field-good-name",
        "9110 5.1",
        "Every character of a token may be in a name.",
        get(b"/case", b"X!#$%&'*+-.^`|~9: value"),
        (),
        passed(raw=(b"X!#$%&'*+-.^`|~9: value",)),
    ),
    case(
        "field-good-underscore",
        "9110 5.1",
        "An underscore in a name is right, though some drop it.",
        get(b"/case", b"X_Good: value"),
        (),
        passed(raw=(b"X_Good: value",)),
    ),
    case(
        "field-good-repeat",
        "9110 5.3",
        "Repeated fields keep their order.",
        get(b"/case", b"X-Many: 1", b"X-Other: x", b"X-Many: 2"),
        passed(has=((b"x-many", b"1"), (b"x-many", b"2"))),
    ),
    case(
        "field-good-case",
        "9110 5.1",
        "Names keep their case, and fields their order.",
        get(b"/case", b"x-LOWER: 1", b"X-a: 1", b"X-A: 2"),
        (),
        passed(raw=(b"x-LOWER: 1\r\n", b"X-a: 1\r\nX-A: 2\r\n")),
    ),
    case(
        "field-good-hundred",
        "9110 5.4",
        "A hundred fields pass.",
        get(b"/case", *(b"X-N%d: %d" % (n, n) for n in range(90))),
        passed(has=tuple((b"x-n%d" % n, b"%d" % n) for n in range(90))),
    ),
    case(
        "field-good-vendor",
        "9110 8.3.1",
        "Vendor media types keep their case.",
        get(b"/case", b"Accept: application/vnd.spCampaign.v3+json"),
        passed(has=((b"accept", b"application/vnd.spCampaign.v3+json"),)),
    ),
    case(
        "field-good-first",
        "9112 3.2",
        "A field before Host is right.",
        b"GET /case HTTP/1.1\r\nX-Good: 1\r\n" + HOST + b"\r\n\r\n",
        Relayed(requests=(RequestLooks(has=((b"x-good", b"1"),)),)),
    ),
)
