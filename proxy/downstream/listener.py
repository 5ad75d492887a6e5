"""Addresses to listen on, and the certificate to listen with; what fails is a `ListenError` that says what to do."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

from proxy.downstream.accept_queue import take_all
from proxy.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import Address, TlsSection

BACKLOG = 1024
HANDSHAKE = 10.0
"""Seconds for a TLS handshake; until it is done no other limit knows of the connection."""
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def server_context(tls: TlsSection) -> ssl.SSLContext:
    """The tools' listener's TLS. A reload calls `load_certificate` on the same context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: TlsSection) -> None:
    """Use the certificate files as they are now; handshakes from now on show them."""
    try:
        context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ListenError(
            f"tls: the certificate and key cannot be used ({error}); look at tls.cert and tls.key."
        ) from error


class ToolsListener:
    """Serves on bound sockets, from `start` until `close`, which loses nobody whom the system has accepted."""

    def __init__(
        self,
        sockets: list[socket.socket],
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._sockets = sockets
        self._factory = factory
        self._context = context
        self._patience = HANDSHAKE if context is not None else None
        self._servers: list[asyncio.Server] = []
        self._taken: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        state = "listening" if self._servers else "closed"
        return f"<ToolsListener: {state}, {len(self._taken)} being taken>"

    async def start(self) -> None:
        loop, context = asyncio.get_running_loop(), self._context
        for bound in self._sockets:
            server = await loop.create_server(
                self._factory, sock=bound, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=self._patience
            )
            self._servers.append(server)

    def close(self) -> None:
        """Accept nothing more; those in the system's queue are served like any other."""
        servers, self._servers = self._servers, []
        taken = [connection for bound in self._sockets if servers for connection in take_all(bound)]
        for server in servers:
            server.close()
        for connection in taken:
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._serve(connection))
            self._taken.add(task)
            task.add_done_callback(self._taken.discard)

    async def _serve(self, connection: socket.socket) -> None:
        loop, context = asyncio.get_running_loop(), self._context
        try:
            await loop.connect_accepted_socket(
                self._factory, connection, ssl=context, ssl_handshake_timeout=self._patience
            )
        except OSError:  # it left, or did not speak TLS: nobody is waiting
            connection.close()


def bind(name: str, address: Address) -> list[socket.socket]:
    """Listening sockets of an address, for a server that takes them.

    They listen at once: two programs can bind one address as long as neither listens. A host name may stand for
    addresses that this machine does not have (`::1` where there is no IPv6): one that works is enough.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in _addresses(address):
            try:
                sockets.append(_listening(family, where))
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
        raise _explained(name, address, error) from error
    return sockets


def _addresses(address: Address) -> list[tuple[int, Any]]:
    """Each address once: a hosts file may name one twice."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listening(family: int, where: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _explained(name: str, address: Address, error: OSError) -> ListenError:
    variable = f"ADS_PROXY_{name.upper()}"
    advice = f"set `{name}` ({variable}) to another address"
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        return ListenError(f"{name}: {address} is in use by another program; stop that program, or {advice}.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ListenError(f"{name}: this user may not listen on {address}; use a port from 1024 on, or {advice}.")
    if error.errno in _NOT_HERE or isinstance(error, socket.gaierror):
        return ListenError(f"{name}: {address} is no address of this machine; {advice}.")
    return ListenError(f"{name}: cannot listen on {address} ({error.strerror or error}); {advice}.")
