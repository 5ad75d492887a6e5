"""When a transport reads: not while its receiver can take no more, and in shares where one read takes much time.

Many small chunks, and event streams, take much time for few bytes. A connection reads a share of them and puts the rest
of the read off to the next turn of the event loop, so that other connections have their turn in between. The transport
reads nothing more until the rest is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class ReadControl:
    """Pauses and resumes one transport, and keeps the rest of a read that was put off: `unread`.

    While `paused`, the rest waits, too.
    """

    __slots__ = ("_loop", "_planned", "_read", "_transport", "paused", "unread")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._read: Callable[[bytes], None] | None = None
        self._planned = False
        self.paused = False
        self.unread = b""

    def __repr__(self) -> str:
        return f"<ReadControl: {'paused' if self.paused else 'reading'}, {len(self.unread)} bytes put off>"

    def pause(self) -> None:
        """Read nothing until `resume`. A transport that closes is not paused any more."""
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            if not self.unread:
                self._transport.pause_reading()

    def resume(self) -> bool:
        """End a pause: read on, beginning with the rest. Returns whether anything can be read."""
        if self._transport.is_closing() and not self.unread:
            return False
        self.paused = False
        if self.unread:
            self._plan()
        else:
            self._transport.resume_reading()
        return True

    def put_off(self, rest: bytes, read: Callable[[bytes], None]) -> None:
        """Call `read` with the rest in the next turn of the event loop. Until then, the transport reads nothing."""
        self.unread, self._read = rest, read
        if not self.paused and not self._transport.is_closing():
            self._transport.pause_reading()
        self._plan()

    def forget(self) -> None:
        """Drop the rest: the connection is over, and nothing may hold it in memory."""
        self.unread, self._read = b"", None

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._planned = False
        rest, read = self.unread, self._read
        if self.paused or read is None:  # `resume` plans it again
            return
        self.forget()
        read(rest)
        if not self.unread and not self.paused and not self._transport.is_closing():
            self._transport.resume_reading()
