"""The one place that writes answers to a connection, faults included."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from aiohttp import web

from proxy.simulator.answers import MARK, Answer
from proxy.simulator.faults import Fault, end, kill, stop_at

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
    if fault is not None and (fault.head_interval or "mid_head" in (fault.abort, fault.hang)):
        await write_slowly(request, answer, fault)
    response = open_response(request, answer)
    await response.prepare(request)
    if request.method != "HEAD" and answer.status not in (204, 304):
        await write_body(request, response, answer, fault)
    if fault is not None:
        await stop_at("mid_body", request, fault)
    await response.write_eof()
    if fault is not None:
        await after_answer(request, fault)
    return response


async def write_body(
    request: web.BaseRequest, response: web.StreamResponse, answer: Answer, fault: Fault | None
) -> None:
    """Writes the body, as far as the fault lets it."""
    stops = fault is not None and "mid_body" in (fault.abort, fault.hang)
    written = 0
    async for piece in pieces(answer, fault):
        if fault is not None and stops and written + len(piece) >= fault.abort_after:
            await response.write(piece[: fault.abort_after - written])
            await stop_at("mid_body", request, fault)
        await response.write(piece)
        written += len(piece)


async def after_answer(request: web.BaseRequest, fault: Fault) -> None:
    """What a fault does once an answer is out."""
    transport = request.transport
    if transport is None:
        return
    if fault.extra:
        transport.write(fault.extra)
    if fault.close_after is not None:
        asyncio.get_running_loop().call_later(fault.close_after, partial(end, transport, reset=fault.reset))
    await stop_at("after_answer", request, fault)


async def write_slowly(request: web.BaseRequest, answer: Answer, fault: Fault) -> NoReturn:
    """Writes a head piece by piece, or stops in the middle of it; the body comes counted, and the connection ends."""
    body = b"".join([piece async for piece in pieces(answer, None)])
    headers = (*answer.headers, MARK, ("Server", "Server"), ("Content-Length", str(len(body))), ("Connection", "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{lines}\r\n".encode("latin-1")
    stops = "mid_head" in (fault.abort, fault.hang)
    size = fault.piece_bytes if fault.head_interval else len(head)
    wanted = head[: fault.abort_after] if stops else head
    for start in range(0, len(wanted), size):
        if start:
            await asyncio.sleep(fault.head_interval)
        if request.transport is not None:
            request.transport.write(wanted[start : start + size])
    await stop_at("mid_head", request, fault)
    if request.transport is not None and request.method != "HEAD":
        request.transport.write(body)
    await kill(request, fault)
