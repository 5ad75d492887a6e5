"""Whatever passes is, for two independent readers, exactly the one message that was meant; however it was cut."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.http1.target import parse_target
from proxy.routing.target import TargetKind, find_destination
from tests.support.independent_readers import Answers, Message, RequestReader, answers_by_httptools, read_answers
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOKEN = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=12).map(str.encode)
VALUE = st.lists(
    st.sampled_from([bytes([code]) for code in (*range(0x21, 0x7F), *range(0x80, 0x100))] + [b" ", b"\t", b"  "]),
    max_size=30,
).map(lambda parts: b"".join(parts).strip(b" \t"))
NAME = TOKEN.map(lambda token: b"Z-" + token)
FIELDS = st.lists(st.tuples(NAME, VALUE), max_size=8)
SPACE = st.sampled_from([b"", b" ", b"\t ", b"   "])
TARGET = st.text("".join(map(chr, range(0x21, 0x7F))).replace("#", ""), max_size=30).map(lambda t: b"/x" + t.encode())
BODY = st.lists(st.binary(min_size=1, max_size=50), max_size=5)
CUTS = st.lists(st.integers(1, 40), max_size=30)
FRAMINGS = st.sampled_from(["none", "counted", "chunked"])

Field = tuple[bytes, bytes]


def section(fields: list[Field], spaces: list[bytes]) -> bytes:
    """Field lines with these spaces about their values, in turn."""
    lines = []
    for number, (name, value) in enumerate(fields):
        space = spaces[number % len(spaces)] if spaces else b""
        lines.append(name + b":" + space + value + space + b"\r\n")
    return b"".join(lines)


def framed(framing: str, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The line that frames a body, and the body as it is sent."""
    if framing == "none":
        return b"", b""
    if framing == "counted":
        return b"Content-Length: %d\r\n" % sum(map(len, pieces)), b"".join(pieces)
    chunks = b"".join(b"%X;e=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n"


async def send_cut(wire: Wire, data: bytes, cuts: list[int]) -> None:
    """Send in pieces of these sizes, then the rest."""
    at = 0
    for cut in cuts:
        wire.send(data[at : at + cut])
        at += cut
        await asyncio.sleep(0)
    if data[at:]:
        wire.send(data[at:])


async def reach(bench: ProxyBench, data: bytes, cuts: list[int]) -> bytes:
    """What an upstream received for a request, whole."""
    client = await bench.client()
    before = len(bench.upstream.wires[0].received) if bench.upstream.wires else 0
    await send_cut(client, data, cuts)
    assert (await client.answer()).body == b"hello"
    return bytes(bench.upstream.wires[0].received[before:])


@pytest.mark.long
@SETTINGS
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]), TARGET, FIELDS, BODY, FRAMINGS, CUTS, SPACE
)
async def test_a_request_leaves_as_exactly_one_message(
    running: Running,
    method: str,
    target: bytes,
    fields: list[Field],
    pieces: list[bytes],
    framing: str,
    cuts: list[int],
    space: bytes,
) -> None:
    """Method, target, fields and body are those that were sent, and nothing comes before or behind."""
    try:
        assume(find_destination(parse_target(target)).kind is TargetKind.API)
    except Refused:
        assume(False)
    line, body = framed(framing, pieces)
    head = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    async with running(answering(HELLO)) as bench:
        left = await reach(bench, head + section(fields, [space]) + line + b"\r\n" + body, cuts)
        own = [
            (b"Host", b"127.0.0.1:%d" % bench.upstream.port),
            (b"Authorization", b"Bearer Atza|0"),
            (b"Amazon-Advertising-API-ClientId", b"amzn1.test"),
            (b"Amazon-Ads-ClientId", b"amzn1.test"),
        ]
    last = [(b"Content-Length", line[16:-2])] if framing == "counted" else []
    last += [(b"Transfer-Encoding", b"chunked")] if framing == "chunked" else []
    body = b"".join(pieces) if framing != "none" else b""
    reader = RequestReader()
    assert reader.feed(left) == [Message((method.encode(), target), (*own, *fields, *last), body)]
    assert (reader.rest, reader.trouble) == (b"", "")


@pytest.mark.long
@SETTINGS
@given(st.integers(200, 599), TOKEN, FIELDS, BODY, st.sampled_from(["counted", "chunked", "close"]), CUTS, SPACE)
async def test_an_answer_comes_back_as_exactly_one_message(
    running: Running,
    status: int,
    reason: bytes,
    fields: list[Field],
    pieces: list[bytes],
    framing: str,
    cuts: list[int],
    space: bytes,
) -> None:
    """Status, reason, fields and body are Amazon's, and nothing comes behind."""
    assume(status not in (204, 304, 401, 429))
    line, body = framed("none", []) if framing == "close" else framed(framing, pieces)
    answer = b"HTTP/1.1 %d %b\r\nDate: now\r\n%b%b\r\n" % (status, reason, section(fields, [space]), line)
    answer += b"".join(pieces) if framing == "close" else body

    async def script(wire: Wire) -> None:
        await wire.request()
        await send_cut(wire, answer, cuts)

    async with running(script) as bench:
        client = await bench.client(GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: r\r\n\r\n"))
        await client.answer()
        got = bytes(client.received)
    last = [(b"Content-Length", line[16:-2])] if framing == "counted" else []
    last += [(b"X-Request-Id", b"r")] + ([(b"Transfer-Encoding", b"chunked")] if framing != "counted" else [])
    meant = Message((b"%d" % status, reason), ((b"Date", b"now"), *fields, *last), b"".join(pieces))
    assert read_answers(got, False, [b"GET"]) == Answers([], [meant], True)
    assert answers_by_httptools(got) == [meant]


ODD = st.sampled_from(
    [
        (b"Connection", b"keep-alive, Z-a"),
        (b"Expect", b""),
        (b"X-Request-Id", b"fine-1"),
        (b"x-request-id", b"not fine"),
        (b"Cookie", b"c=1"),
        (b"amazon_ads_clientid", b"y"),
        (b"Amazon-Advertising-API-Scope", b"12"),
        (b"Amazon-Advertising-API-Scope", b"13"),
        (b"X-Ads-Region", b"na"),
        (b"X-Ads-Region", b"mars"),
        (b"Origin", b"null"),
        (b"Content-Length", b"0"),
        (b"Transfer-Encoding", b"gzip"),
        (b"Content-Encoding", b"gzip"),
        (b"Bad Name", b"x"),
        (b"Host", b"other"),
    ]
)


@pytest.mark.long
@SETTINGS
@given(st.lists(st.one_of(ODD, st.tuples(NAME, VALUE)), max_size=6))
async def test_a_remembered_section_gives_what_a_new_one_gives(running: Running, fields: list[Field]) -> None:
    """Same bytes to Amazon and to the client, refusals included, whether the request is new or repeated."""
    request = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + section(fields, [b" "]) + b"\r\n"
    told: list[bytes] = []
    async with running(answering(HELLO)) as bench:
        bench.forwarder.new_request_id = lambda: "id"  # type: ignore[method-assign]  # of this one object alone
        for _ in range(2):
            bench.apply()
            for _ in range(3):
                got = await bench.ask(request)
                head = b"\r\n".join(line for line in got.head.split(b"\r\n") if not line.startswith(b"Date:"))
                told.append(head + b"\r\n" + got.body)
        assert len(set(told)) == 1
        left = b"".join(bytes(wire.received) for wire in bench.upstream.wires)
        assert left in (b"", left[: len(left) // 6] * 6)
