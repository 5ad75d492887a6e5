"""The reading by h11 and httptools: what both understand, and what is trouble."""

from __future__ import annotations

import pytest

from tests.support.independent_readers import (
    Answers,
    Message,
    RequestReader,
    answers_by_httptools,
    read_answers,
    read_requests,
)

HEAD = b"POST /x?y HTTP/1.1\r\nHost: a\r\nX-Some:  b\r\n"
COUNTED = HEAD + b"Content-Length: 2\r\n\r\nhi"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Last: c\r\n\r\n"
FIELDS = ((b"Host", b"a"), (b"X-Some", b"b"))
OK = b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nhi"
FINE = Message((b"200", b"Fine"), ((b"Content-Length", b"2"),), b"hi")


def counted() -> Message:
    """What `COUNTED` says."""
    return Message((b"POST", b"/x?y"), (*FIELDS, (b"Content-Length", b"2")), b"hi")


def test_requests_are_read_as_they_come() -> None:
    """Names as they were written, and trailers apart; a body may come in pieces."""
    reader = RequestReader()
    assert reader.feed(COUNTED) == [counted()]
    assert reader.feed(CHUNKED[:-20]) == []
    (chunked,) = reader.feed(CHUNKED[-20:])
    assert (chunked.fields[:2], chunked.body, chunked.trailers) == (FIELDS, b"hi", ((b"X-Last", b"c"),))
    assert (chunked.values(b"transfer-encoding"), reader.latest) == ([b"chunked"], chunked)
    assert (reader.rest, reader.trouble) == (b"", "")


def test_what_is_not_whole_is_left_over() -> None:
    """Behind a whole request."""
    reader = RequestReader()
    assert reader.feed(COUNTED + HEAD) == [counted()]
    assert (reader.rest, reader.trouble) == (HEAD, "")


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",  # h11 takes it
        HEAD + b"Content-Length: x\r\n\r\n",
        b"POST /x HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_one_of_them_refuses_is_trouble(data: bytes) -> None:
    """The reader reads no further."""
    reader = RequestReader()
    assert reader.feed(data) == []
    assert reader.trouble
    assert reader.feed(COUNTED) == []


def test_requests_are_found_up_to_the_first_that_is_refused() -> None:
    """Empty lines before a request are read over."""
    assert read_requests(COUNTED + b"\r\n" + COUNTED + b"nonsense\r\n\r\n" + COUNTED) == [counted(), counted()]


def test_answers_belong_to_the_methods_that_were_sent() -> None:
    """One to HEAD has no body, interim ones come before the final one, and more than was asked for is trouble."""
    to_head = Message(FINE.first, FINE.fields, b"")
    interim = Message((b"103", b"Early"), ((b"Link", b"x"),), b"")
    early = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
    assert read_answers(OK[:-2] + early + OK, False, [b"HEAD", b"GET"]) == Answers([interim], [to_head, FINE], True)
    assert read_answers(OK + OK, False, [b"GET"]).trouble
    assert read_answers(OK + b"nonsense\r\n\r\n", False, [b"GET", b"GET"]).trouble
    assert answers_by_httptools(OK + OK) == [FINE, FINE]


def test_an_answer_that_breaks_off_is_not_whole() -> None:
    """A break in the body is no trouble, as a client sees it; half a head is unreadable."""
    assert read_answers(OK[:-1], True, [b"GET"]) == Answers([], [], False)
    assert read_answers(OK, False, [b"GET", b"GET"]) == Answers([], [FINE], False)
    assert read_answers(OK[:20], True, [b"GET"]).trouble
