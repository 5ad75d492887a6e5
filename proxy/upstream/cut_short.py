"""Why there is no answer where a connection to Amazon ended before one was whole. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamClosed, UpstreamMalformed

if TYPE_CHECKING:
    from proxy.errors import Refused


def cut_short(head: bytes) -> Refused:
    """Given what had come of a head. Lines that end in LF alone are no head to wait for."""
    if head.count(b"\n") > head.count(b"\r\n"):
        return UpstreamMalformed("Amazon's answer has a line that ends without a CR.")
    if head:
        return UpstreamClosed("Amazon closed the connection within the head of its answer.")
    return UpstreamClosed("Amazon closed the connection before its answer was complete.")
