"""What the service manager that started the program is told: ready, reloading, stopping, alive (sd_notify(3)).

A datagram to the Unix socket that it names in NOTIFY_SOCKET; systemd does with `Type=notify`. Without one, nothing is
told. Telling never waits and never fails: the program serves the same whether anybody listens or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MICROSECONDS = 1_000_000
_STOP_MARGIN = 15.0
"""Seconds that stopping may take beyond draining: a token request and the store get ten of them."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`address` is a Unix socket's, empty for none; a sign of life is due every `alive_every` seconds, if not 0."""

    address: str = ""
    alive_every: float = 0.0


def notify_settings(environ: Mapping[str, str], pid: int) -> NotifySettings:
    """What the environment of the process with this id says; what makes no sense, or is another process's, counts as
    nothing. Twice as many signs of life are given as are wanted."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return NotifySettings()
    wanted, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(pid))
    watched = wanted.isascii() and wanted.isdigit() and whose == str(pid)
    return NotifySettings(address, int(wanted) / _MICROSECONDS / 2 if watched else 0.0)


class ServiceManager:
    """Whoever started the program, as far as there is something to tell."""

    def __init__(self, settings: NotifySettings | None = None) -> None:
        self._settings = settings or NotifySettings()
        self._alive: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ServiceManager at {self._settings.address or 'nowhere'}>"

    def begin(self) -> None:
        """Give signs of life from now on, where they are wanted: as long as the event loop turns."""
        if self._settings.alive_every > 0:
            self._alive = asyncio.get_running_loop().create_task(self._live())

    def end(self) -> None:
        if self._alive is not None:
            self._alive.cancel()

    def ready(self, status: str) -> None:
        """The program serves; `status` is a sentence for people."""
        self._tell("READY=1", f"STATUS={status}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """The configuration is being read; the program is ready again behind it, whatever came of it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    def stopping(self, in_flight: int, seconds: float) -> None:
        """The program drains, for so long at most."""
        patience = round((seconds + _STOP_MARGIN) * _MICROSECONDS)
        self._tell("STOPPING=1", f"STATUS=Draining {in_flight} requests.", f"EXTEND_TIMEOUT_USEC={patience}")

    async def _live(self) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._settings.alive_every)

    def _tell(self, *lines: str) -> None:
        address = self._settings.address
        if not address:
            return
        name = f"\0{address[1:]}" if address.startswith("@") else address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), name)
