"""The answers that the proxy gives itself: RFC 9457 problem documents with Amazon's `code` and `details`.

Pure: an error and a few plain values in, the bytes of a whole answer out.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from proxy.errors import MethodNotAllowed
from proxy.secret import mask_keys

if TYPE_CHECKING:
    from proxy.errors import Refused

TYPE_PREFIX = "urn:ads-proxy:error:"
"""Followed by the slug. It names the problem and leads nowhere; docs/reference/errors.md describes each."""


_MESSAGE_REFUSED = -32012
"""The JSON-RPC error code of every refusal of the proxy's own: servers choose theirs from -32099 to -32000."""


class BodyForm(Enum):
    """What an answer has for a body."""

    NONE = auto()
    """The answer to a HEAD."""
    PROBLEM = auto()
    MESSAGE = auto()
    """The problem document, which is a JSON-RPC error as well: for clients of MCP, which show nothing else."""


def reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def document(error: Refused, request_id: str) -> dict[str, object]:
    """The problem document. `type` ends in the stable slug; `detail` says what to do."""
    detail = mask_keys(error.detail)
    return {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": detail,
        "code": error.code,
        "details": detail,
        "retryable": error.retryable,
        "request_id": request_id,
        **error.further,
    }


def message(error: Refused, request_id: str) -> dict[str, object]:
    """The problem document with the members of a JSON-RPC error.

    The id is null: the refused message was not read (MCP, Transports, Streamable HTTP, Sending Messages to the Server).
    """
    found = document(error, request_id)
    data = {name: found[name] for name in ("type", "status", "retryable", "request_id")}
    inner = {"code": _MESSAGE_REFUSED, "message": found["detail"], "data": data}
    return {"jsonrpc": "2.0", "id": None, "error": inner, **found}


def own_lines(now: float, further: bytes) -> bytes:
    """The header lines of every answer of the proxy's own: Date, by wall-clock time, and the `further` ones."""
    return date_line(int(now)) + further


@lru_cache(maxsize=4)
def date_line(now: int) -> bytes:
    """The Date header's whole line; its clock has whole seconds."""
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode("ascii")


def proxy_status(error: Refused) -> str:
    """The header line by which a refusal is told from what Amazon answers (RFC 9209), without its end."""
    return f"Proxy-Status: ads-proxy; error={error.proxy_error}"


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


def answer(error: Refused, request_id: str, form: BodyForm, *, close: bool, extra: bytes) -> bytes:
    """The whole answer. `extra` holds further header lines, such as `own_lines`."""
    content = message(error, request_id) if form is BodyForm.MESSAGE else document(error, request_id)
    body = json.dumps(content).encode()
    lines = [
        f"HTTP/1.1 {error.status} {reason_phrase(error.status)}",
        f"Content-Type: application/{'json' if form is BodyForm.MESSAGE else 'problem+json'}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        proxy_status(error),
        f"X-Request-Id: {request_id}",
    ]
    if error.wait is not None:
        lines.append(f"Retry-After: {error.wait}")
    if error.status == 401:
        lines.append('WWW-Authenticate: Bearer realm="ads-proxy"')
    if error.status == 407:
        lines.append('Proxy-Authenticate: Basic realm="ads-proxy"')
    if isinstance(error, MethodNotAllowed):
        lines.append(f"Allow: {error.allow}")
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + extra + b"\r\n"
    return head if form is BodyForm.NONE else head + body
