"""Bodies end where RFC 9112 says, however the bytes were cut on their way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.framing import (
    CHUNKS_AT_ONCE,
    Body,
    ChunkedBody,
    CountedBody,
    UntilClose,
    chunk,
    has_no_body,
    whole_chunked,
    whole_chunks,
)


class Refusal(Exception):
    """What the body under test was told to raise."""


def fed(body: Body, *parts: bytes) -> tuple[bytes, bytes]:
    """All payload, and what was left over behind the end."""
    payload, rest = b"", b""
    for part in parts:
        left = part
        while left and not body.finished:
            pieces, left = body.feed(left)
            payload += b"".join(pieces)
        rest += left
    return payload, rest


def test_a_counted_body_ends_after_its_length() -> None:
    """What follows is not part of it."""
    body = CountedBody(5)
    assert fed(body, b"ab", b"cdeGET") == (b"abcde", b"GET")
    assert body.finished


def test_a_counted_body_of_nothing_is_finished_at_once() -> None:
    """Content-Length: 0 waits for no byte."""
    assert CountedBody(0).finished
    assert CountedBody(0).feed(b"x") == ([], b"x")


def test_a_counted_body_that_ends_with_the_read_is_not_copied() -> None:
    """The very object that was read is passed on."""
    data = b"abcde"
    pieces, rest = CountedBody(5).feed(data)
    assert pieces[0] is data
    assert rest == b""


def test_a_body_until_close_takes_everything() -> None:
    """Only the connection's end ends it."""
    body = UntilClose()
    assert fed(body, b"a", b"b") == (b"ab", b"")
    assert not body.finished


def test_a_chunked_body_gives_payload_and_trailers() -> None:
    """Extensions are read over, trailers kept, what follows left."""
    body = ChunkedBody(Refusal)
    data = b"3;x=y\r\nabc\r\n0A \t;z\r\n0123456789\r\n0\r\nT: v\r\n\r\nNEXT"
    assert fed(body, data) == (b"abc0123456789", b"NEXT")
    assert body.trailers == b"T: v\r\n"


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(1, 30), max_size=80),
    st.sampled_from([b"", b"T: v\r\n", b"A: b\r\nC: d\r\n"]),
)
def test_a_chunked_body_is_the_same_however_it_is_cut(chunks: list[bytes], cuts: list[int], trailers: bytes) -> None:
    """Byte by byte or at once: payload, trailers and rest do not depend on the reads."""
    wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks) + b"0\r\n" + trailers + b"\r\nREST"
    parts, position = [], 0
    for cut in cuts:
        parts.append(wire[position : position + cut])
        position += cut
    parts.append(wire[position:])
    body = ChunkedBody(Refusal)
    assert fed(body, *[part for part in parts if part]) == (b"".join(chunks), b"REST")
    assert body.trailers == trailers


@pytest.mark.parametrize(
    "wire",
    [
        b"g\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"11111111111111111\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n",
        b"3\r\nabc\rX",
        b"3;\x00\r\n",
        b"0\r\nT: v\nU: w",
        b"1" * 1025,
        b"0\r\n" + b"T: v\r\n" * 3000,
    ],
)
def test_a_chunked_body_that_is_not_valid_is_refused(wire: bytes) -> None:
    """Sizes in another spelling, bare line feeds, wrong lengths and endless lines are no chunks."""
    with pytest.raises(Refusal):
        fed(ChunkedBody(Refusal), wire)


def test_a_cr_at_the_end_of_a_read_waits_for_its_lf() -> None:
    """A chunk's CRLF may be cut in two."""
    assert fed(ChunkedBody(Refusal), b"1\r\na\r", b"\n0\r\n\r\n") == (b"a", b"")


def test_a_read_without_payload_gives_no_piece() -> None:
    """Passed on as a chunk, an empty piece would end the body."""
    body = ChunkedBody(Refusal)
    reads = [b"3\r\n", b"abc", b"\r\n", b"2", b"\r\nd", b"e\r", b"\n", b"0\r\n", b"X: 1\r\n\r\n"]
    assert [[bytes(piece) for piece in body.feed(read)[0]] for read in reads] == [
        [],
        [b"abc"],
        [],
        [],
        [b"d"],
        [b"e"],
        [],
        [],
        [],
    ]


def test_pieces_become_one_chunk() -> None:
    """The size is that of all pieces together."""
    assert b"".join(chunk([b"ab", memoryview(b"cde")])) == b"5\r\nabcde\r\n"


@pytest.mark.parametrize(
    ("status", "to_head", "none"),
    [(200, False, False), (200, True, True), (204, False, True), (304, False, True), (100, False, True)],
)
def test_some_answers_have_no_body_whatever_they_say(status: int, to_head: bool, none: bool) -> None:
    """RFC 9112, 6.3, rule 1."""
    assert has_no_body(status, to_head) is none


def test_many_small_chunks_of_one_read_are_one_piece() -> None:
    """A body in one-byte chunks costs its bytes, not an object for each."""
    pieces, _ = ChunkedBody(Refusal).feed(b"1\r\na\r\n" * 900)
    assert pieces == [b"a" * 900]


def test_of_many_chunks_a_part_is_read_at_once() -> None:
    """The rest comes back unread, as often as it has to; a large chunk is one like any other."""
    body, shares = ChunkedBody(Refusal), []
    left = (b"1\r\na\r\n" * 1500 + b"186a0\r\n%b\r\n" % (b"b" * 100_000)) * 2 + b"0\r\n\r\nNEXT"
    while not body.finished:
        pieces, left = body.feed(left)
        shares.append(sum(map(len, pieces)))
    assert (shares, left) == ([1000, 100_999, 1000, 100_001], b"NEXT")


def test_the_part_is_that_of_all_reads_together() -> None:
    """However the chunks were cut, a thousand are followed by a turn of others."""
    body = ChunkedBody(Refusal)
    assert [len(body.feed(b"1\r\na\r\n" * 400)[1]) for _ in range(4)] == [0, 0, 200 * 6, 0]


@pytest.mark.parametrize(("count", "size", "accepted"), [(512, 1, True), (547, 1, False), (20_000, 16, True)])
def test_a_thrifty_body_has_no_swarm_of_tiny_chunks(count: int, size: int, accepted: bool) -> None:
    """A few tiny chunks are harmless; hundreds in a row with hardly any data only cost time."""
    wire = (b"%x\r\n%b\r\n" % (size, b"a" * size)) * count + b"0\r\n\r\n"
    if accepted:
        assert fed(ChunkedBody(Refusal, thrifty=True), wire) == (b"a" * count * size, b"")
    else:
        with pytest.raises(Refusal, match="16 bytes on average"):
            fed(ChunkedBody(Refusal, thrifty=True), wire)


def test_a_large_chunk_buys_no_more_than_one_window_of_small_ones() -> None:
    """What is on average is so over a window, not over the whole body."""
    body = ChunkedBody(Refusal, thrifty=True)
    large = b"%x\r\n%b\r\n" % (1_000_000, b"a" * 1_000_000)
    with pytest.raises(Refusal, match="16 bytes on average"):
        fed(body, large + b"1\r\na\r\n" * 547)


def test_what_need_not_be_thrifty_may_come_as_it_likes() -> None:
    """Amazon's answers: an event stream has small chunks."""
    assert fed(ChunkedBody(Refusal), b"1\r\na\r\n" * 5000 + b"0\r\n\r\n") == (b"a" * 5000, b"")


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", None),
        (b"3\r\nabc\r\n", None),
        (b"0\r\n\r\n0\r\n\r\n", None),
        (b"3;x=y\r\nabc\r\n0\r\n\r\n", None),
        (b"3\r\nabcd\r\n0\r\n\r\n", None),
        (b"ffffffffffffffff\r\n", None),
        (b"g\r\n", None),
        (b"1\r\na\r\n" * CHUNKS_AT_ONCE + b"0\r\n\r\n", None),
    ],
)
def test_a_chunked_body_that_is_here_whole_is_read_in_one_step(data: bytes, payload: bytes | None) -> None:
    """With trailers, extensions, bytes behind it or too many chunks, malformed or in part it is left to the reader of
    pieces."""
    assert whole_chunked(data) == payload
    assert whole_chunked(b"0\r\n\r\n" + data, 5) == payload


@given(
    st.lists(
        st.sampled_from([b"3\r\nabc\r\n", b"0\r\n\r\n", b"00\r\n", b"X: 1\r\n", b"\r\n", b"\n", b"2;x\r\nde\r\n", b"A"])
    )
)
def test_one_step_reads_what_the_reader_of_pieces_reads(lines: list[bytes]) -> None:
    """Whatever is read in one step is the payload of a body that ends with its last byte."""
    data = b"".join(lines)
    if (payload := whole_chunked(data)) is not None:
        body = ChunkedBody(Refusal)
        assert fed(body, data) == (payload, b"")
        assert body.finished
        assert not body.trailers


def test_a_body_is_sent_in_one_chunk() -> None:
    """An empty body is sent in the last chunk alone."""
    assert whole_chunks(b"hello, you") == b"a\r\nhello, you\r\n0\r\n\r\n"
    assert whole_chunks(b"") == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"2\r\na", b"b\r\n0\r\n\r\n"),
        (b"2\r\nab\r", b"\n0\r\n\r\n"),
        (b"2\r\nab\r\n0\r\nX-T: 1\r\n", b"\r\n"),
        (b"2\r\nab\r\n0\r\nX", b"-T: 1\r\n\r\n"),
    ],
)
def test_a_chunk_or_a_line_may_end_in_the_next_read(first: bytes, rest: bytes) -> None:
    """The next read may end a chunk's data or its trailers."""
    body = ChunkedBody(Refusal)
    assert fed(body, first, rest) == (b"ab", b"")
    assert body.finished


def test_a_line_that_never_ends_is_refused() -> None:
    """The size line, and the trailer section."""
    for data in (b"1;" + b"x" * 20_000, b"0\r\nX: " + b"x" * 100_000):
        with pytest.raises(Refusal, match="is longer than"):
            ChunkedBody(Refusal).feed(data)


@pytest.mark.parametrize(
    ("before", "beginning", "end", "rest", "limit"),
    [
        pytest.param(b"", b"1;", b"\r\n", b"a\r\n0\r\n\r\n", 1024, id="size line"),
        pytest.param(b"0\r\n", b"X:", b"\r\n\r\n", b"", 16_384, id="trailer section"),
    ],
)
def test_a_line_may_be_as_long_as_its_limit(
    before: bytes, beginning: bytes, end: bytes, rest: bytes, limit: int
) -> None:
    """With its end, which may come later. One byte more is refused at once, wherever in the read it is."""
    before = b"4e20\r\n" + b"-" * 20_000 + b"\r\n" + before
    wire = before + beginning.ljust(limit - len(end), b"x") + end
    for parts in ((wire + rest,), (wire[:-1], wire[-1:] + rest)):
        body = ChunkedBody(Refusal)
        payload, _ = fed(body, *parts)
        assert (payload.lstrip(b"-"), body.finished) == (rest[:1], True)
    longer = before + beginning.ljust(limit + 1 - len(end), b"x") + end
    for read in (longer + rest, longer[:-1]):
        with pytest.raises(Refusal, match=f"is longer than {limit} bytes"):
            ChunkedBody(Refusal).feed(read)
