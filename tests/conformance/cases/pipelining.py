"""Cases on several requests on one connection (RFC 9112, 9.3)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, HalfClose, Reach, Refused, Relayed, RequestLooks, UntilClientSaw
from tests.conformance.cases.build import BAD, CHUNKED, HOST, answer, case, counted, get, message, streamed


def served(*targets: bytes, bodies: tuple[bytes, ...] = ()) -> Relayed:
    """Requests for these targets in order, answered in order."""
    return Relayed(
        requests=tuple(RequestLooks(target=target) for target in targets),
        answers=tuple(AnswerLooks(body=body) for body in bodies) or (AnswerLooks(),) * len(targets),
    )


def numbered(count: int) -> tuple[bytes, ...]:
    """Targets that tell their number."""
    return tuple(b"/n%d" % n for n in range(count))


ANSWERS = tuple(answer(b"Content-Length: 2", body=b"a%d" % n) for n in range(5))
HEAD = b"HEAD /n0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SECOND_BAD = Refused((400,), silent=True, after=1)

CASES = (
    case(
        "pipe-two",
        "9112 9.3.2",
        "Two requests in one packet are both served.",
        get(b"/n0") + get(b"/n1"),
        served(b"/n0", b"/n1"),
        answers=2,
    ),
    case(
        "pipe-five",
        "9112 9.3.2",
        "Five answers come in the order of the requests.",
        b"".join(get(t) for t in numbered(5)),
        served(*numbered(5), bodies=tuple(b"a%d" % n for n in range(5))),
        (),
        ANSWERS,
        answers=5,
    ),
    case(
        "pipe-twenty",
        "9112 9.3.2",
        "So do twenty.",
        b"".join(get(t) for t in numbered(20)),
        served(*numbered(20)),
        answers=20,
    ),
    case(
        "pipe-split-anywhere",
        "9112 9.3.2",
        "A packet may end within any of them.",
        tuple((get(b"/n0") + counted(b"hello", target=b"/n1") + get(b"/n2"))[at : at + 7] for at in range(0, 190, 7)),
        served(b"/n0", b"/n1", b"/n2"),
        answers=3,
    ),
    case(
        "pipe-body-kinds",
        "9112 9.3.2",
        "Counted, chunked and no body follow each other.",
        counted(b"one", target=b"/n0") + streamed(b"3\r\ntwo\r\n0\r\n\r\n", target=b"/n1") + get(b"/n2"),
        Relayed(
            requests=(RequestLooks(body=b"one"), RequestLooks(body=b"two"), RequestLooks(body=b"", target=b"/n2")),
            answers=(AnswerLooks(),) * 3,
        ),
        answers=3,
    ),
    case(
        "pipe-answer-kinds",
        "9112 9.3.2",
        "Chunked, counted and empty answers follow each other.",
        b"".join(get(t) for t in numbered(3)),
        served(*numbered(3), bodies=(b"one", b"two", b"")),
        (),
        (
            answer(CHUNKED, body=b"3\r\none\r\n0\r\n\r\n"),
            answer(b"Content-Length: 3", body=b"two"),
            answer(b"Content-Length: 0"),
        ),
        answers=3,
    ),
    case(
        "pipe-head-first",
        "9110 9.3.2",
        "A HEAD's answer has no body, and the next answer is its own.",
        HEAD + get(b"/n1"),
        served(b"/n0", b"/n1", bodies=(b"", b"a1")),
        (),
        (answer(b"Content-Length: 2"), ANSWERS[1]),
        answers=2,
        heads=frozenset({0}),
    ),
    case(
        "pipe-204-first",
        "9110 15.3.5",
        "Nor has 204.",
        get(b"/n0") + get(b"/n1"),
        Relayed(requests=(RequestLooks(), RequestLooks()), answers=(AnswerLooks(status=204), AnswerLooks(body=b"a1"))),
        (),
        (answer(start=b"HTTP/1.1 204 No Content"), ANSWERS[1]),
        answers=2,
    ),
    case(
        "pipe-second-bad",
        "9112 9.3.2",
        "A bad second request is refused after the first answer.",
        get(b"/n0") + b"GET /n1 HTTP/1.1\r\nHost: 127.0.0.1\r\nBad : 1\r\n\r\n",
        SECOND_BAD,
        Refused((400,), after=1),
        answers=2,
    ),
    case(
        "pipe-second-garbage",
        "9112 9.3.2",
        "Garbage behind a request is refused after the first answer.",
        get(b"/n0") + b"\x00\x01\x02\r\n\r\n",
        SECOND_BAD,
        Refused((400,), after=1),
        answers=2,
    ),
    case(
        "pipe-first-bad",
        "9112 9.6",
        "Behind a refused request nothing is served.",
        b"GET /n0 HTTP/1.1\r\nHost: 127.0.0.1\r\nBad : 1\r\n\r\n" + get(b"/n1"),
        BAD,
    ),
    case(
        "pipe-first-no-host",
        "9112 9.6",
        "Behind a request without Host neither.",
        message(b"GET /n0 HTTP/1.1") + get(b"/n1"),
        BAD,
    ),
    case(
        "pipe-first-body-bad",
        "9112 9.6",
        "Behind a broken body neither.",
        streamed(b"zz\r\n" + get(b"/n1")),
        Refused((400,), silent=True, reach=Reach.PART),
        Refused((400,), reach=Reach.PART),
    ),
    case(
        "pipe-refused-body",
        "9112 9.6",
        "The body of a refused request is not a request.",
        message(b"POST /n0 HTTP/1.1", b"Host: a b", b"Content-Length: %d" % len(get(b"/n1")), body=get(b"/n1")),
        BAD,
    ),
    case(
        "pipe-misdirected-body",
        "9112 9.6",
        "Nor that of a misdirected one.",
        message(
            b"POST /n0 HTTP/1.1", b"Host: evil.example", b"Content-Length: %d" % len(get(b"/n1")), body=get(b"/n1")
        ),
        (),
        Refused((421,)),
    ),
    case(
        "pipe-close-first",
        "9112 9.6",
        "Behind Connection: close nothing is served.",
        get(b"/n0", b"Connection: close") + get(b"/n1"),
        Relayed(requests=(RequestLooks(target=b"/n0"),), closes=True),
    ),
    case(
        "pipe-close-body",
        "9112 9.6",
        "Nor behind the body of such a request.",
        counted(b"hello", b"Connection: close", target=b"/n0") + get(b"/n1"),
        Relayed(requests=(RequestLooks(target=b"/n0", body=b"hello"),), closes=True),
    ),
    case(
        "pipe-crlf-between",
        "9112 2.2",
        "An empty line between requests is ignored or refused.",
        get(b"/n0") + b"\r\n" + get(b"/n1"),
        (served(b"/n0", b"/n1"), SECOND_BAD),
        answers=2,
    ),
    case(
        "pipe-post-crlf",
        "9112 2.2",
        "An empty line after a body, as old clients send it, is ignored or refused.",
        counted(b"hello", target=b"/n0") + b"\r\n" + get(b"/n1"),
        (served(b"/n0", b"/n1"), SECOND_BAD),
        answers=2,
    ),
    case(
        "pipe-alternating",
        "9112 9.3",
        "Request, answer, request, answer.",
        (get(b"/n0"), UntilClientSaw(b"a0"), get(b"/n1"), UntilClientSaw(b"a1"), get(b"/n2")),
        served(*numbered(3), bodies=(b"a0", b"a1", b"a2")),
        (),
        ANSWERS,
        answers=3,
    ),
    case(
        "pipe-half-close",
        "9112 9.6",
        "A client that ended its side still gets its answer, or is dropped; never half a request.",
        (get(b"/n0"), HalfClose()),
        (Relayed(), Refused((400, 499), silent=True, reach=Reach.WHOLE)),
    ),
    case(
        "pipe-incomplete-second",
        "9112 8",
        "An incomplete second request is not forwarded.",
        (get(b"/n0"), UntilClientSaw(b"ok"), b"GET /n1 HTTP/1.1\r\nHost: 127.0", HalfClose()),
        Refused((400, 408), silent=True, after=1),
    ),
    case(
        "pipe-incomplete",
        "9112 8",
        "An incomplete request is not forwarded.",
        (b"GET /n0 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1\r\n", HalfClose()),
        Refused((400, 408), silent=True),
    ),
    case(
        "pipe-nothing",
        "9112 8",
        "A connection that says nothing is closed without a request.",
        (HalfClose(),),
        Refused((400, 408), silent=True),
    ),
    case(
        "pipe-only-crlf",
        "9112 2.2",
        "Empty lines alone are no request.",
        (b"\r\n\r\n", HalfClose()),
        Refused((400, 408), silent=True),
    ),
    case(
        "pipe-smuggle-query",
        "9112 11.2",
        "A request in a query is a query.",
        message(b"GET /n0?x=%20HTTP/1.1%0d%0aHost:%20evil HTTP/1.1", HOST),
        served(b"/n0?x=%20HTTP/1.1%0d%0aHost:%20evil"),
    ),
)
