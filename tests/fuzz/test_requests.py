"""Whatever a client sends, what leaves for Amazon is exactly the message that was meant, or nothing."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.depth import at_length, briefly, run
from tests.fuzz.making import Sent, changed, cut, plain, requests
from tests.support.independent_readers import ASCII, Message, read_answers, read_requests
from tests.support.memory_bench import MemoryBench

FORBIDDEN = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization te upgrade cookie via forwarded x-ads-account "
    b"x-ads-region x-ads-proxy-key http2-settings".split()
)
OURS = frozenset(
    b"host authorization amazon-advertising-api-clientid amazon-ads-clientid amazon-advertising-api-scope "
    b"transfer-encoding content-length".split()
)
_TRAILERS = re.compile(rb"(\r\n0+(?:;[^\r\n]*)?\r\n)((?:[^\r\n]+\r\n)+)")
_BEFORE_EXTENSION = re.compile(rb"(?<=\r\n)([0-9A-Fa-f]{1,16})[ \t]+(?=;)")
_FRAMING = re.compile(rb"(?im)^(?:content-length|transfer-encoding)")

valid_conversations = st.lists(requests(), min_size=1, max_size=3).flatmap(
    lambda sent: st.tuples(st.just(sent), cut(b"".join(one.wire for one in sent)))
)
spoilt_conversations = (
    st.lists(requests(), min_size=1, max_size=3)
    .flatmap(lambda sent: changed(b"".join(one.wire for one in sent)))
    .flatmap(cut)
)


def check_head(message: Message) -> None:
    """Nothing that must not leave has left, and what is injected is there once, as the proxy has it."""
    names = [plain(name) for name, _ in message.fields]
    assert FORBIDDEN.isdisjoint(names), message
    assert not [name for name in names if name.startswith(b"x-forwarded-")]
    assert message.values(b"host") == [b"api.test:81"]
    assert names.count(b"authorization") == 1
    assert message.values(b"authorization") == [b"Bearer Atza|0"]
    for name in (b"amazon-advertising-api-clientid", b"amazon-ads-clientid"):
        assert names.count(name) == 1
        assert message.values(name) == [b"amzn1.test"]
    assert names.count(b"amazon-advertising-api-scope") <= 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    for name, _ in message.trailers:
        assert plain(name) not in FORBIDDEN | OURS


async def valid_requests_arrive(sent: list[Sent], pieces: list[bytes]) -> None:
    """Each arrives once, in order, unchanged but for what is injected and removed; each is answered."""
    bench = MemoryBench()
    client = bench.client()
    client.send(*pieces)
    await bench.rest(client)
    assert len(bench.messages) == len(sent), bytes(client.pipe.written)
    for request, message in zip(sent, bench.messages, strict=True):
        check_head(message)
        visible = request.target.translate(ASCII)
        assert message.first == (request.method, visible)
        assert message.body == request.body
        kept = [field for field in message.fields if field[0].lower() not in OURS]
        assert kept == list(request.passing)
    got = read_answers(bytes(client.pipe.written), client.pipe.ended, [request.method for request in sent])
    assert not got.trouble
    assert len(got.final) == len(sent)
    await bench.stop(client)


async def spoilt_requests_are_never_misread(pieces: list[bytes]) -> None:
    """What leaves is what an independent parser reads in the same bytes; everything else is refused."""
    bench = MemoryBench()
    client = bench.client()
    client.send(*pieces)
    await bench.rest(client)
    data = b"".join(pieces)
    left = iter(read_requests(_as_h11_takes_it(data)))
    for message in bench.messages:
        check_head(message)
        assert any(_is_the_same(message, other) for other in left), message
    methods = [b"HEAD" if _answered_head(bench, number) else b"GET" for number in range(len(bench.events.finished))]
    got = read_answers(bytes(client.pipe.written), client.pipe.ended, methods)
    assert not got.trouble, got.trouble
    assert len(got.final) == len(methods) or client.pipe.aborted
    await bench.stop(client)


async def early_answers_mix_nothing_up(sent: list[Sent], pieces: list[bytes]) -> None:
    """Amazon answers as soon as it has a head: what of the body is still to come is never taken for a request."""
    bench = MemoryBench()
    bench.answers_early = True
    client = bench.client()
    for piece in pieces:
        client.send(piece)
        await bench.rest(client)
    meant = iter([(one.method, one.body) for one in sent])
    for message in bench.messages:
        assert (message.first[0], message.body) in meant
    got = read_answers(bytes(client.pipe.written), client.pipe.ended, [one.method for one in sent])
    assert not got.trouble
    assert len(got.final) == len(sent) or client.pipe.ended
    await bench.stop(client)


def _answered_head(bench: MemoryBench, number: int) -> bool:
    return bench.events.finished[number].method == "HEAD"


def _as_h11_takes_it(data: bytes) -> bytes:
    """Without what h11 refuses, and the proxy need not: targets beyond ASCII have `~` for each such byte, trailers that
    would frame a message, which the proxy drops, have another name, and no blank is before a chunk's extension (RFC
    9112, 7.1.1)."""
    data = _BEFORE_EXTENSION.sub(rb"\1", data)
    return _TRAILERS.sub(lambda found: found[1] + _FRAMING.sub(b"X-", found[2]), data).translate(ASCII)


def _is_the_same(message: Message, other: Message) -> bool:
    body = message.body.translate(ASCII)
    return message.first[0] == other.first[0] and body == other.body and other.first[1].endswith(message.first[1][1:])


@briefly
@given(valid_conversations)
def test_valid_requests_arrive_as_they_were_meant(conversation: tuple[list[Sent], list[bytes]]) -> None:
    """However they are cut, spelled, framed and pipelined."""
    run(lambda: valid_requests_arrive(*conversation))


@at_length
@given(valid_conversations)
def test_valid_requests_arrive_as_they_were_meant_at_length(conversation: tuple[list[Sent], list[bytes]]) -> None:
    """Valid requests arrive as meant with many more examples."""
    run(lambda: valid_requests_arrive(*conversation))


@briefly
@given(valid_conversations)
def test_early_answers_mix_nothing_up(conversation: tuple[list[Sent], list[bytes]]) -> None:
    """The connection goes on only where the whole request was read."""
    run(lambda: early_answers_mix_nothing_up(*conversation))


@at_length
@given(valid_conversations)
def test_early_answers_mix_nothing_up_at_length(conversation: tuple[list[Sent], list[bytes]]) -> None:
    """Early answers mix nothing up with many more examples."""
    run(lambda: early_answers_mix_nothing_up(*conversation))


@briefly
@given(spoilt_conversations)
@example(
    [b"GET /q HTTP/1.0\r\nHost: 127.0.0.1\r\nconnection: Keep-Alive\r\n\r\nGET /q HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
)
@example([b"POST /q HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: \x0b\r\n\r\n"])
@example(
    [
        b"POST /q HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nTransfer-Encoding: chunked, identity\r\n\r\n"
    ]
)
def test_spoilt_requests_are_refused_or_read_as_others_read_them(pieces: list[bytes]) -> None:
    """No accident makes two readers see two different requests."""
    run(lambda: spoilt_requests_are_never_misread(pieces))


@at_length
@given(spoilt_conversations)
def test_spoilt_requests_are_refused_or_read_as_others_read_them_at_length(pieces: list[bytes]) -> None:
    """Spoilt requests are refused, or read as others read them, with many more examples."""
    run(lambda: spoilt_requests_are_never_misread(pieces))


@at_length
@given(st.binary(max_size=600).flatmap(cut))
def test_bytes_of_chance_are_answered_or_waited_for(pieces: list[bytes]) -> None:
    """Noise makes no defect."""
    run(lambda: spoilt_requests_are_never_misread(pieces))
