"""Cases on methods (RFC 9110, 9) and on Expect (RFC 9110, 10.1.1)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Refused, Relayed, Reply, RequestLooks, UntilClientSaw, UntilUpstreamSaw
from tests.conformance.cases.build import HOST, PASSED, answer, case, counted, family, get, message, passed, post, slug

NOT_HERE = Refused((400, 403, 405, 501), silent=True)
COMMON = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
RARE = (b"PROPFIND", b"QUERY", b"PURGE", b"M-SEARCH", b"FOO")
UNAVAILABLE = Refused((400, 405, 501), closes=False)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EXPECT = b"Expect: 100-continue"
UNEXPECTED = Refused((417,), closes=False)


def empty(method: bytes) -> bytes:
    """A request of that method with an empty body."""
    return message(method + b" /case HTTP/1.1", HOST, b"Content-Length: 0")


CASES = (
    *family(
        case(
            f"method-{slug(method)}",
            "9110 9.1",
            f"{method.decode()} passes with its body.",
            message(method + b" /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
            passed(method=method, body=b"hello"),
        )
        for method in COMMON
    ),
    *family(
        case(
            f"method-rare-{slug(method)}",
            "9110 9.1",
            f"{method.decode()} passes or is not implemented.",
            empty(method),
            (passed(method=method), NOT_HERE, UNAVAILABLE),
        )
        for method in RARE
    ),
    case(
        "method-lower",
        "9110 9.1",
        "Methods have case: get is not GET.",
        message(b"get /case HTTP/1.1", HOST),
        (passed(method=b"get"), NOT_HERE, UNAVAILABLE),
    ),
    case(
        "method-trace",
        "9110 9.3.8",
        "TRACE would show what was added.",
        message(b"TRACE /case HTTP/1.1", HOST),
        (),
        Refused((405,)),
    ),
    case(
        "method-trace-body",
        "9110 9.3.8",
        "TRACE has no body, and with one it is refused too.",
        message(b"TRACE /case HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        (),
        Refused((400, 405)),
    ),
    case(
        "method-trace-allow",
        "9110 15.5.6",
        "405 says what is allowed.",
        message(b"TRACE /case HTTP/1.1", HOST),
        (),
        Refused((405,), names=(b"allow",)),
    ),
    case(
        "method-long",
        "9112 3",
        "A method of 200 letters passes or is not implemented.",
        message(b"M" * 200 + b" /case HTTP/1.1", HOST),
        (passed(method=b"M" * 200), NOT_HERE, UNAVAILABLE),
    ),
    case(
        "method-connect-origin",
        "9110 9.3.6",
        "CONNECT with a path is no tunnel either.",
        message(b"CONNECT /case HTTP/1.1", HOST),
        NOT_HERE,
        Refused((400, 405)),
    ),
    case(
        "head-length",
        "9110 9.3.2",
        "HEAD's answer keeps the length it would have.",
        message(b"HEAD /case HTTP/1.1", HOST),
        Relayed(answers=(AnswerLooks(has=((b"content-length", b"1234"),), framing=("none",)),)),
        (),
        answer(b"Content-Length: 1234"),
        heads=frozenset({0}),
    ),
    case(
        "head-chunked",
        "9110 9.3.2",
        "HEAD's answer may say chunked and has no chunk.",
        message(b"HEAD /case HTTP/1.1", HOST),
        PASSED,
        (),
        answer(b"Transfer-Encoding: chunked"),
        heads=frozenset({0}),
    ),
    case(
        "head-no-framing",
        "9110 9.3.2",
        "HEAD's answer without framing ends with its head.",
        message(b"HEAD /case HTTP/1.1", HOST),
        PASSED,
        (),
        answer(b"X-A: 1"),
        heads=frozenset({0}),
    ),
    case(
        "head-with-body",
        "9110 9.3.2",
        "A body that comes with HEAD's answer is not passed on.",
        message(b"HEAD /case HTTP/1.1", HOST),
        (PASSED, Refused((502,), closes=False)),
        (),
        answer(b"Content-Length: 5", body=b"hello"),
        heads=frozenset({0}),
    ),
    case(
        "head-refused",
        "9110 9.3.2",
        "A refusal of HEAD has no body.",
        message(b"HEAD /case HTTP/1.1", b"Host: evil.example"),
        (),
        Refused((421,)),
        heads=frozenset({0}),
    ),
    case(
        "head-404",
        "9110 9.3.2",
        "Nor has an error that passes.",
        message(b"HEAD /case HTTP/1.1", HOST),
        Relayed(answers=(AnswerLooks(status=404),)),
        (),
        answer(b"Content-Length: 9", start=b"HTTP/1.1 404 Not Found"),
        heads=frozenset({0}),
    ),
    case(
        "expect-waits",
        "9110 10.1.1",
        "A client that waits is told to go on, and its body passes.",
        (post(b"", EXPECT, b"Content-Length: 5"), UntilClientSaw(b"100 Continue\r\n"), b"hello"),
        passed(body=b"hello"),
        (),
        Reply((FINAL,)),
    ),
    case(
        "expect-waits-chunked",
        "9110 10.1.1",
        "With chunks too.",
        (
            post(b"", EXPECT, b"Transfer-Encoding: chunked"),
            UntilClientSaw(b"100 Continue\r\n"),
            b"5\r\nhello\r\n0\r\n\r\n",
        ),
        passed(body=b"hello"),
        (),
        Reply((FINAL,)),
    ),
    case(
        "expect-upstream-says",
        "9110 10.1.1",
        "Where the upstream says it, the client hears it once or more and is served.",
        (post(b"", EXPECT, b"Content-Length: 5"), UntilClientSaw(b"100 Continue\r\n"), b"hello"),
        passed(body=b"hello"),
        (),
        Reply((CONTINUE, UntilUpstreamSaw(b"hello"), FINAL), early=True),
    ),
    case("expect-no-wait", "9110 10.1.1", "A client need not wait.", counted(b"hello", EXPECT), passed(body=b"hello")),
    case(
        "expect-case",
        "9110 10.1.1",
        "The expectation has no case.",
        (post(b"", b"Expect: 100-Continue", b"Content-Length: 5"), UntilClientSaw(b"100 Continue\r\n"), b"hello"),
        passed(body=b"hello"),
    ),
    case(
        "expect-no-body", "9110 10.1.1", "Without a body there is nothing to wait for.", get(b"/case", EXPECT), PASSED
    ),
    case(
        "expect-old",
        "9110 10.1.1",
        "From HTTP/1.0 it is ignored: no interim answer.",
        message(b"POST /case HTTP/1.0", HOST, EXPECT, b"Content-Length: 5", body=b"hello"),
        Relayed(requests=(RequestLooks(body=b"hello"),), answers=(AnswerLooks(interim=()),)),
    ),
    case(
        "expect-other",
        "9110 10.1.1",
        "Another expectation may be refused with 417.",
        counted(b"hello", b"Expect: a-miracle"),
        (UNEXPECTED, passed(body=b"hello")),
        Refused((417,)),
    ),
    case(
        "expect-two",
        "9110 10.1.1",
        "Two expectations, one of them unknown, may be refused.",
        counted(b"hello", b"Expect: 100-continue, a-miracle"),
        (UNEXPECTED, passed(body=b"hello")),
        Refused((417,)),
    ),
    case(
        "expect-refused",
        "9110 10.1.1",
        "A request that is refused anyway is refused before its body.",
        post(b"", EXPECT, b"Content-Length: x"),
        Refused((400,)),
    ),
    case(
        "expect-pipelined",
        "9110 10.1.1",
        "Body and second request right behind an expectation stay in step.",
        counted(b"hello", EXPECT) + get(b"/second"),
        Relayed(
            requests=(RequestLooks(body=b"hello"), RequestLooks(target=b"/second")),
            answers=(AnswerLooks(), AnswerLooks()),
        ),
        answers=2,
    ),
)
