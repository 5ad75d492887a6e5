"""Tests of the strict reader of HTTP that tests judge by: a mistake that it lets pass is caught nowhere else."""

from __future__ import annotations

import pytest

from tests.support.http_reader import Incomplete, Malformed, read_conversation, read_request

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def test_a_request_is_read_to_its_end() -> None:
    """A counted request ends where its body does."""
    request, end = read_request(POST + b"Content-Length: 3\r\n\r\nabc" + GET, 0)
    assert (request.method, request.body.content) == (b"POST", b"abc")
    assert read_request(POST + b"Content-Length: 3\r\n\r\nabc" + GET, end)[0].method == b"GET"


def test_chunks_and_trailers_are_read() -> None:
    """A chunked request has its body joined and its trailers apart."""
    request, _ = read_request(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX-T: 1\r\n\r\n", 0)
    assert request.body.content == b"abc"
    assert request.body.trailers == ((b"X-T", b"1"),)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /x HTTP/1.1\nHost: a\r\n\r\n",
        b"GET /x  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_doubtful_request_is_malformed(raw: bytes) -> None:
    """Nothing that two readers could take differently is read."""
    with pytest.raises(Malformed):
        read_request(raw, 0)


@pytest.mark.parametrize("cut", range(1, len(GET)))
def test_a_cut_head_is_incomplete(cut: int) -> None:
    """A head that is cut anywhere is the beginning of one."""
    with pytest.raises(Incomplete):
        read_request(GET[:cut], 0)


def test_a_cut_chunked_body_is_incomplete() -> None:
    """Only the last empty line ends a chunked body, wherever the body is cut before."""
    whole = b"1\r\na\r\n0\r\nX: 1\r\n\r\n"
    for cut in range(len(whole)):
        with pytest.raises(Incomplete):
            read_request(POST + b"Transfer-Encoding: chunked\r\n\r\n" + whole[:cut], 0)


def test_answers_follow_each_other() -> None:
    """Interim answers belong to the final one behind them; HEAD's answer has no body."""
    raw = b"HTTP/1.1 103 E\r\n\r\n" + OK + b"Content-Length: 9\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx"
    talk = read_conversation(raw, frozenset({0}), ended=False)
    assert [(a.status, a.body.content, a.interim) for a in talk.answers] == [(200, b"", (103,)), (200, b"x", ())]
    assert (talk.rest, talk.fault) == (b"", "")


def test_a_short_answer_is_not_complete() -> None:
    """A counted, a chunked and an undelimited answer that end too early are all seen."""
    for raw, ended in (
        (OK + b"Content-Length: 9\r\n\r\nx", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", True),
        (OK + b"\r\nx", False),
    ):
        talk = read_conversation(raw, frozenset(), ended)
        assert [a.body.complete for a in talk.answers] == [False]


def test_garbage_behind_an_answer_is_a_fault() -> None:
    """What follows an answer must be an answer."""
    talk = read_conversation(OK + b"Content-Length: 1\r\n\r\nxyz\r\n\r\n", frozenset(), ended=True)
    assert len(talk.answers) == 1
    assert talk.fault
