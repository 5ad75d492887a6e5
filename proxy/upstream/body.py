"""Which body follows a response's head. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamMalformed
from proxy.http1.framing import ChunkedBody, CountedBody, UntilClose, whole_chunked

if TYPE_CHECKING:
    from proxy.http1.framing import Body
    from proxy.http1.response_fields import ResponseFields


def body_of(fields: ResponseFields, *, bodyless: bool) -> Body:
    """The body to be read behind a head with these fields (RFC 9112, 6.3)."""
    if bodyless:
        return CountedBody(0)
    if fields.chunked:
        return ChunkedBody(_malformed)
    if fields.content_length is not None:
        return CountedBody(fields.content_length)
    return UntilClose()


def payload_of(data: bytes) -> bytes | None:
    """The payload of a response's chunked body that is here whole, as `whole_chunked` has it."""
    return whole_chunked(data, _malformed)


def _malformed(why: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"Amazon's answer is chunked, but {why}.")
