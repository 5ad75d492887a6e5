"""The places for connections to one host: how many there may be, and how many are taken.

Several processes may share them. Then a process that finds no free place publishes that it wants one, and the others
give up connections that they do not need (`pool`).
"""

from __future__ import annotations

from typing import Protocol


class Places(Protocol):
    """The places for connections to one host, as one of `processes` processes sees them."""

    @property
    def limit(self) -> int:
        """Of all processes together."""
        ...

    @property
    def processes(self) -> int: ...

    used: int
    """Connections of this process that serve requests, or are made for one."""

    @property
    def used_everywhere(self) -> int:
        """The same of all processes."""
        ...

    @property
    def free(self) -> int: ...

    def take(self) -> bool:
        """Take a place for one more connection; False where none is free, or it is for a process that waits and has
        fewer."""
        ...

    def give(self) -> None:
        """A connection is closed, or was never made."""

    def want(self, wanted: bool) -> None:
        """Publish whether requests of this process wait for a place."""

    @property
    def wanted_elsewhere(self) -> bool:
        """Whether another process waits for a place, which may be free by now."""
        ...

    @property
    def exceed_share(self) -> bool:
        """Whether this process should give a place to one that waits and has fewer."""
        ...

    @property
    def turn(self) -> int:
        """The position of this process among those that can give up a connection, so that not all do at once."""
        ...


class OwnPlaces:
    """The places of a single process."""

    processes = 1
    free: int
    wanted_elsewhere = exceed_share = False
    turn = 0

    def __init__(self, limit: int) -> None:
        self.limit = self.free = limit
        self.used = 0

    def __repr__(self) -> str:
        return f"<OwnPlaces: {self.free} of {self.limit} free>"

    @property
    def used_everywhere(self) -> int:
        return self.used

    def take(self) -> bool:
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    def give(self) -> None:
        self.free += 1

    def want(self, wanted: bool) -> None:
        """No other process can give one."""
