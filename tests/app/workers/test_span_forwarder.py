"""Spans of a worker's requests on their way to the supervisor: whole, in time, and never more than have room."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from proxy.app.workers import span_forwarder as module
from proxy.app.workers.span_forwarder import SpanForwarder, read_span, write_span
from proxy.events import AttemptEnded, RequestFinished, TokenRefreshed, TraceSpan
from tests.observability.test_traces import ATTEMPT, GRANTED, SERVED

AT = 1_700_000_000_123_456_789


class Supervisor:
    """The channel's other side: what it was sent, and how much it has not taken yet."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.unsent = 0

    def send(self, kind: str, *, spans: list[Any]) -> None:
        assert kind == "spans"
        self.sent.append(json.loads(json.dumps(spans)))

    def numbers(self) -> list[int]:
        """The ids of the spans that came."""
        return [read_span(said)[0].span.span_id for spans in self.sent for said in spans]  # type: ignore[union-attr]  # each has one


class Bench:
    """A worker's side of it."""

    def __init__(self) -> None:
        self.supervisor, self.dropped = Supervisor(), list[int]()
        self.passing = SpanForwarder(cast(Any, self.supervisor), self.dropped.append, lambda: AT)

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self.passing.observe(replace(SERVED, span=TraceSpan(0xABC, number)))


@pytest.mark.parametrize(
    "event",
    [
        SERVED,
        replace(SERVED, span=TraceSpan((1 << 128) - 1, (1 << 64) - 1, 7), mcp_tools=("a", "b"), status=0),
        ATTEMPT,
    ],
)
def test_what_was_over_is_the_same_on_the_other_side(event: RequestFinished | AttemptEnded) -> None:
    """Every field of it, and the nanosecond."""
    assert event.span is not None
    assert read_span(json.loads(json.dumps(write_span(event, event.span, AT)))) == (event, AT)


async def test_what_nobody_keeps_is_not_handed_over() -> None:
    """A trace that is not kept, a request without one, and what is no span of a worker's."""
    bench = Bench()
    for event in (replace(SERVED, span=TraceSpan(1, 2, 0, sampled=False)), replace(SERVED, span=None), GRANTED):
        bench.passing.observe(event)
    assert repr(bench.passing) == "<SpanForwarder: 0 waiting>"
    assert isinstance(GRANTED, TokenRefreshed)


async def test_spans_leave_together_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message for those of the moment, and none while there is nothing."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    bench = Bench()
    bench.end(1, 2)
    assert bench.supervisor.sent == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert [len(spans) for spans in bench.supervisor.sent] == [2]
    bench.passing.send()
    bench.end(3)
    bench.passing.send()
    assert [len(spans) for spans in bench.supervisor.sent] == [2, 1]


async def test_many_leave_at_once() -> None:
    """Without the timer's help."""
    bench = Bench()
    bench.end(*range(1, 600))
    assert [len(spans) for spans in bench.supervisor.sent] == [256, 256]
    assert repr(bench.passing) == "<SpanForwarder: 87 waiting>"


async def test_a_supervisor_that_is_behind_gets_the_newest_and_the_rest_is_counted() -> None:
    """A fixed number waits, and no more; the oldest go first, each is counted, and the waiting ones leave when there is
    room."""
    bench = Bench()
    bench.supervisor.unsent = (1 << 20) + 1
    bench.end(*range(1, 3001))
    bench.passing.send()
    assert bench.supervisor.sent == []
    assert sum(bench.dropped) == 3000 - 2048
    bench.supervisor.unsent = 0
    bench.passing.send()
    assert bench.supervisor.numbers() == list(range(953, 3001))
