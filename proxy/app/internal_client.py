"""Requests of the proxy itself, which take the same way through the core as those of clients, without a connection.

A forwarder of its own serves them, and no listener leads to it, so that no program outside can be one of its clients.
With clients' requests theirs share tokens, pauses, budgets of retries and connections. These are the named reports,
each of which log and metrics call `report:NAME`, and the reads for approvals (`present_values`).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.errors import Refused
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.rights import Rights
from proxy.http1.body_copy import decode_body
from proxy.http1.message import read_response
from proxy.net.turn import TURN
from proxy.profiles.listing import ListResponse
from proxy.reports.shared_report import SharedOrders
from proxy.reports.sharing import ReportRules, SharedReports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.downstream.ports import RequestHandler, RequestHead
    from proxy.forwarding.decision import Capability, Rules
    from proxy.forwarding.dependencies import Dependencies
    from proxy.http1.framing import Buffer
    from proxy.profiles.listing import ListRequest
    from proxy.reports.pace import OrderQueues
    from proxy.upstream.pool import Pools

MAX_RESPONSE: Final = 4 << 20
"""Bytes of a response, which are kept in memory: far above a report that is in a hundred files."""
KEPT_BODY: Final = 1 << 16
"""Bytes of an order that are kept for a retry, whatever the configuration says of clients' bodies."""
ORDERS: Final = ReportRules(reuses=False, reuse_for=0.0, paces=True, poll_interval=0.0, adopts=True, patience=math.inf)
"""Rows are as they are now: no order gets an earlier report. Each waits for its turn until its run gives it up."""
CUT: Final = b'{"detail": "Amazon\'s answer broke off, or is longer than any answer to such a request."}'


class InternalClient:
    """A forwarder for requests that are made here."""

    def __init__(self, dependencies: Dependencies, pools: Pools) -> None:
        self.dependencies = replace(dependencies, rights=Rights())
        self._pools = pools
        self._forwarder: Forwarder | None = None

    def __repr__(self) -> str:
        return f"<InternalClient of {self._forwarder}>"

    def apply(self, rules: Rules, clients: Clients, capabilities: tuple[Capability, ...] = ()) -> None:
        """Follow the rules for clients, with these clients, and with nothing else that plugs in."""
        own = replace(rules, clients=clients, replay_bytes=KEPT_BODY, capabilities=capabilities, own_paths=False)
        if self._forwarder is None:
            self._forwarder = Forwarder(self.dependencies, self._pools, own)
        else:
            self._forwarder.apply(own)

    async def send(self, key: str, request: ListRequest, further: Mapping[str, str] | None = None) -> ListResponse:
        """The response to a request of the client with this key. `further` are header fields. If this is cancelled, the
        request ends as that of a client which left."""
        assert self._forwarder is not None
        forwarder, port, asked = self._forwarder, ResponseInMemory(), None
        try:
            asked = forwarder.reader.read(_head(key, request, further or {}), forwarder.new_request_id)
            handler = forwarder.accept(asked, port)
        except Refused as error:
            port.respond(forwarder.refuse(error, asked, close=True))
            return port.read()
        try:
            port.hand_over(handler, [request.data] if request.data else [], b"" if request.data else None)
            await port.whole
        finally:
            TURN.began = perf_counter()
            port.handler.client_gone()
        return port.read()


class ReportClients:
    """Implements `reports.amazon.Sender`. `queues` are those in which orders of clients wait, too."""

    def __init__(self, dependencies: Dependencies, pools: Pools, queues: OrderQueues) -> None:
        reports = SharedReports()
        reports.queues = queues
        self._internal = InternalClient(dependencies, pools)
        self._orders = SharedOrders(reports, ORDERS, self._internal.dependencies)

    def __repr__(self) -> str:
        return f"<ReportClients: {self._internal!r}>"

    def apply(self, rules: Rules, reports: Iterable[str]) -> None:
        """Follow the rules for clients. Each report of these names is a client that may do anything, and shows its name
        as its key."""
        policies = (Policy(f"report:{name}", (key_of(name),)) for name in reports)
        clients = Clients(policies, Placeholders(secrets.token_bytes(32)), Budgets())
        self._internal.apply(rules, clients, (self._orders,))

    async def send(self, report: str, request: ListRequest) -> ListResponse:
        """The response to a request of a named report."""
        return await self._internal.send(report, request)


def key_of(text: str) -> ClientKey:
    """The key with this text."""
    return ClientKey(hashlib.sha256(text.encode()).hexdigest())


def _head(key: str, request: ListRequest, further: Mapping[str, str]) -> bytes:
    """The head of a request. It is of HTTP/1.0, so that the body of the response comes as it is, and not in chunks."""
    lines = {
        **request.headers,
        **further,
        "Accept-Encoding": "identity",
        "User-Agent": "ads-proxy",
        "X-Ads-Proxy-Key": key,
        **({"Content-Length": str(len(request.data))} if request.data else {}),
    }
    first = f"{request.method} {request.target} HTTP/1.0\r\n"
    return (first + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode()


class ResponseInMemory:
    """Implements `ClientPort` for one request, whose body is here: its response is gathered, within a bound. `whole`
    tells at its end whether it came whole."""

    address = ""
    scheme = b"http"
    writable = True
    handler: RequestHandler

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.head_done = perf_counter()
        self.whole: asyncio.Future[bool] = self.loop.create_future()
        self._data = bytearray()

    def __repr__(self) -> str:
        return f"<ResponseInMemory of {len(self._data)} bytes>"

    def read(self) -> ListResponse:
        """The response that ended; one of the proxy's own if it did not come whole."""
        if not self.whole.result():
            return ListResponse(502, CUT, own=True)
        head, _, body = bytes(self._data).partition(b"\r\n\r\n")
        response = read_response(head + b"\r\n")
        fields = response.fields
        text = decode_body(body, fields.content_encoding, MAX_RESPONSE) or b""
        retry_after = "" if fields.retry_after is None else f"{fields.retry_after:.0f}"
        return ListResponse(response.status, text, retry_after, own=b"\r\nproxy-status:" in head.lower())

    # --- ClientPort

    def stays_open(self, request: RequestHead) -> bool:
        return False

    def send(self, parts: list[Buffer]) -> None:
        self._data += b"".join(parts)
        if len(self._data) > MAX_RESPONSE:
            self.abort()

    def respond(self, data: bytes) -> None:
        self.send([data])
        self.finish(keep=False)

    def finish(self, *, keep: bool) -> None:
        if not self.whole.done():
            self.whole.set_result(True)

    def abort(self, *, loudly: bool = False) -> None:
        if not self.whole.done():
            self.whole.set_result(False)

    def hand_over(self, handler: RequestHandler, pieces: list[Buffer], trailers: bytes | None) -> None:
        self.handler = handler
        if trailers is not None:
            handler.request_data(pieces)
            handler.request_ended(trailers)
        handler.start()

    def detach(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        raise AssertionError("there is no connection to give away")

    def flush(self) -> None:
        """There is no wire."""

    expect_body = pause_reading = resume_reading = flush
