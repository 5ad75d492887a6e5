"""Spans of a worker's requests on their way to the supervisor, which makes and sends them: what ended, and when.

No request waits for it. At most `MAX_WAITING` spans do, where the supervisor is slower than the workers; what comes
beyond takes the place of the oldest, and is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from proxy.events import AttemptEnded, RequestFinished, TraceSpan

if TYPE_CHECKING:
    from proxy.app.workers.channel import Channel
    from proxy.events import Event

MAX_WAITING: Final = 2048
_AT_ONCE: Final = 256
"""Spans that are not kept any longer."""
_PATIENCE: Final = 0.1
_BEHIND: Final = 1 << 20
"""Bytes that the supervisor has not taken yet, from which on it is sent no more spans."""
_REQUEST: Final = tuple(field.name for field in fields(RequestFinished) if field.name != "span")
_ATTEMPT: Final = tuple(field.name for field in fields(AttemptEnded) if field.name != "span")


SpanTaker = Callable[[RequestFinished | AttemptEnded, int], None]
"""Gets a span's event, and when it was over, in nanoseconds of wall-clock time."""


class SpanForwarder:
    """An observer of what is over. `dropped` is told how many spans found no place; `wall` is in nanoseconds."""

    def __init__(
        self, channel: Channel, dropped: Callable[[int], None], wall: Callable[[], int] = time.time_ns
    ) -> None:
        self._channel, self._dropped, self._wall = channel, dropped, wall
        self._waiting: deque[list[Any]] = deque(maxlen=MAX_WAITING)
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<SpanForwarder: {len(self._waiting)} waiting>"

    def observe(self, event: Event) -> None:
        span = event.span if isinstance(event, RequestFinished | AttemptEnded) else None
        if span is None or not span.sampled:
            return
        if len(self._waiting) == MAX_WAITING:
            self._dropped(1)
        self._waiting.append(write_span(event, span, self._wall()))
        if len(self._waiting) % _AT_ONCE == 0:
            self.send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.send)

    def send(self) -> None:
        """What waits, if the supervisor has room for it; otherwise a little later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        if self._channel.unsent > _BEHIND:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.send)
            return
        self._channel.send("spans", spans=list(self._waiting))
        self._waiting.clear()


def write_span(event: Event, span: TraceSpan, ended_at: int) -> list[Any]:
    """A span in the form for the supervisor: when it ended, its trace, and the event."""
    named = [span.trace_id, span.span_id, span.parent_id]
    names = _REQUEST if isinstance(event, RequestFinished) else _ATTEMPT
    return [ended_at, named, names is _REQUEST, [getattr(event, name) for name in names]]


def read_span(said: list[Any]) -> tuple[RequestFinished | AttemptEnded, int]:
    """What `write_span` wrote: the event, and when it was over, in nanoseconds of wall-clock time."""
    ended_at, named, is_request, values = said
    span = TraceSpan(*named)
    if not is_request:
        return AttemptEnded(span=span, **dict(zip(_ATTEMPT, values, strict=True))), ended_at
    given = dict(zip(_REQUEST, values, strict=True))
    return RequestFinished(span=span, **{**given, "mcp_tools": tuple(given["mcp_tools"])}), ended_at
