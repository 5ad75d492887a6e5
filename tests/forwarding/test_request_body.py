"""A body is kept for sending it again as long as it is small, or has not been sent at all."""

from __future__ import annotations

from proxy.forwarding.request_body import ReplayBuffer
from tests.support.deciding import fields

COUNTED = fields(b"Content-Length: 6")
CHUNKED = fields(b"Transfer-Encoding: chunked")


def test_a_small_body_is_kept_as_it_was_sent() -> None:
    """Framed, so that it can go out again as it is."""
    body = ReplayBuffer(CHUNKED, 10)
    assert b"".join(body.add([b"ab", b"c"], sent=True)) == b"3\r\nabc\r\n"
    assert b"".join(body.end(b"T: v\r\nHost: x\r\n", sent=True)) == b"0\r\nT: v\r\n\r\n"
    assert b"".join(body.data) == b"3\r\nabc\r\n0\r\nT: v\r\n\r\n"
    assert (body.size, body.complete, body.replayable) == (3, True, True)


def test_a_counted_body_has_no_end_of_its_own() -> None:
    """Its length says it."""
    body = ReplayBuffer(COUNTED, 10)
    body.add([b"abc"], sent=False)
    assert body.end(b"", sent=True) == []
    assert body.complete


def test_a_body_up_to_the_limit_is_kept_and_one_beyond_is_not() -> None:
    """Exactly replay_bytes still is."""
    body = ReplayBuffer(COUNTED, 3)
    body.add([b"abc"], sent=True)
    assert body.replayable
    body.add([b"d"], sent=True)
    assert (body.replayable, body.data) == (False, [])
    assert b"".join(body.add([b"e"], sent=True)) == b"e"
    assert (body.size, body.data) == (5, [])


def test_what_has_not_been_sent_is_never_forgotten() -> None:
    """However large: it is not read on instead."""
    body = ReplayBuffer(COUNTED, 3)
    full = [body.full]
    body.add([b"abcd"], sent=False)
    kept = (body.replayable, body.data)
    full.append(body.full)
    body.forget_if_large()
    assert full == [False, True]
    assert kept == (True, [b"abcd"])
    assert not body.replayable


def test_nothing_is_kept_where_replay_bytes_is_nothing() -> None:
    """But a request without body may always be sent again."""
    empty = ReplayBuffer(fields(), 0)
    empty.end(b"", sent=True)
    empty.forget_if_large()
    assert empty.replayable
    body = ReplayBuffer(CHUNKED, 0)
    body.add([b"a"], sent=True)
    assert b"".join(body.end(b"", sent=True)) == b"0\r\n\r\n"
    assert not body.replayable


def test_a_body_in_many_pieces_is_kept_in_one() -> None:
    """Ten thousand pieces of one byte take ten thousand bytes, and what was given out stays as it was."""
    body = ReplayBuffer(fields(b"Content-Length: 10001"), 20_000)
    for _ in range(10_000):
        body.add([memoryview(b"ab")[:1]], sent=False)
    given = body.data
    body.add([b"z"], sent=False)
    assert [bytes(piece) for piece in given] == [b"a", b"a" * 9999]
    assert [type(piece) for piece in body.data] == [bytes, bytes]
    assert b"".join(body.data) == b"a" * 10_000 + b"z"
