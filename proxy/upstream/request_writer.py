"""Requests on their way out, one after another on one connection, without losing an answer that comes too early.

What came is read before more of a body is written, and a write that fails ends the writing and nothing else, as
`proxy.net.socket_writer` and `proxy.net.tls` have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.net.socket_writer import SocketWriter
from proxy.net.tls import TlsTransport

if TYPE_CHECKING:
    import asyncio

    from proxy.http1.framing import Buffer

_MAX_HELD = 65536
"""In bytes: an event loop may read one tool's upload many times before it comes to what was put off."""
_ROUNDS = 2
"""Turns of the event loop within which everything that had come is read."""


class RequestWriter:
    """Writes to one transport. `refused`: the peer takes no more of this request, and what is left of it is dropped."""

    __slots__ = ("_ended", "_held", "_loop", "_outlet", "_refused", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._outlet = transport if isinstance(transport, TlsTransport) else SocketWriter(transport)
        self._held: list[Buffer] = []
        self._ended = True
        self._refused = False

    def __repr__(self) -> str:
        state = "refused" if self.refused else "complete" if self.complete else "writing"
        return f"<RequestWriter: {state}>"

    @property
    def refused(self) -> bool:
        return self._refused or self._outlet.failed

    @property
    def complete(self) -> bool:
        """The whole request has left this process."""
        sent = self._ended and not self._held and not self._outlet.failed
        return sent and not self._transport.get_write_buffer_size()

    def begin(self, data: list[Buffer]) -> None:
        """Write a request's head, and what of its body is there."""
        self._ended = self._refused = False
        self._held = []
        self._hand_over(data)

    def more(self, data: list[Buffer], *, reading: bool) -> None:
        """Write more of the body; `reading` tells that the transport reads what comes."""
        if self.refused or self._transport.is_closing():
            return
        if self._held:
            self._held += data
            if sum(map(len, self._held)) > _MAX_HELD:
                self._flush()
        elif reading and self._outlet.has_news():
            self._held = list(data)
            self._loop.call_soon(self._look_again, _ROUNDS)
        else:
            self._write(data)

    def end(self) -> None:
        """The request's last byte was given: what was put off of it leaves, lest its answer ends before it does."""
        self._ended = True
        if self._held and not self._transport.is_closing():
            self._flush()

    def refuse(self) -> None:
        """The peer wants no more of it (RFC 9112, 9.5)."""
        self._refused = True
        self._held = []

    def unread(self) -> bytes:
        """What had come when the transport failed, and was not given."""
        return self._outlet.unread()

    def _look_again(self, rounds: int) -> None:
        if not self._held or self._transport.is_closing():
            self._held = []
        elif rounds > 1 and self._outlet.has_news():
            self._loop.call_soon(self._look_again, rounds - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._write(held)

    def _write(self, data: list[Buffer]) -> None:
        if self._transport.get_write_buffer_size():
            self._hand_over(data)
            return
        self._outlet.write(data[0] if len(data) == 1 else b"".join(data))
        if self._outlet.failed:
            self.refuse()

    def _hand_over(self, data: list[Buffer]) -> None:
        if len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)
