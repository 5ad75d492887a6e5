"""All connections of clients: counted, limited, and closed together. What happens on one is in `connection`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from proxy.errors import TooManyConnections

if TYPE_CHECKING:
    from proxy.downstream.ports import ConnectionLimits
    from proxy.net.deadlines import Deadlines


_TOLD = 16
"""Connections beyond the limit that are told so in an answer; what comes beyond these, too, is closed at once."""


class OpenConnection(Protocol):
    """A connection as the table sees it."""

    deadline: float

    def expire(self, now: float) -> None: ...

    @property
    def busy(self) -> bool:
        """A request is running."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def drop(self) -> None:
        """End it as it is, now."""

    def close_if_idle(self) -> None: ...

    def retire(self) -> None:
        """End it with the response that is under way, at once if there is none."""

    def wind_down(self) -> None:
        """The program stops soon: end what has no end of its own."""

    def end(self) -> None:
        """The program ends: answer what runs, or break it if its response has begun."""


class AddressCounts:
    """The connections, counted by address."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<AddressCounts: {len(self._counted)} connected>"

    def enter(self, address: str) -> int:
        """Count one more connection; returns how many there are now."""
        self._counted[address] += 1
        return self._counted[address]

    def leave(self, address: str) -> None:
        self._counted[address] -= 1
        if not self._counted[address]:
            del self._counted[address]


class ConnectionTable:
    """All open connections. `being_set_up` are those that were accepted and are none yet: TLS shakes hands."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.loop = asyncio.get_running_loop()
        self.connections: set[OpenConnection] = set()
        self.addresses = AddressCounts()
        self.being_set_up = 0
        self._ending: dict[OpenConnection, None] = {}
        self._deadlines = deadlines

    def __repr__(self) -> str:
        busy = sum(connection.busy for connection in self.connections)
        return f"<ConnectionTable: {len(self.connections)} open, {busy} busy>"

    def __len__(self) -> int:
        """Every socket that is open, from its `accept` on."""
        return len(self.connections) + self.being_set_up

    def take_slot(self, limits: ConnectionLimits) -> bool:
        """Count a socket that was accepted, if there is a slot for it; `give_slot` once it is set up or lost.

        Where there is none, the connection that has been closing for longest makes room, unless its client still takes
        the rest of its last response.
        """
        self.being_set_up += 1
        beyond = len(self) - limits.max_connections
        waits = (connection for connection in self._ending if not connection.unsent)
        if beyond > 0 and (oldest := next(waits, None)) is not None:
            del self._ending[oldest]
            oldest.drop()
        elif beyond > _TOLD:
            self.give_slot()
            return False
        return True

    def give_slot(self) -> None:
        self.being_set_up -= 1

    def note_ending(self, connection: OpenConnection) -> None:
        """A connection says no more, and only waits for its client to close, too."""
        self._ending[connection] = None

    def enter(self, connection: OpenConnection, address: str, limits: ConnectionLimits) -> TooManyConnections | None:
        """Take in a new connection; gives the refusal that it must get where there are too many."""
        self.connections.add(connection)
        from_there = self.addresses.enter(address)
        self._deadlines.add(connection)
        if len(self.connections) > limits.max_connections:
            return TooManyConnections(
                "Too many connections are open; close some or try later.", retry_after=1, close=True
            )
        if 0 < limits.max_connections_per_address < from_there:
            return TooManyConnections(
                "Too many connections are open from this address; close some or try later.", retry_after=1, close=True
            )
        return None

    def leave(self, connection: OpenConnection, address: str) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self._ending.pop(connection, None)
        self._deadlines.discard(connection)
        self.addresses.leave(address)

    @property
    def unsent(self) -> bool:
        """Whether a client has not taken the whole of its response yet."""
        return any(connection.unsent for connection in self.connections)

    def wind_down(self) -> None:
        """The program stops soon: streams without an end are ended where their protocol lets them."""
        for connection in tuple(self.connections):
            connection.wind_down()

    def close_idle(self) -> None:
        """Close the connections on which no request is running."""
        for connection in tuple(self.connections):
            connection.close_if_idle()

    def retire(self) -> None:
        """End each connection that is open now once its response is out: what clients must show has changed."""
        for connection in tuple(self.connections):
            connection.retire()

    def end_all(self) -> int:
        """End what still runs; gives how many requests were cut."""
        busy = sum(connection.busy for connection in self.connections)
        for connection in tuple(self.connections):
            connection.end()
        return busy
