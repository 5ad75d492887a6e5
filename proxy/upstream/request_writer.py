"""Requests on their way out, one after another on one connection, without losing an answer that comes too early.

A write to a peer that has answered and closed fails, and a transport of asyncio whose write failed drops what it has
not read: the answer would be lost. So what came is read before more of a body is written, and where there is no TLS the
write is done here, where its failure ends the writing and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import select
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from proxy.http1.framing import Buffer

_NONE = -1
"""A transport without a socket has no descriptor."""
_MAX_UNREAD = 65536
_MAX_HELD = 65536
"""In bytes: an event loop may read one tool's upload many times before it comes to what was put off."""
_ROUNDS = 2
"""Turns of the event loop within which everything that had come is read."""


class RequestWriter:
    """Writes to one transport. `refused`: the peer takes no more of this request, and what is left of it is dropped."""

    __slots__ = ("_descriptor", "_ended", "_held", "_loop", "_plain", "_transport", "refused")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        plain = transport.get_extra_info("socket")
        self._descriptor: int = plain.fileno() if plain is not None else _NONE
        self._plain = plain is not None and transport.get_extra_info("ssl_object") is None
        self._held: list[Buffer] = []
        self._ended = True
        self.refused = False

    def __repr__(self) -> str:
        state = "refused" if self.refused else "complete" if self.complete else "writing"
        return f"<RequestWriter: {state}>"

    @property
    def complete(self) -> bool:
        """The whole request has left this process."""
        return self._ended and not self._held and not self._transport.get_write_buffer_size()

    def begin(self, data: list[Buffer]) -> None:
        """Write a request's head, and what of its body is there."""
        self._ended = self.refused = False
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
        elif reading and self._has_news():
            self._held = list(data)
            self._loop.call_soon(self._look_again, _ROUNDS)
        else:
            self._write(data)

    def end(self) -> None:
        """The request's last byte was given: what was put off of it leaves, lest its answer ends before it does."""
        self._ended = True
        if self._held and self._plain and not self._transport.is_closing():
            self._flush()

    def refuse(self) -> None:
        """The peer wants no more of it (RFC 9112, 9.5)."""
        self.refused = True
        self._held = []

    def unread(self) -> bytes:
        """What had come when the transport failed. Asyncio's own still has its socket then; uvloop's reads first."""
        came = b""
        if self._plain and isinstance(self._transport.get_extra_info("socket"), TransportSocket):
            with contextlib.suppress(OSError):
                came = os.read(self._descriptor, _MAX_UNREAD)
        return came

    def _has_news(self) -> bool:
        """Whether bytes, or the end, came from the peer and have not been read."""
        if self._descriptor == _NONE:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def _look_again(self, rounds: int) -> None:
        if not self._held or self._transport.is_closing():
            self._held = []
        elif rounds > 1 and self._has_news():
            self._loop.call_soon(self._look_again, rounds - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._write(held)

    def _write(self, data: list[Buffer]) -> None:
        if not self._plain or self._transport.get_write_buffer_size():
            self._hand_over(data)
            return
        whole = data[0] if len(data) == 1 else b"".join(data)
        try:
            written = os.write(self._descriptor, whole)
        except BlockingIOError:
            written = 0
        except ConnectionError:
            self.refuse()
            return
        if written < len(whole):
            self._transport.write(memoryview(whole)[written:])

    def _hand_over(self, data: list[Buffer]) -> None:
        if len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)
