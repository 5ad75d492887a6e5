"""Cases on chunked bodies of requests (RFC 9112, 7.1)."""

from __future__ import annotations

from tests.conformance.case import HalfClose, Reach, Refused
from tests.conformance.cases.build import BAD_BODY, BODY_LIMIT_STATUSES, case, family, get, passed, post, slug, streamed

SIZE = Refused((400, 413), silent=True, reach=Reach.PART)
LOST = Refused((400, 408, 499, 502), silent=True, reach=Reach.PART)
PROMISE = Refused((400,), reach=Reach.PART)
END = b"\r\n0\r\n\r\n"
HELLO = passed(body=b"hello")
HIDDEN = b"0\r\n\r\n" + get(b"/smuggled")
LENIENT = (BAD_BODY, HELLO)
GOOD = (
    (b"5\r\nhello" + END, b"hello", "one chunk"),
    (b"1\r\nh\r\n3\r\nell\r\n1\r\no" + END, b"hello", "three chunks"),
    (b"0\r\n\r\n", b"", "no chunk but the last"),
    (b"00000\r\n\r\n", b"", "zeros as the last chunk"),
    (b"A\r\n0123456789" + END, b"0123456789", "an upper-case size"),
    (b"a\r\n0123456789" + END, b"0123456789", "a lower-case size"),
    (b"0005\r\nhello" + END, b"hello", "leading zeros"),
    (b"5\r\n\r\n0\r\n" + END, b"\r\n0\r\n", "data that looks like the end"),
    (b"5;a=b\r\nhello" + END, b"hello", "an extension"),
    (b"5;a\r\nhello" + END, b"hello", "an extension without a value"),
    (b'5;a="b c;d"\r\nhello' + END, b"hello", "a quoted extension"),
    (b"5;a=b;c=d\r\nhello\r\n0;last\r\n\r\n", b"hello", "extensions on each chunk"),
    (b"1000\r\n" + b"x" * 4096 + END, b"x" * 4096, "a chunk of 4,096 bytes"),
    (b"".join(b"1\r\nx\r\n" for _ in range(300)) + b"0\r\n\r\n", b"x" * 300, "300 tiny chunks"),
)
BAD_SIZES = (
    b"0x5",
    b"+5",
    b"-5",
    b"5_0",
    b"g",
    b"5g",
    b"",
    b"5.0",
    b'"5"',
    b"5,5",
    b"\x005",
    b"5\x00",
    b"\xb5",
    b"five",
    b"#5",
    b"5:",
    b"\x0b5",
    b"5h",
    b"&5",
    b"0x0",
)
LOOSE_SIZES = (
    b"5 5",
    b" 5",
    b"5 ",
    b"\t5",
    b"5\t",
    b"5 ;a",
    b"5; a=b",
    b"5;",
    b"5;=b",
    b"5;a=",
    b'5;a="b',
    b"5;a b",
    b"5;;",
    b"5;a=b\x0b",
)
OVERFLOWS = (
    b"FFFFFFFFFFFFFFFFF",
    b"10000000000000005",
    b"100000000000000005",
    b"FFFFFFFFFFFFFFFB",
    b"8000000000000005",
    b"1" + b"0" * 31 + b"5",
)

CASES = (
    *family(
        case(f"chunk-good-{number:02}", "9112 7.1", f"A body of {what} is right.", streamed(raw), passed(body=body))
        for number, (raw, body, what) in enumerate(GOOD)
    ),
    *family(
        case(
            f"chunk-size-{slug(size)}",
            "9112 7.1",
            f"{size!r} is no chunk size.",
            streamed(size + b"\r\nhello" + END),
            BAD_BODY,
            PROMISE,
        )
        for size in BAD_SIZES
    ),
    *family(
        case(
            f"chunk-loose-{slug(size)}",
            "9112 7.1.1",
            f"The chunk line {size!r} is outside the grammar or close to it: refused, or five.",
            streamed(size + b"\r\nhello" + END),
            LENIENT,
        )
        for size in LOOSE_SIZES
    ),
    *family(
        case(
            f"chunk-overflow-{slug(size)}",
            "9112 7.1",
            "A chunk size beyond what can be counted must not wrap around.",
            (streamed(size + b"\r\nhello" + END), HalfClose()),
            SIZE,
        )
        for size in OVERFLOWS
    ),
    case(
        "chunk-overflow-wrap",
        "9112 7.1",
        "A size that wraps to zero hides no second request.",
        (streamed(b"10000000000000000\r\n\r\n" + get(b"/smuggled")), HalfClose()),
        SIZE,
    ),
    case(
        "chunk-17-digits",
        "9112 7.1",
        "More than sixteen digits are refused even where they are zeros.",
        streamed(b"00000000000000005\r\nhello" + END),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-thousand-zeros",
        "9112 7.1",
        "A thousand zeros are no reason to count on.",
        streamed(b"0" * 1000 + b"5\r\nhello" + END),
        (SIZE, HELLO),
        PROMISE,
    ),
    case(
        "chunk-lf-size",
        "9112 7.1",
        "A bare LF after the size is refused or normalised.",
        streamed(b"5\nhello" + END),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-lf-data",
        "9112 7.1",
        "A bare LF after the data is refused or normalised.",
        streamed(b"5\r\nhello\n0\r\n\r\n"),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-lf-last",
        "9112 7.1",
        "A bare LF after the last size is refused or normalised.",
        streamed(b"5\r\nhello\r\n0\n\r\n"),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-lf-end",
        "9112 7.1",
        "A bare LF as the end is refused or normalised.",
        streamed(b"5\r\nhello\r\n0\r\n\n"),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-lf-all",
        "9112 7.1",
        "Bare LF throughout is refused or normalised.",
        streamed(b"5\nhello\n0\n\n"),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-cr-size",
        "9112 7.1",
        "A bare CR ends no chunk line.",
        (streamed(b"5\rhello" + END), HalfClose()),
        BAD_BODY,
    ),
    case(
        "chunk-cr-data",
        "9112 7.1",
        "A bare CR ends no chunk.",
        (streamed(b"5\r\nhello\r0\r\n\r\n"), HalfClose()),
        BAD_BODY,
    ),
    case(
        "chunk-cr-cr-lf",
        "9112 7.1",
        "A CR too many is refused.",
        (streamed(b"5\r\r\nhello" + END), HalfClose()),
        BAD_BODY,
    ),
    case(
        "chunk-data-long",
        "9112 7.1",
        "Data longer than its size is refused.",
        streamed(b"4\r\nhello" + END),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-data-short",
        "9112 7.1",
        "Data shorter than its size is refused.",
        streamed(b"6\r\nhello" + END),
        (BAD_BODY, passed(body=b"hello\r")),
        PROMISE,
    ),
    case(
        "chunk-data-no-end",
        "9112 7.1",
        "Data without CRLF after it is refused.",
        streamed(b"5\r\nhello0\r\n\r\n"),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-data-spill",
        "9112 11.2",
        "Data that spills over is not a size.",
        streamed(b"5\r\nhello99\r\n0\r\n\r\n"),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-data-two-bytes",
        "9112 7.1",
        "Two other bytes in place of CRLF are refused.",
        streamed(b"5\r\nhelloXX0\r\n\r\n"),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-empty-line",
        "9112 7.1",
        "An empty line is no size.",
        streamed(b"\r\n5\r\nhello" + END),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-no-size-extension",
        "9112 7.1",
        "An extension needs a size.",
        streamed(b";a=b\r\nhello" + END),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-negative-zero",
        "9112 7.1",
        "Minus zero does not end a body.",
        streamed(b"5\r\nhello\r\n-0\r\n\r\n"),
        BAD_BODY,
        PROMISE,
    ),
    case(
        "chunk-extension-cr",
        "9112 7.1.1",
        "A bare CR in an extension is refused.",
        (streamed(b"5;a\rb\r\nhello" + END), HalfClose()),
        BAD_BODY,
    ),
    case(
        "chunk-extension-lf",
        "9112 7.1.1",
        "A bare LF in an extension ends its line or is refused, and hides nothing.",
        streamed(b"5;a\nhello" + END),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-extension-lf-hides",
        "9112 11.2",
        "A chunk hidden behind a bare LF in an extension is read one way.",
        streamed(b"2;\nxx\r\n%x\r\n" % len(HIDDEN) + HIDDEN + END),
        (BAD_BODY, passed(body=b"xx" + HIDDEN)),
        PROMISE,
    ),
    case(
        "chunk-extension-nul",
        "9112 7.1.1",
        "A NUL in an extension is refused or dropped with it.",
        streamed(b"5;a=\x00\r\nhello" + END),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-extension-control",
        "9112 7.1.1",
        "A control in an extension is refused or dropped with it.",
        streamed(b"5;a=\x01\r\nhello" + END),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-extension-not-passed",
        "9112 7.1.1",
        "Extensions are of one hop and do not pass.",
        streamed(b"5;marker=remarkable\r\nhello" + END),
        (BAD_BODY, passed(body=b"hello", not_raw=(b"remarkable",))),
    ),
    case(
        "chunk-extension-long",
        "9112 7.1.1",
        "An extension of 70,000 bytes meets a limit, or is dropped.",
        streamed(b"5;a=" + b"x" * 70000 + b"\r\nhello" + END),
        (Refused(BODY_LIMIT_STATUSES, silent=True, reach=Reach.PART), HELLO),
        Refused(BODY_LIMIT_STATUSES, reach=Reach.PART),
    ),
    case(
        "chunk-no-last",
        "9112 8",
        "A body without its last chunk is incomplete.",
        (streamed(b"5\r\nhello\r\n"), HalfClose()),
        LOST,
    ),
    case(
        "chunk-no-final-line",
        "9112 8",
        "A body without its final empty line is incomplete.",
        (streamed(b"5\r\nhello\r\n0\r\n"), HalfClose()),
        LOST,
    ),
    case(
        "chunk-cut-data", "9112 8", "A body cut in a chunk is incomplete.", (streamed(b"5\r\nhel"), HalfClose()), LOST
    ),
    case("chunk-cut-size", "9112 8", "A body cut in a size is incomplete.", (streamed(b"5"), HalfClose()), LOST),
    case("chunk-none", "9112 8", "A head without its chunks is incomplete.", (streamed(b""), HalfClose()), LOST),
    case(
        "chunk-last-then-request",
        "9112 7.1",
        "A request in place of the final line is no trailer.",
        streamed(b"5\r\nhello\r\n0\r\n" + get(b"/smuggled")),
        LENIENT,
        PROMISE,
    ),
    case(
        "chunk-byte-by-byte",
        "9112 7.1",
        "Chunks may arrive a byte at a time.",
        (post(b"", b"Transfer-Encoding: chunked"), *(bytes((b,)) for b in b"3;x=y\r\nhel\r\n2\r\nlo" + END)),
        HELLO,
    ),
    case(
        "chunk-big",
        "9112 7.1",
        "A megabyte of chunks passes whole.",
        streamed(b"".join(b"10000\r\n" + bytes((n,)) * 65536 + b"\r\n" for n in range(16)) + b"0\r\n\r\n"),
        passed(body=b"".join(bytes((n,)) * 65536 for n in range(16))),
    ),
    case(
        "chunk-looks",
        "9112 7.1",
        "A chunked body arrives framed, whole and once.",
        streamed(b"5\r\nhello" + END),
        passed(body=b"hello", method=b"POST", target=b"/case"),
        passed(body=b"hello", framing="chunked"),
    ),
)
