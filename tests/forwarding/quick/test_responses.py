"""Which responses a quick exchange may hand on, and how their heads are found again."""

from __future__ import annotations

import pytest

from proxy.forwarding.quick.responses import ResponsePatterns, may_pass

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nx-amz-rid: %b\r\nVary: %b\r\n\r\n"


@pytest.mark.parametrize("status", [200, 201, 202, 206, 207, 299, 402, 404, 405, 409, 422, 499])
def test_what_is_the_tools_at_once_may_pass(status: int) -> None:
    """Nobody judges it."""
    assert may_pass(status)


@pytest.mark.parametrize("status", [100, 300, 301, 307, 400, 401, 403, 408, 413, 429, 500, 502, 503, 504])
def test_what_somebody_judges_may_not(status: int) -> None:
    """It may mean another try or another address, or there is a reason to be told."""
    assert not may_pass(status)


def test_a_head_is_found_by_its_beginning_and_by_its_shape() -> None:
    """Whatever stands in the holes."""
    patterns = ResponsePatterns()
    assert patterns.find(HEAD % (5, b"a", b"b") + b"hello") == (None, None)
    patterns.learn(HEAD % (5, b"a", b"b"))
    for length, identifier, vary in ((5, b"c", b"d"), (5, b"e", b"f"), (17, b"g", b"h")):
        data = HEAD % (length, identifier, vary) + b"body"
        known, behind = patterns.find(data)
        assert known is not None
        assert behind is not None
        assert (known.length, behind[known.id_group], data[behind.end() :]) == (length, identifier, b"body")
        assert known.lines == b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % length
        assert behind[known.passing] == b"x-amz-rid: %b\r\nVary: %b\r\n" % (identifier, vary)
        assert repr(known) == "<KnownBeginning of 200>"
    assert repr(patterns) == "<ResponsePatterns: 1 shapes>"


def test_lines_that_are_dropped_within_are_left_out() -> None:
    """What passes is then in several parts."""
    patterns = ResponsePatterns()
    data = b"HTTP/1.1 200 OK\r\nx-amz-rid: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    patterns.learn(data)
    known, behind = patterns.find(data)
    assert known is not None
    assert behind is not None
    assert (known.passing, known.length, behind[known.length_group]) == (-1, -1, b"0")
    assert known.lines_behind(behind) == b"x-amz-rid: a\r\nContent-Length: 0\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_not_worth_it_is_not_learned(data: bytes) -> None:
    """It is not whole, judged, malformed, or without an end of its own."""
    patterns = ResponsePatterns()
    patterns.learn(data)
    assert repr(patterns) == "<ResponsePatterns: 0 shapes>"
