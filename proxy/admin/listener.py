"""The admin listener itself: the application on bound sockets, its connections limited, from start to stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from proxy.admin.connections import MAX_CONNECTIONS, ConnectionLimiter
from proxy.admin.responses import SECURITY_HEADERS, problem
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
        server.request_handler = refusing_expectations(server.request_handler)
        limiter = self._limiter = ConnectionLimiter(server)
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
        answer = problem(request, ExpectationFailed("The only expectation that can be met is `100-continue`."))
        answer.headers.update({**SECURITY_HEADERS, "Cache-Control": "no-store", "Server": "ads-proxy"})
        return answer

    return handle
