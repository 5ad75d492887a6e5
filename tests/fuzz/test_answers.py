"""Whatever comes back from Amazon, a tool reads the one answer that was meant, or sees that it is broken."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.depth import at_length, briefly, run
from tests.fuzz.making import answers, changed, cut
from tests.fuzz.memory import MemoryBench
from tests.fuzz.reading import read_answers

METHODS = (b"GET", b"GET", b"HEAD", b"POST")
Case = tuple[bytes, int, list[bytes], bytes | None]

valid_answers = answers().flatmap(
    lambda made: st.tuples(st.sampled_from(METHODS), st.integers(0, 1), cut(made[0]), st.just(made[1]))
)
spoilt_answers = answers().flatmap(
    lambda made: st.tuples(st.sampled_from(METHODS), st.integers(0, 1), changed(made[0]).flatmap(cut), st.none())
)


async def exchange(method: bytes, minor: int, pieces: list[bytes], *, ends: bool) -> tuple[MemoryBench, bytes, bool]:
    """One request of a tool, answered with these pieces; gives what the tool got, and whether its end looks like one.

    HTTP/1.0 asks to keep the connection, which only an answer of known length can do.
    """
    bench = MemoryBench()
    bench.answer = lambda message: [*pieces, None] if ends else list(pieces)
    tool = bench.tool()
    tool.send(b"%b /q/x HTTP/1.%d\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n" % (method, minor))
    await bench.rest(tool)
    assert tool.pipe.ended or not bench.facts.finished[-1].fault
    written, ended = bytes(tool.pipe.written), tool.pipe.ended and not tool.pipe.aborted
    await bench.stop(tool)
    return bench, written, ended


async def a_valid_answer_arrives(method: bytes, minor: int, pieces: list[bytes], body: bytes | None) -> None:
    """The status, the body and the framing that the tool's version of HTTP allows."""
    data = b"".join(pieces)
    _, written, ended = await exchange(method, minor, pieces, ends=body is None)
    got = read_answers(written, ended, [method])
    assert not got.trouble, got.trouble
    assert got.whole, (written, data)
    final = data[data.rindex(b"HTTP/1.1 ") :]
    answer = got.final[0]
    assert answer.first[0] == final.split(b" ")[1]
    if method == b"HEAD":
        assert answer.body == b""
    elif body is not None:
        assert answer.body == body
    else:
        assert answer.body == final.partition(b"\r\n\r\n")[2]
    assert minor == 1 or not got.interim
    assert minor == 1 or not answer.values(b"transfer-encoding")
    assert len(answer.values(b"x-request-id")) == 1


async def a_spoilt_answer_is_never_two(method: bytes, minor: int, pieces: list[bytes], _: bytes | None) -> None:
    """The tool reads one answer, whole or visibly broken, or the proxy's own 502; never anything behind it."""
    bench, written, ended = await exchange(method, minor, pieces, ends=True)
    got = read_answers(written, ended, [method])
    assert not got.trouble, got.trouble
    event = bench.facts.finished[-1]
    if event.fault:
        assert not got.whole, (event, written)
    else:
        assert got.whole, (event, written)
        assert int(got.final[0].first[0]) == event.status
    if event.refusal:
        assert event.status in (502, 504)
        assert b"proxy-status" in dict(got.final[0].fields)
    elif got.final:
        assert b"proxy-status" not in dict(got.final[0].fields)


@briefly
@given(valid_answers)
def test_valid_answers_arrive_as_they_were_meant(case: Case) -> None:
    """However they are cut and framed, to HTTP/1.0 and 1.1."""
    run(lambda: a_valid_answer_arrives(*case))


@at_length
@given(valid_answers)
def test_valid_answers_arrive_as_they_were_meant_at_length(case: Case) -> None:
    """The same with many more examples."""
    run(lambda: a_valid_answer_arrives(*case))


@briefly
@given(spoilt_answers)
@example((b"GET", 1, [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n"], None))
def test_spoilt_answers_are_one_answer_or_none(case: Case) -> None:
    """No accident at Amazon's side makes a tool read an answer that is not there."""
    run(lambda: a_spoilt_answer_is_never_two(*case))


@at_length
@given(spoilt_answers)
def test_spoilt_answers_are_one_answer_or_none_at_length(case: Case) -> None:
    """The same with many more examples."""
    run(lambda: a_spoilt_answer_is_never_two(*case))


@at_length
@given(st.tuples(st.sampled_from(METHODS), st.integers(0, 1), st.binary(max_size=400).flatmap(cut), st.none()))
def test_bytes_of_chance_are_no_answer(case: Case) -> None:
    """Noise makes no defect."""
    run(lambda: a_spoilt_answer_is_never_two(*case))
