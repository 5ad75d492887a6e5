"""The header fields of a trace: `traceparent` and `tracestate` (W3C Trace Context, 3). Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.events import TraceSpan

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

_TRACEPARENT, _TRACESTATE = b"traceparent", b"tracestate"
_VALUE = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FIRST_VERSION = b"00"
_SAMPLED = 1
_LINE = re.compile(rb"(?i)(?<=\n)traceparent:[^\n]*\n")
_LINES = re.compile(rb"(?i)(?<=\n)trace(?:parent|state):[^\n]*\n")


def read_traceparent(fields: RequestFields) -> TraceSpan | None:
    """The parent span of a request's header; None if there is none, several, or an invalid one."""
    values = [value for name, value in fields.every if name == _TRACEPARENT]
    found = _VALUE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or (found[1] == _FIRST_VERSION and found[5] is not None):
        return None
    trace_id, span_id, flags = int(found[2], 16), int(found[3], 16), int(found[4], 16)
    return TraceSpan(trace_id, span_id, 0, bool(flags & _SAMPLED)) if trace_id and span_id else None


def traceparent_line(span: TraceSpan) -> bytes:
    """The header line that names a span as the parent."""
    return b"traceparent: 00-%032x-%016x-%02x\r\n" % (span.trace_id, span.span_id, _SAMPLED if span.sampled else 0)


def without_traceparent(fields: RequestFields, *, with_state: bool) -> RequestFields:
    """The same section whose `traceparent` does not pass, nor its `tracestate` unless it goes `with_state`.

    What it said can still be read.
    """
    lines = _LINE if with_state else _LINES
    return replace(fields, passing=lines.sub(b"", b"\n" + fields.passing)[1:])
