"""The service on connections that belong to a client: requests on the one path that all requests take.

Such are tunnels that a client's key opened, and connections with a client's certificate. The requests on one are read,
admitted and forwarded by the service behind the clients' listener, as if each had the credential of the connection as
X-Ads-Proxy-Key. The memory of their heads has that credential in its keys, too.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.access.clients import AUTHORIZATION, PROXY_KEY
from proxy.bounded_cache import BoundedCache
from proxy.http1.message import MAX_REMEMBERED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.downstream.ports import AdmittedHead, Availability, ClientPort, ConnectionLimits, RequestHandler
    from proxy.errors import Refused
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields

MAX_SERVICES = 1024
_MAX_SECTIONS = 1024
_MAX_SECTION_BYTES = 6 << 20
_NEVER_SENT = os.urandom(16)
"""Begins what heads on such connections are remembered under: no client can send it, and so find them elsewhere."""


class Sections(BoundedCache[tuple["RequestFields", str, bytes], "RequestFields"]):
    """The memory of header sections with what their connections add: by the section that was read, and the host and
    the credential of the connection."""

    def __init__(self) -> None:
        super().__init__(_MAX_SECTIONS, _MAX_SECTION_BYTES)


class OwnedService:
    """Implements `Service` for connections with this `key`, empty where no client is configured. Requests without a
    Host get `host`."""

    def __init__(self, forwarder: Forwarder, sections: Sections, key: bytes, host: str = "", mark: bytes = b"") -> None:
        """`mark` tells connections with the same key apart."""
        self.forwarder, self._sections = forwarder, sections
        self.key, self._host = key, host
        self._mark = b"%b%b\r\n%b\r\n" % (_NEVER_SENT, mark, key)
        self.reader = self.admissions = self
        # Each request asks these: the forwarder's own, without a step between.
        self.new_request_id, self.repeat = forwarder.new_request_id, forwarder.repeat

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{f' of {self._host}' if self._host else ''}>"

    # --- Service

    @property
    def limits(self) -> ConnectionLimits:
        return self.forwarder.limits

    @property
    def availability(self) -> Availability:
        return self.forwarder.availability

    def accept(self, request: Request, client: ClientPort, head: bytes, rest: bytes) -> RequestHandler:
        self.check(request, client.address)
        return self.forwarder.accept(request, client, self._mark + head, rest)

    def check(self, request: Request, address: str) -> None:
        """Raise what forbids the request on this connection. It is not asked about a remembered head."""

    def refuse(self, error: Refused, request: Request | None, *, close: bool, address: str) -> bytes:
        return self.forwarder.refuse(error, request, close=close, address=address)

    def defect(self, where: str, error: BaseException) -> None:
        self.forwarder.defect(where, error)

    def internal_error(self) -> Refused:
        return self.forwarder.internal_error()

    # --- AdmittedHeads

    def find(self, head: bytes) -> AdmittedHead | None:
        """The same head, as it came before on a connection like this one."""
        return self.forwarder.admissions.find(self._mark + head)

    # --- HeadReader

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        return self.forwarder.reader.cut(data)

    def read(self, head: bytes, new_id: Callable[[], str]) -> Request:
        """The request of a head, with the connection's host and key if it has none of its own."""
        request = self.forwarder.reader.read(head, new_id)
        fields = request.fields
        if (fields.host or not self._host) and (not self.key or fields.value(PROXY_KEY)):
            return request
        return replace(request, fields=self._complete(fields))

    def _complete(self, fields: RequestFields) -> RequestFields:
        """The same object for the same fields: decisions are remembered by it."""
        place = fields, self._host, self.key
        complete = self._sections.get(place)
        if complete is None:
            has_key = not self.key or fields.value(PROXY_KEY)
            named = fields.named if has_key else {**fields.named, PROXY_KEY: (self.key,)}
            complete = replace(fields, host=fields.host or self._host.encode(), named=named)
            if fields.size <= MAX_REMEMBERED_BYTES:  # a longer one is another object each time
                self._sections.keep(place, complete, 2 * fields.held_bytes)
        return complete

    # --- what its checks ask

    def other_owners(self, fields: RequestFields, address: str) -> tuple[frozenset[str], str | None]:
        """The clients whose key or placeholder a request has in addition to the connection's, and the client of the
        connection, None where its key is no longer one's. Whatever else the request has as Authorization is taken for
        one of Amazon's."""
        authorization, key = fields.value(AUTHORIZATION), fields.value(PROXY_KEY)
        if not authorization and key == self.key:
            return frozenset(), None
        clients, now = self.forwarder.rules.clients, time.time()
        own = clients.owner_of(b"", self.key, now)
        found = {
            clients.owner_of(authorization, b"", now, address) if authorization else None,
            clients.owner_of(b"", key, now, address) if key != self.key else None,
        }
        return frozenset(name for name in found if name is not None and name != own), own
