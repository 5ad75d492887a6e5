"""Connections whose service follows from the host that the TLS handshake named (SNI, RFC 6066, 3).

Such are those inside tunnels, and those of clients that ignore HTTPS_PROXY: Amazon's names lead these to a listener of
the proxy's, which takes them for tunnels that are open already. No client is known for such a connection, so where
clients are configured, each request needs its own key. Without a name, or with another host's, its handshake fails.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from proxy.downstream.ports import Service
    from proxy.intercept.parts import TunnelParts


class ConnectionByName(asyncio.Protocol):
    """Gives its place behind the handshake, before the first byte comes, to a connection with the service of the named
    host."""

    def __init__(self, parts: TunnelParts, find_service: Callable[[str], Service]) -> None:
        self._parts = parts
        self._find_service = find_service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host = self._parts.contexts.host_of(transport.get_extra_info("ssl_object").context)
        connection = self._parts.connect(self._find_service(host))
        cast(asyncio.Transport, transport).set_protocol(connection)
        connection.connection_made(transport)


class ConnectionsByName:
    """Makes the connections of the listener for clients that ignore HTTPS_PROXY, whose TLS is `context`."""

    def __init__(self, parts: TunnelParts) -> None:
        self._parts = parts
        self.context: ssl.SSLContext = parts.contexts.by_name()

    def __repr__(self) -> str:
        return f"<ConnectionsByName of {self._parts.contexts!r}>"

    def make(self) -> asyncio.Protocol:
        """What an accepted connection begins with, once its handshake is over."""
        return ConnectionByName(self._parts, self._parts.services.find)
