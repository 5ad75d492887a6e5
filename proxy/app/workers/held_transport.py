"""A transport whose writes leave a turn of the event loop later: what a worker answers is counted before it is sent.

A worker may be killed at any moment. As each answer is counted in the very call that writes its end, no tool has an
answer whole that nobody counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http1.framing import Buffer


class HeldTransport(asyncio.Transport):
    """Around another one; what is not written here is as with that."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._call_soon = transport, loop.call_soon
        self._held: list[Buffer] = []
        self._closing = False
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]  # its own, without a step between
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]  # its own, without a step between
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]  # its own, without a step between
        self.can_write_eof = transport.can_write_eof  # type: ignore[method-assign]  # its own, without a step between

    def __repr__(self) -> str:
        return f"<HeldTransport: {len(self._held)} pieces held>"

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def write(self, data: Buffer) -> None:  # type: ignore[override]  # typeshed wants any memoryview
        if not self._held:
            self._call_soon(self._write)
        self._held.append(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:  # type: ignore[override]  # as above
        if not self._held:
            self._call_soon(self._write)
        self._held += list_of_data

    def _write(self) -> None:
        held = self._held
        if not held:
            return
        self._held = []
        if len(held) == 1:
            self._transport.write(held[0])
        else:
            self._transport.writelines(held)

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._held)) + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self._call_soon(self._end, self._transport.write_eof)

    def close(self) -> None:
        self._closing = True
        self._call_soon(self._end, self._transport.close)

    def _end(self, end: Any) -> None:
        """Behind what was written before."""
        self._write()
        end()

    def abort(self) -> None:
        self._closing = True
        self._held = []
        self._transport.abort()
