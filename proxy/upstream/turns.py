"""Who waits for a connection, in turns by client: whoever waits with much goes behind the others each time. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue for each client, and a round of those that have one. Within a client, first come, first served."""

    def __init__(self) -> None:
        self._round: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._round.values()))

    def __iter__(self) -> Iterator[T]:
        """Everybody who waits, client by client."""
        for queue in self._round.values():
            yield from queue

    def __repr__(self) -> str:
        return f"<Turns of {len(self._round)} clients, {len(self)} waiting>"

    def join(self, client: str, waiter: T) -> None:
        """Wait behind one's own, and, as a client that did not wait yet, behind all others."""
        self._round.setdefault(client, deque()).append(waiter)

    def next(self) -> T | None:
        """Take out whose turn it is; the next turn is another client's."""
        if not self._round:
            return None
        client, queue = next(iter(self._round.items()))
        waiter = queue.popleft()
        if queue:
            self._round.move_to_end(client)
        else:
            del self._round[client]
        return waiter

    def put_back(self, client: str, waiter: T) -> None:
        """It was its turn, and it could not use it: the next turn is its own again."""
        self._round.setdefault(client, deque()).appendleft(waiter)
        self._round.move_to_end(client, last=False)

    def leave(self, client: str, waiter: T) -> None:
        """Wait no longer. Who does not wait is nobody's concern."""
        queue = self._round.get(client, deque())
        if waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._round[client]
