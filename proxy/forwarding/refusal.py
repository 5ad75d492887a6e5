"""The proxy's own answer to a request, as bytes: a problem document that fits what was asked. Pure but for the Date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy import problem
from proxy.errors import InternalError, NeverForwarded
from proxy.routing.target import ends_like_mcp

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.errors import Refused
    from proxy.forwarding.decision import Rules
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


def send_refusal(client: ClientPort, error: Refused, request: Request, rules: Rules) -> int:
    """Answer a request with an error. Returns how many bytes the body of the answer has."""
    keep = not error.close and client.stays_open(request)
    response = refusal_response(error, request, rules.response_lines, close=not keep)
    client.send([response])
    client.finish(keep=keep)
    return payload_size(response)


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
