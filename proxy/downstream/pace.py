"""How fast a body must come and a response be taken, so that nobody holds a place by being slow. Pure.

Both are averages over `PERIOD`. A pause that is ours, or Amazon's, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import RequestTimeout

if TYPE_CHECKING:
    from proxy.downstream.ports import ConnectionLimits, RequestHandler

PERIOD = 10.0
"""Seconds over which a rate is averaged."""
LINGER = 2.0
"""Seconds that a closing connection goes on reading, so that its last answer is not torn away (RFC 9112, 9.6);
as many again with each read, for a tool that still sends a body."""
MAX_LINGER = 30.0
"""Seconds of it in all."""


class UploadPace:
    """What comes of a body. `start` whenever more is expected that was not before."""

    __slots__ = ("_received", "_silent_since", "_since")

    def __init__(self) -> None:
        self._since = self._silent_since = 0.0
        self._received = 0

    def start(self, now: float) -> None:
        self._since = self._silent_since = now
        self._received = 0

    def note(self, size: int, now: float) -> None:
        """So many bytes came."""
        self._received += size
        self._silent_since = now

    def deadline(self, limits: ConnectionLimits) -> float:
        """When to look again."""
        silent = self._silent_since + limits.body_timeout
        return min(silent, self._since + PERIOD) if limits.min_body_rate else silent

    def judge(self, now: float, limits: ConnectionLimits) -> RequestTimeout | None:
        """At the deadline: what to tell a tool that sends nothing, or too little; a period that is over begins anew."""
        if now >= self._silent_since + limits.body_timeout:
            return RequestTimeout(
                f"No byte of the body came for {limits.body_timeout:g} s; send it without such pauses.", close=True
            )
        if limits.min_body_rate and now >= self._since + PERIOD:
            if self._received < limits.min_body_rate * PERIOD:
                return RequestTimeout(
                    f"Under {limits.min_body_rate} bytes of the body came in a second (limits.min_body_rate, averaged "
                    f"over {PERIOD:g} s); send it faster.",
                    close=True,
                )
            self._since, self._received = now, 0
        return None


class DownloadPace:
    """What a tool takes of what was sent. `sent` counts all bytes given to the transport."""

    __slots__ = ("_taken", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._taken = 0

    def is_kept(self, unsent: int, least: int) -> bool:
        """Whether there is something to take and at least so many bytes were taken since this was asked last."""
        before, self._taken = self._taken, self.sent - unsent
        return unsent > 0 and self._taken - before >= least


def least_taken(limits: ConnectionLimits, handler: RequestHandler | None) -> tuple[float, int]:
    """(seconds, bytes): how many bytes a tool that is slower than Amazon must take in how long a time."""
    if handler is None or not handler.paced or not limits.min_body_rate:
        return limits.send_timeout, 1
    period = min(PERIOD, limits.send_timeout)
    return period, max(1, int(limits.min_body_rate * period))
