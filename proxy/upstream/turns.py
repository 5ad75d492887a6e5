"""Who waits for a connection, in turns by client: whoever waits with much goes behind the others each time. Pure.

What waits is of some family, and at times not every family may go on: then a client's turn goes to its first that may.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import chain, repeat
from operator import contains, itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue for each client, and a round of those that have one. Within a client, first come, first served.

    A client's queue is kept by family, each waiter with its number, so that those who may not go on cost nothing.
    `queues` is empty where nobody waits; it is looked at for each request.
    """

    def __init__(self) -> None:
        self.queues: OrderedDict[str, dict[str, deque[tuple[int, T]]]] = OrderedDict()
        self._last = self._first = 0

    def __len__(self) -> int:
        return sum(len(queue) for queues in self.queues.values() for queue in queues.values())

    def __iter__(self) -> Iterator[T]:
        """Everybody who waits, client by client."""
        for queues in self.queues.values():
            for _, waiter in sorted(chain.from_iterable(queues.values()), key=itemgetter(0)):
                yield waiter

    def __repr__(self) -> str:
        return f"<Turns of {len(self.queues)} clients, {len(self)} waiting>"

    def join(self, client: str, waiter: T, family: str = "") -> None:
        """Wait behind one's own, and, as a client that did not wait yet, behind all others."""
        self._last += 1
        self._queue(client, family).append((self._last, waiter))

    def holds(self, family: str) -> bool:
        """Whether somebody of this family waits."""
        return any(map(contains, self.queues.values(), repeat(family)))

    def next(self, may: Callable[[str], bool] = lambda _family: True) -> T | None:
        """Take out whose turn it is, of those whose family `may` go on; the next turn is another client's."""
        for client, queues in self.queues.items():
            family, least = None, 0
            for each, queue in queues.items():
                if may(each) and (family is None or queue[0][0] < least):
                    family, least = each, queue[0][0]
            if family is not None:
                _, waiter = queues[family].popleft()
                self.queues.move_to_end(client)
                self._tidy(client, family)
                return waiter
        return None

    def put_back(self, client: str, waiter: T, family: str = "") -> None:
        """It was its turn, and it could not use it: the next turn is its own again."""
        self._first -= 1
        self._queue(client, family).appendleft((self._first, waiter))
        self.queues.move_to_end(client, last=False)

    def leave(self, client: str, waiter: T, family: str = "") -> None:
        """Wait no longer. Who does not wait is nobody's concern."""
        queue = self.queues.get(client, {}).get(family, deque())
        entry = next((each for each in queue if each[1] is waiter), None)
        if entry is not None:
            queue.remove(entry)
            self._tidy(client, family)

    def _queue(self, client: str, family: str) -> deque[tuple[int, T]]:
        return self.queues.setdefault(client, {}).setdefault(family, deque())

    def _tidy(self, client: str, family: str) -> None:
        """Keep no queue that is empty."""
        queues = self.queues[client]
        if not queues[family]:
            del queues[family]
        if not queues:
            del self.queues[client]
