"""Cases on connections that die, and on early answers (RFC 9112, 8 and 9.5): nothing cut may look whole."""

from __future__ import annotations

from tests.conformance.case import (
    AnswerLooks,
    Broken,
    Case,
    HalfClose,
    Reach,
    Refused,
    Relayed,
    Reply,
    Reset,
    UntilClientSaw,
    UntilUpstreamSaw,
)
from tests.conformance.cases.build import CHUNKED, FAULT, HOST, RETRIED, case, counted, get, message, post

GET = get(b"/case")
OLD = message(b"GET /case HTTP/1.0", HOST)
NO_ANSWER = Refused((502, 504), reach=Reach.WHOLE, closes=False)
CUT = (Broken(), FAULT)
LENGTH = message(b"HTTP/1.1 200 OK", b"Content-Length: 100", body=b"hello")
CHUNKS = message(b"HTTP/1.1 200 OK", CHUNKED, body=b"5\r\nhello\r\n")
DENIED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
EARLY = (
    Relayed(requests=(), answers=(AnswerLooks(status=413, body=b"no"),), part=True),
    Relayed(answers=(AnswerLooks(status=413, body=b"no"),)),
)
GONE = Refused((), silent=True, reach=Reach.PART)


def dies(case_id: str, why: str, *steps: object, send: bytes = GET, outcomes: tuple[object, ...] = CUT) -> Case:
    """A request whose answer does not come to its end."""
    promised: tuple[object, ...] = (Broken(), NO_ANSWER) if Broken() in outcomes else (NO_ANSWER,)
    if RETRIED in outcomes:
        promised = (RETRIED,)
    return case(case_id, "9112 8", why, send, outcomes, promised, Reply(steps))  # type: ignore[arg-type]  # by kind


CASES = (
    dies(
        "death-length-fin",
        "A counted answer that ends early is visibly short.",
        LENGTH,
        UntilClientSaw(b"hello"),
        HalfClose(),
    ),
    dies("death-length-rst", "So is one that is reset.", LENGTH, UntilClientSaw(b"hello"), Reset()),
    dies(
        "death-length-head-fin",
        "A head alone is no answer.",
        message(b"HTTP/1.1 200 OK", b"Content-Length: 100"),
        HalfClose(),
    ),
    dies(
        "death-chunked-fin",
        "A chunked answer without its last chunk gets none from us.",
        CHUNKS,
        UntilClientSaw(b"hello"),
        HalfClose(),
    ),
    dies("death-chunked-rst", "Nor when it is reset.", CHUNKS, UntilClientSaw(b"hello"), Reset()),
    dies(
        "death-chunked-head-fin",
        "Nor when it ended before its first chunk.",
        message(b"HTTP/1.1 200 OK", CHUNKED),
        HalfClose(),
    ),
    dies(
        "death-chunk-cut",
        "A chunk that is cut is not made whole.",
        message(b"HTTP/1.1 200 OK", CHUNKED, body=b"50\r\nhello"),
        UntilClientSaw(b"hello"),
        HalfClose(),
        outcomes=CUT,
    ),
    dies("death-size-cut", "A size that is cut ends nothing.", CHUNKS + b"0", UntilClientSaw(b"hello"), HalfClose()),
    dies(
        "death-last-cut",
        "A last chunk without its final line is not the end.",
        CHUNKS + b"0\r\n",
        UntilClientSaw(b"hello"),
        HalfClose(),
    ),
    dies(
        "death-trailer-cut",
        "Nor is one whose trailers are cut.",
        CHUNKS + b"0\r\nX-A: 1\r\n",
        UntilClientSaw(b"hello"),
        HalfClose(),
    ),
    dies(
        "death-close-rst",
        "An answer that ends with the connection is not whole when that is reset.",
        message(b"HTTP/1.1 200 OK", b"Connection: close", body=b"hello"),
        UntilClientSaw(b"hello"),
        Reset(),
        outcomes=(*CUT, Relayed()),
    ),
    dies(
        "death-old-length",
        "An HTTP/1.0 client sees the short count.",
        LENGTH,
        UntilClientSaw(b"hello"),
        HalfClose(),
        send=OLD,
    ),
    dies(
        "death-nothing-fin", "A read without an answer is 502, or sent again.", HalfClose(), outcomes=(FAULT, RETRIED)
    ),
    dies("death-nothing-rst", "So is one that is reset.", Reset(), outcomes=(FAULT, RETRIED)),
    dies(
        "death-post-once",
        "A POST that may have been done is not done again.",
        HalfClose(),
        send=counted(b"hello"),
        outcomes=(FAULT,),
    ),
    dies("death-post-rst-once", "Nor after a reset.", Reset(), send=counted(b"hello"), outcomes=(FAULT,)),
    dies(
        "death-interim-rst",
        "A reset behind an interim answer is 502, or a read is sent again.",
        b"HTTP/1.1 103 Early\r\n\r\n",
        Reset(),
        outcomes=(FAULT, RETRIED),
    ),
    case(
        "early-answer",
        "9112 9.5",
        "An answer before the body's end reaches the client.",
        (post(b"", b"Content-Length: 1000000"), b"hello", UntilClientSaw(b"no"), HalfClose()),
        EARLY,
        (),
        Reply((DENIED, HalfClose()), early=True),
    ),
    case(
        "early-answer-open",
        "9112 9.5",
        "Where the upload then goes on, it stays one message.",
        (post(b"", b"Content-Length: 10"), b"hello", UntilClientSaw(b"no"), b"world"),
        (
            Relayed(requests=(), answers=(AnswerLooks(body=b"no"),), part=True),
            Relayed(answers=(AnswerLooks(body=b"no"),)),
        ),
        (),
        Reply((message(b"HTTP/1.1 200 OK", b"Content-Length: 2", body=b"no"),), early=True),
    ),
    case(
        "upload-upstream-dies",
        "9112 9.5",
        "An upstream that resets during the upload is 502, or the connection ends.",
        (post(b"", b"Content-Length: 1000000"), b"hello", UntilUpstreamSaw(b"hello")),
        Refused((500, 502, 503, 504), silent=True, reach=Reach.PART, closes=False),
        Refused((502,), silent=True, reach=Reach.PART),
        Reply((UntilUpstreamSaw(b"hello"), Reset()), early=True),
    ),
    case(
        "upload-client-resets",
        "9112 8",
        "A client that is gone leaves no whole request behind.",
        (post(b"", b"Content-Length: 1000"), b"hello", Reset()),
        GONE,
    ),
    case(
        "upload-client-resets-chunked",
        "9112 8",
        "Nor a chunked one with an end of its own.",
        (post(b"", CHUNKED), b"5\r\nhello\r\n", Reset()),
        GONE,
    ),
    case(
        "upload-streams",
        "9110 7.6",
        "A body is not held back until it is whole.",
        (post(b"", b"Content-Length: 400000"), b"x" * 300000, UntilUpstreamSaw(b"x" * 300000), b"y" * 100000),
        (),
        Relayed(answers=(AnswerLooks(body=b"ok"),)),
    ),
    case(
        "download-streams",
        "9110 7.6",
        "An answer is not held back until it is whole.",
        GET,
        Relayed(answers=(AnswerLooks(body=b"hello world"),)),
        (),
        Reply(
            (
                message(b"HTTP/1.1 200 OK", CHUNKED, body=b"5\r\nhello\r\n"),
                UntilClientSaw(b"hello"),
                b"6\r\n world\r\n0\r\n\r\n",
            )
        ),
    ),
    case(
        "both-stream",
        "9110 7.6",
        "Both ways may stream at once.",
        (post(b"", CHUNKED), b"3\r\none\r\n", UntilClientSaw(b"first"), b"3\r\ntwo\r\n0\r\n\r\n"),
        (),
        Relayed(answers=(AnswerLooks(body=b"firstsecond"),)),
        Reply(
            (
                UntilUpstreamSaw(b"one"),
                message(b"HTTP/1.1 200 OK", CHUNKED, body=b"5\r\nfirst\r\n"),
                UntilUpstreamSaw(b"two"),
                b"6\r\nsecond\r\n0\r\n\r\n",
            ),
            early=True,
        ),
    ),
)
