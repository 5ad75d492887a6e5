"""Cases on the heads of the upstream's answers, and on interim answers (RFC 9112, 4 and 5; RFC 9110, 15)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Case, HalfClose, Relayed, Reply, UntilClientSaw
from tests.conformance.cases.build import FAULT, GATEWAY, HOST, RETRIED, answer, case, delivered, get, message, slug

GET = get(b"/case")
SIZED = b"Content-Length: 5"
HELLO = delivered(b"hello")
NORMALISED = (HELLO, FAULT)
UNREADABLE = FAULT
CUT = (FAULT, RETRIED)
STARTS = (
    (b"HTTP/1.1", "a version alone"),
    (b"HTTP/1.1 OK", "no status"),
    (b"200 OK", "no version"),
    (b"HTTP/1.1 20 OK", "two digits"),
    (b"HTTP/1.1 2000 OK", "four digits"),
    (b"HTTP/1.1 2x0 OK", "a letter in the status"),
    (b"HTTP/1.1 -20 OK", "a negative status"),
    (b"HTTP/1.1 000 OK", "a status of zero"),
    (b"HTTP/1.1 099 OK", "a status below 100"),
    (b"HTTP/2.0 200 OK", "another major version"),
    (b"HTTP/x 200 OK", "no number"),
    (b"HTTPS/1.1 200 OK", "another protocol"),
    (b"XTTP/1.1 200 OK", "another name"),
    (b"ICY 200 OK", "a radio's protocol"),
    (b"HTTP/1.1 200\x00OK", "a NUL"),
    (b"HTTP/1.1 200 O\rK", "a bare CR"),
    (b"garbage", "no words of HTTP"),
    (b"<html>oops</html>", "a page without a head"),
    (b"SSH-2.0-OpenSSH_9.2", "another server's greeting"),
)
ODD_STARTS = (
    b"HTTP/1.1 200",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1 200  OK",
    b"http/1.1 200 OK",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/1.2 200 OK",
    b"HTTP/1.1 600 Odd",
    b"HTTP/1.1 999 Odd",
    b"HTTP/1.1 200 \x01",
)
GOOD_STARTS = (
    b"HTTP/1.1 200 ",
    b"HTTP/1.1 200 OK then, (really)",
    b"HTTP/1.1 200 caf\xe9",
    b"HTTP/1.1 201 Created",
    b"HTTP/1.1 207 Multi-Status",
    b"HTTP/1.1 299 Whatever",
    b"HTTP/1.1 425 Too Early",
    b"HTTP/1.1 429 Too Many Requests",
    b"HTTP/1.1 500 Oops",
    b"HTTP/1.1 503 Later",
)
FIELDS = (
    (b"X-Odd", "without a colon"),
    (b": odd", "without a name"),
    (b"X Odd: 1", "with a space in its name"),
    (b"X-Odd(: 1", "with a parenthesis in its name"),
    (b"X-\xe9: 1", "with a byte beyond ASCII in its name"),
    (b"X-Odd : 1", "with a space before its colon"),
    (b"X-Odd: a\x00b", "with a NUL"),
    (b"X-Odd: a\rb", "with a bare CR"),
    (b"X-Odd: a\r\n b", "that is folded"),
    (b"X-Odd: a\r\n\tb", "that is folded by a tab"),
    (b"\x00X: 1", "that begins with a NUL"),
)
CONTROLS = (0x01, 0x0B, 0x1B, 0x7F)
INTERIM = (100, 102, 103, 199)


def replied(case_id: str, rfc: str, why: str, reply: Reply, *outcomes: object) -> Case:
    """A GET that is answered so."""
    allowed, promised = (outcomes[0], outcomes[1]) if len(outcomes) > 1 else (outcomes[0], ())
    return case(case_id, rfc, why, GET, allowed, promised, reply)  # type: ignore[arg-type]  # by kind


def headed(start: bytes, *fields: bytes) -> Reply:
    """An answer `hello` with this start line."""
    return Reply((message(start, SIZED, *fields, body=b"hello"), HalfClose()))


def interim(status: int, *fields: bytes) -> bytes:
    """An interim answer."""
    return message(b"HTTP/1.1 %d Interim" % status, *fields)


FINAL = message(b"HTTP/1.1 200 OK", SIZED, body=b"hello")

CASES = (
    *(
        replied(
            f"status-bad-{slug(start)}",
            "9112 4",
            f"A status line with {what} is none.",
            headed(start),
            NORMALISED,
            GATEWAY,
        )
        for start, what in STARTS
    ),
    *(
        replied(
            f"status-odd-{slug(start)}",
            "9112 4",
            "A status line off the grammar is refused or made right.",
            headed(start),
            (Relayed(answers=(AnswerLooks(status=None),)), UNREADABLE),
        )
        for start in ODD_STARTS
    ),
    *(
        replied(
            f"status-good-{slug(start)}",
            "9112 4",
            "This status line is right.",
            headed(start),
            delivered(b"hello", int(start.split(b" ")[1])),
        )
        for start in GOOD_STARTS
    ),
    *(
        replied(
            f"answer-field-{slug(field)}",
            "9112 5",
            f"A field {what} in an answer is 502, dropped or made right.",
            answer(SIZED, field, body=b"hello"),
            NORMALISED,
            () if b" : " in field else GATEWAY,
        )
        for field, what in FIELDS
    ),
    *(
        replied(
            f"answer-control-{control:02x}",
            "9110 5.5",
            "A control in an answer's value is 502 or kept.",
            answer(SIZED, b"X-Odd: a" + bytes((control,)), body=b"hello"),
            NORMALISED,
        )
        for control in CONTROLS
    ),
    replied(
        "answer-lf",
        "9112 2.2",
        "A head of bare LF is read or 502, and normalised.",
        Reply((b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", HalfClose())),
        (*NORMALISED, UNREADABLE),
        GATEWAY,
    ),
    replied(
        "answer-lf-field",
        "9112 2.2",
        "A field that ends in a bare LF is read or 502, and normalised.",
        Reply((b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 5\r\n\r\nhello", HalfClose())),
        NORMALISED,
        GATEWAY,
    ),
    replied(
        "answer-lf-end",
        "9112 2.2",
        "A head that ends in a bare LF is read or 502, and normalised.",
        Reply((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello", HalfClose())),
        NORMALISED,
        GATEWAY,
    ),
    replied(
        "answer-empty-line-before",
        "9112 2.2",
        "An empty line before the status line is skipped or 502.",
        Reply((b"\r\n" + FINAL, HalfClose())),
        (HELLO, UNREADABLE),
    ),
    replied(
        "answer-space-line",
        "9112 2.2",
        "A line that begins with a space after the status line is 502, or dropped.",
        Reply((b"HTTP/1.1 200 OK\r\n X: 1\r\nContent-Length: 5\r\n\r\nhello", HalfClose())),
        NORMALISED,
        GATEWAY,
    ),
    replied(
        "answer-nothing",
        "9112 8",
        "No answer at all is 502, or a read is sent again.",
        Reply((HalfClose(),)),
        CUT,
        RETRIED,
    ),
    replied(
        "answer-half-head",
        "9112 8",
        "Half a head is 502, or a read is sent again.",
        Reply((b"HTTP/1.1 200 OK\r\nContent-Le", HalfClose())),
        CUT,
        RETRIED,
    ),
    replied(
        "answer-half-line",
        "9112 8",
        "Half a status line is 502, or a read is sent again.",
        Reply((b"HTTP/1.1 20", HalfClose())),
        CUT,
        RETRIED,
    ),
    replied(
        "answer-head-huge",
        "9110 5.4",
        "A head of a megabyte meets a limit, or passes.",
        answer(SIZED, *(b"X-N%d: " % n + b"x" * 1000 for n in range(1000)), body=b"hello"),
        (HELLO, UNREADABLE),
        GATEWAY,
    ),
    replied(
        "answer-head-endless",
        "9110 5.4",
        "A head without end meets a limit.",
        Reply((b"HTTP/1.1 200 OK\r\n", *(b"X-N: " + b"x" * 10000 + b"\r\n" for _ in range(300)), HalfClose())),
        UNREADABLE,
        GATEWAY,
    ),
    replied(
        "answer-date",
        "9110 6.6.1",
        "The date of the origin passes as it is.",
        answer(SIZED, b"Date: Sun, 06 Nov 1994 08:49:37 GMT", body=b"hello"),
        delivered(b"hello", names=(b"date",), has=((b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),)),
    ),
    replied(
        "answer-date-missing",
        "9110 6.6.1",
        "An answer that came without a date is dated before it is passed on.",
        answer(SIZED, body=b"hello"),
        delivered(b"hello", names=(b"date",)),
    ),
    replied(
        "answer-values",
        "9110 5.5",
        "Bytes beyond ASCII in a value pass as they are.",
        answer(SIZED, b"X-Good: caf\xe9 \xff", body=b"hello"),
        delivered(b"hello", has=((b"x-good", b"caf\xe9 \xff"),)),
    ),
    replied(
        "answer-case-order",
        "9110 5.3",
        "Case, order and repetition of fields are kept.",
        answer(SIZED, b"x-LOWER: 1", b"X-a: 1", b"X-A: 2", body=b"hello"),
        (),
        delivered(b"hello", raw=(b"x-LOWER: 1\r\n", b"X-a: 1\r\nX-A: 2\r\n")),
    ),
    replied(
        "answer-cookies",
        "6265 3",
        "Each Set-Cookie stays a field of its own.",
        answer(SIZED, b"Set-Cookie: a=1", b"Set-Cookie: b=2", body=b"hello"),
        delivered(b"hello", has=((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))),
    ),
    replied(
        "answer-location",
        "9110 10.2.2",
        "A foreign Location passes as it is, and is not followed.",
        answer(
            SIZED, b"Location: https://s3.example/x?sig=%2F", body=b"hello", start=b"HTTP/1.1 307 Temporary Redirect"
        ),
        delivered(b"hello", 307, has=((b"location", b"https://s3.example/x?sig=%2F"),)),
    ),
    replied(
        "answer-empty-value",
        "9110 5.5",
        "An empty value is right.",
        answer(SIZED, b"X-Good:", body=b"hello"),
        HELLO,
        delivered(b"hello", has=((b"x-good", b""),)),
    ),
    replied(
        "answer-proxy-status",
        "9209 2",
        "An upstream cannot speak with the proxy's voice.",
        answer(SIZED, b"Proxy-Status: ads-proxy; error=http_request_error", body=b"hello"),
        (),
        delivered(b"hello", lacks=(b"proxy-status",)),
    ),
    replied(
        "answer-reason",
        "9112 4",
        "The reason passes as it is.",
        headed(b"HTTP/1.1 200 Fine By Me"),
        (),
        delivered(b"hello", raw=(b" 200 Fine By Me\r\n",)),
    ),
    *(
        case(
            f"interim-{status}",
            "9110 15.2",
            f"{status} is passed on or dropped, and the final answer is its own.",
            GET,
            Relayed(answers=(AnswerLooks(body=b"hello"),)),
            delivered(b"hello", interim=(status,)) if status != 100 else (),
            Reply((interim(status), FINAL)),
        )
        for status in INTERIM
    ),
    case(
        "interim-early",
        "9110 15.2",
        "An interim answer is passed on before the final one is there.",
        GET,
        (),
        delivered(b"hello", interim=(103,)),
        Reply((interim(103, b"Link: </x>; rel=preload"), UntilClientSaw(b"103"), FINAL)),
    ),
    case(
        "interim-three",
        "9110 15.2",
        "There may be several.",
        GET,
        HELLO,
        delivered(b"hello", interim=(102, 103, 103)),
        Reply((interim(102) + interim(103) + interim(103), FINAL)),
    ),
    *(
        case(
            f"interim-old-{status}",
            "9110 15.2",
            "An HTTP/1.0 client gets no interim answer.",
            message(b"GET /case HTTP/1.0", HOST),
            Relayed(answers=(AnswerLooks(body=b"hello", interim=()),)),
            (),
            Reply((interim(status), FINAL)),
        )
        for status in INTERIM
    ),
    replied(
        "interim-length",
        "9112 6.3",
        "A length in an interim answer frames nothing.",
        Reply((interim(103, b"Content-Length: 5"), FINAL)),
        (HELLO, GATEWAY),
    ),
    replied(
        "interim-bad",
        "9112 5",
        "A broken interim answer is 502, or is dropped.",
        Reply((b"HTTP/1.1 103 X\r\nX Odd: 1\r\n\r\n", FINAL)),
        NORMALISED,
        GATEWAY,
    ),
    replied(
        "interim-then-nothing",
        "9112 8",
        "An interim answer alone is no answer; a read may be sent again.",
        Reply((interim(103), HalfClose())),
        CUT,
        RETRIED,
    ),
    replied(
        "interim-101",
        "9110 15.2.2",
        "101 that nobody asked for is no answer.",
        Reply(
            (
                message(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: evil", b"Connection: Upgrade", body=b"raw"),
                HalfClose(),
            )
        ),
        UNREADABLE,
        GATEWAY,
    ),
    case(
        "interim-101-asked",
        "9110 15.2.2",
        "An upgrade is not passed on, so 101 is no answer to it.",
        get(b"/case", b"Connection: Upgrade", b"Upgrade: websocket"),
        (),
        GATEWAY,
        Reply(
            (message(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"), HalfClose())
        ),
    ),
    replied(
        "interim-101-bare",
        "9110 15.2.2",
        "101 without Upgrade neither.",
        Reply((message(b"HTTP/1.1 101 Switching Protocols"), HalfClose())),
        UNREADABLE,
        GATEWAY,
    ),
)
