"""What interception needs of the running program next to the path of requests: its authority is renewed and reported,
and Amazon's names lead clients to the proxy, never the proxy to itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from proxy.events import AuthorityLoaded
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.net.names import AskAboutOthers, ask_system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.config import Config
    from proxy.events import Observer
    from proxy.intercept.authority import Authority
    from proxy.net.names import AddressInfo

LOOK_AT_AUTHORITY = 3600.0
"""Seconds between two looks at the authority, which is renewed 30 days before its end."""


class AuthorityKeeper:
    """Has the authority renewed in time, also if no client connects, and reports it: at start, and whenever clients
    with a copy need another one."""

    def __init__(self, authority: Authority, observer: Observer, wall: Callable[[], float] = time.time) -> None:
        self._authority, self._observer, self._wall = authority, observer, wall
        self._told = authority.pem, authority.note

    def __repr__(self) -> str:
        return f"<AuthorityKeeper of {self._authority!r}>"

    def begin(self) -> asyncio.Task[None]:
        """Report the authority, and from now on its changes. Cancel the task to stop."""
        self._report(self._authority.note)
        return asyncio.get_running_loop().create_task(self._watch())

    async def look(self) -> None:
        """Renew the authority if it is due, and report a change or what kept it from being renewed."""
        authority = self._authority
        await asyncio.to_thread(authority.follow, self._wall())  # it reads files, and may make keys
        pem, note = self._told
        self._told = authority.pem, authority.note
        if authority.pem != pem:
            self._report(authority.note or authority.renewed)
        elif authority.note not in ("", note):
            self._report(authority.note)

    def _report(self, note: str) -> None:
        authority = self._authority
        self._observer.observe(AuthorityLoaded(authority.first_ends_at, str(authority.certificate or ""), note))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_AUTHORITY)
            await self.look()


def resolver_of(config: Config) -> Callable[[str], Sequence[AddressInfo]]:
    """The resolver for the proxy's own connections. With `intercept.listen`, Amazon's names may lead clients here, and
    must not lead the proxy here."""
    return AskAboutOthers(AMAZON_HOSTS) if config.intercept.listen is not None else ask_system
