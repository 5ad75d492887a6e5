"""What the proxy remembers of requests is bounded, whatever a client sends: in entries, and in bytes."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from proxy.routing.table import AccountEntry, Selection
from tests.fuzz.differences import Bench, Lines, connections_in_use, world
from tests.fuzz.repeated_requests import KEYS
from tests.support.events import EventRecorder
from tests.support.memory_bench import MemoryBench, Pipe

ENTRIES = 4096
"""The most that one cache may hold."""
FLOOD = ENTRIES + 504
AT_ONCE = 100
MEGABYTES = 64
ACCOUNT = b"an-account-with-a-long-name"
_LRU = type(lru_cache(lambda: None))
_APART = (
    *(type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, asyncio.AbstractEventLoop),
    *(Pipe, EventRecorder, Lines, MemoryBench),
)
"""What is no memory of the proxy's, or belongs to the test."""


def spelled(number: int) -> bytes:
    """The account's name, with those letters percent-encoded that the bits of a number name."""
    letters = [b"%%%02x" % letter if number >> at & 1 else bytes([letter]) for at, letter in enumerate(ACCOUNT)]
    return b"".join(letters)


def section(number: int) -> bytes:
    """Header fields of which each value is new, and long."""
    long = (b"%d" % number).ljust(700, b"x")
    return (
        b"Host: %b.example\r\nUser-Agent: %b\r\nAmazon-Advertising-API-Scope: %d\r\n"
        b"Amazon-Ads-AccountId: amzn1.%b\r\nX-Request-Id: %d\r\nMcp-Session-Id: %b\r\nX-Other-%d: %b\r\n"
        % (long[:200], long, number, long, number, long, number, long)
    )


KEYED = b"Host: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\n"
WRITER, LIMITED = KEYED % KEYS["writer"], KEYED % KEYS["limited"]
SCOPED = LIMITED + b"Amazon-Advertising-API-Scope: 1\r\n"
SELECTED = WRITER + b"X-Ads-Account: default\r\n"
FLOODS: dict[str, Callable[[int], bytes]] = {
    "prefixes": lambda n: b"GET /@%b/v2/profiles HTTP/1.1\r\n%b\r\n" % (spelled(n), WRITER),
    "paths": lambda n: b"GET /v2/x%d/%b HTTP/1.1\r\n%b\r\n" % (n, b"y" * 900, SELECTED),
    "numbers": lambda n: b"GET /v2/campaigns/%d HTTP/1.1\r\n%b\r\n" % (n, SELECTED),
    "queries": lambda n: b"GET /v2/profiles?%d=%b HTTP/1.1\r\n%b\r\n" % (n, b"y" * 900, SELECTED),
    "judged queries": lambda n: b"GET /sp/campaigns?p%d=1&%b%d=2 HTTP/1.1\r\n%b\r\n" % (n, b"q" * 900, n, SCOPED),
    "values": lambda n: b"GET /v2/profiles HTTP/1.1\r\n%b%b\r\n" % (WRITER[17:], section(n)),
    "keys": lambda n: b"GET /v2/profiles HTTP/1.1\r\n" + KEYED % (b"%d" % n * 200) + b"\r\n",
    "methods": lambda n: b"BREW%d /v2/x HTTP/1.1\r\n%b\r\n" % (n, WRITER),
    "sessions": lambda n: b"POST /mcp HTTP/1.1\r\n%bMcp-Session-Id: s%d\r\nContent-Length: 2\r\n\r\n{}" % (SELECTED, n),
    "hosts": lambda n: b"GET http://h%d.%b.example/v2/x HTTP/1.1\r\n%b\r\n" % (n, b"x" * 200, SELECTED),
}
FILLED = {
    "paths": {"parse_target", "_remembered_destination"},
    "judged queries": {"_find"},
    "values": {"read_host"},
    "hosts": {"read_host"},
}
"""The functions whose memory a flood fills: so it is known to reach them."""


def remembered(roots: Iterable[object]) -> tuple[dict[str, int], int]:
    """The sizes of the collections that these objects lead to, by kind and a sample, and the bytes of everything."""
    seen: set[int] = set()
    sizes: dict[str, int] = {}
    left, total = list(roots), 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, _APART):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict | set | list | deque) and len(one) > ENTRIES // 2:
            sizes[f"{type(one).__name__} of {str(next(iter(one)))[:80]!r}"] = len(one)
        left += gc.get_referents(one)
    return sizes, total


def caches() -> list[Any]:
    """The functions of the program that remember what they gave; the simulator is another program."""
    names = [name for name in sys.modules if name.startswith("proxy.") and not name.startswith("proxy.simulator")]
    modules = [sys.modules[name] for name in names]
    return [value for module in modules for value in vars(module).values() if isinstance(value, _LRU)]


class Flooded(Bench):
    """A proxy with an account whose name can be spelled in many ways."""

    def __init__(self, *, fast: bool) -> None:
        super().__init__(fast=fast)
        table = world()["table"]
        entry = AccountEntry(ACCOUNT.decode(), "na", "")
        accounts = {**table.accounts, entry.name: entry}
        names = {**table.names, entry.name: Selection(entry)}
        self.rules = replace(self.rules, table=replace(table, accounts=accounts, names=names))
        self.forwarder.apply(self.rules)
        self.reach()

    async def flood(self, request: Callable[[int], bytes], times: int) -> None:
        """Send so many different requests, each of them so often."""
        for begin in range(0, FLOOD, AT_ONCE):
            tools = [self.tool() for _ in range(AT_ONCE)]
            for _ in range(times):
                for number, tool in enumerate(tools, begin):
                    tool.send(request(number))
                await self.settle(tools)
            for tool in tools:
                tool.leave()
            await self.settle(tools)
            for upstream in self.upstreams:
                upstream.pipe.written.clear()
            self.sent, self.messages, self.lines.lines = [], [], []
            self.events.events.clear()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_requests_fills_no_cache_beyond_its_limit(name: str, fast: bool) -> None:
    """Whatever part of them is new each time."""
    with connections_in_use():
        bench = Flooded(fast=fast)
        _, before = remembered([bench.forwarder])
        await bench.flood(FLOODS[name], 1 if name == "sessions" else 2)
        gc.collect()
        sizes, after = remembered([bench.forwarder, *caches()])
    full = {
        cache.__wrapped__.__name__ for cache in caches() if cache.cache_info().currsize == cache.cache_info().maxsize
    }
    assert FILLED.get(name, set()) <= full
    assert {cache: size for cache, size in sizes.items() if size > ENTRIES} == {}
    assert after - before < MEGABYTES * 1_000_000
    bench.pools.close()
    bench.deadlines.stop()


def test_no_function_remembers_without_a_limit() -> None:
    """An `lru_cache` of the program has a size."""
    limits = {cache.__wrapped__.__qualname__: cache.cache_parameters()["maxsize"] for cache in caches()}
    assert limits
    assert {name: limit for name, limit in limits.items() if limit is None or limit > ENTRIES} == {}
