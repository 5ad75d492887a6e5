"""Strict HTTP/1.1 reading of received bytes (RFC 9112): what left a proxy, on either side, must read as exactly this.

Pure: bytes in, values out. It forgives nothing, because whatever is forgiven here would be a defect left unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^\x00-\x20\x7f]+) (HTTP/1\.[01])\Z")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ([^\x00\r\n]*)\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\Z")


class Malformed(Exception):
    """The bytes are no HTTP/1.1 message and never become one."""


class Incomplete(Exception):
    """The bytes are the beginning of a message."""


@dataclass(frozen=True, slots=True)
class Head:
    """A start line and its fields, with the raw bytes they came from."""

    start: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    raw: bytes

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Body:
    """A body as framed on the wire: framing is none, length, chunked or close."""

    framing: str
    content: bytes
    complete: bool
    end: int
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    method: bytes
    target: bytes
    version: bytes
    head: Head
    body: Body


@dataclass(frozen=True, slots=True)
class Answer:
    """One final answer with the interim ones before it."""

    version: bytes
    status: int
    head: Head
    body: Body
    interim: tuple[int, ...]


def read_fields(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Field lines, each ended by CRLF, into pairs."""
    pairs = []
    for line in block.split(b"\r\n")[:-1]:
        if re.search(rb"[\x00\r\n]", line):
            raise Malformed(f"NUL, bare CR or bare LF in {line!r}")
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed(f"bad field line {line!r}")
        pairs.append((name, value.strip(b" \t")))
    return tuple(pairs)


def read_head(data: bytes, at: int) -> tuple[Head, int]:
    """The head that begins at an offset, and where it ends."""
    end = data.find(b"\r\n\r\n", at)
    first_lf = data.find(b"\n", at)
    if first_lf >= 0 and (first_lf == at or data[first_lf - 1] != 13):
        raise Malformed(f"bare LF in {data[at : at + 80]!r}")
    if end < 0:
        raise Incomplete
    start, _, block = data[at : end + 2].partition(b"\r\n")
    return Head(start, read_fields(block), data[at : end + 4]), end + 4


def length_of(head: Head) -> int | None:
    """The one Content-Length, which must be plain digits."""
    values = head.values(b"content-length")
    if not values:
        return None
    if len(values) > 1 or not re.match(rb"[0-9]{1,19}\Z", values[0]):
        raise Malformed(f"Content-Length {values!r}")
    return int(values[0])


def is_chunked(head: Head) -> bool:
    """Whether chunked frames the message; anything else in Transfer-Encoding is a fault."""
    values = head.values(b"transfer-encoding")
    if not values:
        return False
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise Malformed(f"Transfer-Encoding {values!r}")
    if head.values(b"content-length"):
        raise Malformed("Transfer-Encoding next to Content-Length")
    return True


def read_chunked(data: bytes, at: int) -> Body:
    """A chunked body with its trailers; complete is false where the bytes run out."""
    start, pieces = at, list[bytes]()
    while True:
        eol = data.find(b"\r\n", at)
        if eol < 0:
            return Body("chunked", b"".join(pieces), False, len(data), raw=data[start:])
        match = CHUNK_LINE.match(data[at:eol])
        if not match:
            raise Malformed(f"chunk line {data[at:eol][:80]!r}")
        size, at = int(match[1], 16), eol + 2
        if size == 0:
            break
        pieces.append(data[at : at + size])
        if len(data) < at + size + 2:
            return Body("chunked", b"".join(pieces), False, len(data), raw=data[start:])
        if data[at + size : at + size + 2] != b"\r\n":
            raise Malformed("chunk data is not followed by CRLF")
        at += size + 2
    end = at if data[at : at + 2] == b"\r\n" else data.find(b"\r\n\r\n", at) + 2
    if len(data) < at + 2 or end == 1:
        return Body("chunked", b"".join(pieces), False, len(data), raw=data[start:])
    return Body("chunked", b"".join(pieces), True, end + 2, read_fields(data[at:end]), data[start : end + 2])


def read_counted(data: bytes, at: int, length: int) -> Body:
    """A body of a known length."""
    content = data[at : at + length]
    return Body("length", content, len(content) == length, at + len(content), raw=content)


def read_request(data: bytes, at: int) -> tuple[Request, int]:
    """The request that begins at an offset, and where it ends."""
    head, after = read_head(data, at)
    match = REQUEST_LINE.match(head.start)
    if not match:
        raise Malformed(f"request line {head.start[:80]!r}")
    if len(head.values(b"host")) > 1 or (match[3] == b"HTTP/1.1" and not head.values(b"host")):
        raise Malformed(f"Host fields {head.values(b'host')!r}")
    if is_chunked(head):
        if match[3] == b"HTTP/1.0":
            raise Malformed("Transfer-Encoding in an HTTP/1.0 request")
        body = read_chunked(data, after)
    elif (length := length_of(head)) is not None:
        body = read_counted(data, after, length)
    else:
        body = Body("none", b"", True, after)
    if not body.complete:
        raise Incomplete
    return Request(match[1], match[2], match[3], head, body), body.end


def read_answer(data: bytes, at: int, bodiless: bool, ended: bool) -> tuple[Answer, int]:
    """The final answer from an offset on. `bodiless`: it answers HEAD. `ended`: the connection closed in order."""
    interim: list[int] = []
    while True:
        head, at = read_head(data, at)
        match = STATUS_LINE.match(head.start)
        if not match:
            raise Malformed(f"status line {head.start[:80]!r}")
        status = int(match[2])
        if status >= 200 or status == 101:
            break
        interim.append(status)
    chunked = is_chunked(head)
    length = length_of(head)
    if chunked and match[1] == b"HTTP/1.0":
        raise Malformed("Transfer-Encoding in an HTTP/1.0 answer")
    if bodiless or status in (101, 204, 304):
        body = Body("none", b"", True, at)
    elif chunked:
        body = read_chunked(data, at)
    elif length is not None:
        body = read_counted(data, at, length)
    else:
        body = Body("close", data[at:], ended, len(data), raw=data[at:])
    return Answer(match[1], status, head, body, tuple(interim)), body.end


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything that a client received: whole or broken answers, then what could not be read."""

    answers: tuple[Answer, ...]
    rest: bytes
    fault: str


def read_conversation(data: bytes, heads: frozenset[int], ended: bool) -> Conversation:
    """All answers in a client's received bytes; `heads` are the positions of HEAD requests."""
    answers: list[Answer] = []
    at = 0
    try:
        while at < len(data):
            answer, at = read_answer(data, at, len(answers) in heads, ended)
            answers.append(answer)
            if not answer.body.complete:
                break
    except Incomplete:
        return Conversation(tuple(answers), data[at:], "")
    except Malformed as fault:
        return Conversation(tuple(answers), data[at:], str(fault))
    return Conversation(tuple(answers), b"", "")
