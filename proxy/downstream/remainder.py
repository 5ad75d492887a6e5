"""What is left of a request's body behind an answer that did not wait for it.

It is read over where it is little and sure to come, so that the connection can serve the next request; else the answer
says that the connection ends with it (RFC 9112, 9.3 and 9.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http1.framing import CountedBody

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort
    from proxy.errors import Refused
    from proxy.http1.framing import Body, Buffer

MAX_REMAINDER = 65536
"""Bytes that are read over. The limits on a body's pace hold for them, too."""


def ends_soon(body: Body | None, *, expects_continue: bool) -> bool:
    """Whether what is left of a body can be read over: not an unknown rest, nor one that may never come.

    Who waits for a 100 may leave the body out once there is an answer (RFC 9110, 10.1.1).
    """
    if body is None:
        return True
    return isinstance(body, CountedBody) and body.remaining <= MAX_REMAINDER and not expects_continue


class Remainder:
    """Reads it over. Implements `RequestHandler` for a request that has its answer."""

    max_wire_bytes = 0
    paced = True
    endless = False

    def __init__(self, client: ClientPort) -> None:
        self._client = client

    def __repr__(self) -> str:
        return "<Remainder of a body>"

    def start(self) -> None:
        """There is nothing to begin."""

    def request_data(self, pieces: list[Buffer]) -> None:
        """Nobody wants it."""

    def request_ended(self, trailers: bytes) -> None:
        self._client.finish(keep=True)

    def request_broken(self, error: Refused) -> None:
        """A second answer would be taken for that to the next request."""
        self._client.finish(keep=False)

    def client_gone(self) -> None:
        """Its account is closed already."""

    def client_writable(self, writable: bool) -> None:
        """What is on its way is in the connection's hands."""

    def time_out(self) -> None:
        self._client.abort()
