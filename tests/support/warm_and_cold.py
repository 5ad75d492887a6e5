"""The same conversation with a warm proxy and with a cold one: what leaves, what comes back, and what is reported.

A warm proxy remembers what it decided; a cold one takes its rules again before each request, and so has no memory. Each
run has a fresh upstream, client and proxy on real sockets. Times and dates are masked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.routing.table import AccountEntry, Selection
from tests.support.deciding import Listed
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.scraping import scraped
from tests.support.wire import GET, Wire, own_host

KEYS = {"reader": b"key-of-reader", "writer": b"key-of-writer"}
RID = b"x-amz-rid: RID%d\r\nDate: Wed, 25 Nov 2026 13:00:00 GMT\r\n"
DIED = b"(the connection ended)"


KEY = b"key-of-reader"
KEYED = GET[:-2] + b"Authorization: Bearer " + KEY + b"\r\n\r\n"
SCOPED = GET[:-2] + b"Amazon-Advertising-API-Scope: 77\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Ask:
    """Requests, sent in these pieces on the client's connection, and how many answers are awaited then."""

    pieces: tuple[bytes, ...]
    answers: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens between two requests: `reload`, `rotate`, `profiles`, `drop` or `leave`."""

    what: str


Step = Ask | Change


@dataclass(slots=True)
class Seen:
    """What one run looked like from outside."""

    sent: list[bytes] = field(default_factory=list)
    came: list[bytes] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    replays: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    connections: int = 0


class ChangingDirectory(Listed):
    """A directory whose profiles change hands."""

    def __init__(self) -> None:
        super().__init__({"1": (("default", "na"),), "2": (("other", "eu"),)})

    def change(self) -> None:
        """Profiles 1 and 2 change their accounts, 3 is listed or is not any longer."""
        self.version += 1
        self._owners["1"], self._owners["2"] = self._owners["2"], self._owners["1"]
        if self._owners.pop("3", None) is None:
            self._owners["3"] = (("default", "eu"),)


class AskedDirectory(ChangingDirectory):
    """Counts how often it is asked for a profile or an ads account."""

    asked = 0

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        self.asked += 1
        return super().owners(profile, account)

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        self.asked += 1
        return super().ads_account_owners(identifier, account)

    def list(self, profile: str) -> None:
        """From now on the profile is listed, under the same version: a list was read in between."""
        self._owners[profile] = (("default", "na"),)


def look_up_in(bench: ProxyBench, directory: AskedDirectory, default_profile: str = "", ads_account: str = "") -> None:
    """Have the rules' table ask this directory, with one account that has these defaults."""
    entry = AccountEntry("default", "na", default_profile, ads_account)
    table = replace(bench.rules.table, directory=directory, accounts={"default": entry})
    bench.apply(table=replace(table, names={"default": Selection(entry)}))


def clients(*, ends_at: float | None = None, **limits: Any) -> Clients:
    """One client with the key `KEY`, which ends at a wall-clock time."""
    policy = Policy("reader", (ClientKey(hashlib.sha256(KEY).hexdigest(), ends_at),), **limits)
    return Clients((policy,), Placeholders(b"key"), Budgets())


async def ask(client: Wire, data: bytes, times: int = 1) -> list[int]:
    """The statuses of the responses to this request, sent so often one after another."""
    statuses = []
    for _ in range(times):
        client.send(data)
        statuses.append((await client.answer()).status)
    return statuses


def answer_to(target: bytes, number: int, tries: dict[bytes, int]) -> list[bytes | None]:
    """What Amazon says: chosen by a word in the target. None ends the connection."""
    word = target.split(b"?")[0].rsplit(b"/", 1)[-1].split(b"-")[0]
    tries[target] = tries.get(target, 0) + 1
    body = b'{"number":%d}' % number
    usual = b"Content-Type: application/json\r\n" + RID % number + b"Content-Length: %d\r\n" % len(body)
    ok = b"HTTP/1.1 200 OK\r\n" + usual
    first = tries[target] == 1
    found: dict[bytes, list[bytes | None]] = {
        b"missing": [b"HTTP/1.1 404 Not Found\r\n" + usual + b"\r\n" + body],
        b"odd": [b"HTTP/1.1 200 OK\r\ncontent-length:%d\r\nX_y: 1\r\n\r\n" % len(body) + body],
        b"undated": [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body],
        b"varied": [ok + b"ETag: %d\r\nConnection: keep-alive\r\n\r\n" % number + body],
        b"created": [b"HTTP/1.1 201 Created\r\nLocation: /x\r\n" + usual + b"\r\n" + body],
        b"nothing": [b"HTTP/1.1 204 No Content\r\n" + RID % number + b"\r\n"],
        b"see": [b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1/y\r\nContent-Length: 0\r\n\r\n"],
        b"busy": [b"HTTP/1.1 503 Slow Down\r\n" + usual + b"\r\n" + body],
        b"broken": [b"HTTP/1.1 500 Oops\r\n" + usual + b"\r\n" + body],
        b"malformed": [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", None],
        b"chunked": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
        b"interim": [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + b"\r\n" + body],
        b"parts": [ok + b"\r\n" + body[:3], body[3:]],
        b"split": [ok[:30], ok[30:] + b"\r\n" + body],
        b"more": [ok + b"\r\n" + body + b"HTTP/1.1 200 OK\r\n"],
        b"close": [ok + b"Connection: close\r\n\r\n" + body, None],
        b"ending": [ok + b"\r\n" + body, None],
        b"cut": [ok + b"\r\n" + body[:4], None],
        b"die": [None] if first else [ok + b"\r\n" + body],
        b"death": [None],
        b"denied": [b"HTTP/1.1 401 Unauthorized\r\n" + usual + b"\r\n" + body] if first else [ok + b"\r\n" + body],
        b"large": [b"HTTP/1.1 200 OK\r\n" + RID % number + b"Content-Length: 300000\r\n\r\n" + b"x" * 300000],
    }
    return found.get(word, [ok + b"\r\n" + body])


class Amazon:
    """The upstream of one run: records requests in the order in which they came, over all connections."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.tries: dict[bytes, int] = {}

    async def script(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.seen.append(head + b"\r\n" + body)
            for piece in answer_to(head.split(b" ")[1], len(self.seen), self.tries):
                if piece is None:
                    return
                wire.send(piece)


def two_accounts(bench: ProxyBench, directory: ChangingDirectory) -> dict[str, Any]:
    """Changes of the rules: two accounts, a route, and profiles that lead to them."""
    accounts = {"default": AccountEntry("default", "na", ""), "other": AccountEntry("other", "eu", "")}
    names = {name: Selection(entry) for name, entry in accounts.items()}
    names["route"] = Selection(accounts["other"], "na", "9")
    table = replace(bench.rules.table, accounts=accounts, names=names, directory=directory)
    url = bench.rules.endpoints["api", "na"]
    return {"table": table, "api_urls": {"eu": url}}


def keyed_clients(budgets: Budgets) -> Clients:
    """One client that may read some paths, ten times a minute, and one that may do all."""
    digests = {name: hashlib.sha256(key).hexdigest() for name, key in KEYS.items()}
    reader = Policy(
        "reader",
        (ClientKey(digests["reader"]),),
        methods=frozenset((b"GET",)),
        paths=(PathPattern.read("/v2/*"),),
        requests_per_minute=10,
        max_in_flight=2,
    )
    return Clients((reader, Policy("writer", (ClientKey(digests["writer"]),))), Placeholders(b"key"), budgets)


async def converse(running: Running, steps: Sequence[Step], *, cold: bool, keyed: bool) -> Seen:
    """One run; `keyed`: with the clients of `keyed_clients`."""
    amazon, seen, directory = Amazon(), Seen(), ChangingDirectory()
    async with running(amazon.script, host=own_host()) as bench:
        numbers, budgets = count(1), Budgets()
        bench.forwarder.new_request_id = lambda: f"id-{next(numbers)}"  # type: ignore[method-assign]  # of this one object alone

        def reload() -> None:
            clients = {"clients": keyed_clients(budgets)} if keyed else {}
            bench.apply(**two_accounts(bench, directory), **clients)

        reload()
        changes: dict[str, Callable[[], None]] = {
            "reload": reload,
            "rotate": bench.tokens.rotate,
            "profiles": directory.change,
        }
        client = await bench.client()
        for step in steps:
            if isinstance(step, Change) and step.what in changes:
                changes[step.what]()
            elif isinstance(step, Change) and step.what == "drop":
                for wire in bench.upstream.wires:
                    wire.drop()
                await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))
            else:
                if isinstance(step, Change) or client.ended:
                    client.close()
                    client = await bench.client()
                if isinstance(step, Ask):
                    if cold:
                        reload()
                    seen.came += await _ask(client, step)
                    await bench.settled(lambda: not bench.accounting.in_flight)
        client.close()
        await bench.settled(lambda: not bench.server.connections)
        _account(bench, seen)
        place = f"{bench.upstream.host}:{bench.upstream.port}".encode()
        seen.sent = [message.replace(place, b"(upstream)") for message in amazon.seen]
    return seen


async def _ask(client: Wire, ask: Ask) -> list[bytes]:
    """Send the pieces and return the masked responses, and `DIED` if the connection ended."""
    for piece in ask.pieces:
        client.send(piece)
    answers: list[bytes] = []
    for _ in range(ask.answers):
        try:
            answer = await client.answer()
            while answer.status < 200:
                answers.append(answer.head)
                answer = await client.answer()
        except (EOFError, IndexError):
            return [*answers, DIED]
        answers.append(_masked(answer.head) + answer.body)
        if b"\r\nConnection: close" in answer.head:
            await client.end()
            break
    return answers


def _masked(head: bytes) -> bytes:
    """Without the date that was added, and what is counted in seconds."""
    head = re.sub(rb"\r\nDate: (?!Wed, 25 Nov 2026 13:00:00 GMT)[^\r]*", b"\r\nDate: (now)", head)
    return re.sub(rb"\r\nRetry-After: [0-9]+", b"\r\nRetry-After: (soon)", head)


def _account(bench: ProxyBench, seen: Seen) -> None:
    times = {"duration", "upstream", "overhead", "timestamp", "duration_ms", "upstream_ms", "overhead_ms"}
    for event in bench.events.finished:
        values = {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in times}
        seen.told.append(values)
        assert 0 <= event.overhead <= event.duration
        assert 0 <= event.upstream <= event.duration
    seen.replays = bench.events.replays
    bench.logs.flush()
    for line in bench.lines.getvalue().splitlines():
        found = json.loads(line)
        if found["event"] == "request":
            seen.lines.append(json.dumps({name: value for name, value in found.items() if name not in times}))
    for number in scraped(bench.metrics).decode().splitlines():
        if re.match(r"ads_proxy_(requests_total|requests_in_flight|replays|throttled|\w+_count)", number):
            seen.numbers.append(number)
    seen.connections = len(bench.upstream.wires)


async def compared(running: Running, steps: Sequence[Step], *, keyed: bool = False) -> Seen:
    """Run it warm and cold, and compare: what was seen with the warm proxy."""
    warm = await converse(running, steps, cold=False, keyed=keyed)
    cold = await converse(running, steps, cold=True, keyed=keyed)
    for name, value in asdict(cold).items():
        assert getattr(warm, name) == value, name
    return warm
