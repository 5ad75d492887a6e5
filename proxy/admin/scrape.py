"""How `/metrics` is answered: in pieces, compressed where the scraper takes gzip. What they say is not known here.

Most of a scrape is the same as the last time. A gzip stream may consist of any number of blocks (RFC 1951), so pieces
are compressed in runs, each without regard to those before it, and the blocks of an unchanged run are used again.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.admin.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

Run = tuple[bytes, ...]
_RUN_PIECES: Final = 32
"""Some 80 kB: enough for gzip to find what repeats itself, little enough that most runs have no change."""
_FAMILY: Final = b"#"
"""How a family of metrics begins. It begins a run, so that what is added to one family moves no piece of the next."""
_LEVEL: Final = 1
"""Metrics repeat themselves so much that the other levels cost much and gain little."""
_GZIP_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""RFC 1952, section 2.3: deflate, and nothing that may be left out."""
_LAST_BLOCK: Final = b"\x03\0"
"""Every stream has one; it is empty."""


class ScrapeAnswers:
    """Answers that are made while they are sent."""

    def __init__(self) -> None:
        self._blocks: Mapping[Run, bytes] = {}
        """The compressed runs of the last scrape."""

    def __repr__(self) -> str:
        return f"<ScrapeAnswers: {len(self._blocks)} runs compressed>"

    async def send(
        self, request: web.Request, pieces: Iterator[bytes], headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """The pieces, compressed where the client takes gzip (RFC 9110, section 12.5.3)."""
        answer = web.StreamResponse(headers={**headers, "Vary": "Accept, Accept-Encoding"})
        gzip = None
        if accepts_gzip(request.headers.get("Accept-Encoding", "")):
            answer.headers["Content-Encoding"] = "gzip"
            gzip = GzipStream(self._blocks)
        with contextlib.suppress(ConnectionError):  # the client disconnected
            await answer.prepare(request)
            if request.method != "HEAD":
                async for run in runs_of(pieces):
                    await answer.write(b"".join(run) if gzip is None else gzip.add(run))
                if gzip is not None:
                    await answer.write(gzip.end())
                    self._blocks = gzip.blocks
            await answer.write_eof()
        return answer


async def runs_of(pieces: Iterator[bytes]) -> AsyncIterator[Run]:
    """The pieces, many at a time. The event loop serves others in between."""
    pause, run = Pauses(), list[bytes]()
    for piece in pieces:
        if run and (len(run) == _RUN_PIECES or piece.startswith(_FAMILY)):
            yield tuple(run)
            run = []
        if piece:
            run.append(piece)
        await pause()
    if run:
        yield tuple(run)


class GzipStream:
    """The stream of one text (RFC 1952). `known` has the blocks of runs of an earlier one, `blocks` gets those of this
    one."""

    def __init__(self, known: Mapping[Run, bytes]) -> None:
        self._known = known
        self.blocks: dict[Run, bytes] = {}
        self._checksum = self._size = 0

    def __repr__(self) -> str:
        return f"<GzipStream of {self._size} bytes>"

    def add(self, run: Run) -> bytes:
        """What comes next in the stream. To compress a run takes 0.2 ms, less than to have a thread do it."""
        head = b"" if self._size else _GZIP_HEAD
        text = b"".join(run)
        self._checksum, self._size = zlib.crc32(text, self._checksum), self._size + len(text)
        blocks = self._known.get(run)
        if blocks is None:
            blocks = compress_run(text)
        self.blocks[run] = blocks
        return head + blocks

    def end(self) -> bytes:
        """The end of the stream, if there was a run in it."""
        return _LAST_BLOCK + self._checksum.to_bytes(4, "little") + (self._size % (1 << 32)).to_bytes(4, "little")


def compress_run(text: bytes) -> bytes:
    """Whole bytes of blocks, none of them the last."""
    compress = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
    return compress.compress(text) + compress.flush(zlib.Z_SYNC_FLUSH)


def accepts_gzip(field: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, and not with a weight of zero. Pure."""
    for entry in field.lower().split(","):
        coding, *parameters = (part.strip() for part in entry.split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
