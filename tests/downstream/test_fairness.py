"""One tool's connection among others: what it sends ahead must not make the others wait."""

from __future__ import annotations

from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire

AHEAD = 3000


async def greet(wire: Wire) -> None:
    """An upstream that answers everything."""
    while True:
        await wire.request()
        wire.send(HELLO)


async def test_refused_requests_in_a_row_let_others_through(running: Running) -> None:
    """Thousands of requests that the proxy answers by itself, sent at once: another tool is served in between."""
    refused = b"GET /auth/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with running(greet) as bench:
        warm = await bench.tool(GET)
        assert (await warm.answer()).status == 200
        greedy, other = await bench.tool(refused * AHEAD), await bench.tool()
        assert (await greedy.answer()).status == 404
        other.send(GET)
        assert (await other.answer()).status == 200
        assert greedy.received.count(b"HTTP/1.1 404 ") < AHEAD / 10
        await greedy.until(lambda: greedy.received.count(b"HTTP/1.1 404 ") == AHEAD)
