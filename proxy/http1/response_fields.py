"""What a response's header section says, and which of its lines pass. Pure: bytes in, a value out.

Framing that leaves a doubt is `UpstreamMalformed` (RFC 9112, 6.3). The changes that a relay may make to the passing
lines (another Location, another length) are written here, since they know how these lines look.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import UpstreamMalformed
from proxy.http1.fields import (
    HOP_BY_HOP,
    MAX_LENGTH_DIGITS,
    NO_OPTIONS,
    USUAL_LINE,
    Fields,
    connection_options,
    join_fields,
    plain_name,
    read_response_fields,
    read_usual_fields,
)
from proxy.unchanging import unchanging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Field = tuple[bytes, bytes]

NEVER_PASSING = HOP_BY_HOP | frozenset((b"proxy-status", b"x-request-id"))
"""Hop-by-hop fields, and what only a proxy itself says."""
_ENDS = frozenset((b"close", b"keep-alive"))
_USUAL_OPTIONS = {b"keep-alive": frozenset((b"keep-alive",)), b"close": frozenset((b"close",))}
"""What `Connection` holds as a rule."""
_KEEP_ALIVE, _CHUNKED = b"Connection: keep-alive", b"Transfer-Encoding: chunked"
"""What most responses have of the hop-by-hop fields."""
_UNUSUAL = NEVER_PASSING - {b"connection", b"transfer-encoding"} | {b"retry-after", b"location", b"content-encoding"}
"""Names that few responses have, and that mean something here."""
_LENGTHS = "Amazon's answer has more than one Content-Length, or one that is no number."
_ODD = (b"", b"")
_MAX_LINES = 1024
_MAX_REMEMBERED_BYTES = 4096
"""Of a section whose lines are remembered."""
_DROPPED_TRAILERS = NEVER_PASSING | frozenset((b"content-length", b"trailer", b"set-cookie", b"location"))


class _Lines(dict[bytes, "Field"]):
    """Lines without CRLF, each with its name in lower case and its value; those that came before are not read again,
    in bounded memory. `_ODD` stands for a line that the usual reading leaves to `_read_any_section`."""

    def __missing__(self, line: bytes) -> Field:
        match = USUAL_LINE.fullmatch(line)
        if match is None or (name := match[1].lower()) in _UNUSUAL:
            return _ODD
        if len(self) >= _MAX_LINES:
            self.clear()
        self[line] = found = name, match[2]
        return found


_read_line = _Lines().__getitem__


@unchanging
class ResponseFields:
    """A response's header section; `passing` holds the lines that may pass, byte for byte, each with its CRLF.

    `values` are all fields, by their names in lower case: of a name that came more than once the first value. `close`
    tells that the connection cannot be used again. `request_id` is the upstream's own.
    """

    passing: bytes
    values: Mapping[bytes, bytes]
    content_length: int | None
    chunked: bool
    close: bool
    request_id: str

    @property
    def retry_after(self) -> float | None:
        """In seconds; None where it is absent or a date."""
        value = self.values.get(b"retry-after")
        return float(value) if value and value.isdigit() and len(value) < 10 else None

    @property
    def location(self) -> bytes:
        return self.values.get(b"location", b"")

    @property
    def content_type(self) -> bytes:
        """In lower case."""
        return self.values.get(b"content-type", b"").lower()

    @property
    def content_encoding(self) -> bytes:
        return self.values.get(b"content-encoding", b"")


def read_response_section(section: bytes, minor: int, request_ids: tuple[bytes, ...] = ()) -> ResponseFields:
    """Read the header section of an HTTP/1.`minor` response; `request_ids` name the upstream's own request id."""
    lines = section.split(b"\r\n")
    if lines.pop() or minor == 0 or len(section) > _MAX_REMEMBERED_BYTES:
        return _read_any_section(section, minor, request_ids)
    values = dict(map(_read_line, lines))
    if b"" in values or len(values) != len(lines):
        return _read_any_section(section, minor, request_ids)
    length = None
    if b"content-length" in values:
        digits = values[b"content-length"]
        if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
            raise UpstreamMalformed(_LENGTHS)
        length = int(digits)
    chunked, has_connection = b"transfer-encoding" in values, b"connection" in values
    if chunked or has_connection:
        try:
            if has_connection:
                lines.remove(_KEEP_ALIVE)
            if chunked:
                lines.remove(_CHUNKED)
        except ValueError:
            return _read_any_section(section, minor, request_ids)
        if chunked and length is not None:
            return _read_any_section(section, minor, request_ids)
        lines.append(b"")
        section = b"\r\n".join(lines)
    return ResponseFields(section, values, length, chunked, False, _request_id(values, request_ids))


def _read_any_section(section: bytes, minor: int, request_ids: tuple[bytes, ...]) -> ResponseFields:
    """The same of a section with whatever it may hold."""
    usual = read_usual_fields(section)
    fields = usual if usual is not None else read_response_fields(section)
    names = [name.lower() for name, _ in fields]
    values = dict(zip(names, [value for _, value in fields], strict=True))
    if len(values) < len(names):
        values = _first_values(names, fields)
    length, chunked = _framing(values, names, minor)
    options = _options(values, names, fields)
    dropped = NEVER_PASSING if options <= _ENDS else NEVER_PASSING | (options - {b"content-length"})
    return ResponseFields(
        _passing_lines(section, names, dropped) if usual is not None else _passing(fields, names, dropped),
        values,
        length,
        chunked,
        b"close" in options or (minor == 0 and b"keep-alive" not in options),
        _request_id(values, request_ids),
    )


def _first_values(names: list[bytes], fields: Fields) -> dict[bytes, bytes]:
    """Of a name that was sent more than once the first value."""
    return {name: value for name, (_, value) in zip(reversed(names), reversed(fields), strict=True)}


def _options(values: dict[bytes, bytes], names: list[bytes], fields: Fields) -> frozenset[bytes]:
    """The names in all `Connection` fields."""
    value = values.get(b"connection")
    if value is None:
        return NO_OPTIONS
    if value in _USUAL_OPTIONS and len(values) == len(names):
        return _USUAL_OPTIONS[value]
    return connection_options(value for name, (_, value) in zip(names, fields, strict=True) if name == b"connection")


def _passing_lines(section: bytes, names: list[bytes], dropped: frozenset[bytes]) -> bytes:
    """The lines of a usual section that pass: as they are."""
    lines = zip(section.splitlines(keepends=True), names, strict=True)
    if b"_" in section:
        return b"".join([line for line, name in lines if not _is_dropped(name, dropped)])
    return section if dropped.isdisjoint(names) else b"".join([line for line, name in lines if name not in dropped])


def _passing(fields: Fields, names: list[bytes], dropped: frozenset[bytes]) -> bytes:
    """The lines that pass, rewritten."""
    return join_fields(field for field, name in zip(fields, names, strict=True) if not _is_dropped(name, dropped))


def _is_dropped(name: bytes, dropped: frozenset[bytes]) -> bool:
    """Names are compared with `_` as `-`, as some readers take them."""
    return name in dropped or (b"_" in name and plain_name(name) in dropped)


def _framing(values: dict[bytes, bytes], names: list[bytes], minor: int) -> tuple[int | None, bool]:
    coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if coding is None:
        if length is None:
            return None, False
        if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or names.count(b"content-length") > 1:
            raise UpstreamMalformed(_LENGTHS)
        return int(length), False
    if length is not None:
        raise UpstreamMalformed("Amazon's answer has both Transfer-Encoding and Content-Length.")
    if minor == 0 or names.count(b"transfer-encoding") > 1 or coding.lower() != b"chunked":
        raise UpstreamMalformed("Amazon's answer has a Transfer-Encoding other than `chunked`.")
    return None, True


def _request_id(values: dict[bytes, bytes], names: tuple[bytes, ...]) -> str:
    """The first of these names that is there."""
    for name in names:
        if (value := values.get(name)) is not None:
            return value[:128].decode("latin-1")
    return ""


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
