"""The head of a response as the tool gets it: Amazon's lines that pass, and the few that are ours.

A Date is added where Amazon sent none (RFC 9110, 6.6.1).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.problem import date_line

if TYPE_CHECKING:
    from proxy.http1.message import Request, Response

CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def render_response_head(
    response: Response, passing: bytes, request: Request, response_lines: bytes, framing: bytes
) -> bytes:
    """`passing` and `response_lines` hold whole lines, and so does `framing`: what is said of body and connection."""
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason),
            passing,
            b"" if b"date" in response.fields.values else date_line(int(time.time())),
            response_lines,
            b"X-Request-Id: %b\r\n" % request.id.encode("latin-1"),
            framing,
            b"\r\n",
        )
    )


def connection_line(minor: int, *, keep: bool) -> bytes:
    """What the tool of HTTP/1.`minor` is told of its connection: nothing where that goes without saying."""
    if not keep:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if minor == 0 else b""
