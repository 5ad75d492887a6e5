"""The two ends of a tunnel whose bytes pass unread, each at the pace of the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.downstream.ports import ConnectionLimits
    from proxy.downstream.table import ConnectionTable

_LAST_IDLE = 5.0
"""Seconds without a byte after which a tunnel ends once the program stops: most clients keep theirs for later."""


class RelayEnd(asyncio.Protocol):
    """One end. What it reads goes to the `other`; `read` counts its bytes."""

    transport: asyncio.Transport
    relay: Relay | None = None
    other: RelayEnd

    def __init__(self) -> None:
        self.read = 0
        self._early = b""
        self.has_ended = self.is_lost = False

    def __repr__(self) -> str:
        return f"<RelayEnd of {self.read} bytes>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()

    def begin(self, relay: Relay, other: RelayEnd) -> None:
        """Read on, and pass on what came before there was another end, which may pause the reading again."""
        self.relay, self.other = relay, other
        if not self.is_lost:
            self.transport.resume_reading()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)
        if self.is_lost:
            relay.lose(self)

    def data_received(self, data: bytes) -> None:
        if self.relay is None:  # uvloop reads on behind `connection_made`, paused or not
            self._early += data
            self.transport.pause_reading()
            return
        self.read += len(data)
        self.other.transport.write(data)
        self.relay.note_bytes()

    def eof_received(self) -> bool:
        """End the other direction alone: the tunnel is over when both have ended. TLS around one end ends both ways."""
        self.has_ended = True
        if self.relay is None or self.other.has_ended or self.other.transport.is_closing():
            return False
        if not (self.transport.can_write_eof() and self.other.transport.can_write_eof()):
            return False
        try:
            self.other.transport.write_eof()
        except OSError:  # asyncio's own loop raises it if the peer has reset the connection
            self.other.transport.abort()
            return False
        return True

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self.relay is not None:
            self.relay.lose(self)


class Relay:
    """Implements `OpenConnection`: one connection of a client. `ended` is told once, when both ends are gone."""

    def __init__(
        self, table: ConnectionTable, near: RelayEnd, far: RelayEnd, idle: float, ended: Callable[[Relay], None]
    ) -> None:
        self._table = table
        self.near, self.far = near, far
        self._idle, self._ended = idle, ended
        self._address = ""
        self.deadline = table.loop.time() + idle
        self.busy = True

    def __repr__(self) -> str:
        return f"<Relay of {self.near.read} bytes there, {self.far.read} back>"

    def begin(self, limits: ConnectionLimits) -> None:
        """Let bytes pass. It is counted as one connection, in the place of the one that asked for it."""
        peer = self.near.transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._table.enter(self, self._address, limits)
        self.near.begin(self, self.far)
        self.far.begin(self, self.near)

    def note_bytes(self) -> None:
        """Bytes passed."""
        self.deadline = self._table.loop.time() + self._idle

    def lose(self, end: RelayEnd) -> None:
        """One end is gone, so the other closes behind what it still has to send."""
        if not end.other.is_lost:
            end.other.transport.close()
        elif self.busy:
            self.busy = False
            self._table.leave(self, self._address)
            self._ended(self)

    # --- OpenConnection

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.near.transport.get_write_buffer_size()

    def expire(self, now: float) -> None:
        """No byte passed for a while."""
        self.drop()

    def drop(self) -> None:
        for end in (self.near, self.far):
            end.transport.abort()

    def close_if_idle(self) -> None:
        """Whether a tunnel is idle cannot be told from outside."""

    def retire(self) -> None:
        """No response ends what passes here."""
        self.drop()

    def wind_down(self) -> None:
        """A tunnel that a client keeps for later holds up no stop."""
        self._idle = min(self._idle, _LAST_IDLE)
        self.deadline = min(self.deadline, self._table.loop.time() + self._idle)

    def end(self) -> None:
        for end in (self.near, self.far):
            end.transport.close()
