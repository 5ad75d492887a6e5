"""Field lines of HTTP/1.1 messages, of either direction: their grammar, names in one spelling, hop-by-hop. Pure.

Only CRLF ends a line (RFC 9112, 2.2 lets a reader accept a bare LF; two readers that differ in this are how requests
are smuggled, so this one does not). What single fields mean is for `request_fields` and `response_fields`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import MalformedRequest, UpstreamMalformed

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
MAX_LENGTH_DIGITS = 18
LENGTH = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS)

Fields = list[tuple[bytes, bytes]]
"""Names and values in the order they came, names as spelled, values without the white space around them."""

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate te transfer-encoding upgrade "
    b"http2-settings proxy-authentication-info".split()
)
"""RFC 9110, 7.6.1, and the fields that older clients send instead."""
NO_OPTIONS: frozenset[bytes] = frozenset()

_REQUEST_SECTION = re.compile(rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*")
_RESPONSE_SECTION = re.compile(rb"(?:" + TOKEN + rb"[ \t]*:" + VALUE + rb"\r\n)*")
_USUAL_FIELD = re.compile(rb"^(" + TOKEN + rb"): (?![ \t])(" + VALUE + rb")(?<![ \t])\r\n", re.MULTILINE)
"""A line as most are; looked for at the beginnings of lines alone: within a name each byte would be a beginning."""


def read_fields(section: bytes) -> Fields:
    """The fields of a request's header or trailer section, all of it valid or `MalformedRequest`."""
    # A match is one whole line, and has one LF: all lines are matched where there are as many of both.
    usual: Fields = _USUAL_FIELD.findall(section)
    if len(usual) == section.count(b"\n") and section[-1:] in b"\n":
        return usual
    if _REQUEST_SECTION.fullmatch(section) is None:
        raise MalformedRequest(explain_section(section), close=True)
    return _split(section)


def read_response_fields(section: bytes) -> Fields:
    """The fields of a response's header or trailer section.

    White space before a colon is taken away, as RFC 9112, 5.1 demands of a proxy; a folded line (5.2) is refused.
    """
    if _RESPONSE_SECTION.fullmatch(section) is None:
        raise UpstreamMalformed(f"Amazon's answer has a header section that is not valid: {explain_section(section)}")
    return _split(section)


def _split(section: bytes) -> Fields:
    """The fields of a section that is known to be valid."""
    lines = [line.partition(b":") for line in section.split(b"\r\n")]
    del lines[-1]
    return [(name.rstrip(b" \t"), value.strip(b" \t")) for name, _, value in lines]


def plain_name(name: bytes) -> bytes:
    """A field name in the one spelling that rules are written in: lower case, hyphens for underscores."""
    return name.lower().replace(b"_", b"-")


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """The names in `Connection` fields, in plain spelling."""
    return frozenset(plain_name(option.strip(b" \t")) for value in values for option in value.split(b","))


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines, each with its CRLF."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def explain_section(section: bytes) -> str:
    """The first line of `section` that is no field line, described without its value (which may be a secret)."""
    for number, line in enumerate(section.split(b"\r\n"), 1):
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return f"Header line {number} begins with white space; folded lines are not accepted."
        if b"\n" in line or b"\r" in line:
            return f"Header line {number} holds a bare CR or LF; every line ends in CRLF."
        if not colon:
            return f"Header line {number} has no colon."
        if name != name.rstrip(b" \t"):
            return f"Header line {number} has white space before the colon."
        if re.fullmatch(TOKEN, name) is None:
            return f"Header line {number} has a name that is empty or holds characters a name cannot hold."
        if re.fullmatch(VALUE, value) is None:
            return f"Header line {number} has a control character in its value."
    return "The header section does not end in CRLF."
