"""Heads of HTTP/1.1 messages, read as RFC 9112 has them and no other way. Pure: bytes in, values out.

The start line and the field lines of both directions are read here; what the fields mean is for `headers`, what
follows the head is for `framing`. Only CRLF ends a line (RFC 9112, 2.2 lets a reader accept a bare LF; two readers
that differ in this are how requests are smuggled, so this one does not). A refusal names the first thing that is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import HeadTooLarge, MalformedRequest, TargetTooLong, UpstreamMalformed, VersionNotSupported

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*"

_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + _VALUE + rb"))?")
_FIELD_SECTION = re.compile(rb"(?:" + TOKEN + rb":" + _VALUE + rb"\r\n)*")
_ANSWER_SECTION = re.compile(rb"(?:" + TOKEN + rb"[ \t]*:" + _VALUE + rb"\r\n)*")
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_NO_METHOD = re.compile(rb"(?!" + TOKEN + rb"(?: |\Z))")

_LINE_BESIDE_TARGET = 64
"""Bytes that a request line may have beside its target while it is not complete."""

Fields = list[tuple[bytes, bytes]]
"""Names and values in the order they came, names as spelled, values without the white space around them."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's first lines. `section` holds the field lines, unread, each with its CRLF."""

    method: bytes
    target: bytes
    minor: int
    section: bytes


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """An answer's first lines; `section` as in `RequestHead`."""

    status: int
    reason: bytes
    minor: int
    section: bytes


def without_empty_lines(data: bytes) -> bytes:
    """`data` without the empty lines at its beginning, which RFC 9112, 2.2 has a server read over."""
    match = _EMPTY_LINES.match(data)
    return data if match is None else data[match.end() :]


def cut_request_head(data: bytes, most_head: int, most_target: int) -> tuple[RequestHead, bytes] | None:
    """The head at the beginning of `data` and what follows it; None while more of it must come.

    The limits are in bytes; the one of the target holds for a request line that is not complete yet, too.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > most_head:
        line_end = data.find(b"\r\n")
        if (len(data) if line_end < 0 else line_end) > most_target + _LINE_BESIDE_TARGET:
            raise TargetTooLong(f"The request line is longer than {most_target} bytes.", close=True)
        check_beginning(data if end < 0 else data[: end + 2])
        if len(data) > most_head:
            raise HeadTooLarge(f"The head is larger than {most_head} bytes.", close=True)
        return None
    head = parse_request_head(data[: end + 2])
    if len(head.target) > most_target:
        raise TargetTooLong(f"The target is longer than {most_target} bytes.", close=True)
    return head, data[end + 4 :]


def parse_request_head(head: bytes) -> RequestHead:
    """Read a request's head without its closing empty line: `GET / HTTP/1.1 CRLF Host: x CRLF`.

    Only the start line is judged; `read_fields` judges the rest.
    """
    line, _, section = head.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise MalformedRequest(_explain_request_line(line), close=True)
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in b"01":
        raise VersionNotSupported(
            f"HTTP/{major.decode()}.{minor.decode()} is not spoken here; send HTTP/1.1.", close=True
        )
    return RequestHead(method, target, minor[0] - 48, section)


def parse_answer_head(head: bytes) -> AnswerHead:
    """Read an answer's head without its closing empty line. The reason may be absent (RFC 9112, 4)."""
    line, _, section = head.partition(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UpstreamMalformed("Amazon's answer does not begin with an HTTP/1.1 status line.")
    minor, status, reason = match.groups()
    return AnswerHead(int(status), reason or b"", minor[0] - 48, section)


def read_fields(section: bytes) -> Fields:
    """The fields of a request's header or trailer section, all of it valid or `MalformedRequest`."""
    if _FIELD_SECTION.fullmatch(section) is None:
        raise MalformedRequest(_explain_section(section), close=True)
    return _cut(section)


def read_answer_fields(section: bytes) -> Fields:
    """The fields of an answer's header or trailer section.

    White space before a colon is taken away, as RFC 9112, 5.1 demands of a proxy; a folded line (5.2) is refused.
    """
    if _ANSWER_SECTION.fullmatch(section) is None:
        raise UpstreamMalformed(f"Amazon's answer has a header section that is not valid: {_explain_section(section)}")
    return _cut(section)


def _cut(section: bytes) -> Fields:
    """The fields of a section that is known to be valid."""
    lines = [line.partition(b":") for line in section.split(b"\r\n")]
    del lines[-1]
    return [(name.rstrip(b" \t"), value.strip(b" \t")) for name, _, value in lines]


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
        raise MalformedRequest("The request does not begin with a method.", close=True)
    if beginning.count(b"\n") != beginning.count(b"\r\n"):
        raise MalformedRequest("A line ends in a bare LF; every line ends in CRLF.", close=True)
    line, ended, _ = beginning.partition(b"\r\n")
    if ended:
        parse_request_head(line)


def _explain_request_line(line: bytes) -> str:
    if b"\n" in line or b"\r" in line:
        return "The request line holds a bare CR or LF; every line ends in CRLF."
    if b"HTTP/" not in line:
        return "The request line has no HTTP version; HTTP/0.9 is not spoken here."
    if line.count(b" ") != 2:
        return "The request line is not `METHOD target HTTP/1.1` with single spaces between."
    return (
        "The request line is not valid: a method is letters and digits, a target has no spaces or control characters."
    )


def _explain_section(section: bytes) -> str:
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
        if re.fullmatch(_VALUE, value) is None:
            return f"Header line {number} has a control character in its value."
    return "The header section does not end in CRLF."
