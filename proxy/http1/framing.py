"""Where a body ends, and what of the bytes is body (RFC 9112, 6 and 7). Pure: bytes in, pieces out.

A body is fed as it arrives and gives back the payload as slices of what was fed; only what came as many small chunks is
joined, so that no byte costs an object of its own. Chunk extensions are read over and never passed on; a chunk's size
has at most 16 hexadecimal digits; only CRLF ends a line.

Each chunk costs time, however small it is. So a body reads `CHUNKS_AT_ONCE` of them and gives the rest back unread:
its connection feeds that again once others had their turn of the event loop.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Buffer = bytes | memoryview

LAST_CHUNK = b"0\r\n\r\n"

CHUNKS_AT_ONCE = 1000
"""Chunks that one turn of the event loop reads of a body: about two milliseconds."""
_PLAIN_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_MAX_CHUNK_LINE = 1024
_MAX_TRAILERS = 16384
_MAX_PIECES = 8
"""Chunks of one read that are given on as slices; more of them are joined."""
MEAN_CHUNK = 16
"""Bytes that the chunks of a thrifty body must hold on average, over any `CHUNK_WINDOW` of them: each costs time."""
CHUNK_WINDOW = 512
_MAX_ALLOWANCE = MEAN_CHUNK * CHUNK_WINDOW
_TRAILERS = -1
"""Stands for the bytes that are left of a chunk once the last one was read: trailers or the body's end come next."""


class Body(Protocol):
    """A body that is still arriving. `trailers` is the trailer section, each line with its CRLF, once finished."""

    finished: bool
    trailers: bytes

    def feed(self, data: bytes) -> tuple[list[Buffer], bytes]:
        """Give the pieces of payload in `data`, and the bytes behind the body's end; or those that are to be fed again
        in the next turn of the event loop, while the body is not `finished`."""
        ...


class CountedBody:
    """A body of Content-Length bytes."""

    __slots__ = ("finished", "remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.finished = length == 0
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[list[Buffer], bytes]:
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return [data], b""
        end, self.remaining, self.finished = self.remaining, 0, True
        if size == end:
            return [data], b""
        return ([memoryview(data)[:end]] if end else []), data[end:]


class UntilClose:
    """An answer's body that the end of the connection ends; `finished` is for the code that sees that end."""

    __slots__ = ("finished", "trailers")

    def __init__(self) -> None:
        self.finished = False
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[list[Buffer], bytes]:
        return [data], b""


class ChunkedBody:
    """A body in the chunked coding. What is not valid raises what `refuse` makes of the reason.

    One that must be `thrifty` is refused where its chunks are too many for what they hold. `_left` counts the bytes of
    the current chunk that are still to come, its CRLF included; 0 means that a size line comes next. `_line` is the
    beginning of a line whose end has not arrived. `_share` chunks may still be read in this turn.
    """

    __slots__ = ("_allowance", "_left", "_line", "_refuse", "_share", "_thrifty", "finished", "trailers")

    def __init__(self, refuse: Callable[[str], Exception], *, thrifty: bool = False) -> None:
        self._refuse = refuse
        self._thrifty = thrifty
        self._allowance = _MAX_ALLOWANCE
        self._share = CHUNKS_AT_ONCE
        self._left = 0
        self._line = b""
        self.finished = False
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[list[Buffer], bytes]:
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[Buffer] = []
        position, size, left, view = 0, len(data), self._left, memoryview(data)
        share = self._share or CHUNKS_AT_ONCE
        while position < size:
            if not left:
                if not share:
                    break
                share -= 1
                position, left = self._read_line(data, position)
                if not left:
                    break
            if left == _TRAILERS:
                position = self._trailer_section(data, position)
                break
            end = position + left - 2
            if payload := view[position:end]:
                pieces.append(payload)
            line_end = data[end : end + 2]
            if line_end == b"\r\n":
                position, left = end + 2, 0
            elif line_end in (b"", b"\r"):  # the rest of the chunk comes with the next read
                position, left, self._line = size, max(end - size, 0) + 2, line_end
            else:
                raise self._refuse("a chunk is longer than its size says")
        self._left, self._share = left, share
        if len(pieces) > _MAX_PIECES:
            pieces = [b"".join(pieces)]
        return pieces, data[position:]

    def _read_line(self, data: bytes, start: int) -> tuple[int, int]:
        """Where the size line ends, and what is left of the chunk behind it: 0 where the line is not here whole."""
        match = _PLAIN_LINE.match(data, start)
        if match is not None:
            end = match.end()
        else:
            end = data.find(b"\r\n", start, start + _MAX_CHUNK_LINE) + 2
            if end < 2:
                self._keep(data[start:], _MAX_CHUNK_LINE, "a chunk's size line")
                return len(data), 0
            match = _CHUNK_LINE.fullmatch(data, start, end - 2)
            if match is None:
                raise self._refuse("a chunk's size is not 1 to 16 hexadecimal digits")
        size = int(match[1], 16)
        if self._thrifty and size < _MAX_ALLOWANCE:
            self._allowance = min(self._allowance + size - MEAN_CHUNK, _MAX_ALLOWANCE)
            if self._allowance < 0:
                raise self._refuse(f"its chunks hold under {MEAN_CHUNK} bytes on average; gather more into each")
        return end, size + 2 if size else _TRAILERS

    def _trailer_section(self, data: bytes, position: int) -> int:
        """Read the trailers if they are here whole; give where the body ends."""
        if data.startswith(b"\r\n", position):
            self.finished = True
            return position + 2
        end = data.find(b"\r\n\r\n", position, position + _MAX_TRAILERS)
        if end < 0:
            self._keep(data[position:], _MAX_TRAILERS, "the trailer section")
            return len(data)
        self.trailers = data[position : end + 2]
        self._check_line_ends(self.trailers, "the trailer section")
        self.finished = True
        return end + 4

    def _keep(self, line: bytes, limit: int, what: str) -> None:
        """Hold an unfinished line back until more of it arrives, but not for ever and not if it can never be valid."""
        if len(line) >= limit:
            raise self._refuse(f"{what} is longer than {limit} bytes")
        self._check_line_ends(line, what)
        self._line = line

    def _check_line_ends(self, lines: bytes, what: str) -> None:
        if b"\n" in lines.replace(b"\r\n", b""):
            raise self._refuse(f"{what} holds a bare LF")


def chunk(pieces: list[Buffer]) -> list[Buffer]:
    """One chunk that holds all `pieces` (which must not be empty together: an empty chunk would end the body)."""
    return [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]


def whole_chunked(data: bytes, position: int = 0) -> bytes | None:
    """The payload of the chunked body that begins at this position, if it is here whole and plain; None for any other,
    which is for a `ChunkedBody`.

    A plain body has no chunk extensions, no trailers, nothing behind it, and no more chunks than one turn of the event
    loop reads.
    """
    pieces: list[memoryview] = []
    view = memoryview(data)
    while len(pieces) < CHUNKS_AT_ONCE and (match := _PLAIN_LINE.match(data, position)) is not None:
        size, start = int(match[1], 16), match.end()
        position = start + size + 2
        if data[position - 2 : position] != b"\r\n":
            break
        if not size:
            return b"".join(pieces) if position == len(data) else None
        pieces.append(view[start : position - 2])
    return None


def whole_chunks(payload: Buffer) -> bytes:
    """All of a body in the chunked coding, without trailers."""
    return b"".join((b"%x\r\n" % len(payload), payload, b"\r\n0\r\n\r\n")) if payload else LAST_CHUNK


def has_no_body(status: int, to_head: bool) -> bool:
    """Whether an answer ends with its head, whatever its fields say (RFC 9112, 6.3, rule 1)."""
    return to_head or status in (204, 304) or status < 200
