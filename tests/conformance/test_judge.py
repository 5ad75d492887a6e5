"""Tests of the judge: each way in which a proxy can fail a case is noticed."""

from __future__ import annotations

import json

from tests.conformance.case import (
    AnswerLooks,
    Broken,
    Case,
    Observation,
    Outcome,
    Refused,
    Relayed,
    RequestLooks,
    Stream,
)
from tests.conformance.cases import CASES
from tests.conformance.judge import judge
from tests.support.http_reader import Request, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
SENTINEL = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsentinel"


def request(raw: bytes = b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n") -> Request:
    """One request as the upstream saw it."""
    return read_request(raw, 0)[0]


def seen(
    received: bytes, *requests: Request, ended: bool = True, sentinel: bool = False, **more: object
) -> Observation:
    """An observation with the usual values."""
    values: dict[str, object] = {"reset": False, "timed_out": False, "streams": (), **more}
    return Observation(received, ended, sentinel_sent=sentinel, requests=requests, **values)  # type: ignore[arg-type]  # each of its own type


def verdict(outcome: Outcome, observation: Observation, ours: bool = False) -> list[str]:
    """The judge's complaints by one outcome."""
    return judge(Case("x", "9112", "why", (), (outcome,)), observation, ours)


def test_every_case_is_complete() -> None:
    """Ids are unique, each case has an outcome, a section, a reason and something to send."""
    assert len({case.id for case in CASES}) == len(CASES) >= 250
    for case in CASES:
        assert case.allowed or case.promised, case.id
        assert case.send, case.id
        assert case.why.endswith("."), case.id
        assert case.rfc[0].isdigit(), case.id


def test_a_refusal_passes() -> None:
    """A 400, a closed connection and an upstream that saw nothing."""
    assert verdict(Refused((400,)), seen(BAD)) == []


def test_a_refusal_that_leaves_the_connection_open_fails() -> None:
    """A connection that serves the sentinel was not closed."""
    assert verdict(Refused((400,)), seen(BAD + SENTINEL, sentinel=True))
    assert verdict(Refused((400,)), seen(BAD, ended=False))


def test_a_refusal_that_reached_the_upstream_fails() -> None:
    """Neither a whole request nor a part may be there."""
    assert verdict(Refused((400,)), seen(BAD, request()))
    assert verdict(Refused((400,)), seen(BAD, streams=(Stream(b"GET /ca", ""),)))


def test_a_silent_close_counts_only_where_it_may() -> None:
    """Closing without a word is a refusal only for cases that allow it."""
    assert verdict(Refused((400,)), seen(b""))
    assert verdict(Refused((400,), silent=True), seen(b"")) == []


def test_a_relay_passes() -> None:
    """One request, one whole answer, and the sentinel's apart."""
    assert verdict(Relayed(), seen(OK + SENTINEL, request(), sentinel=True)) == []


def test_a_smuggled_request_fails() -> None:
    """A second request upstream is one too many."""
    assert verdict(Relayed(), seen(OK, request(), request(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")))


def test_a_malformed_forward_fails() -> None:
    """What leaves must read as HTTP/1.1, whatever the client got."""
    assert verdict(Relayed(), seen(OK, request(), streams=(Stream(b"", "Transfer-Encoding beside Content-Length"),)))


def test_a_wrong_request_fails() -> None:
    """Target, body, fields present and fields absent are compared."""
    for looks in (
        RequestLooks(target=b"/other"),
        RequestLooks(body=b"x"),
        RequestLooks(has=((b"x", b"1"),)),
        RequestLooks(lacks=(b"host",)),
        RequestLooks(raw=(b"host: a",)),
        RequestLooks(not_raw=(b"HOST: a",)),
    ):
        assert verdict(Relayed(requests=(looks,)), seen(OK, request())), looks


def test_a_wrong_answer_fails() -> None:
    """Status, body, framing and interim answers are compared."""
    for looks in (
        AnswerLooks(status=201),
        AnswerLooks(body=b"no"),
        AnswerLooks(framing=("chunked",)),
        AnswerLooks(interim=(103,)),
        AnswerLooks(has=((b"x", b"1"),)),
    ):
        assert verdict(Relayed(answers=(looks,)), seen(OK, request())), looks


def test_a_break_must_show() -> None:
    """A whole answer where a broken one belongs fails; a short one passes."""
    assert verdict(Broken(), seen(OK, request()))
    assert verdict(Broken(), seen(OK[:-1], request())) == []


def test_our_refusal_is_a_problem_document() -> None:
    """Our refusal needs Proxy-Status and every member of the problem next to the status."""
    members = {"type": "x", "title": "x", "status": 400, "detail": "x", "code": "x", "details": "x", "request_id": "x"}
    body = json.dumps(members).encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n" % len(body)
    voice = b"Proxy-Status: ads-proxy; error=http_request_error\r\n\r\n"
    assert verdict(Refused((400,)), seen(head + voice + body), ours=True) == []
    assert verdict(Refused((400,)), seen(head + b"\r\n" + body), ours=True)
    assert verdict(Refused((400,)), seen(BAD), ours=True)


def test_ours_is_held_to_its_promise() -> None:
    """Where there is a promise, what the RFC allows others is not enough."""
    case = Case("x", "9112", "why", (), (Relayed(), Refused((400,))), (Refused((400,)),))
    assert judge(case, seen(OK, request()), ours=False) == []
    assert judge(case, seen(OK, request()), ours=True)
