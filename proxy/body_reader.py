"""Threads that read bodies which cost too much for the event loop: by turns, so that no client waits for another's.

Each client has a queue of its own, and a thread takes one body of each in turn. However many bodies of one client wait,
a body of another waits for one of them at most. As the costliest take a tenth of a second, or half a second on a busy
machine, short ones have a thread of their own. What is read, and what follows from it, is for those who ask.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Waiting = tuple[Future[Any], Callable[[], Any]]

_Found = TypeVar("_Found")
_SWITCH_INTERVAL: Final = 0.001
"""Seconds after which a thread gives way to the event loop."""


class BodyReader:
    """One thread, which starts with the first body."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name, sys.setswitchinterval, (_SWITCH_INTERVAL,))
        self._lock = Lock()
        self._queues: dict[str, deque[Waiting]] = {}
        """What waits of each client. The first client is the next."""

    def __repr__(self) -> str:
        return f"<BodyReader: {sum(map(len, self._queues.values()))} waiting, of {len(self._queues)} clients>"

    def submit(self, client: str, read: Callable[..., _Found], *given: Any) -> Future[_Found]:
        """The result of `read`, once it is the client's turn. A result that is cancelled before is not worked out."""
        found: Future[_Found] = Future()
        with self._lock:
            self._queues.setdefault(client, deque()).append((found, partial(read, *given)))
        self._thread.submit(self._take_turn)
        return found

    def read(
        self, loop: asyncio.AbstractEventLoop, client: str, read: Callable[..., _Found], *given: Any
    ) -> asyncio.Future[_Found]:
        """The same for a coroutine or a callback of the event loop."""
        return asyncio.wrap_future(self.submit(client, read, *given), loop=loop)

    def _take_turn(self) -> None:
        waiting = self._next()
        if waiting is None:
            return
        found, read = waiting
        try:
            result = read()
        except BaseException as error:  # noqa: BLE001 - it becomes the result
            found.set_exception(error)
            del found, waiting  # the error's traceback leads here, and they would wait for the garbage collector
        else:
            found.set_result(result)

    def _next(self) -> Waiting | None:
        """The next body whose result is still wanted; None if there is none."""
        with self._lock:
            while self._queues:
                client = next(iter(self._queues))
                queue = self._queues.pop(client)
                waiting = queue.popleft()
                while queue and queue[0][0].cancelled():
                    queue.popleft()
                if queue:
                    self._queues[client] = queue
                if waiting[0].set_running_or_notify_cancel():
                    return waiting
        return None


READER: Final = BodyReader("large-bodies")
"""What is read before a request leaves or while it is under way: nothing else may keep it busy."""
SHORT_READER: Final = BodyReader("short-bodies")
"""What is read before a request leaves and costs little (`SHORT`): it does not wait for what costs much."""
SHORT: Final = 12_000
"""The largest `cost_of` a short body: about ten milliseconds. One that changes a hundred campaigns costs 8,000."""
