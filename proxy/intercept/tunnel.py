"""The service inside a tunnel: requests to one of Amazon's hosts, on the one path that all requests take.

A tunnel leads to one host, and may belong to a client. The requests in it are read, admitted and forwarded by the
service behind the clients' listener, as if each had the key of the tunnel's client as X-Ads-Proxy-Key. What is
remembered of their heads is remembered under the tunnel's host and key, too.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from proxy.access.admission import check_use
from proxy.access.clients import AUTHORIZATION, PROXY_KEY
from proxy.bounded_cache import BoundedCache
from proxy.errors import ClientsDiffer, MalformedRequest, MethodNotAllowed, MisdirectedHost
from proxy.http1.message import MAX_REMEMBERED_BYTES
from proxy.http1.target import TargetForm
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.routing.route import read_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.downstream.ports import AdmittedHead, Availability, ClientPort, ConnectionLimits, RequestHandler
    from proxy.errors import Refused
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields

_MAX_SERVICES = 1024
_MAX_SECTIONS = 1024
_MAX_SECTION_BYTES = 6 << 20
_PORTS = ("", "443")
_NEVER_SENT = os.urandom(16)
"""Begins what heads inside tunnels are remembered under: no client can send it, and so find them elsewhere."""


class Sections(BoundedCache[tuple["RequestFields", str, bytes], "RequestFields"]):
    """The memory of header sections with what their tunnels add: by the section that was read, and the tunnel's host
    and key."""


class TunnelServices:
    """The services inside tunnels. Tunnels of one client share them, and what they remember. `find_forwarder` gives the
    service behind the clients' listener."""

    def __init__(self, find_forwarder: Callable[[], Forwarder]) -> None:
        self._find_forwarder = find_forwarder
        self._made: LRUCache[tuple[str, bytes, str], TunnelService] = LRUCache(_MAX_SERVICES)
        self._sections = Sections(_MAX_SECTIONS, _MAX_SECTION_BYTES)

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


class TunnelService:
    """Implements `Service` for tunnels to one host. `key` is that of the client that opened them, empty where no
    client is configured; `shown` is the host whose certificate the client got."""

    def __init__(self, forwarder: Forwarder, sections: Sections, host: str, key: bytes, shown: str) -> None:
        self._forwarder, self._sections = forwarder, sections
        self._host, self._key, self._shown = host, key, shown
        self._use, _ = AMAZON_HOSTS[host]
        self._mark = b"%b%b %b\r\n%b\r\n" % (_NEVER_SENT, host.encode(), shown.encode(), key)

    def __repr__(self) -> str:
        return f"<TunnelService to {self._host}{', of a client' if self._key else ''}>"

    # --- Service

    @property
    def limits(self) -> ConnectionLimits:
        return self._forwarder.limits

    @property
    def availability(self) -> Availability:
        return self._forwarder.availability

    @property
    def reader(self) -> TunnelService:
        return self

    @property
    def admissions(self) -> TunnelService:
        return self

    def new_request_id(self) -> str:
        return self._forwarder.new_request_id()

    def repeat(self, admitted: Any, request_id: str, client: ClientPort) -> RequestHandler:
        return self._forwarder.repeat(admitted, request_id, client)

    def accept(self, request: Request, client: ClientPort, head: bytes) -> RequestHandler:
        self._check_host(request)
        if self._key:
            self._check_client(request.fields)
        return self._forwarder.accept(request, client, self._mark + head)

    def refuse(self, error: Refused, request: Request | None, *, close: bool) -> bytes:
        return self._forwarder.refuse(error, request, close=close)

    def defect(self, where: str, error: BaseException) -> None:
        self._forwarder.defect(where, error)

    def internal_error(self) -> Refused:
        return self._forwarder.internal_error()

    # --- AdmittedHeads

    def find(self, head: bytes) -> AdmittedHead | None:
        """The same head, as it came before through a tunnel like this one."""
        return self._forwarder.admissions.find(self._mark + head)

    # --- HeadReader

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        return self._forwarder.reader.cut(data)

    def read(self, head: bytes, new_id: Callable[[], str]) -> Request:
        """The request of a head, with the tunnel's host and key if it has none of its own."""
        request = self._forwarder.reader.read(head, new_id)
        if request.fields.host and (not self._key or PROXY_KEY in request.fields.named):
            return request
        return replace(request, fields=self._complete(request.fields))

    def _complete(self, fields: RequestFields) -> RequestFields:
        """The same object for the same fields: decisions are remembered by it."""
        place = fields, self._host, self._key
        complete = self._sections.get(place)
        if complete is None:
            named = {PROXY_KEY: (self._key,), **fields.named} if self._key else fields.named
            complete = replace(fields, host=fields.host or self._host.encode(), named=named)
            if fields.size <= MAX_REMEMBERED_BYTES:  # a longer one is another object each time
                self._sections.keep(place, complete, 2 * fields.held_bytes)
        return complete

    # --- what only tunnels check

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

    def _check_client(self, fields: RequestFields) -> None:
        """Refuse a request with the key or placeholder of another client. Whatever else it has as Authorization is
        taken for one of Amazon's."""
        authorization, key = fields.value(AUTHORIZATION), fields.value(PROXY_KEY)
        clients, now = self._forwarder.rules.clients, time.time()
        owners = {
            clients.owner_of(authorization, b"", now) if authorization else None,
            clients.owner_of(b"", key, now) if key != self._key else None,
        }
        others = owners - {None}
        if others and others != {clients.owner_of(b"", self._key, now)}:
            raise ClientsDiffer(
                "The request has the credential of another client than the tunnel; use one client's for both.",
                close=True,
            )
