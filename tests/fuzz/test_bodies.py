"""A body is the same body, and ends in the same place, however its bytes were cut on the way."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.http1.framing import Body, ChunkedBody, CountedBody
from tests.fuzz.depth import at_length, briefly
from tests.fuzz.making import bodies, changed, chunked, cut


class Refusal(Exception):
    """What the body under test raises."""


Outcome = tuple[bytes, bytes, bytes, str]
"""Payload, trailers, what is left behind the end, and how it stands: `finished`, `open` or `refused`."""


def outcome(body: Body, pieces: list[bytes]) -> Outcome:
    payload, rest = b"", b""
    for piece in pieces:
        left = piece
        while left and not body.finished:
            try:
                got, left = body.feed(left)
            except Refusal:
                return payload, b"", b"", "refused"
            payload += b"".join(got)
        rest += left
    return payload, body.trailers, rest, "finished" if body.finished else "open"


def cuts_change_nothing(make: Callable[[], Body], pieces: list[bytes]) -> None:
    """Whole, in pieces and byte by byte come to the same; a refusal may come before or after some payload."""
    data = b"".join(pieces)
    whole = outcome(make(), [data])
    for way in (pieces, [data[i : i + 1] for i in range(len(data))]):
        other = outcome(make(), way)
        if "refused" in (whole[3], other[3]):
            assert whole[3] == other[3], (data, whole, other)
        else:
            assert other == whole, data


def a_coded_body_is_itself(body: bytes, pieces: list[bytes], behind: bytes) -> None:
    """The payload comes out, and what is behind the end stays behind it."""
    assert outcome(ChunkedBody(Refusal), [*pieces, behind])[0::2] == (body, behind)


coded = bodies.flatmap(
    lambda body: chunked(body).flatmap(lambda wire: st.tuples(st.just(body), cut(wire), st.binary(max_size=20)))
)
spoilt = st.one_of(bodies.flatmap(chunked).flatmap(changed), st.binary(max_size=200)).flatmap(cut)


@briefly
@given(coded)
def test_a_chunked_body_comes_out_whole(case: tuple[bytes, list[bytes], bytes]) -> None:
    """Sizes, extensions and trailers of any kind."""
    a_coded_body_is_itself(*case)


@at_length
@given(coded)
def test_a_chunked_body_comes_out_whole_at_length(case: tuple[bytes, list[bytes], bytes]) -> None:
    """A chunked body comes out whole with many more examples."""
    a_coded_body_is_itself(*case)


@briefly
@given(spoilt, st.integers(0, 40))
@example([b"0\r\n\n\r\n"], 3)
@example([b"0\r\n\nX-Sum: 1\r\n\r\n"], 0)
@example([b"5\r\nhello\r\n0\r\nX: 1\r\n", b"\r\n"], 0)
def test_cuts_do_not_change_what_a_body_is(pieces: list[bytes], length: int) -> None:
    """Chunked and counted, valid and not."""
    cuts_change_nothing(lambda: ChunkedBody(Refusal), pieces)
    cuts_change_nothing(lambda: CountedBody(length), pieces)


@at_length
@given(spoilt, st.integers(0, 40))
def test_cuts_do_not_change_what_a_body_is_at_length(pieces: list[bytes], length: int) -> None:
    """Cuts do not change a body with many more examples."""
    cuts_change_nothing(lambda: ChunkedBody(Refusal), pieces)
    cuts_change_nothing(lambda: CountedBody(length), pieces)
