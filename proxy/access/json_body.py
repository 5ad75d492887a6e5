"""Bodies that are checked before they are sent: how they must come. Pure.

What two readers could understand differently is refused rather than checked; what is checked are the bytes that are
sent. What they hold is read by `proxy.strict_json`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

_JSON = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json(?:[ \t]*;[ \t]*charset=(?:utf-8|\"utf-8\"))?")


def find_odd_form(fields: RequestFields, media_types: str = "application/json") -> str:
    """What of the header fields that leave makes a doubt how the body is to be read; empty for nothing. Any JSON is
    read; `media_types` are those that the server takes."""
    lines = [line.partition(b":") for line in fields.passing.lower().split(b"\r\n") if b"content" in line]
    sent = [(name.replace(b"_", b"-"), value.strip(b" \t")) for name, _, value in lines]
    kinds = [value for name, value in sent if name == b"content-type"]
    if len(kinds) != 1 or not _JSON.fullmatch(kinds[0]):
        return f"the body must be sent as Content-Type: {media_types}, in UTF-8"
    if any(name == b"content-encoding" and value not in (b"", b"identity") for name, value in sent):
        return "the body must be sent without Content-Encoding"
    return ""
