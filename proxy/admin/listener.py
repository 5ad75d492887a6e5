"""The admin listener itself: the application on bound sockets, its connections limited, from start to stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.admin.connections import MAX_CONNECTIONS, ConnectionLimiter

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

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
        loop = asyncio.get_running_loop()
        for bound in sockets:
            self._servers.append(await loop.create_server(limiter.protocol, sock=bound, backlog=MAX_CONNECTIONS))

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
