"""Spans of requests and of their tries: who is whose child, and what Amazon is told of it."""

from __future__ import annotations

import json
from itertools import count

import pytest

from proxy.events import AttemptEnded, Fault, RequestFinished, TraceSpan
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.forwarding.tracing import Tracing
from proxy.http1.request_fields import RequestFields, read_request_fields
from proxy.http1.trace_context import read_traceparent, traceparent_line, without_traceparent
from tests.support.events import EventRecorder
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.scraping import scraped
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering, value_of

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
VALUE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def fields(*lines: bytes) -> RequestFields:
    section = b"".join(line + b"\r\n" for line in (b"Host: localhost", *lines))
    return read_request_fields(section, 1, 100, REQUEST_FIELDS)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (VALUE, True),
        (VALUE[:-2] + b"00", False),
        (VALUE[:-2] + b"03", True),
        (b"cc" + VALUE[2:], True),
        (b"cc" + VALUE[2:] + b"-what-the-future-will-be", True),
    ],
)
def test_a_parent_is_read(value: bytes, sampled: bool) -> None:
    """Of this version and of later ones, whose first four parts mean the same."""
    assert read_traceparent(fields(b"TraceParent: " + value)) == TraceSpan(TRACE, SPAN, 0, sampled)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"traceparent: ",),
        (b"traceparent: " + VALUE.upper(),),
        (b"traceparent: ff" + VALUE[2:],),
        (b"traceparent: " + VALUE + b"-more",),
        (b"traceparent: " + VALUE[:-1],),
        (b"traceparent: 00-" + b"0" * 32 + VALUE[35:],),
        (b"traceparent: " + VALUE[:36] + b"0" * 16 + b"-01",),
        (b"traceparent: " + VALUE, b"traceparent: " + VALUE),
    ],
)
def test_what_is_wrong_names_no_parent(lines: tuple[bytes, ...]) -> None:
    """Two of them as little as none."""
    assert read_traceparent(fields(*lines)) is None


def test_what_is_written_is_read_again() -> None:
    """With its flag."""
    for sampled in (True, False):
        line = traceparent_line(TraceSpan(TRACE, 7, SPAN, sampled))
        assert read_traceparent(fields(line.rstrip())) == TraceSpan(TRACE, 7, 0, sampled)


@pytest.mark.parametrize(
    ("with_state", "passing"), [(True, b"A: 1\r\nTraceState: k=v\r\nB: 2\r\n"), (False, b"A: 1\r\nB: 2\r\n")]
)
def test_the_tools_lines_are_taken_out(with_state: bool, passing: bytes) -> None:
    """Nothing else moves, and what they said can still be read."""
    given = fields(b"traceparent: " + VALUE, b"A: 1", b"TRACEPARENT: " + VALUE, b"TraceState: k=v", b"B: 2")
    left = without_traceparent(given, with_state=with_state)
    assert left.passing == passing
    assert left.every == given.every


TRACED = GET.replace(b"\r\n\r\n", b"\r\nTraceParent: " + VALUE + b"\r\ntracestate: k=v\r\n\r\n")

CHANGING = {"timestamp", "request_id", "duration_ms", "upstream_ms", "overhead_ms"}


def trace(bench: ProxyBench, *, trusts: bool) -> EventRecorder:
    """Whoever hears of the tries from now on; ids are 1, 2, 3, ..."""
    ids, heard = count(1), EventRecorder()
    bench.accounting.tracing = Tracing(heard, trusts=trusts, random=lambda _bits: next(ids))
    bench.apply()
    return heard


def told_amazon(bench: ProxyBench, name: bytes) -> list[bytes | None]:
    return [value_of(head, name) for head in heads(bench)]


def heads(bench: ProxyBench) -> list[bytes]:
    """What came to Amazon, head by head."""
    received = b"".join(bytes(wire.received) for wire in bench.upstream.wires)
    return [head + b"\r\n" for head in received.split(b"\r\n\r\n") if head]


async def test_without_tracing_a_traceparent_passes_as_any_other_field(running: Running) -> None:
    """Byte for byte, and nobody has a span."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(TRACED)
        assert b"TraceParent: " + VALUE + b"\r\ntracestate: k=v\r\n" in bytes(bench.upstream.wires[0].received)
        assert (await bench.events.last()).span is None


async def test_a_trusted_parent_leads_to_amazon_through_our_spans(running: Running) -> None:
    """The request is its child, the try is the request's, and the try's name goes on, with the client's state."""
    async with running(answering(HELLO)) as bench:
        heard = trace(bench, trusts=True)
        await bench.ask(TRACED)
        served = (await bench.events.last()).span
        (tried,) = heard.of(AttemptEnded)
        assert served is not None
        assert (served.trace_id, served.parent_id) == (TRACE, SPAN)
        assert (tried.span.trace_id, tried.span.parent_id) == (TRACE, served.span_id)
        assert tried.span.span_id != served.span_id
        (sent,) = heads(bench)
        assert traceparent_line(tried.span) in sent
        assert sent.lower().count(b"traceparent") == 1
        assert value_of(sent, b"tracestate") == b"k=v"


async def test_a_parent_that_is_not_trusted_is_no_parent_and_does_not_pass(running: Running) -> None:
    """The request begins a trace, of which Amazon is told nothing."""
    async with running(answering(HELLO)) as bench:
        heard = trace(bench, trusts=False)
        await bench.ask(TRACED)
        served = (await bench.events.last()).span
        assert served is not None
        assert (served.trace_id, served.parent_id) == (1, 0)
        assert heard.of(AttemptEnded)[0].span.parent_id == served.span_id
        assert told_amazon(bench, b"traceparent") == told_amazon(bench, b"tracestate") == [None]


async def test_a_replay_is_a_try_of_its_own(running: Running) -> None:
    """Both belong to one request and are numbered; each told Amazon its own name."""
    async with running(answering(UNAUTHORIZED, HELLO)) as bench:
        heard = trace(bench, trusts=True)
        assert (await bench.ask()).status == 200
        finished = await bench.events.last()
        first, second = heard.of(AttemptEnded)
        assert [(each.number, each.status, each.fault) for each in (first, second)] == [(1, 401, ""), (2, 200, "")]
        assert finished.span is not None
        assert {each.span.parent_id for each in (first, second)} == {finished.span.span_id}
        assert first.span.span_id != second.span.span_id
        assert [traceparent_line(each.span).split(b": ")[1].rstrip() for each in (first, second)] == told_amazon(
            bench, b"traceparent"
        )
        assert bench.events.of(AttemptEnded) == []


async def test_a_try_that_breaks_says_how(running: Running) -> None:
    """It has no status, and the slug of what the client is told."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.abort()

    async with running(script) as bench:
        heard = trace(bench, trusts=False)
        assert (await bench.ask(GET.replace(b"GET", b"DELETE"))).status == 502
        finished = await bench.events.last()
        (tried,) = heard.of(AttemptEnded)
        assert tried.status == 0
        assert tried.fault
        assert tried.duration <= finished.duration


async def test_a_try_that_nobody_waits_for_is_abandoned(running: Running) -> None:
    """The client left before an answer: told once, before the request's own end."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script) as bench:
        heard = trace(bench, trusts=False)
        client = await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires and bench.upstream.wires[0].received))
        client.abort()
        assert (await bench.events.last()).fault == Fault.CLIENT_GONE
        (tried,) = heard.of(AttemptEnded)
        assert (tried.status, tried.fault) == (0, "abandoned")


async def test_a_refused_request_has_a_span_too(running: Running) -> None:
    """And no try; its parent counts as well."""
    async with running(answering(HELLO)) as bench:
        heard = trace(bench, trusts=True)
        refused = await bench.ask(TRACED.replace(b"/v2/", b"/@nobody/v2/"))
        assert refused.status >= 400
        span = bench.events.of(RequestFinished)[0].span
        assert span is not None
        assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
        assert heard.events == []


async def test_numbers_and_lines_are_the_same_with_and_without_tracing(running: Running) -> None:
    """A request that ended well is counted and written once either way."""
    told = []
    for traced in (False, True):
        async with running(answering(HELLO)) as bench:
            if traced:
                trace(bench, trusts=False)
            await bench.ask()
            await bench.events.last()
            bench.logs.flush()
            lines = [json.loads(line) for line in bench.lines.getvalue().splitlines()]
            written = [{name: line[name] for name in line if name not in CHANGING} for line in lines]
            numbers = scraped(bench.metrics).decode().splitlines()
            told.append((written, [line for line in numbers if line.startswith("ads_proxy_requests_total{")]))
    assert told[0] == told[1]
    assert [len(part) for part in told[0]] == [1, 1]


@pytest.mark.parametrize("sampled", [b"00", b"01"])
def test_who_decided_to_keep_a_trace_is_followed(sampled: bytes) -> None:
    """A parent that is not kept has children that are not."""
    tracing = Tracing(EventRecorder(), trusts=True)
    span = tracing.begin(fields(b"traceparent: " + VALUE[:-2] + sampled))
    assert span.sampled is (sampled == b"01")
    line = traceparent_line(tracing.below(span))
    parent = read_traceparent(fields(line.rstrip()))
    assert parent is not None and parent.sampled is span.sampled


def test_what_traces_says_how() -> None:
    """No id of a client's stands in it."""
    tracing = Tracing(EventRecorder(), trusts=False, random=lambda _bits: 1)
    assert repr(tracing) == "<Tracing: a trace for each request>"
    assert repr(Tracing(EventRecorder(), trusts=True)) == "<Tracing: the parents that tools name>"
