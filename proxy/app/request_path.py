"""The path of requests: who keeps account of them, and what forwards them to Amazon.

The program and the benches of the tests make it here. What differs between them are arguments.
"""

from __future__ import annotations

import asyncio
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from proxy.app.capabilities import CapabilityMemory, plug_in
from proxy.app.present_values import PresentValueReader
from proxy.audit.write_reading import WriteReader
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Acceptor
from proxy.downstream.table import ConnectionTable
from proxy.events import Observers
from proxy.forwarding.accounting import Accounting
from proxy.forwarding.certified_service import TlsConnections
from proxy.forwarding.dependencies import Dependencies
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.injection import AccountLines
from proxy.intercept.by_name import ConnectionsByName
from proxy.intercept.parts import TunnelParts
from proxy.intercept.tunnel import TunnelServices
from proxy.mcp.capability import McpMemory
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.net.deadlines import Deadlines
from proxy.observability.deprecated_calls import DeprecatedCalls
from proxy.observability.journal import Journal, NotesJudged
from proxy.reports.sharing import SharedReports
from proxy.spend.capability import SpendMemory
from proxy.upstream.pool import Pools
from proxy.upstream.retry_budgets import RetryBudgets
from proxy.upstream.throttles import Throttles
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from proxy.app.capabilities import CapabilitySettings
    from proxy.app.server_tls import ServerTls
    from proxy.downstream.ports import Service
    from proxy.events import Event, Observer
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.dependencies import AccessTokens
    from proxy.forwarding.tracing import Tracing
    from proxy.intercept.contexts import Contexts
    from proxy.net.names import Names
    from proxy.observability.logs import Logs
    from proxy.observability.metrics import Metrics
    from proxy.observability.recent_requests import RecentRequests


class KeptRequests(Protocol):
    """An observer that keeps the last requests. The journal keeps those in `recent` that need no event."""

    recent: RecentRequests

    def observe(self, event: Event) -> None: ...


class JudgedObserver(NotesJudged, Protocol):
    """An observer of judged writes, also of those that the journal notes."""

    def observe(self, event: Event) -> None: ...


@dataclass(frozen=True, slots=True)
class EventOutputs:
    """Who gets events. Most requests make none: the journal notes them for `metrics`, `logs` and `kept`. The `auditors`
    hear of every request that may change something, the `listeners` of every request. `judged` hears of every judged
    write."""

    metrics: Metrics
    logs: Logs
    kept: KeptRequests
    auditors: tuple[Observer, ...] = ()
    listeners: tuple[Observer, ...] = ()
    others: tuple[Observer, ...] = ()
    judged: JudgedObserver | None = None


def make_accounting(outputs: EventOutputs, tracing: Tracing | None = None) -> Accounting:
    """The account of all requests of a process. Its `observer` takes all other events, too."""
    metrics, logs, kept = outputs.metrics, outputs.logs, outputs.kept
    deprecated = DeprecatedCalls(metrics.observe)
    journal = Journal(metrics.requests, logs, outputs.listeners, outputs.auditors, kept.recent)
    journal.count_write, journal.deprecated = metrics.count_write, deprecated
    journal.judged = (metrics,) if outputs.judged is None else (metrics, outputs.judged)
    further = *outputs.auditors, *outputs.listeners, *outputs.others, *journal.judged[1:]
    return Accounting(Observers((metrics, logs, kept, deprecated, *further)), journal, tracing)


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What the requests of a process share with each other, and with those before a reload. `contexts` are None without
    interception."""

    tokens: AccessTokens
    throttles: Throttles = field(default_factory=Throttles)
    sessions: McpSessions = field(default_factory=McpSessions)
    hints: ToolHints = field(default_factory=ToolHints)
    reports: SharedReports = field(default_factory=SharedReports)
    contexts: Contexts | None = None
    spend: SpendMemory = field(default_factory=SpendMemory)


class RequestPath:
    """Made within the event loop, and closed by `close`."""

    forwarder: Forwarder

    def __init__(self, accounting: Accounting, shared: SharedParts, names: Names) -> None:
        self.deadlines = Deadlines(asyncio.get_running_loop())
        self.client_connections = ConnectionTable(self.deadlines)
        self.pools = Pools(self.deadlines, names)
        self.dependencies = Dependencies(shared.tokens, shared.throttles, RetryBudgets(), AccountLines(), accounting)
        accounting.write_gate.frozen = shared.spend.freezes.refusal
        mcp = McpMemory(shared.sessions, shared.hints, accounting.observer)
        tunnels = None
        if shared.contexts is not None:
            parts = shared.contexts, self.client_connections, names, accounting
            tunnels = TunnelParts(*parts, TunnelServices(lambda: self.forwarder), self.connect)
        self._present = PresentValueReader(self.dependencies, self.pools)
        spend = replace(shared.spend, present=self._present)
        self.memory = CapabilityMemory(mcp, shared.reports, WriteReader(accounting.defect), spend, tunnels)

    def __repr__(self) -> str:
        return f"<RequestPath through {self.pools!r}>"

    def connect(self, service: Service) -> ClientConnection:
        """A connection of a client that this service serves."""
        return ClientConnection(self.client_connections, service)

    def accept(self, sockets: Iterable[socket.socket], tls: ServerTls | None = None) -> list[Acceptor]:
        """Take clients' connections off these sockets, with TLS if it has a context."""
        connect: Callable[[], asyncio.Protocol] = partial(self.connect, self.forwarder)
        if tls is not None and tls.context is not None:
            connect = TlsConnections(lambda: self.forwarder, self.connect, tls).make
        return [Acceptor(each, self.client_connections, self.forwarder, connect, tls) for each in sockets]

    def accept_by_name(self, sockets: Iterable[socket.socket]) -> list[Acceptor]:
        """Take connections of clients that have Amazon's names; without interception there are none."""
        if self.memory.tunnels is None:
            return []
        named = ConnectionsByName(self.memory.tunnels)
        served = self.client_connections, self.forwarder, named.make, named
        return [Acceptor(each, *served) for each in sockets]

    def begin(self, rules: Rules, settings: CapabilitySettings) -> Forwarder:
        """Make the forwarder, by these first rules."""
        self.forwarder = Forwarder(self.dependencies, self.pools, self._plug_in(rules, settings))
        self._present.apply(rules, settings.spend_limits)
        return self.forwarder

    def apply(self, rules: Rules, settings: CapabilitySettings) -> None:
        """Take new rules."""
        self.forwarder.apply(self._plug_in(rules, settings))
        self._present.apply(rules, settings.spend_limits)

    def forget_credentials(self) -> None:
        """Verify each client's credential again, also of requests that wait: a key is gone that signed some.

        All that takes part has the same clients, so they forget; rules that are others make the rest ask them again.
        """
        rules = self.forwarder.rules
        rules.clients.forget()
        self.forwarder.apply(replace(rules))

    def _plug_in(self, rules: Rules, settings: CapabilitySettings) -> Rules:
        return plug_in(rules, settings, self.memory, self.dependencies)

    def close(self) -> None:
        """End the connections to Amazon, and the timers."""
        self.pools.close()
        self.deadlines.stop()
