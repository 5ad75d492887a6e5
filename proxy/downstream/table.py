"""All connections of tools: they are counted, made, and closed together. What happens on one is in `tool`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from proxy.downstream.connection import ToolConnection

if TYPE_CHECKING:
    from proxy.downstream.ports import Service
    from proxy.net.deadlines import Deadlines


class ToolServer:
    """All connections from tools."""

    def __init__(self, service: Service, deadlines: Deadlines) -> None:
        self.service = service
        self.deadlines = deadlines
        self.connections: set[ToolConnection] = set()
        self.per_address: Counter[str] = Counter()
        self.loop = asyncio.get_running_loop()

    def protocol(self) -> ToolConnection:
        """A new connection's protocol: the factory for `create_server`."""
        return ToolConnection(self)

    @property
    def unsent(self) -> bool:
        """Whether a tool has not taken the whole of its answer yet."""
        return any(connection.unsent for connection in self.connections)

    def close_idle(self) -> None:
        """Close the connections on which no request is running."""
        for connection in tuple(self.connections):
            connection.close_if_idle()

    def abort_all(self) -> int:
        """End what still runs; gives how many requests were cut. Each is told so, or broken if its answer has begun."""
        cut = sum(connection.busy for connection in self.connections)
        for connection in tuple(self.connections):
            connection.cut()
        return cut
