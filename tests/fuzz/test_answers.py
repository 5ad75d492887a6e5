"""Whatever comes back from Amazon, a client reads the one answer that was meant, or sees that it is broken."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.depth import at_length, briefly, run
from tests.fuzz.making import Answered, answers, changed, cut
from tests.support.independent_readers import read_answers
from tests.support.memory_bench import MemoryBench

METHODS = (b"GET", b"GET", b"HEAD", b"POST")
Case = tuple[bytes, int, list[bytes]]

valid_answers = answers().flatmap(
    lambda made: st.tuples(st.sampled_from(METHODS), st.integers(0, 1), cut(made.wire), st.just(made))
)
spoilt_answers = answers().flatmap(
    lambda made: st.tuples(st.sampled_from(METHODS), st.integers(0, 1), changed(made.wire).flatmap(cut))
)


async def exchange(method: bytes, minor: int, pieces: list[bytes], *, ends: bool) -> tuple[MemoryBench, bytes, bool]:
    """One request of a client, answered with these pieces; gives what the client got, and whether its end looks like
    one.

    HTTP/1.0 asks to keep the connection, which only an answer of known length can do.
    """
    bench = MemoryBench()
    bench.answer = lambda message: [*pieces, None] if ends else list(pieces)
    client = bench.client()
    client.send(b"%b /q/x HTTP/1.%d\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n" % (method, minor))
    await bench.rest(client)
    assert client.pipe.ended or not bench.events.finished[-1].fault
    written, ended = bytes(client.pipe.written), client.pipe.ended and not client.pipe.aborted
    await bench.stop(client)
    return bench, written, ended


async def a_valid_answer_arrives(method: bytes, minor: int, pieces: list[bytes], made: Answered) -> None:
    """The status, the body and the framing that the client's version of HTTP allows."""
    _, written, ended = await exchange(method, minor, pieces, ends=made.until_close)
    got = read_answers(written, ended, [method])
    assert not got.trouble, got.trouble
    assert got.whole, written
    answer = got.final[0]
    assert answer.first[0] == made.status
    assert answer.body == (b"" if method == b"HEAD" else made.body)
    assert minor == 1 or not got.interim
    assert minor == 1 or not answer.values(b"transfer-encoding")
    assert len(answer.values(b"x-request-id")) == 1


async def a_spoilt_answer_is_never_two(method: bytes, minor: int, pieces: list[bytes]) -> None:
    """The client reads one answer, whole or visibly broken, or the proxy's own 502; never anything behind it."""
    bench, written, ended = await exchange(method, minor, pieces, ends=True)
    got = read_answers(written, ended, [method])
    assert not got.trouble, got.trouble
    event = bench.events.finished[-1]
    if event.fault:
        assert not got.whole, (event, written)
    else:
        assert got.whole, (event, written)
        assert int(got.final[0].first[0]) == event.status
    if event.refusal:
        assert event.status in (502, 504)
        assert got.final[0].values(b"proxy-status")
    elif got.final:
        assert not got.final[0].values(b"proxy-status")


@briefly
@given(valid_answers)
def test_valid_answers_arrive_as_they_were_meant(case: tuple[bytes, int, list[bytes], Answered]) -> None:
    """However they are cut and framed, to HTTP/1.0 and 1.1."""
    run(lambda: a_valid_answer_arrives(*case))


@at_length
@given(valid_answers)
def test_valid_answers_arrive_as_they_were_meant_at_length(case: tuple[bytes, int, list[bytes], Answered]) -> None:
    """Valid answers arrive as meant with many more examples."""
    run(lambda: a_valid_answer_arrives(*case))


@briefly
@given(spoilt_answers)
@example((b"GET", 1, [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n"]))
def test_spoilt_answers_are_one_answer_or_none(case: Case) -> None:
    """No accident at Amazon's side makes a client read an answer that is not there."""
    run(lambda: a_spoilt_answer_is_never_two(*case))


@at_length
@given(spoilt_answers)
def test_spoilt_answers_are_one_answer_or_none_at_length(case: Case) -> None:
    """Spoilt answers are one answer or none with many more examples."""
    run(lambda: a_spoilt_answer_is_never_two(*case))


@at_length
@given(st.tuples(st.sampled_from(METHODS), st.integers(0, 1), st.binary(max_size=400).flatmap(cut)))
def test_bytes_of_chance_are_no_answer(case: Case) -> None:
    """Noise makes no defect."""
    run(lambda: a_spoilt_answer_is_never_two(*case))
