"""What responses of one host have in common, as two patterns: learned from a head that was accepted. Pure.

As `request_shape`, the other way: names, framing and every value that is read stand literally, values that only pass
are holes, and so are the length and the upstream's request id, which are given out. A head is cut before the line of
that id, since what stands before it is the same again and again, and so is found faster than by a pattern. What fits
no pattern is for `message` to read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.http1.fields import Fields, join_fields, read_response_fields
from proxy.http1.patterns import HOLE, LENGTH_HOLE, FieldPattern, LinePattern, field_pattern, literal
from proxy.http1.response_fields import NEVER_PASSING

if TYPE_CHECKING:
    from proxy.http1.message import Response

LENGTH = b"content-length"
UPSTREAM_ID = b"upstream-request-id"
"""The name under which the upstream's request id is given out, whatever its field is called."""
_READ = frozenset((b"content-type", b"content-encoding", b"connection", b"transfer-encoding"))
_EVENTS = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class ResponseShape:
    """`before` matches the status line and the lines up to the first `marker`, `behind` the rest with the empty line.

    The cut lies two bytes behind the beginning of `marker`, which holds the line end before it. LENGTH is given out by
    one of both unless the body is `chunked`, UPSTREAM_ID by `behind`, if the upstream says one. `dated` tells that it
    has a Date.
    """

    status: int
    marker: bytes
    before: FieldPattern
    behind: FieldPattern
    dated: bool
    chunked: bool

    def __repr__(self) -> str:
        return f"<ResponseShape of {self.status}>"


def make_response_shape(head: bytes, response: Response, request_ids: tuple[bytes, ...]) -> ResponseShape | None:
    """The shape of an accepted response's `head` (without the closing empty line). None where it is worth none: not
    written in the usual way, without a body that ends by itself, or the last on its connection.

    `request_ids` are as for `read_response`.
    """
    line, _, section = head.partition(b"\r\n")
    fields = read_response_fields(section)
    names = [name.lower() for name, _ in fields]
    if line != b"HTTP/1.1 %d %b" % (response.status, response.reason) or section != join_fields(fields):
        return None
    if not _is_usual(response, names):
        return None
    named = next((name for name in request_ids if name in names), b"")
    at = names.index(named) if named else len(names)
    shape = ResponseShape(
        response.status,
        b"\r\n" + (fields[at][0] + b": " if named else b"\r\n"),
        field_pattern([literal(line), *map(_line, fields[:at])]),
        field_pattern([*_id_line(fields[at : at + 1]), *map(_line, fields[at + 1 :])], b"\r\n"),
        response.fields.dated,
        response.fields.chunked,
    )
    return shape if _fits(shape, head, line + b"\r\n" + response.fields.passing) else None


def _is_usual(response: Response, names: list[bytes]) -> bool:
    fields = response.fields
    return (
        response.status >= 200
        and response.status not in (204, 304)
        and not fields.close
        and (fields.content_length is not None or fields.chunked)
        and not fields.content_type.lower().startswith(_EVENTS)
        and b"location" not in names
        and not any(b"_" in name for name in names)
    )


def _fits(shape: ResponseShape, head: bytes, passing: bytes) -> bool:
    """Whether the shape says of its own example what was read of it."""
    whole = head + b"\r\n"
    cut = whole.find(shape.marker) + 2
    before, behind = shape.before.pattern.fullmatch(whole, 0, cut), shape.behind.pattern.fullmatch(whole, cut)
    if before is None or behind is None:
        return False
    return shape.before.lines(before) + shape.behind.lines(behind) == passing


def _id_line(fields: Fields) -> list[LinePattern]:
    return [LinePattern(name, HOLE, passes=True, given=UPSTREAM_ID) for name, _ in fields]


def _line(field: tuple[bytes, bytes]) -> LinePattern:
    name, value = field
    lower = name.lower()
    if lower == LENGTH:
        return LinePattern(name, LENGTH_HOLE, passes=True, given=LENGTH)
    read = lower in _READ or not value
    return LinePattern(name, re.escape(value) if read else HOLE, passes=lower not in NEVER_PASSING)
