"""Connections of the clients' listener with TLS: whose certificate each has, and the service of those that have one.

The certificate is read once, behind the handshake. It counts as a key that each request of the connection has, until it
expires, or one of the authorities by which it was verified is no longer trusted. A request with a key of another client
is refused. A certificate of no client leaves the request to its own key.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, cast

from cachetools import LRUCache

from proxy.access.client_certificates import CertificateKey, check_certificate, read_certificate
from proxy.downstream.ports import Availability
from proxy.errors import ClientsDiffer
from proxy.forwarding.owned_service import MAX_SERVICES, OwnedService, Sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.downstream.connection import ClientConnection
    from proxy.downstream.ports import AdmittedHead, Service
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.message import Request


class CertifiedService(OwnedService):
    """Implements `Service` for connections with one certificate."""

    def __init__(self, forwarder: Forwarder, sections: Sections, key: CertificateKey) -> None:
        super().__init__(forwarder, sections, key)
        self._certificate = key.certificate

    @property
    def availability(self) -> Availability:
        """Connections end with a response while the certificate could expire before the next request, so that the
        client connects again with a newer one, and no request is refused."""
        found = self.forwarder.availability
        if (
            found is Availability.SERVING
            and self._certificate.ends_at < time.time() + self.forwarder.limits.keepalive_timeout
        ):
            return Availability.DRAINING
        return found

    def find(self, head: bytes) -> AdmittedHead | None:
        """The same head, as it came before with this certificate. A head with a key of its own may outlast it."""
        return super().find(head) if time.time() < self._certificate.ends_at else None

    def check(self, request: Request, address: str) -> None:
        check_certificate(self._certificate, self.forwarder.rules.clients.authorities, time.time())
        others, own = self.other_owners(request.fields, address)
        if others and own is not None:
            raise ClientsDiffer(
                "The request has the credential of another client than the certificate of its connection; leave the "
                "credential out, or connect with that client's certificate.",
                close=True,
            )


class TrustOfClients(Protocol):
    """What the clients' listener demands of a connection."""

    def authorities_of(self, transport: asyncio.BaseTransport) -> frozenset[str] | None:
        """The digests of the authorities by which a connection's certificate was verified, None where that is no longer
        enough: the connection was being opened when they changed."""
        ...


class TlsConnections:
    """Makes the connections of the clients' listener with TLS. `find_forwarder` gives the service of those without a
    certificate; `connect` makes a connection of a client that a service serves."""

    def __init__(
        self,
        find_forwarder: Callable[[], Forwarder],
        connect: Callable[[Service], ClientConnection],
        trust: TrustOfClients,
    ) -> None:
        self._find_forwarder, self._connect, self._trust = find_forwarder, connect, trust
        self._services: LRUCache[CertificateKey, CertifiedService] = LRUCache(MAX_SERVICES)
        self._sections = Sections()

    def __repr__(self) -> str:
        return f"<TlsConnections: {len(self._services)} certificates>"

    def make(self) -> asyncio.Protocol:
        """What an accepted connection begins with, once its handshake is over."""
        return _TlsConnection(self)

    def begin(self, transport: asyncio.Transport) -> None:
        """Give its place to a connection with the service that its certificate chooses."""
        authorities = self._trust.authorities_of(transport)
        if authorities is None:
            transport.abort()
            return
        connection = self._connect(self._find_service(transport, authorities))
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def _find_service(self, transport: asyncio.Transport, authorities: frozenset[str]) -> Service:
        der = transport.get_extra_info("ssl_object").getpeercert(True) if authorities else None
        if not der:
            return self._find_forwarder()
        key = CertificateKey.of(read_certificate(der, authorities))
        service = self._services.get(key)
        if service is None:
            service = self._services[key] = CertifiedService(self._find_forwarder(), self._sections, key)
        return service


class _TlsConnection(asyncio.Protocol):
    """Gives its place behind the handshake, before the first byte comes, to a connection of a client."""

    def __init__(self, connections: TlsConnections) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.begin(cast(asyncio.Transport, transport))
