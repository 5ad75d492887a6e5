"""Whether a proxy that has served many requests serves the next one as a proxy would that has served none.

    .venv/bin/python -m tests.fuzz.differences --seconds 3600 --seed 1

Several clients send requests to a warm proxy in memory, in pieces, interleaved and pipelined, again and again the same
ones with small changes. Between two batches the access token, the lists of profiles or the rules may change. A cold
proxy, made for one request, gives the expected result: the bytes to the client, the bytes to Amazon and the line in the
access log.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.audit.write_reading import WRITE_READER
from proxy.body_reader import READER, SHORT_READER
from proxy.forwarding.decision import Admission
from proxy.forwarding.decisions import Decisions
from proxy.http1.message import Request
from proxy.observability.logs import Logs
from proxy.routing.operations import Access
from proxy.routing.table import AccountEntry, Selection
from tests.fuzz.repeated_requests import KEYS, Making, response_to
from tests.support.independent_readers import Message
from tests.support.memory_bench import End, MemoryBench, usual_rules
from tests.support.rules import changed_rules
from tests.support.warm_and_cold import ChangingDirectory

CLIENTS = 4
BATCHES_OF_A_LIFE = 400
"""Batches after which the warm proxy is replaced, so that its recorders do not fill the memory."""
CHANGED = 0.1
"""How likely a change of the world is before a batch."""
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

    def put_all(self, lines: list[str]) -> None:
        self.lines += lines

    def flush(self, timeout: float = 1.0) -> bool:
        return True

    def close(self, timeout: float = 1.0) -> None:
        """Nothing is open."""


class World:
    """What the warm proxy and the cold ones share: the directory, the number of the access token, and the rules.

    The rules have two accounts, a route, and a client for each kind of policy.
    """

    def __init__(self) -> None:
        self.directory = ChangingDirectory()
        self.token = 0
        self.reader_paths = "/v2/*"

    def change(self, chance: random.Random) -> str:
        """Change one of them. Returns which one."""
        what = chance.choice(("token", "profiles", "rules"))
        if what == "token":
            self.token += 1
        elif what == "profiles":
            self.directory.change()
        else:
            self.reader_paths = "/sp/*" if self.reader_paths == "/v2/*" else "/v2/*"
        return what

    def changed(self) -> dict[str, Any]:
        """The changes of the usual rules."""
        rules = usual_rules()
        accounts = {"default": AccountEntry("default", "na", ""), "other": AccountEntry("other", "eu", "")}
        names = {name: Selection(entry) for name, entry in accounts.items()}
        names["route"] = Selection(accounts["other"], "na", "9")
        table = replace(rules.table, accounts=accounts, names=names, directory=self.directory)
        keys = {name: (ClientKey(hashlib.sha256(key).hexdigest()),) for name, key in KEYS.items()}
        paths = (PathPattern.read(self.reader_paths),)
        reader = Policy("reader", keys["reader"], methods=frozenset((b"GET",)), paths=paths)
        limited = Policy("limited", keys["limited"], profiles=frozenset((b"1", b"9")))
        others = (
            Policy("viewer", keys["viewer"], access=Access.READ, requests_per_minute=10**6),
            Policy("narrow", keys["narrow"], paths=(PathPattern.read("/v2/profiles"), PathPattern.read("/v2/*/7"))),
            Policy("agent", keys["agent"], mcp_tools=(PathPattern.read("query_*"),)),
            Policy("tenant", keys["tenant"], accounts=frozenset(("other",)), account_ids=frozenset((b"a.1",))),
        )
        policies = (reader, Policy("writer", keys["writer"]), limited, *others)
        clients = Clients(policies, Placeholders(b"key"), Budgets())
        return {"table": table, "api_urls": {"eu": rules.endpoints["api", "na"]}, "clients": clients, **PATIENT}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a proxy did with a request. `ended`: the connection takes no further one."""

    came: bytes
    sent: tuple[bytes, ...]
    lines: tuple[str, ...]
    ended: bool


class Bench(MemoryBench):
    """A proxy in this world, with the access log of the program."""

    def __init__(self, world: World) -> None:
        self.logs: Logs = Logs(None, form="json", level="info", access=True)
        self.lines = Lines()
        self.logs.sink = self.lines  # type: ignore[assignment]  # no thread, no stream
        super().__init__(**world.changed())
        self.world = world
        self.forwarder.new_request_id = lambda: "id"  # type: ignore[method-assign]  # of this one object alone
        self.answer = response_to
        self.follow("token")

    def follow(self, what: str) -> None:
        """Take over what changed in the world; the proxy notices a change of the directory by itself."""
        if what == "token":
            while self.tokens.number < self.world.token:
                self.tokens.rotate()
        elif what == "rules":
            self.rules = changed_rules(usual_rules(), self.world.changed())
            self.apply(self.rules)
            self.reach()

    def forget_sessions(self) -> None:
        """End all sessions of MCP: what the proxy knows of them is meant to change what it does."""
        self.sessions._known.clear()

    async def settle(self, clients: list[End]) -> None:
        """Let everything go on until nothing moves any more."""
        still = turns = 0
        while still <= 8 or (self.accounting.in_flight and still <= 200):
            if still == 4 and self.accounting.flight.value:
                for reader in (READER, SHORT_READER):
                    reader._thread.submit(int).result()  # earlier work, such as reading tool names, is done then
            moved = await self.turn(clients)
            still = 0 if moved else still + 1
            turns += 1
            assert turns < _TURNS, "the proxy does not come to rest"

    async def turn(self, clients: list[End]) -> bool:
        before = self._moves(tuple(clients))
        if self.writes.waiting:  # a thread reads these writes before their account
            await asyncio.get_running_loop().run_in_executor(WRITE_READER._thread, int)
        await asyncio.sleep(0)
        moved = sum(end.push() for end in (*clients, *self.upstreams)) > 0
        return moved or self._moves(tuple(clients)) != before

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

    async def serve(self, client: End, data: bytes) -> Outcome:
        """What it does with one request on this connection, which is the only one."""
        client.pipe.written.clear()
        client.send(data)
        await self.settle([client])
        came, ended = bytes(client.pipe.written), client.pipe.ended
        sent, lines = self.said()
        if ended:
            client.leave()
            await self.settle([client])
        return Outcome(_DATE.sub(b"\r\nDate: (now)", came), tuple(sent), tuple(lines), ended)

    async def end(self, *clients: End) -> None:
        """Close every connection."""
        for client in clients:
            client.leave()
        await self.settle(list(clients))
        self.pools.close()
        await self.settle([])
        self.deadlines.stop()


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


async def cold(data: bytes, world: World) -> Outcome:
    """What a proxy that was made for this does with it."""
    bench = Bench(world)
    expected = await bench.serve(bench.client(), data)
    await bench.end()
    return expected


class Life:
    """The warm proxy, and its clients' connections."""

    def __init__(self, world: World) -> None:
        self.bench = Bench(world)
        self.clients = [self.bench.client() for _ in range(CLIENTS)]

    async def serve(self, pieces: list[list[bytes]], chance: random.Random) -> list[bytes]:
        """What each client gets for its pieces, sent in an order and with pauses of chance."""
        bench = self.bench
        await self.leave(
            [number for number, client in enumerate(self.clients) if client.pipe.ended or client.pipe.closing]
        )
        for client in self.clients:
            client.pipe.written.clear()
        waiting = {number: list(each) for number, each in enumerate(pieces) if each}
        while waiting:
            number = chance.choice(list(waiting))
            self.clients[number].send(waiting[number].pop(0))
            if not waiting[number]:
                del waiting[number]
            luck = chance.random()
            if luck < 0.4:
                await bench.settle(self.clients)
            elif luck < 0.7:
                for _ in range(chance.randrange(5)):
                    await bench.turn(self.clients)
        await bench.settle(self.clients)
        return [_DATE.sub(b"\r\nDate: (now)", bytes(client.pipe.written)) for client in self.clients]

    async def leave(self, numbers: list[int]) -> None:
        """End these clients' connections, and open others for them."""
        for number in numbers:
            self.clients[number].leave()
        await self.bench.settle(self.clients)
        if numbers:
            self.bench.said()
        for number in numbers:
            self.clients[number] = self.bench.client()

    async def end(self) -> None:
        await self.bench.end(*self.clients)
        assert self.bench.accounting.in_flight == 0


class Fuzz:
    """Random batches of requests. `counts` is what was compared; `tell` gets it whenever the warm proxy is replaced."""

    def __init__(self, seed: int, tell: Callable[[dict[str, int]], object] = lambda _: None) -> None:
        self.seed = seed
        self.tell = tell
        self.chance = random.Random(seed)
        self.making = Making(self.chance)
        self.world = World()
        self.expected: dict[bytes, Outcome] = {}
        self.counts = {"batches": 0, "requests": 0, "repeated": 0, "cold": 0, "changes": 0}

    async def run(self, *, seconds: float = 0, batches: int = 0) -> dict[str, int]:
        """Compare for this many seconds, or batches. Raises an `AssertionError` whose note names seed and batch."""
        end = time.monotonic() + seconds
        done = 0
        with connections_in_use(), repeated_decisions() as repeated:
            while done < batches or (not batches and time.monotonic() < end):
                life = Life(self.world)
                for _ in range(BATCHES_OF_A_LIFE):
                    try:
                        await self.batch(life, repeated)
                    except AssertionError as error:
                        error.add_note(f"seed {self.seed}, batch {self.counts['batches']}")
                        raise
                    done += 1
                    if done >= batches if batches else time.monotonic() >= end:
                        break
                await life.end()
                self.tell(self.counts)
        return self.counts

    async def batch(self, life: Life, repeated: list[bool]) -> None:
        """One conversation of all clients with the warm proxy, now and then after a change."""
        if self.chance.random() < CHANGED:
            life.bench.follow(self.world.change(self.chance))
            self.expected.clear()
            self.counts["changes"] += 1
        asked = [self.making.batch() for _ in range(CLIENTS)]
        expected = [await self.foreseen(each.requests) for each in asked]
        pieces = [each.pieces for each in asked]
        repeated.clear()
        came = await life.serve(pieces, random.Random(self.chance.getrandbits(64)))
        self.counts["repeated"] += sum(repeated)
        sent, lines = life.bench.said()
        for number, each in enumerate(expected):
            compare(f"client {number}", pieces, came[number], b"".join(one.came for one in each))
        every = [one for each in expected for one in each]
        compare("sent", pieces, sent, sorted(data for one in every for data in one.sent))
        compare("lines", pieces, lines, sorted(line for one in every for line in one.lines))
        await life.leave([number for number, each in enumerate(asked) if each.damaged])
        self.counts["batches"] += 1
        self.counts["requests"] += sum(map(len, expected))

    async def foreseen(self, requests: list[bytes]) -> list[Outcome]:
        """What a connection gets for these: nothing behind a response that ends it."""
        found = []
        for data in requests:
            if data not in self.expected:
                if len(self.expected) >= _MAX_EXPECTED:
                    self.expected.clear()
                self.expected[data] = await cold(data, self.world)
                self.counts["cold"] += 1
            found.append(self.expected[data])
            if found[-1].ended:
                break
        return found


def compare(what: str, pieces: list[list[bytes]], found: object, expected: object) -> None:
    """The warm proxy must have done what the cold one did."""
    assert found == expected, f"{what}: found {found!r} expected {expected!r} for {pieces!r}"


@contextmanager
def connections_in_use() -> Iterator[None]:
    """No connection to Amazon grows old, so that a request always finds one."""
    with patch("proxy.upstream.connection.boot_time", lambda: 1000.0):
        yield


@contextmanager
def repeated_decisions() -> Iterator[list[bool]]:
    """Whether each request that was looked up found an earlier decision."""
    found: list[bool] = []
    find = Decisions.find

    def note(decisions: Decisions, request: Request) -> Admission | None:
        context = find(decisions, request)
        found.append(context is not None)
        return context

    with patch.object(Decisions, "find", note):
        yield found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differences", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    given = parser.parse_args()
    fuzz = Fuzz(given.seed, lambda counts: print(json.dumps(counts), flush=True))
    print(f"seed {given.seed}", flush=True)
    try:
        asyncio.run(fuzz.run(seconds=given.seconds))
    except AssertionError:
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        print(json.dumps(fuzz.counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
