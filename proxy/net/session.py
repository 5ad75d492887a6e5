"""The aiohttp session that Login with Amazon and the lists are asked with: the same names, the same sockets as traffic.

aiohttp connects through the event loop, which in uvloop looks addresses up in a few threads of its own. Nothing hangs
there, as no name ever gets there.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.net.sockets import STAGGER, make_socket

if TYPE_CHECKING:
    from proxy.net.names import Names


class NamesResolver(AbstractResolver):
    """aiohttp's view of `Names`, which is not its own to close."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of every family, whatever `family` is: the session never asks for a single one."""
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=of_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of_family, _, protocol, _, address in await self._names.find(host, port)
        ]

    async def close(self) -> None:
        """Nothing is the resolver's own."""


def make_session(names: Names) -> aiohttp.ClientSession:
    """A session without cookies and without the environment's proxies, a new connection for each request.

    It asks seldom, and a connection that was kept may have died meanwhile without a word.
    """
    connector = aiohttp.TCPConnector(
        resolver=NamesResolver(names),
        use_dns_cache=False,
        happy_eyeballs_delay=STAGGER,
        socket_factory=make_socket,
        force_close=True,
    )
    return aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
