"""A CONNECT, from its head to the end of its tunnel.

The 200 goes out once the client can have sent nothing behind the head: what it sent too early could be read in two
ways, so it is refused. Then the connection is given away. A tunnel that ends here is given to a `TlsTransport`, and
behind the handshake to a `ClientConnection` of its own, with the service inside a tunnel. A tunnel that passes is given
to a `Relay`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from typing import TYPE_CHECKING

from proxy.errors import NotAmazon, Refused
from proxy.events import AuthorityDistrusted, Fault, RequestKind
from proxy.forwarding.accounting import MAX_PATH
from proxy.forwarding.refusal import internal_error
from proxy.intercept.by_name import ConnectionByName
from proxy.intercept.public_names import PublicNames
from proxy.intercept.relay import Relay, RelayEnd
from proxy.local.request import LocalRequest
from proxy.net.dialing import Dialer, Origin
from proxy.net.names import NameLookupFailed
from proxy.net.tls import TlsTerms, TlsTransport, accept_tls
from proxy.routing.request_kind import method_name

if TYPE_CHECKING:
    from proxy.intercept.parts import TunnelAsked, TunnelParts
    from proxy.intercept.tunnel import TunnelService

PORT = 443
_DISTRUST = frozenset(
    f"{version}_ALERT_{alert}"
    for version in ("TLSV1", "SSLV3")
    for alert in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN")
)
"""The alerts by which clients refuse a certificate (RFC 8446, 6.2), as OpenSSL calls them."""
_TRUST = (
    "The client does not trust the proxy's authority. Give it the file that `ads-proxy ca --bundle` prints, by the "
    "variable that it reads: SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS."
)


class ConnectRequest(LocalRequest):
    """A CONNECT; what it opens is for `open`, which runs once no byte can have come with the head."""

    def __init__(self, parts: TunnelParts, asked: TunnelAsked) -> None:
        super().__init__(parts.accounting, asked.client, asked.request, asked.rules)
        self.parts, self.asked = parts, asked
        self.host = asked.host
        self.path = f"{asked.host}:{PORT}"
        self._name = asked.identity.name
        self.task: asyncio.Task[None] | None = None

    @property
    def kind(self) -> RequestKind:
        return RequestKind(self._name, method=method_name(self.request.method), subject=self.asked.identity.subject)

    def answer(self) -> None:
        self.task = self.client.loop.create_task(self._run())

    async def open(self) -> None:
        """Open the tunnel. Raises what forbids it."""
        raise NotImplementedError

    def finish(self, status: int, fault: str = "") -> None:
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        super().finish(status, fault)

    def established(self) -> bytes:
        """The head that opens the tunnel. It has no fields that frame a body (RFC 9110, 9.3.6)."""
        lines = b"X-Request-Id: %b\r\n" % self.request.id.encode("latin-1")
        return b"HTTP/1.1 200 Connection established\r\n%b%b\r\n" % (lines, self.rules.response_lines)

    async def _run(self) -> None:
        try:
            await self.open()
        except Refused as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self.accounting.defect("tunnel", error)
            self._fail(internal_error())

    def _fail(self, error: Refused) -> None:
        if not self.done:
            self.refuse(error, keep=False)


class RefusedTunnel(ConnectRequest):
    """A tunnel of a known client to somewhere that it may not lead to, so that log and metrics name the client."""

    def __init__(self, parts: TunnelParts, asked: TunnelAsked, error: Refused) -> None:
        super().__init__(parts, asked)
        self.path = asked.request.target.shown.decode("latin-1")[:MAX_PATH]
        self._error = error

    def answer(self) -> None:
        self._fail(self._error)


# --- tunnels that end here


class EndedTunnel(ConnectRequest):
    """A tunnel to one of Amazon's hosts, of the client with this key, empty where none is configured."""

    def __init__(self, parts: TunnelParts, asked: TunnelAsked, key: bytes) -> None:
        super().__init__(parts, asked)
        self._key = key

    async def open(self) -> None:
        connections, limits = self.parts.connections, self.rules.connection_limits
        named = ConnectionByName(self.parts, self._find_service)
        tls = TlsTransport(named, TlsTerms(self.parts.contexts.find(self.host)), self.client.loop)
        transport = self.client.detach(tls)
        if not connections.take_slot(limits):
            transport.abort()
            self.finish(0, Fault.CLIENT_GONE)
            return
        transport.write(self.established())
        self.finish(200)
        try:
            async with asyncio.timeout(limits.header_timeout):
                await accept_tls(transport, tls)
        except ssl.SSLError as error:
            if error.reason in _DISTRUST:
                self.accounting.observer.observe(AuthorityDistrusted(self._name, self.host, _TRUST))
        except (OSError, TimeoutError):
            pass  # the client left, or did not shake hands in time
        finally:
            connections.give_slot()

    def _find_service(self, shown: str) -> TunnelService:
        """The service inside, for a client that got the certificate of this host."""
        return self.parts.services.find(self.host, self._key, shown)


# --- tunnels that pass


class PassedTunnel(ConnectRequest):
    """A tunnel whose bytes pass unread. It ends with the key of its client."""

    _relay: Relay | None = None
    _key_ends: asyncio.TimerHandle | None = None

    def answer(self) -> None:
        self.parts.passing.add(self)
        super().answer()

    def drop(self) -> None:
        """End it as it is, now, or refuse it while the host is dialled."""
        if self._relay is not None:
            self._relay.drop()
        else:
            self._fail(NotAmazon("What the client may do has changed; open the tunnel again.", close=True))

    def finish(self, status: int, fault: str = "") -> None:
        self.parts.passing.discard(self)
        if self._key_ends is not None:
            self._key_ends.cancel()
        super().finish(status, fault)

    async def open(self) -> None:
        far = RelayEnd()
        await self._dial(far)
        near = RelayEnd()
        try:
            near.transport = self.client.detach(near)
        except BaseException:
            far.transport.abort()
            raise
        near.transport.write(self.established())
        self._relay = Relay(self.parts.connections, near, far, self.rules.timeouts.idle, self._end)
        self._relay.begin(self.rules.connection_limits)
        if (left := self.asked.identity.valid_until - time.time()) < math.inf:
            self._key_ends = self.client.loop.call_later(left, self.drop)

    async def _dial(self, far: RelayEnd) -> None:
        """Connect to the host. Raises the `Refused` that names what went wrong."""
        settings, names = self.rules.pool_settings, self.parts.names
        public = PublicNames(names)
        timeout = settings.connect_timeout
        if settings.proxy is None:
            dialer = Dialer(public, connect_timeout=timeout)
        else:
            with contextlib.suppress(NameLookupFailed):  # the outbound proxy looks names up itself
                await public.find(self.host, PORT)
            dialer = Dialer(names, connect_timeout=timeout, proxy=settings.proxy)
        await dialer.dial(Origin("http", self.host, PORT), lambda: far)

    def _end(self, relay: Relay) -> None:
        self.stats.bytes_in, self.stats.bytes_out = relay.near.read, relay.far.read
        self.finish(200)
