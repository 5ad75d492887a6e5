"""How much of bodies is read in one turn of the event loop: counted, not timed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.http1.framing import Buffer, ChunkedBody, UntilClose

Feed = Callable[[Any, bytes], tuple[list[Buffer], bytes]]


class Shares:
    """Bytes that bodies took, by the turn of the event loop."""

    def __init__(self) -> None:
        self.by_turn: Counter[int] = Counter()
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._count)

    def _count(self) -> None:
        self._turn += 1
        self._next = self._loop.call_soon(self._count)

    def take(self, size: int) -> None:
        self.by_turn[self._turn] += size

    @property
    def largest(self) -> int:
        return max(self.by_turn.values())

    @property
    def total(self) -> int:
        return self.by_turn.total()

    def stop(self) -> None:
        self._next.cancel()


@contextmanager
def counted_shares() -> Iterator[Shares]:
    """What is read of all bodies meanwhile whose length is not known before."""
    shares = Shares()

    def counting(feed: Feed) -> Feed:
        def count(body: Any, data: bytes) -> tuple[list[Buffer], bytes]:
            pieces, rest = feed(body, data)
            shares.take(len(data) - len(rest))
            return pieces, rest

        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChunkedBody, "feed", counting(ChunkedBody.feed))
        patch.setattr(UntilClose, "feed", counting(UntilClose.feed))
        try:
            yield shares
        finally:
            shares.stop()
