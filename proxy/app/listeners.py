"""The sockets on which the program listens, and what it imports once clients are served. Opened once."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from proxy.app.process import frequent_thread_switches
from proxy.downstream.listener import BACKLOG, bind, bound_address
from proxy.errors import StartupError

if TYPE_CHECKING:
    import socket
    from contextlib import AsyncExitStack

    from proxy.admin.history import RequestHistory
    from proxy.admin.view import AdminView
    from proxy.config import Address, Config
    from proxy.events import Observer
    from proxy.observability.metrics import Metrics
    from proxy.tokens.invitation import InvitationLedger


class Listeners:
    """All are bound at once, so that a port in use stops the program before anything is asked of Amazon. Raises
    `ListenError`."""

    def __init__(self, config: Config, opened: AsyncExitStack) -> None:
        self._opened = opened
        self.clients = self._bind("listen", config.listen, reuse_port=config.reuse_port)
        self._admin = self._bind("admin_listen", config.admin_listen)
        self._invited = self._bind("invites.listen", config.invites.listen)
        self.named = self._bind("intercept.listen", config.intercept.listen, reuse_port=config.reuse_port)
        self.listening, self.admin_listening = bound_address(self.clients[0]), bound_address(self._admin[0])
        self.by_name_listening = bound_address(self.named[0]) if self.named else None

    def __repr__(self) -> str:
        return f"<Listeners at {self.listening} and {self.admin_listening}>"

    def listen(self) -> None:
        """Clients can be served."""
        for bound in (*self._admin, *self._invited):
            bound.listen()  # who connects before the listener is imported waits for it
        for bound in (*self.clients, *self.named):
            bound.listen(BACKLOG)  # with reuse_port they did not until now

    async def start_admin(
        self,
        view: AdminView,
        told: tuple[Metrics, RequestHistory, Observer],
        invitations: InvitationLedger,
        url: str | None,
    ) -> None:
        """The admin listener, and what invited advertisers reach by a `url`: there, or on sockets of its own."""
        await import_in_thread("proxy.admin.application")  # not above: see `open_session` of the program
        await import_in_thread("prometheus_client.openmetrics.exposition")  # for scrapes, which would wait for it
        from proxy.admin.application import make_admin
        from proxy.admin.invitations import InvitationHandlers, make_invitations
        from proxy.admin.listener import AdminListener

        handlers = InvitationHandlers(view, invitations, told[-1], url) if url is not None else None
        within = None if self._invited else handlers
        admin = AdminListener(make_admin(view, *told, within))
        self._opened.push_async_callback(admin.stop)
        await admin.start(self._admin)
        if self._invited and handlers is not None:
            invited = AdminListener(make_invitations(handlers))
            self._opened.push_async_callback(invited.stop)
            await invited.start(self._invited)

    def _bind(self, name: str, address: Address | None, *, reuse_port: bool = False) -> list[socket.socket]:
        """The sockets of a listener; none without an address."""
        sockets = bind(name, address, reuse_port=reuse_port) if address is not None else []
        for bound in sockets:
            self._opened.callback(bound.close)
        return sockets


async def import_in_thread(module: str) -> None:
    """Import a module in a thread; the event loop goes on."""
    with frequent_thread_switches():
        await asyncio.to_thread(import_module, module)


def require_compiled_parser() -> None:
    """Refuse aiohttp's parser in Python: most of the smuggling that was found in aiohttp was in that one alone."""
    from aiohttp import http_parser

    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartupError(
            "aiohttp has no compiled HTTP parser; unset AIOHTTP_NO_EXTENSIONS, or install the wheel that "
            "requirements.lock names."
        )
