"""Which body follows a request's head, and how large it may be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import ContentTooLarge, MalformedRequest
from proxy.http1.framing import ChunkedBody, CountedBody

if TYPE_CHECKING:
    from proxy.http1.framing import Body
    from proxy.http1.message import Request


def body_of(request: Request, max_bytes: int) -> Body:
    """The body to be read behind a head that announces one; 0 is no limit. Raises `ContentTooLarge`."""
    fields = request.fields
    if fields.chunked:
        return ChunkedBody(lambda why: MalformedRequest(f"The body is chunked, but {why}.", close=True), thrifty=True)
    assert fields.content_length is not None
    check_body_size(fields.content_length, max_bytes)
    return CountedBody(fields.content_length)


def check_body_size(size: int, max_bytes: int) -> None:
    if max_bytes and size > max_bytes:
        raise ContentTooLarge(f"The body is larger than {max_bytes} bytes (limits.max_body_bytes).", close=True)
