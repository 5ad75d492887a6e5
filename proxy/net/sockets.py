"""Sockets: those towards Amazon notice when the other end is gone without a word, and are connected without a thread.

The event loop's own `sock_connect` looks up even an address in uvloop's few threads, where a lookup that hangs would be
in its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING, Any, cast

import aiohappyeyeballs

fcntl: Any
termios: Any
try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.net.names import AddressInfo


UNACKNOWLEDGED = 20
"""Seconds after which what was sent and not acknowledged by the other end's system ends the connection (RFC 5482).

Linux counts so, too, for how long the other end takes no more of an upload, so it is not made shorter.
"""
QUIET = 15
"""Seconds of silence after which the other end's system is asked whether it is still there."""
_PROBE_INTERVAL, _PROBES = 5, 3
STAGGER = 0.25
"""Seconds before the next address is tried too (RFC 8305, 5)."""


def keepalive(*options: tuple[str, int]) -> tuple[tuple[int, int, int], ...]:
    """SO_KEEPALIVE, and those of these options of TCP that this system has, for `setsockopt`."""
    known = ((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in options if hasattr(socket, name))
    return (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known


_OPTIONS = keepalive(
    ("TCP_KEEPIDLE", QUIET),
    ("TCP_KEEPALIVE", QUIET),  # what macOS calls the same
    ("TCP_KEEPINTVL", _PROBE_INTERVAL),
    ("TCP_KEEPCNT", _PROBES),
    ("TCP_USER_TIMEOUT", UNACKNOWLEDGED * 1000),
)


def make_socket(address: AddressInfo) -> socket.socket:
    """A TCP socket for this address, not connected yet."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        for option in _OPTIONS:
            made.setsockopt(*option)
    except BaseException:
        made.close()
        raise
    return made


async def connect(made: socket.socket, address: tuple[Any, ...]) -> None:
    """Connect a socket of `make_socket`. Raises `OSError`."""
    error = made.connect_ex(address)
    if error in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(made, _wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(made)
        error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def connect_to_any(addresses: Sequence[AddressInfo]) -> socket.socket:
    """A connected socket: addresses of both families raced as RFC 8305 says. Raises `OSError`."""
    loop = cast("asyncio.AbstractEventLoop", _Connecting())
    return await aiohappyeyeballs.start_connection(
        addresses, happy_eyeballs_delay=STAGGER, loop=loop, socket_factory=make_socket
    )


class _Connecting:
    """The part of an event loop that aiohappyeyeballs needs to connect."""

    async def sock_connect(self, made: socket.socket, address: tuple[Any, ...]) -> None:
        await connect(made, address)


def queued(transport: asyncio.Transport) -> int:
    """Bytes that this system has from a transport and the other end's has not yet; 0 where it does not tell."""
    raw = transport.get_extra_info("socket")
    if raw is None or fcntl is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):  # not for a socket, or it is closed
        return 0


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a reset, so that the peer cannot take the sent part for the whole."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


# --- Writing to the socket of a plain transport ---------------------------------------------------------------

_NONE = -1
"""A transport without a socket has no descriptor."""
_MAX_UNREAD = 65536


class SocketWriter:
    """Writes to one transport. `failed`: the peer takes nothing more, and what is written is dropped."""

    __slots__ = ("_descriptor", "_transport", "failed")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # What is written goes past the transport: not where that is TLS itself, and the socket carries its records.
        plain = transport.get_extra_info("socket") if transport.get_extra_info("sslcontext") is None else None
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
        """Write a few pieces, at most IOV_MAX, with one system call."""
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
        plain = self._transport.get_extra_info("socket") if self._descriptor != _NONE else None
        if isinstance(plain, TransportSocket):  # it has no number once it is closed
            with contextlib.suppress(OSError):
                return os.read(plain.fileno(), _MAX_UNREAD)
        return b""
