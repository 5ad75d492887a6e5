"""Writes that leave a little later than they are made: what a worker answers is counted before it is sent.

A worker may be killed at any moment. As each answer is counted in the very call that writes its end, no tool has an
answer whole that nobody counted: what is to be counted in a turn of the event loop is counted at its end, and what was
written in it is sent then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from proxy.downstream.connection import ClientConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.downstream.table import ConnectionTable
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.framing import Buffer


class HeldWrites:
    """What waits for the end of this turn: first what is to be done before anything is sent, then who holds writes."""

    __slots__ = ("_call_soon", "_first", "_report", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon, self._report = loop.call_soon, loop.call_exception_handler
        self._first: list[Callable[[], None]] = []
        self._waiting: list[HeldTransport] = []

    def __repr__(self) -> str:
        return f"<HeldWrites: {len(self._waiting)} wait>"

    def before_sending(self, count: Callable[[], None]) -> None:
        """Do this at the end of the turn."""
        if not self._waiting and not self._first:
            self._call_soon(self._end_turn)
        self._first.append(count)

    def wait(self, transport: HeldTransport) -> None:
        """Have it send at the end of the turn."""
        if not self._waiting and not self._first:
            self._call_soon(self._end_turn)
        self._waiting.append(transport)

    def _end_turn(self) -> None:
        first, self._first = self._first, []
        waiting, self._waiting = self._waiting, []
        for count in first:
            try:
                count()
            except Exception as error:  # noqa: BLE001 - whatever it is, the tools get their answers
                self._tell(error)
        for transport in waiting:
            try:
                transport.send()
            except Exception as error:  # noqa: BLE001 - whatever it is, the other tools get their answers
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._report({"message": "At the end of a turn", "exception": error})


class HeldTransport(asyncio.Transport):
    """Around another one; what is not written here is as with that."""

    def __init__(self, transport: asyncio.Transport, writes: HeldWrites) -> None:
        super().__init__()
        self._transport, self._wait = transport, writes.wait
        self._held: list[Buffer] = []
        self._end: Any = None
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
        held = self._held
        if not held:
            self._wait(self)
        held.append(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:  # type: ignore[override]  # as above
        if not self._held:
            self._wait(self)
        self._held += list_of_data

    def send(self) -> None:
        """What is held, and the end behind it. To nobody, where the tool went away meanwhile: uvloop's transports raise
        then."""
        held, transport = self._held, self._transport
        if transport.is_closing():
            held.clear()
            self._end = None
            return
        if len(held) == 1:
            transport.write(held.pop())
        elif held:
            self._held = []
            transport.writelines(held)
        if (end := self._end) is not None:
            self._end = None
            end()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._held)) + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self._end_with(self._transport.write_eof)

    def close(self) -> None:
        self._closing = True
        self._end_with(self._transport.close)

    def abort(self) -> None:
        self._closing, self._held, self._end = True, [], None
        self._transport.abort()

    def _end_with(self, end: Any) -> None:
        """Behind what was written before."""
        if not self._held and self._end is None:
            self._wait(self)
        self._end = end


class WorkerConnection(ClientConnection):
    """A tool's connection whose writes are held."""

    def __init__(self, table: ConnectionTable, service: Forwarder, writes: HeldWrites) -> None:
        super().__init__(table, service)
        self._writes = writes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(HeldTransport(cast(asyncio.Transport, transport), self._writes))
