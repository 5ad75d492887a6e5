"""The answers that the proxy gives itself: RFC 9457 problem documents with Amazon's `code` and `details` beside.

Pure: an error and a few plain values in, the bytes of a whole answer out.
"""

from __future__ import annotations

import json
import math
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.errors import Refused

TYPE_PREFIX = "urn:ads-proxy:error:"
"""Followed by the slug. It names the problem and leads nowhere; docs/errors.md describes each."""


def reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def document(error: Refused, request_id: str) -> dict[str, object]:
    """The problem document. `type` ends in the stable slug; `detail` says what to do."""
    return {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "details": error.detail,
        "retryable": error.retryable,
        "request_id": request_id,
    }


def own_lines(now: float, further: bytes) -> bytes:
    """The header lines of every answer of the proxy's own: Date, by wall-clock time, and the `further` ones."""
    return date_line(int(now)) + further


@lru_cache(maxsize=4)
def date_line(now: int) -> bytes:
    """The Date header's whole line; its clock has whole seconds."""
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode("ascii")


def json_answer(body: bytes, status: int, request_id: str, *, close: bool, extra: bytes) -> bytes:
    """The whole answer to a message that is not answered by a problem document; `extra` as for `answer`."""
    lines = [
        f"HTTP/1.1 {status} {reason_phrase(status)}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Request-Id: {request_id}",
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n" + extra + b"\r\n" + body


def answer(error: Refused, request_id: str, *, to_head: bool, close: bool, extra: bytes) -> bytes:
    """The whole answer. `extra` holds further header lines, such as `own_lines`."""
    body = json.dumps(document(error, request_id)).encode()
    lines = [
        f"HTTP/1.1 {error.status} {reason_phrase(error.status)}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Proxy-Status: ads-proxy; error={error.proxy_error}",
        f"X-Request-Id: {request_id}",
    ]
    if error.retry_after is not None:
        lines.append(f"Retry-After: {max(1, math.ceil(error.retry_after))}")
    if error.status == 401:
        lines.append('WWW-Authenticate: Bearer realm="ads-proxy"')
    if error.status == 405:
        lines.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + extra + b"\r\n"
    return head if to_head else head + body
