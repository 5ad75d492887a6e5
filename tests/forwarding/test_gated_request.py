"""A request that gates look at before it leaves: how it is handed over, and what it leaves behind."""

from __future__ import annotations

import asyncio

from proxy.reports.sharing import ReportRules
from tests.support.memory_bench import MemoryBench

RULES = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)


def poll(number: int) -> bytes:
    """A request that a gate looks at: it asks how far a report is."""
    return b"GET /reporting/reports/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number


async def test_a_request_that_goes_on_lets_nothing_more_in() -> None:
    """What the client sent ahead is used first: else each request would let a whole read come on top of it."""
    bench = MemoryBench(reports=RULES)
    client = bench.client()
    client.send(b"".join(map(poll, range(4000))))
    for answered in range(3):
        while not (bench.upstreams and bench.upstreams[0].pending):
            await asyncio.sleep(0)
        assert client.pipe.paused
        bench.upstreams[0].push()
        assert client.pipe.written.count(b"HTTP/1.1 200 OK") == answered + 1
    await bench.stop(client)
