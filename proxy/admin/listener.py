"""The admin listener itself: the application on bound sockets, its connections limited, from start to stop."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from aiohttp import HttpVersion11, web

from proxy.admin.guard import HEALTH, SAFE_METHODS
from proxy.admin.responses import add_headers, problem
from proxy.errors import ExpectationFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterable

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


STOP_TIMEOUT: Final = 0.5
"""Seconds that its own requests get at the end."""


class AdminListener:
    """Made with an application; `start` serves it, `stop` ends what `start` began, also where that failed."""

    def __init__(self, application: web.Application) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_TIMEOUT)
        self._limiter: ConnectionLimiter | None = None
        self._servers: list[asyncio.Server] = []

    def __repr__(self) -> str:
        return f"<AdminListener {self._limiter or 'not started'}>"

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Serve on sockets that are bound."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        limiter = self._limiter = ConnectionLimiter(server)
        server.request_handler = limiter.noting(refusing_expectations(server.request_handler))
        loop = asyncio.get_running_loop()
        for bound in sockets:
            self._servers.append(await loop.create_server(limiter.protocol, sock=bound, backlog=MAX_CONNECTIONS))

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._runner.cleanup()


def refusing_expectations(handler: Handler) -> Handler:
    """Refuse every `Expect` but `100-continue` (RFC 9110, section 10.1.1) before the application sees it.

    aiohttp repeats the value in its own 417, and fails with 500 if the value is not ASCII.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        expectations = [value.lower() for value in request.headers.getall("Expect", ()) if value]
        if request.version < HttpVersion11 or expectations in ([], ["100-continue"]):
            return await handler(request)
        answer = problem(request, ExpectationFailed("The only supported expectation is `100-continue`; send no other."))
        await add_headers(request, answer)
        return answer

    return handle


# --- How many connections the admin listener takes, and for how long -------------------------------------

MAX_CONNECTIONS = 128
"""Connections at a time."""
HEAD_TIMEOUT = 10.0
"""Seconds until the first head must be complete, and the body of the last request of an old connection."""
MAX_AGE = 900.0
"""Seconds after which a connection answers no more requests; browsers and Prometheus connect again by themselves. The
response that is under way then gets as many again."""
_UNDECIDED_BYTES = len(b"\r\n\r\n") - 1


class ConnectionLimiter:
    """Makes the protocols of all connections; `inner` makes those that they lead to.

    Beyond `max_connections` the oldest is ended. `head_timeout` and `max_age` are in seconds.
    """

    def __init__(
        self,
        inner: Callable[[], web.RequestHandler],
        max_connections: int = MAX_CONNECTIONS,
        head_timeout: float = HEAD_TIMEOUT,
        max_age: float = MAX_AGE,
    ) -> None:
        self.inner = inner
        self.max_connections = max_connections
        self.head_timeout = head_timeout
        self.max_age = max_age
        self.connections: dict[LimitedConnection, None] = {}
        self._requests: dict[asyncio.BaseProtocol, web.BaseRequest] = {}
        """The requests that are being handled, by the inner protocol of their connection."""

    def __repr__(self) -> str:
        return f"<ConnectionLimiter {len(self.connections)} of {self.max_connections} connections>"

    def protocol(self) -> LimitedConnection:
        """A new connection's protocol: the factory for `create_server`."""
        return LimitedConnection(self)

    def noting(self, handler: Handler) -> Handler:
        """Wrap a handler, so that `waits_for_body` knows the request that it handles."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self._requests[request.protocol] = request
            try:
                return await handler(request)
            finally:
                self._requests.pop(request.protocol, None)

        return handle

    def waits_for_body(self, inner: asyncio.BaseProtocol) -> bool:
        """Whether a request that is being handled has a body that is not there yet."""
        request = self._requests.get(inner)
        return request is not None and not request.content.is_eof()

    def admit(self, connection: LimitedConnection) -> None:
        """Count one more, at the cost of the oldest where there are too many."""
        self.connections[connection] = None
        if len(self.connections) > self.max_connections:
            next(iter(self.connections)).abort()


class LimitedConnection(asyncio.Protocol):
    """One connection, passed to its inner protocol."""

    def __init__(self, limiter: ConnectionLimiter) -> None:
        self._limiter = limiter
        self._inner = limiter.inner()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._end = b""
        self._asked = False
        self._held: bytes | None = b""
        """The beginning of the first head, while it may be that of a health check; None once it was passed on."""

    def __repr__(self) -> str:
        return f"<LimitedConnection {'with' if self._asked else 'without'} a whole head>"

    def abort(self) -> None:
        """End the connection now."""
        self._limiter.connections.pop(self, None)
        self._transport.abort()

    def retire(self, *, is_late: bool = False) -> None:
        """Answer no more requests: end the connection once the response that is under way is sent. What arrives then is
        not read, so a request's body may come first, unless `is_late`."""
        loop = asyncio.get_running_loop()
        if self._limiter.waits_for_body(self._inner):
            if is_late:
                self.abort()
            else:
                self._timer = loop.call_later(self._limiter.head_timeout, partial(self.retire, is_late=True))
            return
        self._timer = loop.call_later(MAX_AGE, self.abort)
        self._inner.close()
        self._ending = loop.create_task(self._inner.shutdown(None))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._limiter.head_timeout, self.abort)
        self._inner.connection_made(transport)
        self._limiter.admit(self)

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self._look_for_a_head(data)
        if self._held is not None:
            self._held += data
            if not self._asked and may_be_check(self._held):
                return
            data, self._held = readable_without_host(self._held), None
        self._inner.data_received(data)

    def eof_received(self) -> None:
        self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limiter.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._ending is not None:
            self._ending.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _look_for_a_head(self, data: bytes) -> None:
        tail = self._end + data
        self._asked, self._end = b"\r\n\r\n" in tail, tail[-_UNDECIDED_BYTES:]
        if self._asked and self._timer is not None:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(self._limiter.max_age, self.retire)


# --- Health checks without Host --------------------------------------------------------------------------

MAX_CHECK_BYTES: Final = 4096
_CHECKS: Final = tuple(f"{method} {path}".encode() for method in sorted(SAFE_METHODS) for path in sorted(HEALTH))
_CHECK_LINE: Final = re.compile(rb"(?:%b)(?:\?[!-~]*)? HTTP/1\.(1)\r\n" % b"|".join(_CHECKS))
_HOST_FIELD: Final = re.compile(rb"\nhost[ \t]*:", re.IGNORECASE)


def may_be_check(beginning: bytes) -> bool:
    """Whether the beginning of a head may be that of a health check. Pure."""
    known = any(beginning.startswith(check) or check.startswith(beginning) for check in _CHECKS)
    return known and len(beginning) <= MAX_CHECK_BYTES


def readable_without_host(data: bytes) -> bytes:
    """The first bytes of a connection, a health check without Host as one of HTTP/1.0. Pure.

    HAProxy, for one, sends a check of HTTP/1.1 without Host, which aiohttp refuses. HTTP/1.0 needs none, and its
    connection ends with the response.
    """
    line, end = _CHECK_LINE.match(data), data.find(b"\r\n\r\n")
    if line is None or end < 0 or _HOST_FIELD.search(data, 0, end):
        return data
    return data[: line.start(1)] + b"0" + data[line.end(1) :]
