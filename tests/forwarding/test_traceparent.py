"""`traceparent` as W3C Trace Context has it: what names a parent, and what is nothing at all."""

from __future__ import annotations

import pytest

from proxy.events import TraceSpan
from proxy.forwarding.field_rules import REQUEST_FIELDS
from proxy.forwarding.traceparent import read_traceparent, traceparent_line, without_traceparent
from proxy.http1.request_fields import RequestFields, read_request_fields

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
