"""How aiohttp looks names up: with the same `Names` as traffic."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

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
