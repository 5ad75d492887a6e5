"""What a response's header section says, and which of its lines pass. Pure: bytes in, a value out.

Framing that leaves a doubt is `UpstreamMalformed` (RFC 9112, 6.3). The changes that a relay may make to the passing
lines (another Location, another length) are written here, since they know how these lines look.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.errors import UpstreamMalformed
from proxy.http1.fields import (
    HOP_BY_HOP,
    MAX_LENGTH_DIGITS,
    VALUE,
    connection_options,
    join_fields,
    plain_name,
    read_response_fields,
)
from proxy.unchanging import unchanging

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_PASSING = HOP_BY_HOP | frozenset((b"proxy-status", b"x-request-id"))
"""Hop-by-hop fields, and what only a proxy itself says."""
_DROPPED_TRAILERS = NEVER_PASSING | frozenset((b"content-length", b"trailer", b"set-cookie", b"location"))
MAX_REQUEST_ID = 128


@unchanging
class ResponseFields:
    """A response's header section; `passing` holds the lines that may pass, byte for byte, each with its CRLF.

    `close` tells that the connection cannot be used again. `request_id` is the upstream's own. The other values are as
    they came, of the first field of the name; empty where there is none. `retry_after` is in seconds; None where it is
    absent or a date.
    """

    passing: bytes
    content_length: int | None
    chunked: bool
    close: bool
    request_id: str
    content_type: bytes
    content_encoding: bytes
    has_date: bool
    location: bytes = b""
    retry_after: float | None = None


# --- A section as most are: one expression matches all of it ---------------------------------------------

_VALUE = rb"(?:[^\x00-\x20\x7f]" + VALUE + rb"+(?<![ \t]))?"
_READ = {
    b"connection": b"keep-alive",
    b"transfer-encoding": b"chunked",
    b"content-length": b"[0-9]{1,%d}" % MAX_LENGTH_DIGITS,
    b"content-type": _VALUE,
    b"content-encoding": _VALUE,
    b"date": _VALUE,
}
"""The names that are read, with what they hold as a rule. Each has a group in the expression; request ids follow."""
_CONNECTION, _CODING, _LENGTH, _TYPE, _ENCODING, _DATE = range(1, len(_READ) + 1)
_KEEP_ALIVE_LINE, _CHUNKED_LINE = b"Connection: keep-alive", b"Transfer-Encoding: chunked"
_RARE = NEVER_PASSING | {b"location", b"retry-after"}


@lru_cache
def _usual_section(request_ids: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Matches a section in lower case, if each name that is read is there once at most and none is rare.

    A line can match in one way only, so that none is tried twice. A name with `_`, which some take for `-`, is rare.
    """
    read = {**_READ, **dict.fromkeys(request_ids, _VALUE)}
    lines = [b"%b: (?(%d)(?!))(%b)" % (re.escape(name), group, read[name]) for group, name in enumerate(read, 1)]
    no_other = b"|".join(map(re.escape, _RARE | read.keys()))
    lines.append(rb"(?!(?:%b):)[!#$%%&'*+\-.^`|~0-9a-z]++: %b" % (no_other, _VALUE))
    return re.compile(rb"(?:(?:%b)\r\n)*" % b"|".join(lines))


def read_response_section(section: bytes, minor: int, request_ids: tuple[bytes, ...] = ()) -> ResponseFields:
    """Read the header section of an HTTP/1.`minor` response; `request_ids` name the upstream's own request id."""
    found = match_usual_section(section, request_ids)
    if found is None or minor == 0:
        return _read_any_section(section, minor, request_ids)
    return read_usual_section(section, found)


def match_usual_section(section: bytes, request_ids: tuple[bytes, ...]) -> re.Match[bytes] | None:
    """What `read_usual_section` reads of the section; None if the section is not a usual one."""
    return _usual_section(request_ids).fullmatch(section.lower())


def varying_values(usual: re.Match[bytes]) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Where the length begins and ends in a usual section, (-1, -1) without one; and the request ids that are there,
    the one that counts first."""
    ids = map(usual.span, range(_DATE + 1, usual.re.groups + 1))
    return usual.span(_LENGTH), [span for span in ids if span[0] > 0]


def read_usual_section(section: bytes, found: re.Match[bytes]) -> ResponseFields:
    """Read the section of an HTTP/1.1 response that `match_usual_section` found to be usual."""
    length, date = found.group(_LENGTH, _DATE)
    connection, coding = found.end(_CONNECTION), found.end(_CODING)
    chunked = coding > 0
    if chunked and length is not None:
        raise UpstreamMalformed(_TWO_FRAMINGS)
    passing = section
    if coding > connection:  # the later line is cut out first
        passing, coding = _without_line(passing, coding, _CHUNKED_LINE), -1
    if connection > 0:
        passing = _without_line(passing, connection, _KEEP_ALIVE_LINE)
    if coding > 0:
        passing = _without_line(passing, coding, _CHUNKED_LINE)
    type_at, type_end = found.span(_TYPE)  # both -1 without one
    coding_at, coding_end = found.span(_ENCODING)
    request_id = ""
    for start, end in map(found.span, range(_DATE + 1, found.re.groups + 1)):
        if start > 0:  # the first of the names that is there counts
            request_id = section[start:end][:MAX_REQUEST_ID].decode("latin-1")
            break
    return ResponseFields(
        passing,
        None if length is None else int(length),
        chunked,
        False,
        request_id,
        section[type_at:type_end],
        section[coding_at:coding_end],
        date is not None,
    )


def _without_line(section: bytes, end: int, line: bytes) -> bytes:
    """A section without the line that is written like this one and ends there."""
    return section[: end - len(line)] + section[end + 2 :]


# --- A section with whatever it may hold -----------------------------------------------------------------

_LENGTHS = "Amazon's answer has more than one Content-Length, or one that is no number."
_TWO_FRAMINGS = "Amazon's answer has both Transfer-Encoding and Content-Length."


def _read_any_section(section: bytes, minor: int, request_ids: tuple[bytes, ...]) -> ResponseFields:
    fields = [(name, name.lower(), value) for name, value in read_response_fields(section)]
    values: dict[bytes, bytes] = {}
    for _, name, value in fields:
        values.setdefault(name, value)
    length, chunked = _framing([(name, value) for _, name, value in fields], minor)
    options = connection_options(value for _, name, value in fields if name == b"connection")
    dropped = NEVER_PASSING | (options - {b"content-length"})
    retry_after = values.get(b"retry-after", b"")
    return ResponseFields(
        join_fields((name, value) for name, _, value in fields if plain_name(name) not in dropped),
        length,
        chunked,
        b"close" in options or (minor == 0 and b"keep-alive" not in options),
        next((values[name][:MAX_REQUEST_ID].decode("latin-1") for name in request_ids if name in values), ""),
        values.get(b"content-type", b""),
        values.get(b"content-encoding", b""),
        b"date" in values,
        values.get(b"location", b""),
        float(retry_after) if retry_after.isdigit() and len(retry_after) < 10 else None,
    )


def _framing(fields: list[tuple[bytes, bytes]], minor: int) -> tuple[int | None, bool]:
    """Content-Length and whether the body is chunked; a doubt is refused."""
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    lengths = [value for name, value in fields if name == b"content-length"]
    if not codings:
        if not lengths:
            return None, False
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > MAX_LENGTH_DIGITS:
            raise UpstreamMalformed(_LENGTHS)
        return int(lengths[0]), False
    if lengths:
        raise UpstreamMalformed(_TWO_FRAMINGS)
    if minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise UpstreamMalformed("Amazon's answer has a Transfer-Encoding other than `chunked`.")
    return None, True


def passing_response_trailers(section: bytes) -> bytes:
    """The lines of a response's trailer section that may pass: nothing that frames, nothing hop-by-hop."""
    if not section:
        return b""
    return join_fields(field for field in read_response_fields(section) if field[0].lower() not in _DROPPED_TRAILERS)


def with_location(passing: bytes, old: bytes, new: bytes) -> bytes:
    """`passing` with the Location header's value `old` replaced by `new`."""
    return re.sub(rb"(?i)(?<=\nlocation: )" + re.escape(old) + rb"(?=\r\n)", lambda _: new, b"\n" + passing, count=1)[
        1:
    ]


def with_value(passing: bytes, name: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """`passing` with each value of the header `name` changed."""
    lines = rb"(?i)(?<=\n)(%b:[ \t]*)([^\r]*?)(?=[ \t]*\r\n)" % re.escape(name)
    return re.sub(lines, lambda found: found[1] + change(found[2]), b"\n" + passing)[1:]


def with_length(passing: bytes, length: int) -> bytes:
    """`passing` with Content-Length set to `length`."""
    return re.sub(rb"(?i)(?<=\ncontent-length: )[0-9]+(?=\r\n)", b"%d" % length, b"\n" + passing, count=1)[1:]


def without_coding(fields: ResponseFields) -> bytes:
    """The passing lines of a response whose body is rewritten: neither its length nor its coding is known yet."""
    return re.sub(rb"(?i)(?<=\n)content-(?:length|encoding): [^\r]*\r\n", b"", b"\n" + fields.passing)[1:]


def without_length(fields: ResponseFields) -> bytes:
    """The passing lines of a response that may have no Content-Length (RFC 9110, 8.6): 1xx and 204."""
    if fields.content_length is None:
        return fields.passing
    return re.sub(rb"(?i)(?<=\n)content-length: [^\r]*\r\n", b"", b"\n" + fields.passing)[1:]


def is_event_stream(fields: ResponseFields) -> bool:
    """Whether a response is a stream of events, which has its own pace."""
    return fields.content_type[:17].lower() == b"text/event-stream"
