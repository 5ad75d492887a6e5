"""Takes tools' connections off one listening socket: counted from `accept` on, closed at once where there is no place.

An event loop's own server counts nothing before a TLS handshake is done, and where the system has no file left for a
connection it fails again and again while that one waits. What happens on a connection is in `connection`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import ssl
from typing import TYPE_CHECKING, Protocol

from proxy.downstream.accept_queue import take_all

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from proxy.downstream.ports import ConnectionLimits
    from proxy.downstream.table import ConnectionTable

_NO_FILES = (errno.EMFILE, errno.ENFILE)
_PAUSE = 0.1
"""Seconds without accepting after a failure that nothing helps against."""
_GIVE_WAY = 0.001
"""Seconds that a process with fewer connections has to accept the next one; whatever it does, one accepts then."""


class Limited(Protocol):
    """Whose limits hold; a reload changes them."""

    @property
    def limits(self) -> ConnectionLimits: ...


class Acceptor:
    """Serves one listening socket until `close`."""

    def __init__(
        self,
        listening: socket.socket,
        table: ConnectionTable,
        service: Limited,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._listening = listening
        self._table = table
        self._service = service
        self._factory = factory
        self._context = context
        self._loop = table.loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._spare = _spare_file()
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def __repr__(self) -> str:
        state = "closed" if self._listening.fileno() < 0 else "pausing" if self._resuming else "accepting"
        return f"<Acceptor: {state}, {len(self._tasks)} being set up>"

    def close(self) -> None:
        """Take no more connections. Those that were taken go on, and those in the system's queue are taken, too."""
        if self._listening.fileno() < 0:
            return
        self._loop.remove_reader(self._listening)
        if self._resuming is not None:
            self._resuming.cancel()
        for accepted in take_all(self._listening):
            self._take(accepted)
        self._listening.close()
        self._close_spare()

    def _accept(self) -> None:
        if self._table.counts.gives_way:
            self._pause(_GIVE_WAY)
        else:
            self._accept_some()

    def _accept_some(self) -> None:
        for _ in range(self._table.taken_at_once):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_FILES and self._drop_one():
                    continue
                if error.errno != errno.ECONNABORTED:
                    self._pause()
                return
            self._take(accepted)

    def _take(self, accepted: socket.socket) -> None:
        """Set up a connection, if there is a place for it."""
        if not self._table.take_place(self._service.limits):
            accepted.close()
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._set_up(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_up(self, accepted: socket.socket) -> None:
        """Make a transport of a socket, through TLS where it is spoken; it enters the table as a connection then."""
        patience = self._service.limits.header_timeout if self._context is not None else None
        try:
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                await self._loop.connect_accepted_socket(
                    self._factory, accepted, ssl=self._context, ssl_handshake_timeout=patience
                )
        finally:
            self._table.give_place()

    # --- without a file for a connection

    def _drop_one(self) -> bool:
        """Take a connection with the file that was kept for this, and close it: waiting, it would wake us for ever."""
        if self._spare < 0:
            return False
        self._close_spare()
        with contextlib.suppress(OSError):
            self._listening.accept()[0].close()
        self._spare = _spare_file()
        return self._spare >= 0

    def _close_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _pause(self, seconds: float = _PAUSE) -> None:
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        if self._spare < 0:
            self._spare = _spare_file()
        self._loop.add_reader(self._listening, self._accept)
        self._accept_some()


def _spare_file() -> int:
    """A file that is open for nothing; -1 where even that cannot be had."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
