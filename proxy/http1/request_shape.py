"""What requests of one tool have in common, as a pattern: learned from a header section that was accepted. Pure.

Every byte that decisions read stands in the pattern literally. What passes unread, or is looked up, is a hole: the
values that `ShapeRules` names, request id, content length, and all values that nobody reads. So a section that fits
says the same as the one it was learned from, but for what stands in its holes, and needs no second reading. What fits
no pattern is for `message` to read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.http1.fields import HOP_BY_HOP, Fields, join_fields, read_fields
from proxy.http1.patterns import HOLE, LENGTH_HOLE, FieldPattern, LinePattern, field_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFieldRules

USUAL_LINE = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) ((/[^\x00-\x20\x7f?#]*+)(\?[^\x00-\x20\x7f#]*+)?) HTTP/1\.1(?=\r\n|\Z)"
)
"""A request line that no decision reads beyond its parts: method, target, path, query (which is None without one)."""
LENGTH = b"content-length"
CHUNKED = -1
"""The length of a body that comes in chunks, and does not say it."""
REQUEST_ID = b"x-request-id"
_REQUEST_ID_HOLE = rb"[A-Za-z0-9._:/+=@-]{1,128}+"
_NEVER = frozenset((b"expect", b"upgrade", b"trailer"))
"""Names of requests that are worth no pattern: their bodies, or their answers, are not of the usual kind."""


@dataclass(frozen=True, slots=True)
class ShapeRules:
    """Names in lower case: the values of `looked_up` are given out, and whatever `read` is true of stands literally.

    `fields` says which lines pass.
    """

    fields: RequestFieldRules
    looked_up: tuple[bytes, ...]
    read: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class RequestShape:
    """Matches a header section with the empty line that closes it.

    It gives out, under their names, those of the rules' `looked_up` that it has (`names`, in the rules' order), and
    LENGTH and REQUEST_ID where they are.
    """

    fields: FieldPattern
    names: tuple[bytes, ...]
    chunked: bool

    def __repr__(self) -> str:
        return f"<RequestShape with {', '.join(map(bytes.decode, self.names)) or 'nothing looked up'}>"

    def values(self, found: re.Match[bytes]) -> tuple[bytes, ...]:
        """The values that are looked up, in the order of `names`."""
        return tuple([found[self.fields.given[name]] for name in self.names])

    def length(self, found: re.Match[bytes]) -> int:
        group = self.fields.given.get(LENGTH)
        if group is None:
            return CHUNKED if self.chunked else 0
        return int(found[group])

    def request_id(self, found: re.Match[bytes]) -> str:
        """The client's, empty where it names none."""
        group = self.fields.given.get(REQUEST_ID)
        return found[group].decode("ascii") if group is not None else ""


def make_request_shape(section: bytes, request: Request, rules: ShapeRules) -> RequestShape | None:
    """The shape of an accepted request's header section (without the closing empty line). None where it is worth none:
    not written in the usual way, or with a body or an answer of an unusual kind."""
    said = request.fields
    if request.minor == 0 or said.close or said.expects_continue:
        return None
    fields = read_fields(section)
    if section != join_fields(fields) or not _is_usual(fields, request, rules):
        return None
    lines = [_line(name, value, rules) for name, value in fields]
    pattern = field_pattern(lines, b"\r\n")
    shape = RequestShape(pattern, tuple(name for name in rules.looked_up if name in pattern.given), said.chunked)
    found = pattern.pattern.fullmatch(section + b"\r\n")
    return shape if found is not None and pattern.lines(found) == request.fields.passing else None


def _is_usual(fields: Fields, request: Request, rules: ShapeRules) -> bool:
    names = [name.lower() for name, _ in fields]
    return (
        _NEVER.isdisjoint(names)
        and not any(b"_" in name for name in names)
        and all(names.count(name) <= 1 for name in (*rules.looked_up, REQUEST_ID, LENGTH, b"connection"))
        and all(value.lower() == b"keep-alive" for name, value in fields if name.lower() == b"connection")
        and (REQUEST_ID in names) == bool(request.fields.request_id)
    )


def _line(name: bytes, value: bytes, rules: ShapeRules) -> LinePattern:
    lower = name.lower()
    if lower == LENGTH:
        return LinePattern(name, LENGTH_HOLE, passes=True, given=LENGTH)
    passes = not rules.fields.drops(lower)
    if lower == REQUEST_ID:
        return LinePattern(name, _REQUEST_ID_HOLE, passes, given=REQUEST_ID)
    if lower in rules.looked_up:
        return LinePattern(name, HOLE, passes, given=lower)
    return LinePattern(name, re.escape(value) if _is_read(lower, rules) or not value else HOLE, passes)


def _is_read(lower: bytes, rules: ShapeRules) -> bool:
    """Of what ends here two say something about this request (RFC 9110, 7.6.1; RFC 9112, 6.1)."""
    if lower in HOP_BY_HOP:
        return lower in (b"connection", b"transfer-encoding")
    return lower in rules.fields.read or rules.read(lower)
