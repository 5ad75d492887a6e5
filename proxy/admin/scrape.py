"""How `/metrics` is answered: in pieces, compressed where the scraper takes gzip. What they say is not known here."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.admin.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK: Final = 1 << 17
_LEVEL: Final = 1
"""Metrics repeat themselves so much that the other levels cost much and gain little."""
_GZIP: Final = 31
"""zlib's window bits for the largest window within gzip's format."""


async def answer_in_pieces(
    request: web.Request, pieces: Iterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """An answer that is made while it is sent, compressed where the client takes gzip (RFC 9110, section 12.5.3).

    The event loop serves others in between, and compression runs in a thread, which Python lets run at the same time.
    """
    answer = web.StreamResponse(headers={**headers, "Vary": "Accept, Accept-Encoding"})
    compress = None
    if accepts_gzip(request.headers.get("Accept-Encoding", "")):
        answer.headers["Content-Encoding"] = "gzip"
        compress = zlib.compressobj(_LEVEL, wbits=_GZIP)
    pause, gathered, size = Pauses(), [], 0
    with contextlib.suppress(ConnectionError):  # the client disconnected
        await answer.prepare(request)
        for piece in pieces if request.method != "HEAD" else ():
            gathered.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                await _send(answer, b"".join(gathered), compress)
                gathered, size = [], 0
            await pause()
        await _send(answer, b"".join(gathered), compress)
        await answer.write_eof(compress.flush() if compress is not None and request.method != "HEAD" else b"")
    return answer


async def _send(answer: web.StreamResponse, chunk: bytes, compress: zlib._Compress | None) -> None:
    if compress is not None and chunk:
        chunk = await asyncio.to_thread(compress.compress, chunk)
    if chunk:
        await answer.write(chunk)


def accepts_gzip(field: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, and not with a weight of zero. Pure."""
    for entry in field.lower().split(","):
        coding, *parameters = (part.strip() for part in entry.split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
