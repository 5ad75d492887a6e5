"""The spans of a request and of its tries: their trace, and the report as a try ends. None of it exists without traces.
What is known of a span when it ends is told as an event; times, names and where it goes are for
`proxy.observability.traces`.
"""

from __future__ import annotations

from functools import partial
from secrets import randbits
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.events import UNKNOWN, AttemptEnded, TraceSpan
from proxy.forwarding.attempt import AttemptState
from proxy.http1.trace_context import read_traceparent, traceparent_line, without_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import Refused
    from proxy.events import Observer
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.request_fields import RequestFields


_TRACE_BITS, _SPAN_BITS = 128, 64
_ABANDONED = "abandoned"
_BROKEN = 400
"""Statuses from here on say by themselves why a try failed."""


class Tracing:
    """Gives each request its span. `listener` hears of every try.

    Where it `trusts` clients, the parent is the one that a client names, and Amazon gets ours; otherwise each request
    begins a trace, and Amazon gets none. `random` gives so many random bits.
    """

    def __init__(self, listener: Observer, *, trusts: bool, random: Callable[[int], int] = randbits) -> None:
        self._listener = listener
        self._trusts = trusts
        self._random = random

    def __repr__(self) -> str:
        return f"<Tracing: {'the parents that tools name' if self._trusts else 'a trace for each request'}>"

    def begin(self, fields: RequestFields) -> TraceSpan:
        """The span of a request with these fields, under which its tries have theirs."""
        parent = read_traceparent(fields) if self._trusts else None
        if parent is None:
            parent = TraceSpan(self._new(_TRACE_BITS), 0)
        return self.below(parent)

    def below(self, parent: TraceSpan) -> TraceSpan:
        """A new span with this parent; one with the id 0 is none."""
        return TraceSpan(parent.trace_id, self._new(_SPAN_BITS), parent.span_id, parent.sampled)

    def untraced(self, fields: RequestFields) -> RequestFields:
        """What may pass of a client's fields: its `tracestate` goes with the trace that it belongs to."""
        return without_traceparent(fields, with_state=self._trusts and read_traceparent(fields) is not None)

    def follow(self, span: TraceSpan, attempt: Attempt, context: RequestContext) -> bytes:
        """Have the end of a try told that is sent now for the request of this span; gives the lines that its head
        carries for it."""
        own = self.below(span)
        attempt.on_end = partial(self._tell, context, own, perf_counter())
        return traceparent_line(own) if self._trusts else b""

    def _tell(
        self, context: RequestContext, span: TraceSpan, began: float, attempt: Attempt, error: Refused | None
    ) -> None:
        route, request = context.route, context.request
        self._listener.observe(
            AttemptEnded(
                span=span,
                number=attempt.number,
                host=context.pool.name,
                client=context.client,
                account=route.account,
                method=request.method.decode("latin-1"),
                path=context.path,
                operation=route.operation.name if route.operation is not None else UNKNOWN,
                status=attempt.status,
                fault=_fault(attempt, error),
                duration=perf_counter() - began,
            )
        )

    def _new(self, bits: int) -> int:
        """An id; 0 is none (W3C Trace Context, 3.2.2)."""
        return self._random(bits) or 1


def _fault(attempt: Attempt, error: Refused | None) -> str:
    if error is not None:
        return error.slug
    whole = attempt.state is AttemptState.ENDED or attempt.status >= _BROKEN
    return "" if whole else _ABANDONED
