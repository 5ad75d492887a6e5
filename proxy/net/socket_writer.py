"""Writing to a plain transport's socket, where a write that fails ends the writing and nothing else.

A write to a peer that has answered and closed fails, and a transport of asyncio whose write failed drops what it has
not read. So the write is done here; what had come is still read by the transport, or else by `unread`.
"""

from __future__ import annotations

import contextlib
import os
import select
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

_NONE = -1
"""A transport without a socket has no descriptor."""
_MAX_UNREAD = 65536


class SocketWriter:
    """Writes to one transport. `failed`: the peer takes nothing more, and what is written is dropped."""

    __slots__ = ("_descriptor", "_transport", "failed")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        plain = transport.get_extra_info("socket")
        self._descriptor: int = plain.fileno() if plain is not None else _NONE
        self.failed = False

    def __repr__(self) -> str:
        return f"<SocketWriter: {'failed' if self.failed else 'writing'}>"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write now what the system takes; the transport sends the rest, in order."""
        if self.failed or self._transport.is_closing():
            return
        if self._descriptor == _NONE or self._transport.get_write_buffer_size():
            self._transport.write(data)
            return
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self.failed = True
            return
        if written < len(data):
            self._transport.write(memoryview(data)[written:])

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """As `write`, with one call of the system: so a few pieces, not IOV_MAX."""
        if self.failed or self._transport.is_closing():
            return
        written = 0
        if self._descriptor != _NONE and not self._transport.get_write_buffer_size():
            try:
                written = os.writev(self._descriptor, pieces)
            except BlockingIOError:
                pass
            except OSError:
                self.failed = True
                return
        for piece in pieces:
            if written < len(piece):
                self._transport.write(memoryview(piece)[written:])
            written = max(0, written - len(piece))

    def has_news(self) -> bool:
        """Whether bytes, or the end, came from the peer and have not been read."""
        if self._descriptor == _NONE:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def unread(self) -> bytes:
        """What had come when the transport failed. Asyncio's own still has its socket then; uvloop's reads first."""
        plain = self._transport.get_extra_info("socket")
        if isinstance(plain, TransportSocket):  # it has no number once it is closed
            with contextlib.suppress(OSError):
                return os.read(plain.fileno(), _MAX_UNREAD)
        return b""
