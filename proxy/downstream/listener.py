"""Addresses to listen on; what fails is a `ListenError` that says what to do."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import ssl
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from proxy.config import Address
from proxy.errors import ListenError
from proxy.net.sockets import keepalive

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.downstream.ports import ConnectionLimits
    from proxy.downstream.table import ConnectionTable


BACKLOG = 1024
_KEEPALIVE = keepalive(("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 15))
"""A silent event stream has no deadline: a client that is gone without a word would keep it for ever. It ends after
a quarter of an hour, as the system ends a connection whose peer acknowledges nothing."""
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind(name: str, address: Address, *, reuse_port: bool = False) -> list[socket.socket]:
    """Listening sockets of an address, for a server that takes them.

    They listen at once: two programs can bind one address as long as neither listens. With `reuse_port` other replicas
    listen there, too, and these sockets do not listen yet: what connects before the program serves is for the others.
    A host name may stand for addresses that this machine does not have (`::1` where there is no IPv6): one that works
    is enough.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in _addresses(address):
            try:
                sockets.append(_bound(family, where, reuse_port) if reuse_port else _listening(family, where))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
            if sockets and address.port == 0:
                break
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise _explained(name, address, error, reuse_port) from error
    return sockets


def check_before_start(name: str, address: Address, *, reuse_port: bool = False) -> str:
    """What may keep a program from listening on an address, empty for nothing. Raises `ListenError` for an address that
    it cannot have on this machine.

    An address in use is most often that of the running program, and a running program may have been given the right to
    a port: neither is an error. Nothing listens for a moment, so that no connection is lost.
    """
    missing, is_here = None, False
    try:
        for family, where in _addresses(address):
            try:
                _bound(family, where, reuse_port).close()
                is_here = True
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    return str(_explained(name, address, error, reuse_port))
                missing = error
        if missing is not None and not is_here:
            raise missing
    except OSError as error:
        raise _explained(name, address, error, reuse_port) from error
    return ""


def bound_address(bound: socket.socket) -> Address:
    """Where a socket of `bind` listens."""
    host, port = bound.getsockname()[:2]
    return Address(host, port)


def _addresses(address: Address) -> list[tuple[int, Any]]:
    """Each address once: a hosts file may name one twice."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listening(family: int, where: Any) -> socket.socket:
    bound = _bound(family, where)
    try:
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _bound(family: int, where: Any, reuse_port: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse_port:
            _share_port(bound)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # some systems that run Linux programs do not have them
            for option in _KEEPALIVE:  # what is accepted has them, too
                bound.setsockopt(*option)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
    except BaseException:
        bound.close()
        raise
    return bound


def _share_port(bound: socket.socket) -> None:
    """Let other sockets of this user listen on the same address. Raises `ListenError` where the system cannot."""
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
            return
    raise ListenError(
        "reuse_port: this system does not let several programs listen on one port (SO_REUSEPORT); remove reuse_port, "
        "and put a load balancer in front of the replicas."
    )


def _explained(name: str, address: Address, error: OSError, reuse_port: bool = False) -> ListenError:
    variable = f"ADS_PROXY_{name.upper().replace('.', '__')}"
    advice = f"set `{name}` ({variable}) to another address"
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        others = "a program without reuse_port, or of another user" if reuse_port else "another program"
        return ListenError(f"{name}: {address} is in use by {others}; stop that program, or {advice}.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ListenError(f"{name}: this user may not listen on {address}; use a port from 1024 on, or {advice}.")
    if error.errno in _NOT_HERE or isinstance(error, socket.gaierror):
        return ListenError(f"{name}: {address} is not an address of this machine; {advice}.")
    return ListenError(f"{name}: cannot listen on {address} ({error.strerror or error}); {advice}.")


# --- Takes clients' connections off one listening socket ---------------------------------------------------

_NO_FILES = (errno.EMFILE, errno.ENFILE)
TAKEN_AT_ONCE = 64
"""Connections that one turn of the event loop takes; others have theirs in between."""
_PAUSE = 0.1
"""Seconds without accepting after a failure that nothing helps against."""


_LAST_WORDS = 3600.0
"""Seconds that the end of TLS may take, which includes the rest of the last response. A connection's own deadlines end
it earlier; this is for a client that ended its side first, while a stream has nothing more for it."""


class TlsSource(Protocol):
    """Whose TLS new connections have; a reload changes it."""

    @property
    def context(self) -> ssl.SSLContext | None: ...


class LimitsSource(Protocol):
    """Whose limits hold; a reload changes them."""

    @property
    def limits(self) -> ConnectionLimits: ...


class Acceptor:
    """Serves one listening socket until `close`."""

    def __init__(
        self,
        listening: socket.socket,
        table: ConnectionTable,
        service: LimitsSource,
        factory: Callable[[], asyncio.Protocol],
        tls: TlsSource | None = None,
    ) -> None:
        self._listening = listening
        self._table = table
        self._service = service
        self._factory = factory
        self._tls = tls
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
        for _ in range(TAKEN_AT_ONCE):
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
        """Set up a connection, if there is a slot for it."""
        if not self._table.take_slot(self._service.limits):
            accepted.close()
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._set_up(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_up(self, accepted: socket.socket) -> None:
        """Make a transport of a socket, with TLS if configured; then it enters the table as a connection."""
        patience, last_words = None, None
        context = self._tls.context if self._tls is not None else None
        if context is not None:
            limits = self._service.limits
            patience, last_words = limits.header_timeout, max(limits.send_timeout, _LAST_WORDS)
        try:
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                await self._loop.connect_accepted_socket(
                    self._factory,
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=patience,
                    ssl_shutdown_timeout=last_words,
                )
        finally:
            self._table.give_slot()

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

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        if self._spare < 0:
            self._spare = _spare_file()
        self._loop.add_reader(self._listening, self._accept)
        self._accept()


def _spare_file() -> int:
    """A file that is open for nothing; -1 where even that cannot be had."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


# --- Connections in the backlog of a listening socket ------------------------

_SO_ATTACH_FILTER = 26
_SYN_WITHOUT_ACK = (
    (0x30, 0, 0, 13),  # load the byte of flags of the TCP header
    (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone: go on; else skip one
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take
)
"""A program of the classic packet filter (linux/filter.h)."""
_HANDSHAKE = 0.002
"""Seconds: on one machine a handshake takes some ten microseconds, in one data centre less than this."""


def take_all(listening: socket.socket) -> list[socket.socket]:
    """The connections in the queue; the socket takes no more. It must be closed next."""
    _overlook_newcomers(listening)
    time.sleep(_HANDSHAKE)  # nothing else matters so much, and it is once in a program's life
    listening.setblocking(False)
    taken: list[socket.socket] = []
    with contextlib.suppress(OSError):  # none is left, or no file may be opened
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            taken.append(connection)
    return taken


def _overlook_newcomers(listening: socket.socket) -> None:
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("=HBBI", *step) for step in _SYN_WITHOUT_ACK)
    kept = ctypes.create_string_buffer(program, len(program))
    attached = struct.pack("@HP", len(_SYN_WITHOUT_ACK), ctypes.addressof(kept))
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
