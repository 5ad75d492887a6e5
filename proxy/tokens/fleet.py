"""What replicas that share a store tell each other beside tokens, and how the store is: the protocol.

Nothing of it is on a request's path. `redis_fleet` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """How the store is: `trouble` in a sentence, empty where there is none, and how many replicas share it."""

    trouble: str = ""
    replicas: int = 1


class Fleet(Protocol):
    """One replica's side. Nothing here raises: where the others cannot be heard, everybody is alone."""

    @property
    def health(self) -> StoreHealth: ...

    def follow(self, changed: Callable[[], None]) -> None:
        """Calls this whenever `health` is another."""

    async def share(self, told: dict[str, Any]) -> None:
        """Tells the others, if they can be told."""

    def heard(self) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        """How many seconds ago something was told, and what, our own words too. Never ends."""

    async def settle(self, name: str, capacity: float, interval: float, spent: int) -> float | None:
        """Takes off what was spent of a bucket that the fleet shares; `interval` is in seconds.

        Gives what is left, which may be less than nothing; None where nobody can be asked.
        """
