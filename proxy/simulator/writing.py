"""The one place that writes answers to a connection, faults included."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.simulator.answers import MARK, Answer
from proxy.simulator.faults import Fault, kill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def pieces(answer: Answer, fault: Fault | None) -> AsyncIterator[bytes]:
    """The body in the pieces in which it is written."""
    if answer.stream is not None:
        async for piece in answer.stream:
            yield piece
        return
    size = fault.piece_bytes if fault and fault.piece_interval else len(answer.body) or 1
    for start in range(0, len(answer.body), size):
        if start and fault:
            await asyncio.sleep(fault.piece_interval)
        yield answer.body[start : start + size]


class CloseDelimited(web.StreamResponse):
    """An answer whose body ends with the connection: neither counted nor chunked."""

    _length_check = False


def open_response(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """The head of an answer, its framing decided."""
    kind = CloseDelimited if answer.framing == "close" else web.StreamResponse
    response = kind(status=answer.status)
    for name, value in (*answer.headers, MARK, ("Server", "Server")):
        response.headers.add(name, value)
    length = answer.length if answer.stream is not None else len(answer.body)
    counted = answer.framing == "counted" or (answer.stream is not None and answer.length is not None)
    bodiless = answer.status in (204, 304) or answer.status < 200
    if not bodiless and counted:
        response.content_length = length
    if answer.framing == "close":
        response.force_close()
    return response


async def send(request: web.BaseRequest, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Writes the answer, as the fault wants it. A connection that the fault kills ends the handler."""
    response = open_response(request, answer)
    await response.prepare(request)
    written = 0
    if request.method != "HEAD" and answer.status not in (204, 304):
        async for piece in pieces(answer, fault):
            cut = fault is not None and fault.abort == "mid_body" and written + len(piece) >= fault.abort_after
            if cut and fault is not None:
                await response.write(piece[: fault.abort_after - written])
                await kill(request, fault)
            await response.write(piece)
            written += len(piece)
    if fault is not None and fault.abort == "mid_body":
        await kill(request, fault)
    await response.write_eof()
    if fault is not None and fault.close_after is not None and request.transport is not None:
        asyncio.get_running_loop().call_later(fault.close_after, request.transport.close)
    return response
