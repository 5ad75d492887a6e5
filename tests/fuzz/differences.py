"""Whether a proxy that has served many requests serves the next one as a proxy would that has served none.

    .venv/bin/python -m tests.fuzz.differences --seconds 3600 --seed 1

Several clients send requests to a long-lived proxy in memory, in pieces, interleaved and pipelined, again and again
the same ones with small changes. One such proxy has the fast path, one has not. A cold proxy, made for one request,
gives what is expected of it: the bytes to the client, the bytes to Amazon and the line in the access log.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest.mock import patch

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.events import Observers
from proxy.forwarding.accounting import Accounting
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.observability.journal import Journal
from proxy.observability.logs import Logs
from proxy.routing.table import AccountEntry, Selection
from tests.fuzz.reading import Message
from tests.fuzz.repeated_requests import KEYS, Making, response_to
from tests.support.both_settings import ChangingDirectory
from tests.support.memory_bench import End, MemoryBench, usual_rules

CLIENTS = 4
BATCHES_OF_A_LIFE = 400
"""Batches after which the long-lived proxies are replaced, so that their recorders do not fill the memory."""
_TIMEOUTS = ("header_timeout", "body_timeout", "send_timeout", "keepalive_timeout", "response_timeout", "idle_timeout")
PATIENT = {**dict.fromkeys(_TIMEOUTS, 1e6), "min_body_rate": 0}
"""Changes of the rules: nothing here depends on how fast the machine is."""
_TURNS = 20_000
_MAX_EXPECTED = 20_000
_VARYING = ("timestamp", "duration_ms", "upstream_ms", "overhead_ms")
_DATE = re.compile(rb"\r\nDate: (?!Wed, 25 Nov 2026 13:00:00 GMT)[^\r]*")


class Lines:
    """A sink that keeps the lines."""

    lost = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, line: str) -> None:
        self.lines.append(line)

    put_now = put

    def flush(self, timeout: float = 1.0) -> bool:
        return True

    def close(self, timeout: float = 1.0) -> None:
        """Nothing is open."""


@cache
def world() -> dict[str, Any]:
    """Changes of the usual rules: two accounts, a route, and three clients with different policies."""
    rules = usual_rules()
    accounts = {"default": AccountEntry("default", "na", ""), "other": AccountEntry("other", "eu", "")}
    names = {name: Selection(entry) for name, entry in accounts.items()}
    names["route"] = Selection(accounts["other"], "na", "9")
    table = replace(rules.table, accounts=accounts, names=names, directory=ChangingDirectory())
    keys = {name: (ClientKey(hashlib.sha256(key).hexdigest()),) for name, key in KEYS.items()}
    reader = Policy("reader", keys["reader"], methods=frozenset((b"GET",)), paths=(PathPattern.read("/v2/*"),))
    limited = Policy("limited", keys["limited"], profiles=frozenset((b"1", b"9")))
    policies = (reader, Policy("writer", keys["writer"]), limited)
    clients = Clients(policies, Placeholders(b"key"), Budgets())
    return {"table": table, "api_urls": {"eu": rules.endpoints["api", "na"]}, "clients": clients}


class Bench(MemoryBench):
    """A proxy with the access log of the program."""

    def __init__(self, *, fast: bool) -> None:
        self.logs = Logs(None, form="json", level="info", access=True)
        self.lines = Lines()
        self.logs.sink = self.lines  # type: ignore[assignment]  # no thread, no stream
        super().__init__(fast_path=fast, **world(), **PATIENT)
        self.forwarder.new_request_id = lambda: "id"  # type: ignore[method-assign]  # of this one object alone
        self.answer = response_to

    def account(self) -> Accounting:
        journal = Journal(logs=self.logs, listeners=(self.events,))
        journal.gather(asyncio.get_running_loop().call_soon)
        return Accounting(Observers((self.events, self.logs)), journal)

    async def settle(self, tools: list[End]) -> None:
        """Let everything go on until nothing moves any more."""
        still = turns = 0
        while still <= 8 or (self.accounting.in_flight and still <= 200):
            moved = await self.turn(tools)
            still = 0 if moved else still + 1
            turns += 1
            assert turns < _TURNS, "the proxy does not come to rest"

    async def turn(self, tools: list[End]) -> bool:
        before = self._state(tuple(tools))
        await asyncio.sleep(0)
        moved = sum(end.push() for end in (*tools, *self.upstreams)) > 0
        return moved or self._state(tuple(tools)) != before

    def taken(self) -> int:
        """Requests of the fast path so far."""
        return int(self.accounting.journal.fast_path(QuickOutcome.TAKEN).value)

    def said(self) -> tuple[list[bytes], list[str]]:
        """What left for Amazon since the last time, and the access lines: both in no order."""
        self.logs.flush()
        sent = sorted(map(without_chunks, self.sent, self.messages))
        lines = sorted(filter(None, map(comparable, self.lines.lines)))
        self.sent, self.messages, self.lines.lines = [], [], []
        assert not self.events.defects, self.events.defects[0]
        self.events.events.clear()
        self.upstreams = [upstream for upstream in self.upstreams if not upstream.pipe.closing]
        for upstream in self.upstreams:
            assert not upstream.reader.trouble, upstream.reader.trouble
            upstream.pipe.written.clear()
        return sent, lines


def without_chunks(data: bytes, message: Message) -> bytes:
    """A message with its content in one piece, as the sizes of chunks depend on how the request arrived."""
    head, end, body = data.partition(b"\r\n\r\n")
    return head + end + (message.body if b"\r\nTransfer-Encoding: chunked" in head else body)


def comparable(line: str) -> str:
    """An access line without its times; empty for another line. One that repeats a member fails."""
    pairs = json.loads(line, object_pairs_hook=list)
    found = dict(pairs)
    assert len(found) == len(pairs), f"a member stands twice: {line}"
    assert "?" not in str(found.get("path", "")), f"a path with a query: {line}"
    if found["event"] != "request":
        return ""
    return json.dumps({name: value for name, value in found.items() if name not in _VARYING}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a cold proxy did with a request. `ended`: the connection takes no further one."""

    came: bytes
    sent: tuple[bytes, ...]
    lines: tuple[str, ...]
    ended: bool


async def cold(data: bytes) -> Expected:
    """What a proxy that was made for this does with it."""
    bench = Bench(fast=False)
    tool = bench.tool()
    tool.send(data)
    await bench.settle([tool])
    came, ended = bytes(tool.pipe.written), tool.pipe.ended
    sent, lines = bench.said()
    tool.leave()
    await bench.settle([tool])
    bench.pools.close()
    await bench.settle([])
    bench.deadlines.stop()
    return Expected(_DATE.sub(b"\r\nDate: (now)", came), tuple(sent), tuple(lines), ended)


class Life:
    """A long-lived proxy, and its clients' connections."""

    def __init__(self, *, fast: bool) -> None:
        self.fast = fast
        self.bench = Bench(fast=fast)
        self.tools = [self.bench.tool() for _ in range(CLIENTS)]

    async def serve(self, pieces: list[list[bytes]], chance: random.Random) -> list[bytes]:
        """What each client gets for its pieces, sent in an order and with pauses of chance."""
        bench = self.bench
        await self.leave([number for number, tool in enumerate(self.tools) if tool.pipe.ended or tool.pipe.closing])
        for tool in self.tools:
            tool.pipe.written.clear()
        waiting = {number: list(each) for number, each in enumerate(pieces) if each}
        while waiting:
            number = chance.choice(list(waiting))
            self.tools[number].send(waiting[number].pop(0))
            if not waiting[number]:
                del waiting[number]
            luck = chance.random()
            if luck < 0.4:
                await bench.settle(self.tools)
            elif luck < 0.7:
                for _ in range(chance.randrange(5)):
                    await bench.turn(self.tools)
        await bench.settle(self.tools)
        return [_DATE.sub(b"\r\nDate: (now)", bytes(tool.pipe.written)) for tool in self.tools]

    async def leave(self, numbers: list[int]) -> None:
        """End these clients' connections, and open others for them."""
        for number in numbers:
            self.tools[number].leave()
        await self.bench.settle(self.tools)
        if numbers:
            self.bench.said()
        for number in numbers:
            self.tools[number] = self.bench.tool()

    async def end(self) -> None:
        for tool in self.tools:
            tool.leave()
        await self.bench.settle(self.tools)
        self.bench.pools.close()
        await self.bench.settle([])
        self.bench.deadlines.stop()
        assert self.bench.accounting.in_flight == 0


class Fuzz:
    """Batches of requests by chance. `counts` is how much was compared; `tell` gets it as proxies are replaced."""

    def __init__(self, seed: int, tell: Callable[[dict[str, int]], object] = lambda _: None) -> None:
        self.seed = seed
        self.tell = tell
        self.chance = random.Random(seed)
        self.making = Making(self.chance)
        self.expected: dict[bytes, Expected] = {}
        self.counts = {"batches": 0, "requests": 0, "fast": 0, "cold": 0}

    async def run(self, *, seconds: float = 0, batches: int = 0) -> dict[str, int]:
        """So many seconds, or batches. Raises an `AssertionError` whose note names seed and batch."""
        end = time.monotonic() + seconds
        done = 0
        while done < batches or (not batches and time.monotonic() < end):
            lives = [Life(fast=True), Life(fast=False)]
            for _ in range(BATCHES_OF_A_LIFE):
                try:
                    await self.batch(lives)
                except AssertionError as error:
                    error.add_note(f"seed {self.seed}, batch {self.counts['batches']}")
                    raise
                done += 1
                if done >= batches if batches else time.monotonic() >= end:
                    break
            self.counts["fast"] += lives[0].bench.taken()
            for life in lives:
                await life.end()
            self.tell(self.counts)
        return self.counts

    async def batch(self, lives: list[Life]) -> None:
        """One conversation of all clients, held with each of the proxies."""
        asked = [self.making.batch() for _ in range(CLIENTS)]
        expected = [await self.foreseen(each.requests) for each in asked]
        pieces = [each.pieces for each in asked]
        order = self.chance.getrandbits(64)
        for life in lives:
            came = await life.serve(pieces, random.Random(order))
            sent, lines = life.bench.said()
            for number, each in enumerate(expected):
                self.compare(f"client {number}", life, pieces, came[number], b"".join(one.came for one in each))
            every = [one for each in expected for one in each]
            self.compare("sent", life, pieces, sent, sorted(data for one in every for data in one.sent))
            self.compare("lines", life, pieces, lines, sorted(line for one in every for line in one.lines))
            await life.leave([number for number, each in enumerate(asked) if each.damaged])
        self.counts["batches"] += 1
        self.counts["requests"] += sum(map(len, expected))

    async def foreseen(self, requests: list[bytes]) -> list[Expected]:
        """What a connection gets for these: nothing behind a response that ends it."""
        found = []
        for data in requests:
            if data not in self.expected:
                if len(self.expected) >= _MAX_EXPECTED:
                    self.expected.clear()
                self.expected[data] = await cold(data)
                self.counts["cold"] += 1
            found.append(self.expected[data])
            if found[-1].ended:
                break
        return found

    def compare(self, what: str, life: Life, pieces: list[list[bytes]], found: Any, expected: Any) -> None:
        """A long-lived proxy must have done what the cold one did."""
        assert found == expected, f"{what}, fast path {life.fast}: found {found!r} expected {expected!r} for {pieces!r}"


def connections_in_use() -> AbstractContextManager[object]:
    """Meanwhile no connection to Amazon grows old, so that the fast path always finds one."""
    return patch("proxy.upstream.connection.boot_time", lambda: 1000.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differences", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    given = parser.parse_args()
    fuzz = Fuzz(given.seed, lambda counts: print(json.dumps(counts), flush=True))
    print(f"seed {given.seed}", flush=True)
    try:
        with connections_in_use():
            asyncio.run(fuzz.run(seconds=given.seconds))
    except AssertionError:
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        print(json.dumps(fuzz.counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
