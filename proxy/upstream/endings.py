"""Why there is no response, or not the whole of one, as the tool is told it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamClosed, UpstreamMalformed, UpstreamTimeout

if TYPE_CHECKING:
    from proxy.errors import Refused


def cut(head: bytes) -> Refused:
    """The connection ended, given what had come of a head. Lines that end in LF alone are no head to wait for."""
    if head.count(b"\n") > head.count(b"\r\n"):
        return UpstreamMalformed("Amazon's answer has a line that ends without a CR.")
    if head:
        return UpstreamClosed("Amazon closed the connection within the head of its answer.")
    return UpstreamClosed("Amazon closed the connection before its answer was complete.")


def late(what: str, limit: float) -> UpstreamTimeout:
    """It did not do that within so many seconds."""
    return UpstreamTimeout(f"Amazon did not {what} within {limit:g} s; raise the time-out if that is usual.")
