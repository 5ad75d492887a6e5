"""What the proxy remembers of requests is bounded, whatever a client sends: in entries, and in bytes."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import pkgutil
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import count
from operator import attrgetter
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.bounded_cache import BoundedCache
from proxy.observability.logs import Logs
from proxy.routing.table import AccountEntry, Selection
from tests.support.events import EventRecorder
from tests.support.independent_readers import QuickReader
from tests.support.memory_bench import End, MemoryBench, Pipe, usual_rules

ENTRIES = 4096
"""The most that one cache may hold."""
FLOODED_ENTRIES = 1024
"""The most that one cache may hold in a flood: those that may hold more get this limit there."""
LARGER_LIMITS = (
    "proxy.forwarding.admissions._MAX_SEEN",
    "proxy.mcp.sessions.MAX_SESSIONS",
    "proxy.observability.journal.MAX_ENTRIES",
    "proxy.observability.access_line.MAX_REMEMBERED",
)
FLOOD = FLOODED_ENTRIES + 176
AT_ONCE = 100
MEGABYTES = 16
"""The most that all of them may hold in a flood."""
SIZES = (60, 600, 3_500, 8_000, 56_000)
"""Bytes of a header value: remembered and not, and nearly as much as a head may have."""
ACCOUNT = b"an-account-with-a-long-name"
KEYS = {"writer": b"key-of-writer", "limited": b"key-of-limited"}
_LRU = type(lru_cache(lambda: None))
_APART = (
    *(type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, asyncio.AbstractEventLoop),
    *(Pipe, EventRecorder, io.StringIO, MemoryBench),
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


def fields(number: int) -> bytes:
    """The largest number of header fields of a request, each short and new."""
    return b"".join(b"x%d-%d:%d\r\n" % (number, each, each) for each in range(190))


KEYED = b"Host: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\n"
WRITER, LIMITED = KEYED % KEYS["writer"], KEYED % KEYS["limited"]
SCOPED = LIMITED + b"Amazon-Advertising-API-Scope: 1\r\n"
SELECTED = WRITER + b"X-Ads-Account: default\r\n"


def headed(number: int, name: bytes, lines: bytes = SELECTED, request: bytes = b"GET /v2/profiles") -> bytes:
    """A request with a new value of this header field, in one of the sizes after the other."""
    value = (b"%d" % number).ljust(SIZES[number % len(SIZES)], b"x")
    length, body = (b"Content-Length: 2\r\n", b"{}") if request.startswith(b"POST") else (b"", b"")
    return b"%b HTTP/1.1\r\n%b%b: %b\r\n%b\r\n%b" % (request, lines, name, value, length, body)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "prefixes": lambda n: b"GET /@%b/v2/profiles HTTP/1.1\r\n%b\r\n" % (spelled(n), WRITER),
    "paths": lambda n: b"GET /v2/x%d/%b HTTP/1.1\r\n%b\r\n" % (n, b"y" * 900, SELECTED),
    "numbers": lambda n: b"GET /v2/campaigns/%d HTTP/1.1\r\n%b\r\n" % (n, SELECTED),
    "queries": lambda n: b"GET /v2/profiles?%d=%b HTTP/1.1\r\n%b\r\n" % (n, b"y" * 900, SELECTED),
    "judged queries": lambda n: b"GET /sp/campaigns?p%d=1&%b%d=2 HTTP/1.1\r\n%b\r\n" % (n, b"q" * 900, n, SCOPED),
    "values": lambda n: b"GET /v2/profiles HTTP/1.1\r\n%b%b\r\n" % (WRITER[17:], section(n)),
    "large sections": lambda n: b"GET /v2/profiles HTTP/1.1\r\n%bX-Long: %d%b\r\n\r\n" % (WRITER, n, b"x" * 50_000),
    "keys": lambda n: b"GET /v2/profiles HTTP/1.1\r\n" + KEYED % (b"%d" % n * 200) + b"\r\n",
    "methods": lambda n: b"BREW%d /v2/x HTTP/1.1\r\n%b\r\n" % (n, WRITER),
    "sessions": lambda n: b"POST /mcp HTTP/1.1\r\n%bMcp-Session-Id: s%d\r\nContent-Length: 2\r\n\r\n{}" % (SELECTED, n),
    "hosts": lambda n: b"GET http://h%d.%b.example/v2/x HTTP/1.1\r\n%b\r\n" % (n, b"x" * 200, SELECTED),
    "scopes": lambda n: headed(n, b"Amazon-Advertising-API-Scope"),
    "accounts": lambda n: headed(n, b"Amazon-Ads-AccountId"),
    "agents": lambda n: headed(n, b"User-Agent"),
    "request ids": lambda n: headed(n, b"X-Request-Id"),
    "scopes of a limited client": lambda n: headed(n, b"Amazon-Advertising-API-Scope", LIMITED),
    "writes": lambda n: headed(n, b"Amazon-Advertising-API-Scope", request=b"POST /sp/campaigns"),
    "MCP scopes": lambda n: headed(n, b"Amazon-Advertising-API-Scope", request=b"POST /mcp"),
    "MCP sessions": lambda n: headed(n, b"Mcp-Session-Id", request=b"POST /mcp"),
    "many fields": lambda n: b"GET /v2/profiles HTTP/1.1\r\n%b%b\r\n" % (SELECTED, fields(n)),
    "many segments": lambda n: b"GET /v2%b HTTP/1.1\r\n%b\r\n" % (b"/%d" % n * 150, SELECTED),
}
RESPONSES: dict[str, Callable[[int], bytes]] = {
    "response lines": lambda n: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % section(n),
    "odd response lines": lambda n: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX_%d:%b\r\n\r\n" % (n, b"y" * 3000),
    "reasons": lambda n: b"HTTP/1.1 200 Reason %d\r\nContent-Length: 0\r\n\r\n" % n,
}
FILLED = {
    "judged queries": {"_find"},
    "values": {"read_host"},
    "hosts": {"read_host"},
}
"""The functions whose memory a flood fills: so it is known to reach them."""
_SECTIONS, _JOURNAL = "forwarder.reader._sections", "accounting.journal._entries"
_ADMISSIONS, _DECISIONS, _LINES = (
    "forwarder.admissions._kept",
    "forwarder._decisions._made",
    "logs._access_lines._lines",
)
EMPTIED = {
    "paths": {_DECISIONS},
    "queries": {_ADMISSIONS},
    "values": {_SECTIONS},
    "scopes": {_JOURNAL, _LINES},
    "many fields": {_SECTIONS, _DECISIONS},
}
"""The caches that a flood makes forget."""


class Memory:
    """What these objects lead to: its bytes, collections with many entries, and caches that are full, by function."""

    def __init__(self, roots: Iterable[object]) -> None:
        self.bytes = 0
        self.large: dict[str, int] = {}
        self.full: set[str] = set()
        seen: set[int] = set()
        left = list(roots)
        while left:
            one = left.pop()
            if id(one) in seen or isinstance(one, _APART):
                continue
            seen.add(id(one))
            self.bytes += sys.getsizeof(one)
            if isinstance(one, dict | set | list | deque) and len(one) > FLOODED_ENTRIES:
                self.large[f"{type(one).__name__} of {str(next(iter(one)))[:80]!r}"] = len(one)
            if isinstance(one, _LRU) and one.cache_info().currsize == one.cache_info().maxsize:
                self.full.add(getattr(one.__wrapped__, "func", one.__wrapped__).__name__)
            left += gc.get_referents(one)


def module_values() -> list[Any]:
    """What the modules of the program hold; the simulator is another program."""
    names = [name for name in sys.modules if name.startswith("proxy.") and not name.startswith("proxy.simulator")]
    return [value for name in names for value in vars(sys.modules[name]).values()]


def caches() -> list[Any]:
    """The functions of the program that remember what they gave."""
    return [value for value in module_values() if isinstance(value, _LRU)]


def known_clients() -> Clients:
    """One client that may do everything, and one of two profiles, whose queries are judged."""
    keys = {name: (ClientKey(hashlib.sha256(key).hexdigest()),) for name, key in KEYS.items()}
    limited = Policy("limited", keys["limited"], profiles=frozenset((b"1", b"9")))
    return Clients((Policy("writer", keys["writer"]), limited), Placeholders(b"key"), Budgets())


class Flooded(MemoryBench):
    """A proxy with an access log, and with an account whose name can be spelled in many ways."""

    reader = QuickReader

    def __init__(self) -> None:
        self.emptied: set[int] = set()
        self.lines = io.StringIO()
        self.logs: Logs = Logs(self.lines, form="json", level="info", access=True)
        table = usual_rules().table
        accounts = {name: AccountEntry(name, "na", "") for name in ("default", ACCOUNT.decode())}
        names = {name: Selection(entry) for name, entry in accounts.items()}
        super().__init__(table=replace(table, accounts=accounts, names=names), clients=known_clients())

    async def settle(self, clients: list[End]) -> None:
        """Let everything go on until each client has all of its responses."""
        while True:
            await self.rest(*clients)
            if not self.accounting.in_flight:
                return

    def emptied_caches(self) -> set[str]:
        """The caches of `EMPTIED` that were full once."""
        names = {name for names in EMPTIED.values() for name in names}
        return {name for name in names if id(attrgetter(name)(self)) in self.emptied}

    def memory(self) -> Memory:
        """What the proxy remembers now."""
        gc.collect()
        return Memory([self.forwarder, self.logs, *module_values()])

    async def flood(self, request: Callable[[int], bytes], times: int, requests: int = FLOOD) -> None:
        """Send so many different requests, each of them so often."""
        clear = BoundedCache.clear

        def note(cache: BoundedCache[Any, Any]) -> None:
            self.emptied.add(id(cache))
            clear(cache)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BoundedCache, "clear", note)
            await self._flood(request, times, requests)

    async def _flood(self, request: Callable[[int], bytes], times: int, requests: int) -> None:
        for begin in range(0, requests, AT_ONCE):
            clients = [self.client() for _ in range(AT_ONCE)]
            for _ in range(times):
                for number, client in enumerate(clients, begin):
                    client.send(request(number))
                await self.settle(clients)
            for client in clients:
                client.leave()
            await self.settle(clients)
            for upstream in self.upstreams:
                upstream.pipe.written.clear()
            self.sent, self.messages = [], []
            self.lines.seek(0)
            self.lines.truncate()
            self.events.events.clear()

    def end(self) -> None:
        self.pools.close()
        self.deadlines.stop()
        self.logs.close()


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short flood fills each cache."""
    for limit in LARGER_LIMITS:
        monkeypatch.setattr(limit, FLOODED_ENTRIES)


async def hold_to_the_limits(bench: Flooded, name: str, request: Callable[[int], bytes], times: int) -> None:
    """Flood the proxy, and see what it remembers then."""
    await bench.flood(request, times)
    memory = bench.memory()
    assert FILLED.get(name, set()) <= memory.full
    assert EMPTIED.get(name, set()) <= bench.emptied_caches()
    assert memory.large == {}
    assert memory.bytes < MEGABYTES * 1_000_000
    bench.end()


@pytest.mark.long
@pytest.mark.usefixtures("still_ages", "small_limits")
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_requests_fills_no_cache_beyond_its_limit(name: str) -> None:
    """Whatever part of them is new each time."""
    await hold_to_the_limits(Flooded(), name, FLOODS[name], 1 if name == "sessions" else 2)


@pytest.mark.usefixtures("still_ages")
async def test_ever_new_values_of_every_size_take_little_memory() -> None:
    """Three hundred Scopes, of which 60 have 56,000 bytes: they are sent to Amazon, and not kept."""
    bench = Flooded()
    await bench.flood(FLOODS["scopes"], 1, requests=300)
    before = bench.memory().bytes
    await bench.flood(lambda number: FLOODS["scopes"](number + 300), 1, requests=300)
    assert bench.memory().bytes - before < 4_000_000
    bench.end()


@pytest.mark.long
@pytest.mark.usefixtures("still_ages", "small_limits")
@pytest.mark.parametrize("name", RESPONSES)
async def test_a_flood_of_responses_fills_no_cache_beyond_its_limit(name: str) -> None:
    """Whatever part of their heads is new each time."""
    bench, numbers = Flooded(), count()
    bench.answer = lambda message: [RESPONSES[name](next(numbers))]
    await hold_to_the_limits(bench, name, lambda n: b"GET /v2/profiles HTTP/1.1\r\n%b\r\n" % SELECTED, 1)


def test_no_function_remembers_without_a_limit() -> None:
    """An `lru_cache` of the program has a size."""
    limits = {cache.__wrapped__.__qualname__: cache.cache_parameters()["maxsize"] for cache in caches()}
    assert limits
    assert {name: limit for name, limit in limits.items() if limit is None or limit > ENTRIES} == {}


@pytest.mark.parametrize("limit", LARGER_LIMITS)
def test_no_limit_is_larger(limit: str) -> None:
    """Those that the floods make smaller keep to the same."""
    assert pkgutil.resolve_name(limit) <= ENTRIES
