"""The service inside a tunnel: requests to one of Amazon's hosts, on the one path that all requests take.

A tunnel leads to one host, and may belong to a client. The memory of heads has the tunnel's host in its keys, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache

from proxy.access.admission import check_use
from proxy.errors import ClientsDiffer, MalformedRequest, MethodNotAllowed, MisdirectedHost
from proxy.forwarding.owned_service import MAX_SERVICES, OwnedService, Sections
from proxy.http1.target import TargetForm
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.routing.route import read_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.message import Request

_PORTS = ("", "443")


class TunnelServices:
    """The services inside tunnels. Tunnels of one client share them, and what they remember. `find_forwarder` gives the
    service behind the clients' listener."""

    def __init__(self, find_forwarder: Callable[[], Forwarder]) -> None:
        self._find_forwarder = find_forwarder
        self._made: LRUCache[tuple[str, bytes, str], TunnelService] = LRUCache(MAX_SERVICES)
        self._sections = Sections()

    def __repr__(self) -> str:
        return f"<TunnelServices: {len(self._made)} made>"

    def find(self, host: str, key: bytes = b"", shown: str = "") -> TunnelService:
        """The service inside tunnels to a host, as `TunnelService` has its arguments; `shown` is the host if it is
        empty."""
        place = host, key, shown or host
        service = self._made.get(place)
        if service is None:
            service = self._made[place] = TunnelService(self._find_forwarder(), self._sections, *place)
        return service


class TunnelService(OwnedService):
    """Implements `Service` for tunnels to one host. `key` is that of the client that opened them, empty where no
    client is configured; `shown` is the host whose certificate the client got."""

    def __init__(self, forwarder: Forwarder, sections: Sections, host: str, key: bytes, shown: str) -> None:
        super().__init__(forwarder, sections, key, host, b"%b %b" % (host.encode(), shown.encode()))
        self._shown = shown
        self._use, _ = AMAZON_HOSTS[host]

    def __repr__(self) -> str:
        return f"<TunnelService to {self._host}{', of a client' if self.key else ''}>"

    def check(self, request: Request, address: str) -> None:
        self._check_host(request)
        if self.key and self.other_owners(request.fields, address)[0]:
            raise ClientsDiffer(
                "The request has the credential of another client than the tunnel; use one client's for both.",
                close=True,
            )

    def _check_host(self, request: Request) -> None:
        """Refuse a request for another host than the tunnel's, or for what Amazon does not have at this host."""
        if request.method == b"CONNECT":
            raise MethodNotAllowed("A tunnel opens no other tunnel; send CONNECT to the proxy itself.", close=True)
        if request.target.form is not TargetForm.ORIGIN:
            raise MalformedRequest("Inside a tunnel, the request target is a path; send one.", close=True)
        named = read_host(request.fields.host)
        if self._shown != self._host or named.name != self._host or named.port not in _PORTS:
            raise MisdirectedHost(
                f"The tunnel leads to {self._host}: CONNECT, the server name of TLS (SNI) and Host have to agree. Open "
                "a tunnel of its own for another host.",
                close=True,
            )
        check_use(request.target, self._host, self._use)
