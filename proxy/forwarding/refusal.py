"""The proxy's own answer to a request, as bytes: a problem document that fits what was asked. Pure but for the Date."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

from proxy import problem
from proxy.errors import InternalError, NeverForwarded
from proxy.routing.target import ends_like_mcp

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.http1.message import Request


def refusal_response(error: Refused, request: Request, further: bytes, *, close: bool) -> bytes:
    """The whole response; `further` are header lines that every response carries."""
    lines = problem.own_lines(time.time(), further)
    if not close and request.minor == 0:
        lines += b"Connection: keep-alive\r\n"
    if error.answer:
        lines += problem.proxy_status(error).encode() + b"\r\n"
        return problem.json_answer(error.answer, error.sent_status, request.id, close=close, extra=lines)
    return problem.answer(error, request.id, _form(error, request), close=close, extra=lines)


def payload_size(response: bytes) -> int:
    """Bytes of the body of a whole response."""
    return len(response) - response.index(b"\r\n\r\n") - 4


def _form(error: Refused, request: Request) -> problem.BodyForm:
    if request.method == b"HEAD":
        return problem.BodyForm.NONE
    if isinstance(error, NeverForwarded):  # its `error` is a text of OAuth, and its path may end like the endpoint's
        return problem.BodyForm.PROBLEM
    to_mcp = request.method == b"POST" and ends_like_mcp(request.target)
    return problem.BodyForm.MESSAGE if to_mcp else problem.BodyForm.PROBLEM


def internal_error() -> InternalError:
    """The answer to a client after a defect."""
    return InternalError("Internal error of the proxy; its log has the details. Try again.", close=True)


# --- What an error of Amazon's says, as far as it is looked at -------------------------------------------

MAX_READ = 4096
"""Bytes that are looked at: Amazon's errors are a sentence long."""


def readable(body: bytes, content_encoding: bytes) -> bytes:
    """The beginning of a body in lower case; empty where its coding is not known, or it is not what it says."""
    coding = content_encoding.lower()
    if coding in (b"gzip", b"x-gzip"):
        body = _unzipped(body)
    elif coding not in (b"", b"identity"):
        return b""
    return body[:MAX_READ].lower()


def _unzipped(body: bytes) -> bytes:
    """As much as there is, and no more than is looked at."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_READ)
    except zlib.error:
        return b""
