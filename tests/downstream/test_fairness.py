"""One client's connection among others: what it sends ahead must not make the others wait."""

from __future__ import annotations

import asyncio

from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire

AHEAD = 1500
REFUSED = b"GET /auth/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class FairQueue:
    """Counts the turns of the event loop, from its making on."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._next = self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._next.cancel()


async def greet(wire: Wire) -> None:
    """An upstream that answers everything."""
    while True:
        await wire.request()
        wire.send(HELLO)


async def answered(wire: Wire, count: int) -> None:
    """Wait until the client has so many responses. Patience is for a tenth of them: the machine decides how long all
    take."""
    for tenth in range(1, 11):
        await wire.until(lambda least=count * tenth // 10: wire.received.count(b"HTTP/1.1 404 ") >= least)  # type: ignore[misc]  # not inferred: it has a default


async def test_refused_requests_in_a_row_let_others_through(running: Running) -> None:
    """Many requests that the proxy answers by itself, sent at once: one in each turn of the event loop, which
    serves another client in between."""
    async with running(greet) as bench:
        warm = await bench.client(GET)
        assert (await warm.answer()).status == 200
        turns = FairQueue()
        greedy, other = await bench.client(REFUSED * AHEAD), await bench.client()
        assert (await greedy.answer()).status == 404
        other.send(GET)
        assert (await other.answer()).status == 200
        assert greedy.received.count(b"HTTP/1.1 404 ") <= turns.count
        await answered(greedy, AHEAD)
        assert turns.count >= AHEAD
        assert greedy.received.count(b"HTTP/1.1 404 ") == AHEAD
        turns.stop()
