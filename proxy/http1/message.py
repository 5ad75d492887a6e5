"""Heads of HTTP/1.1 messages, read as RFC 9112 has them and no other way. Pure: bytes in, frozen values out.

A `Request` and a `Response` are made here, once, and everything behind reads these. What the fields say is read in
`request_fields` and `response_fields`, a target in `target`; what follows the head is for `framing`. Only CRLF ends a
line. A refusal names the first thing that is wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.bounded_cache import BoundedCache
from proxy.errors import HeadTooLarge, MalformedRequest, TargetTooLong, UpstreamMalformed, VersionNotSupported
from proxy.http1.fields import TOKEN, VALUE
from proxy.http1.request_fields import NO_FIELDS, RequestFields, check_field_count, read_request_fields
from proxy.http1.response_fields import ResponseFields, read_response_section
from proxy.http1.target import Target, parse_target, unread_target
from proxy.unchanging import unchanging
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http1.request_fields import RequestFieldRules

_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/([0-9]\.[0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + VALUE + rb"))?")
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_NO_METHOD = re.compile(rb"(?!" + TOKEN + rb"(?: |\Z))")

_LINE_BESIDE_TARGET = 64
"""Bytes that an incomplete request line may have in addition to its target."""
_MAX_REMEMBERED = 1024
_MAX_CACHE_BYTES = 6 << 20
MAX_REMEMBERED_BYTES = 4096
"""The most bytes of a head, and of a header section, that is remembered: a longer one is read each time."""


@unchanging
class Request:
    """A request without its body: what arrived, read once. `id` is the client's X-Request-Id, or one of ours."""

    method: bytes
    target: Target
    minor: int
    fields: RequestFields
    id: str


@unchanging
class Response:
    """A response without its body."""

    status: int
    reason: bytes
    minor: int
    fields: ResponseFields


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The limits of a request's head: bytes, bytes of the target, and number of fields."""

    max_bytes: int
    max_target_bytes: int
    max_fields: int


class RequestReader:
    """Reads requests under one set of limits and rules. Header sections that came before, byte for byte, are not read
    again, in bounded memory."""

    def __init__(self, limits: HeadLimits, rules: RequestFieldRules) -> None:
        self.limits = limits
        self.rules = rules
        self._sections: BoundedCache[tuple[bytes, int], RequestFields] = BoundedCache(_MAX_REMEMBERED, _MAX_CACHE_BYTES)

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The head at the beginning of `data`, with its closing empty line, and what follows it.

        None while more of it must come. The limit of the target holds for a request line that is not complete, too.
        """
        limits = self.limits
        end = data.find(b"\r\n\r\n")
        if 0 <= end <= limits.max_bytes:
            return data[: end + 4], data[end + 4 :]
        line_end = data.find(b"\r\n")
        if (len(data) if line_end < 0 else line_end) > limits.max_target_bytes + _LINE_BESIDE_TARGET:
            raise _target_too_long(limits)
        check_beginning(data if end < 0 else data[: end + 2])
        check_field_count(data[line_end + 2 :] if line_end >= 0 else b"", limits.max_fields)
        if len(data) > limits.max_bytes:
            raise HeadTooLarge(
                f"The head is larger than {limits.max_bytes} bytes; send fewer or shorter headers.", close=True
            )
        return None

    def read(self, head: bytes, new_id: Callable[[], str]) -> Request:
        """The request of a head that `cut` gave; `new_id` names one that brings no name. Raises `Refused`."""
        line, _, section = head[:-2].partition(b"\r\n")
        method, raw, minor = parse_request_line(line)
        if len(raw) > self.limits.max_target_bytes:
            raise _target_too_long(self.limits)
        fields = self._sections.get((section, minor))
        if fields is None:
            fields = read_request_fields(section, minor, self.limits.max_fields, self.rules)
            if len(section) <= MAX_REMEMBERED_BYTES:
                self._sections.keep((section, minor), fields, fields.held_bytes)
        return Request(method, parse_target(raw), minor, fields, fields.request_id or new_id())


def _target_too_long(limits: HeadLimits) -> TargetTooLong:
    return TargetTooLong(f"The target is longer than {limits.max_target_bytes} bytes; shorten it.", close=True)


def unread_request(head: bytes, request_id: str) -> Request:
    """What can be said of a request whose head could not be read whole: method and target, as far as they are there."""
    match = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0])
    method, raw = (match[1], match[2]) if match is not None else (b"", b"")
    return Request(method, unread_target(raw), 1, NO_FIELDS, request_id)


def without_empty_lines(data: bytes) -> bytes:
    """`data` without the empty lines at its beginning, which RFC 9112, 2.2 has a server read over."""
    match = _EMPTY_LINES.match(data)
    return data if match is None else data[match.end() :]


def parse_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Method, target and the minor version of HTTP/1."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise MalformedRequest(_explain_request_line(line), close=True)
    method, target, version = match.groups()
    if version == b"1.1":
        return method, target, 1
    if version == b"1.0":
        return method, target, 0
    raise VersionNotSupported(f"HTTP/{version.decode()} is not supported; send HTTP/1.1.", close=True)


def read_response(head: bytes, request_ids: tuple[bytes, ...] = ()) -> Response:
    """The response of a head without its closing empty line. The reason may be absent (RFC 9112, 4).

    `request_ids` are the names under which the upstream says its own request id, the first that is there counts.
    """
    line, _, section = head.partition(b"\r\n")
    status, reason, minor = parse_status_line(line)
    return Response(status, reason, minor, read_response_section(section, minor, request_ids))


def parse_status_line(line: bytes) -> tuple[int, bytes, int]:
    """Status, reason and the minor version of HTTP/1."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UpstreamMalformed("Amazon's answer does not begin with an HTTP/1.1 status line.")
    return int(match[2]), match[3] or b"", match[1][0] - 48


def check_beginning(beginning: bytes) -> None:
    """Refuse a head that is not complete yet but can no longer become a valid one.

    A peer that speaks something else (TLS, HTTP/0.9, bare line feeds) is told at once, not when a timer runs out.
    """
    if beginning == b"\r":
        return
    if beginning.startswith(b"\x16\x03"):
        raise MalformedRequest(
            "This port speaks plain HTTP; the client began a TLS handshake. Use http://.", close=True
        )
    if _NO_METHOD.match(beginning):
        raise MalformedRequest("The request does not begin with a method; send METHOD TARGET HTTP/1.1.", close=True)
    if beginning.count(b"\n") != beginning.count(b"\r\n"):
        raise MalformedRequest("A line ends in a bare LF; every line ends in CRLF.", close=True)
    line, ended, _ = beginning.partition(b"\r\n")
    if ended:
        parse_request_line(line)


def _explain_request_line(line: bytes) -> str:
    if b"\n" in line or b"\r" in line:
        return "The request line holds a bare CR or LF; every line ends in CRLF."
    if b"HTTP/" not in line:
        return "The request line has no HTTP version; HTTP/0.9 is not supported; send HTTP/1.1."
    if line.count(b" ") != 2:
        return "The request line is not `METHOD target HTTP/1.1` with single spaces between."
    return (
        "The request line is not valid: a method is letters and digits, a target has no spaces or control characters."
    )
