"""What a response's header section says, and which of its lines pass. Pure: bytes in, a value out.

Framing that leaves a doubt is `UpstreamMalformed` (RFC 9112, 6.3). The changes that a relay may make to the passing
lines (another Location, another length) are written here, since they know how these lines look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import UpstreamMalformed
from proxy.http1.fields import (
    HOP_BY_HOP,
    LENGTH,
    NO_OPTIONS,
    Fields,
    connection_options,
    join_fields,
    plain_name,
    read_response_fields,
)

NEVER_PASSING = HOP_BY_HOP | frozenset((b"proxy-status", b"x-request-id"))
"""Hop-by-hop fields, and what only a proxy itself says."""
_ENDS = frozenset((b"close", b"keep-alive"))
_DROPPED_TRAILERS = NEVER_PASSING | frozenset((b"content-length", b"trailer", b"set-cookie", b"location"))


@dataclass(frozen=True, slots=True)
class ResponseFields:
    """A response's header section; `passing` holds the lines that may pass, byte for byte, each with its CRLF.

    `close` tells that the connection cannot be used again. `request_id` is the upstream's own. `retry_after` is in
    seconds, None where absent or a date. `dated` tells that it has a Date.
    """

    passing: bytes
    content_length: int | None
    chunked: bool
    close: bool
    request_id: str
    retry_after: float | None
    location: bytes
    content_type: bytes
    content_encoding: bytes
    dated: bool


def read_response_section(section: bytes, minor: int, request_ids: tuple[bytes, ...] = ()) -> ResponseFields:
    """Read the header section of an HTTP/1.`minor` response; `request_ids` name the upstream's own request id."""
    fields = read_response_fields(section)
    names = [name.lower() for name, _ in fields]
    known: dict[bytes, list[bytes]] = {}
    for name, (_, value) in zip(names, fields, strict=True):
        if name in known:
            known[name].append(value)
        else:
            known[name] = [value]
    length, chunked = _framing(known, minor)
    options = connection_options(known[b"connection"]) if b"connection" in known else NO_OPTIONS
    return ResponseFields(
        passing=_passing(fields, names, options),
        content_length=length,
        chunked=chunked,
        close=b"close" in options or (minor == 0 and b"keep-alive" not in options),
        request_id=_request_id(known, request_ids),
        retry_after=_retry_after(known),
        location=known.get(b"location", [b""])[0],
        content_type=known.get(b"content-type", [b""])[0],
        content_encoding=known.get(b"content-encoding", [b""])[0],
        dated=b"date" in known,
    )


def _passing(fields: Fields, names: list[bytes], options: frozenset[bytes]) -> bytes:
    """The lines that pass; names are compared with `_` as `-`, as some readers take them."""
    dropped = NEVER_PASSING if options <= _ENDS else NEVER_PASSING | (options - {b"content-length"})
    lines = []
    for name, field in zip(names, fields, strict=True):
        if name not in dropped and (b"_" not in name or plain_name(name) not in dropped):
            lines.append(b"%b: %b\r\n" % field)
    return b"".join(lines)


def _framing(known: dict[bytes, list[bytes]], minor: int) -> tuple[int | None, bool]:
    codings, lengths = known.get(b"transfer-encoding"), known.get(b"content-length")
    if codings is None:
        if lengths is None:
            return None, False
        if len(lengths) > 1 or LENGTH.fullmatch(lengths[0]) is None:
            raise UpstreamMalformed("Amazon's answer has more than one Content-Length, or one that is no number.")
        return int(lengths[0]), False
    if lengths is not None:
        raise UpstreamMalformed("Amazon's answer has both Transfer-Encoding and Content-Length.")
    if minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise UpstreamMalformed("Amazon's answer has a Transfer-Encoding other than `chunked`.")
    return None, True


def _request_id(known: dict[bytes, list[bytes]], names: tuple[bytes, ...]) -> str:
    """The first of these names that is there."""
    for name in names:
        if name in known:
            return known[name][0].decode("latin-1")[:128]
    return ""


def _retry_after(known: dict[bytes, list[bytes]]) -> float | None:
    values = known.get(b"retry-after")
    return float(values[0]) if values and values[0].isdigit() and len(values[0]) < 10 else None


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


def with_length(passing: bytes, length: int) -> bytes:
    """`passing` with Content-Length set to `length`."""
    return re.sub(rb"(?i)(?<=\ncontent-length: )[0-9]+(?=\r\n)", b"%d" % length, b"\n" + passing, count=1)[1:]


def without_coding(fields: ResponseFields) -> bytes:
    """The passing lines of a response whose body is written anew: neither its length nor its coding is known yet."""
    return re.sub(rb"(?i)(?<=\n)content-(?:length|encoding): [^\r]*\r\n", b"", b"\n" + fields.passing)[1:]


def without_length(fields: ResponseFields) -> bytes:
    """The passing lines of a response that may have no Content-Length (RFC 9110, 8.6): 1xx and 204."""
    if fields.content_length is None:
        return fields.passing
    return re.sub(rb"(?i)(?<=\n)content-length: [^\r]*\r\n", b"", b"\n" + fields.passing)[1:]
