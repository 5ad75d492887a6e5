"""The proxy on real sockets: raw clients on one side, a scripted raw upstream on the other, one event loop for all.

`tests/support/memory_bench.py` is the same without a socket. What is right is for the tests to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from proxy.admin.history import RequestHistory
from proxy.app.request_path import EventOutputs, RequestPath, SharedParts, make_accounting
from proxy.downstream.connection import ClientConnection
from proxy.forwarding.decision import Rules
from proxy.intercept.contexts import Contexts
from proxy.mcp.sessions import McpSessions
from proxy.net.names import Names
from proxy.observability.logs import Logs
from proxy.observability.metrics import Metrics
from proxy.reports.sharing import SharedReports
from proxy.upstream.throttles import Throttles
from tests.support.events import EventRecorder
from tests.support.patience import PATIENCE, settled
from tests.support.rules import changed_rules, rules_for, settings_of
from tests.support.tokens import NumberedTokens
from tests.support.wire import GET, Answer, RawUpstream, Script, Wire


class ProxyBench:
    """The proxy between a simulated client and a simulated Amazon."""

    def __init__(self, upstream: RawUpstream, rules: Rules, contexts: Contexts | None = None) -> None:
        self.upstream = upstream
        self.rules = rules
        self.tokens = NumberedTokens()
        self.events = EventRecorder()
        self.lines = io.StringIO()
        self.logs = Logs(self.lines, form="json", level="info", access=True)
        self.metrics = Metrics("test")
        history = RequestHistory(self.metrics)
        self.accounting = make_accounting(EventOutputs(self.metrics, self.logs, history, listeners=(self.events,)))
        self.accounting.journal.gather(asyncio.get_running_loop().call_soon)
        self.accounting.record_within = PATIENCE
        self.throttles = Throttles()
        self.sessions = McpSessions()
        self.reports = SharedReports()
        shared = SharedParts(self.tokens, self.throttles, self.sessions, reports=self.reports, contexts=contexts)
        self.path = RequestPath(self.accounting, shared, Names())
        self.hints, self.writes = shared.hints, self.path.memory.writes
        self.dependencies = self.path.dependencies
        self.deadlines, self.pools = self.path.deadlines, self.path.pools
        self.forwarder = self.path.begin(rules, settings_of(rules))
        self.server = self.path.client_connections
        self.clients: list[Wire] = []
        self.port = 0
        self._listening: asyncio.Server

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connect, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    def _connect(self) -> ClientConnection:
        return self.path.connect(self.forwarder)

    async def client(self, *first: bytes) -> Wire:
        """A new connection of a client, which sends this first."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, "127.0.0.1", self.port)
        self.clients.append(wire)
        if first:
            wire.send(*first)
        return wire

    def connection(self) -> ClientConnection:
        """One of the clients' connections, as the proxy has it."""
        connection = next(iter(self.server.connections))
        assert isinstance(connection, ClientConnection)
        return connection

    async def ask(self, request: bytes = GET) -> Answer:
        """One request on a connection of its own."""
        wire = await self.client(request)
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
        self.path.apply(self.rules, settings_of(self.rules))

    async def stop(self) -> None:
        """Close everything, and see that nothing is left over: no request, no connection."""
        self._listening.close()
        for wire in self.clients:
            wire.abort()
        await self.settled(lambda: not self.server.connections and not self.accounting.in_flight)
        self.pools.close()
        await self.settled(lambda: not any(size for size, _ in self.pools.sizes().values()))
        self.deadlines.stop()
        assert self.events.started == len(self.events.finished)
        assert not self.events.defects, self.events.defects[0]
        assert repr(self.server.addresses) == "<AddressCounts: 0 connected>"

    def drop(self) -> None:
        """Release everything, after a failure too."""
        self._listening.close()
        for wire in self.clients:
            wire.abort()
        for connection in tuple(self.server.connections):
            connection.drop()
        self.path.close()
        self.logs.close()

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, for what tells nobody that it happened."""
        await settled(condition)


class Running(Protocol):
    """The proxy between clients and an upstream at `host` that runs this script, with these changes of the usual
    ones. With `contexts` it answers for Amazon's hosts in tunnels."""

    def __call__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", **changed: Any
    ) -> AbstractAsyncContextManager[ProxyBench]: ...


@contextlib.asynccontextmanager
async def started(bench: ProxyBench) -> AsyncIterator[ProxyBench]:
    """A started object, stopped at the end of the block without leftovers; after a failure it is dropped."""
    await bench.start()
    try:
        yield bench
        await bench.stop()
    finally:
        bench.drop()
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))


@contextlib.asynccontextmanager
async def _running(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", **changed: Any
) -> AsyncIterator[ProxyBench]:
    upstream = RawUpstream(script, host)
    await upstream.start(tls)
    api_url = f"http://{host}:{upstream.port}" if tls is None else f"https://localhost:{upstream.port}"
    try:
        contexts = changed.pop("contexts", None)
        rules = rules_for(api_url, intercepts=contexts is not None, **changed)
        async with started(ProxyBench(upstream, rules, contexts)) as bench:
            yield bench
    finally:
        await upstream.stop()


@pytest.fixture(scope="session")
def every_loop() -> None:
    """Run each test that requests this fixture, directly or through another one, on each event loop that we serve
    on."""


@pytest.fixture(scope="session")
def running(every_loop: None) -> Running:
    """What opens the bench. It cannot be had otherwise, so no test of it is left out of `every_loop`."""
    return _running
