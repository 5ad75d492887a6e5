"""A bench for the forwarding core: raw tools on one side, a scripted raw upstream on the other, the proxy in between.

All of it runs in the test's own event loop, on real sockets with ports of the system's choice. Waiting is always for
bytes or a condition, with a time limit; nothing sleeps. What is right is for the tests to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from proxy.access.clients import Budgets
from proxy.app.rules import make_clients, make_routing_table, make_rules
from proxy.config import load
from proxy.downstream.connection import ClientConnection
from proxy.downstream.ports import ConnectionLimits
from proxy.downstream.table import ConnectionTable
from proxy.errors import NoUsableToken
from proxy.events import DefectMet, Event, Replayed, RequestFinished, RequestStarted
from proxy.forwarding.accounting import Accounting
from proxy.forwarding.dependencies import Dependencies
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.injection import AccountLines
from proxy.forwarding.retry_budget import RetryBudgets
from proxy.forwarding.rules import Rules
from proxy.forwarding.throttles import Throttles
from proxy.net.deadlines import Deadlines
from proxy.routing.table import EmptyDirectory
from proxy.secret import Secret
from proxy.tokens.suspicion import TokenUse
from proxy.tokens.values import AccessToken
from proxy.upstream.pools import Pools

PATIENCE = 10.0
GET = b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\ndenied"

Script = Callable[["Wire"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came: `body` is the payload, `trailers` the raw section behind a chunked one."""

    head: bytes
    body: bytes
    trailers: bytes = b""

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def value(self, name: bytes) -> bytes | None:
        """A field's value; None where it is absent."""
        return value_of(self.head, name)


def value_of(head: bytes, name: bytes) -> bytes | None:
    """The first value of a field in a head; None where it is absent."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name.lower():
            return value.strip()
    return None


class Wire(asyncio.Protocol):
    """One end of a connection: records what comes, and hands it out in the order it came."""

    def __init__(self, opened: Callable[[Wire], None] | None = None) -> None:
        self.received = bytearray()
        self.ended = self.lost = self.reset = False
        self.transport: asyncio.Transport
        self._taken = 0
        self._opened = opened
        self._changed = asyncio.Event()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._changed.set()
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.reset = exc is not None
        self.ended = self.lost = True
        self._changed.set()

    # --- doing

    def send(self, *data: bytes) -> None:
        self.transport.write(b"".join(data))

    def finish(self) -> None:
        """End this direction."""
        self.transport.write_eof()

    def drop(self) -> None:
        """End with a reset."""
        if self.lost:
            return
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        if not self.lost:
            self.transport.abort()

    # --- waiting

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what came."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def end(self) -> bytes:
        """Wait for the peer to end; gives what was not taken yet."""
        await self.until(lambda: self.ended)
        return await self.take(len(self.received) - self._taken)

    async def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises `EOFError` where they do not come."""
        await self.until(lambda: self.ended or len(self.received) >= self._taken + size)
        return self._cut(self._taken + size)

    async def take_until(self, marker: bytes) -> bytes:
        """All bytes up to and with the marker. Raises `EOFError` where it does not come."""
        await self.until(lambda: self.ended or self.received.find(marker, self._taken) >= 0)
        at = self.received.find(marker, self._taken)
        return self._cut(at + len(marker) if at >= 0 else len(self.received) + 1)

    def _cut(self, end: int) -> bytes:
        if end > len(self.received):
            raise EOFError(bytes(self.received[self._taken :]))
        data = bytes(self.received[self._taken : end])
        self._taken = end
        return data

    async def head(self) -> bytes:
        """The next message's head, without its closing empty line."""
        return (await self.take_until(b"\r\n\r\n"))[:-2]

    async def chunked(self) -> tuple[bytes, bytes]:
        """The payload of a chunked body, and its trailer section."""
        body = b""
        while size := int((await self.take_until(b"\r\n"))[:-2], 16):
            body += (await self.take(size + 2))[:-2]
        trailers = b""
        while (line := await self.take_until(b"\r\n")) != b"\r\n":
            trailers += line
        return body, trailers

    async def body(self, head: bytes) -> tuple[bytes, bytes]:
        """The body that a request's head announces."""
        if value_of(head, b"transfer-encoding") is not None:
            return await self.chunked()
        return await self.take(int(value_of(head, b"content-length") or 0)), b""

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: its head and its payload."""
        head = await self.head()
        return head, (await self.body(head))[0]

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer, an interim one too, as its framing has it."""
        head = await self.head()
        status = int(head.split(b" ", 2)[1])
        if to_head or status < 200 or status in (204, 304):
            return Answer(head, b"")
        if value_of(head, b"transfer-encoding") is not None:
            return Answer(head, *await self.chunked())
        length = value_of(head, b"content-length")
        return Answer(head, await self.end() if length is None else await self.take(int(length)))


class Upstream:
    """The raw upstream: `script` runs once for each connection, in the order in which they came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.wires: list[Wire] = []
        self.port = 0
        self._server: asyncio.Server
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self._accept), "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, wire: Wire) -> None:
        self.wires.append(wire)
        self._tasks.append(asyncio.get_running_loop().create_task(self._run(wire)))

    async def _run(self, wire: Wire) -> None:
        """A script that is over leaves nobody waiting: its connection ends."""
        with contextlib.suppress(EOFError):
            await self.script(wire)
        if not wire.lost:
            wire.transport.close()

    async def stop(self) -> None:
        """Close everything; an error of the script is the test's."""
        self._server.close()
        for task in self._tasks:
            if not task.done():
                task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self.wires:
            wire.abort()
        for error in ended:
            if isinstance(error, Exception):
                raise error


class Tokens:
    """A token source: `Atza|0` first, the next number after each renewal."""

    def __init__(self) -> None:
        self.number = 0
        self.cold = False
        self.fruitless = self.away = self.watchful = False
        self.uses: list[TokenUse] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.renewals = 0
        self._token = self._make()

    def _make(self) -> AccessToken:
        return AccessToken("default", Secret(f"Atza|{self.number}"), self.number, float("inf"), "amzn1.test")

    def current(self, account: str) -> AccessToken | None:
        return None if self.cold else self._token

    async def get(self, account: str) -> AccessToken:
        if self.cold:
            await self.gate.wait()
        return self._token

    def accepted(self, token: AccessToken, use: TokenUse) -> None:
        self.uses.append(use)

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
        self.renewals += 1
        self.uses.append(use)
        await self.gate.wait()
        if self.away:
            raise NoUsableToken("Login with Amazon is away.", retry_after=3.0)
        if self.fruitless:
            return None
        if rejected is self._token:
            self.number += 1
            self._token = self._make()
        return self._token


class Facts:
    """An observer that keeps everything, and wakes who waits for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def observe(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def finished(self) -> list[RequestFinished]:
        return [event for event in self.events if isinstance(event, RequestFinished)]

    @property
    def replays(self) -> list[tuple[str, str]]:
        return [(event.reason, event.outcome) for event in self.events if isinstance(event, Replayed)]

    @property
    def started(self) -> int:
        return sum(isinstance(event, RequestStarted) for event in self.events)

    @property
    def defects(self) -> list[str]:
        return [event.traceback for event in self.events if isinstance(event, DefectMet)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def last(self, number: int = 1) -> RequestFinished:
        """The account of the request that was finished as the `number`th."""
        await self.until(lambda: len(self.finished) >= number)
        return self.finished[number - 1]


class Bench:
    """The proxy and what stands on both its sides."""

    def __init__(self, upstream: Upstream, rules: Rules) -> None:
        loop = asyncio.get_running_loop()
        self.upstream = upstream
        self.rules = rules
        self.tokens = Tokens()
        self.facts = Facts()
        self.deadlines = Deadlines(loop)
        self.pools = Pools(self.deadlines)
        self.accounting = Accounting(self.facts)
        self.throttles = Throttles()
        dependencies = Dependencies(self.tokens, self.throttles, RetryBudgets(), AccountLines(), self.accounting)
        self.forwarder = Forwarder(dependencies, self.pools, rules)
        self.server = ConnectionTable(self.deadlines)
        self.tools: list[Wire] = []
        self.port = 0
        self._listening: asyncio.Server

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connect, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    def _connect(self) -> ClientConnection:
        return ClientConnection(self.server, self.forwarder)

    async def tool(self, *first: bytes) -> Wire:
        """A new connection of a tool, which sends this first."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, "127.0.0.1", self.port)
        self.tools.append(wire)
        if first:
            wire.send(*first)
        return wire

    def connection(self) -> ClientConnection:
        """One of the tools' connections, as the proxy has it."""
        connection = next(iter(self.server.connections))
        assert isinstance(connection, ClientConnection)
        return connection

    async def ask(self, request: bytes = GET) -> Answer:
        """One request on a connection of its own."""
        wire = await self.tool(request)
        try:
            return await wire.answer(to_head=request.startswith(b"HEAD "))
        finally:
            wire.close()

    def sweep(self, seconds: float) -> None:
        """What the timers would do so many seconds from now."""
        self.deadlines.sweep(asyncio.get_running_loop().time() + seconds)

    def apply(self, **changed: Any) -> None:
        """A reload with these changes."""
        self.rules = changed_rules(self.rules, changed)
        self.forwarder.apply(self.rules)

    async def stop(self) -> None:
        """Close everything, and see that nothing is left over: no request, no connection."""
        self._listening.close()
        for wire in self.tools:
            wire.abort()
        await self.settled(lambda: not self.server.connections and not self.accounting.in_flight)
        self.pools.close()
        await self.settled(lambda: not any(size for size, _ in self.pools.sizes().values()))
        self.deadlines.stop()
        assert self.facts.started == len(self.facts.finished)
        assert not self.facts.defects
        assert not self.server.per_address

    def drop(self) -> None:
        """Let go of everything, after a failure too."""
        self._listening.close()
        for wire in self.tools:
            wire.abort()
        for connection in tuple(self.server.connections):
            assert isinstance(connection, ClientConnection)
            connection._transport.abort()
        self.pools.close()
        self.deadlines.stop()

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Let the event loop run until the condition holds: for what tells nobody that it happened."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)


def changed_rules(rules: Rules, changed: dict[str, Any]) -> Rules:
    """Rules with changes, given by the names of the configuration, wherever in the rules they lie.

    `max_connections` is that of the tools; `pool_limit` is how many connections Amazon's hosts may have.
    """
    groups: dict[str, dict[str, Any]] = {
        "connection_limits": {},
        "head_limits": {},
        "pool_settings": {},
        "timeouts": {},
    }
    elsewhere = {
        "pool_limit": ("pool_settings", "max_connections"),
        "connect_timeout": ("pool_settings", "connect_timeout"),
        "outbound_proxy": ("pool_settings", "proxy"),
        "ca_file": ("pool_settings", "ca_file"),
        "ca_digest": ("pool_settings", "ca_digest"),
        "response_timeout": ("timeouts", "response"),
        "idle_timeout": ("timeouts", "idle"),
        "max_header_bytes": ("head_limits", "max_bytes"),
        "max_target_bytes": ("head_limits", "max_target_bytes"),
        "max_headers": ("head_limits", "max_fields"),
    }
    urls = {("api", region): url for region, url in changed.pop("api_urls", {}).items()}
    changed["endpoints"] = {**rules.endpoints, **urls}
    for name in tuple(changed):
        if name in elsewhere:
            group, field = elsewhere[name]
            groups[group][field] = changed.pop(name)
        elif name in ConnectionLimits.__dataclass_fields__:
            groups["connection_limits"][name] = changed.pop(name)
    for group, values in groups.items():
        changed[group] = replace(getattr(rules, group), **values)
    return replace(rules, **changed)


def rules_for(api_url: str, **changed: Any) -> Rules:
    """The rules of an account `default` at this API address. `max_connections` is the tools', `pool_limit` Amazon's."""
    environment = {
        "AMAZON_ADS_CLIENT_ID": "amzn1.test",
        "AMAZON_ADS_CLIENT_SECRET": "a-secret-for-tests",
        "AMAZON_ADS_REFRESH_TOKEN": "Atzr|test",
        "ADS_PROXY_REGIONS__NA__API_URL": api_url,
        "HOME": str(Path.home()),
    }
    config = load(None, environment)
    table = make_routing_table(config, EmptyDirectory())
    rules = make_rules(config, table, make_clients(config, b"key", Budgets()), demo=False)
    return changed_rules(rules, dict(changed))


@contextlib.asynccontextmanager
async def running(script: Script, **changed: Any) -> AsyncIterator[Bench]:
    """A bench in front of an upstream that does this."""
    upstream = Upstream(script)
    await upstream.start()
    bench = Bench(upstream, rules_for(f"http://127.0.0.1:{upstream.port}", **changed))
    await bench.start()
    try:
        yield bench
        await bench.stop()
    finally:
        bench.drop()
        await upstream.stop()


def answering(*answers: bytes) -> Script:
    """A script that reads whole requests and answers them one after another, the last answer again and again."""

    async def script(wire: Wire) -> None:
        number = 0
        while True:
            await wire.request()
            wire.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script
