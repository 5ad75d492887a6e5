"""A worker: a process that serves clients with what its supervisor gives it, and owns nothing but its connections.

It begins when it is told the configuration, ends when it is told to, and when its supervisor is gone it serves for
`ALONE_SECONDS` more, then lets its requests end. With an audit stream it sends no writes meanwhile, since they could
not be recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, cast

from proxy import __version__
from proxy.access.client_certificates import NO_AUTHORITIES
from proxy.access.client_keys import KeyUses
from proxy.advice import options_in_use
from proxy.app.draining import let_end
from proxy.app.interception import resolver_of
from proxy.app.object_freezer import ObjectFreezer, freezing
from proxy.app.process import connections_within, defect_of, exit_immediately, failure_of, frequent_thread_switches
from proxy.app.request_path import ConnectionMakers, EventOutputs, RequestPath, SharedParts, make_accounting
from proxy.app.rules import RuleSources, capability_settings, rules_of
from proxy.app.server_tls import ServerTls
from proxy.app.shared_news import SUPERVISOR, SharedNews
from proxy.app.spend_observations import telling_supervisor
from proxy.app.telemetry import tracing_of
from proxy.app.token_checks import TokenChecks
from proxy.app.workers.channel import MAX_UNSENT, Channel
from proxy.app.workers.directory_copy import DirectoryCopy
from proxy.app.workers.request_reporter import RequestReporter
from proxy.app.workers.shared_counts import (
    BudgetMemory,
    SharedAddressCounts,
    SharedBudgets,
    SharedConnectionCounts,
    SlotSharing,
    open_addresses,
    open_connections,
)
from proxy.app.workers.span_forwarder import SpanForwarder
from proxy.app.workers.worker_approvals import WorkerApprovals
from proxy.app.workers.worker_reports import WorkerReports
from proxy.app.workers.worker_spend import WorkerLedger
from proxy.app.workers.worker_tokens import WorkerTokens
from proxy.audit.records import AuditTrail
from proxy.config.serialization import from_document, from_pieces
from proxy.downstream.connection import ClientConnection
from proxy.downstream.table import ConnectionTable
from proxy.events import CounterRaised, NumbersOverflowed
from proxy.intercept.contexts import Contexts
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.net.names import Names
from proxy.observability.instruments import Cell
from proxy.observability.logs import configure
from proxy.observability.metrics import Metrics
from proxy.observability.number_memory import BEAT, CONNECTIONS, IN_FLIGHT, NumberMemory
from proxy.spend.capability import SpendMemory
from proxy.spend.freezes import Freezes
from proxy.upstream.throttles import Throttles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from proxy.app.shared_news import News, Origin
    from proxy.app.workers.channel import Descriptors, Message
    from proxy.config import Config
    from proxy.config.serialization import Document
    from proxy.downstream.listener import Acceptor
    from proxy.downstream.ports import Service
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.forwarder import Forwarder
    from proxy.http1.framing import Buffer
    from proxy.net.deadlines import Deadlines
    from proxy.profiles.first_lists import AwaitedId
    from proxy.upstream.pool import Pools


ALONE_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 0.25
_BEATS_A_TELLING: Final = 4
_RECORD_BYTES: Final = 1024
"""What the record of a write takes, about."""
_LAST_WORDS: Final = 2.0
"""Seconds in which the supervisor takes the last messages."""


class Worker:
    """Implements `draining.ServingProcess`, once it has begun."""

    config: Config
    forwarder: Forwarder
    accounting: Accounting
    client_connections: ConnectionTable
    number: int
    _pools: Pools

    def __init__(self, given: Descriptors) -> None:
        self._given = given
        self._loop = asyncio.get_running_loop()
        self._opened = ExitStack()
        self.ended = asyncio.Event()
        self._at_once = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self.acceptors: list[Acceptor] = []
        self._tls = ServerTls()
        self._memory, self._writes = NumberMemory(given.numbers), DeferredWrites(self._loop)
        self._uses, self._throttles, self._sessions = KeyUses(), Throttles(), McpSessions()
        self._hints, self._freezes = ToolHints(), Freezes()
        self._shared = SharedNews(self._throttles, self._sessions, self._hints)
        self._shared.listeners.append(self._say_learned)
        self._news = RequestReporter(self._uses)
        self._pieces: list[Document] = []
        self._token_checks, self._asked_for_keys = TokenChecks(), dict[str, float]()
        self._reloading, self._reloads = asyncio.Lock(), set[asyncio.Task[None]]()
        self._beats = 0
        self._stream_takes_writes = True
        self._lost_records = 0
        self._channel = Channel(socket.socket(fileno=given.channel), self._hear, _answer_nothing, self._lose_supervisor)
        self._tokens = WorkerTokens(self._channel)
        self._reports = WorkerReports(self._channel)
        self._directory = DirectoryCopy(self._say_missed, self._ask_for_first_lists)
        self._handlers: dict[str, Callable[[Message], object]] = {
            "begin": self._begin,
            "serve": self._serve,
            "accounts": lambda message: self._pieces.append(message["piece"]),
            "apply": self._apply,
            "drain": lambda _: self._end(),
            "audit": self._take_audit,
            "freezes": lambda message: self._freezes.copy(message["known"], message["unknown"]),
            "token": self._tokens.take,
            "watch": lambda _: self._tokens.watch(),
            "lists": self._directory.take,
            "first-lists": self._directory.take_first_lists,
            "failures": lambda message: self._directory.take_failures(message["failures"]),
            "keys": self._take_keys,
            "learned": lambda message: self._shared.hear(message["news"], SUPERVISOR),
            "places": lambda _: self._pools.use_free_slots(),
        }

    def __repr__(self) -> str:
        return f"<Worker: {self._channel!r}, {len(self.acceptors)} sockets>"

    # --- what the supervisor says

    def _hear(self, message: Message) -> None:
        """What goes wrong here is told and the end of this worker; another begins with the newest of everything."""
        with self._ending_at_defects(message["kind"]):
            self._handlers[message["kind"]](message)

    @contextlib.contextmanager
    def _ending_at_defects(self, at: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may go on with half a configuration
            self._channel.send("failed", at=at, **failure_of(error))
            exit_immediately()

    def _begin(self, message: Message) -> None:
        """Make everything. Tokens, lists and what else is known follow, and `serve` then."""
        self.number = self._reports.number = message["number"]
        config = self.config = from_document(message["config"])
        options_in_use.update(message["options"])
        self._logs = configure(form=message["form"], level=config.log.level, colours=False)
        self._logs.screen = sys.stderr if message["on_terminal"] else None  # standard output leads to the supervisor
        self._opened.callback(self._logs.close)
        self._logs.redact(config.secrets())
        self._adjust_logs()
        metrics = Metrics(__version__, memory=self._memory)
        trails = (AuditTrail(self._say_audit, self._logs.redaction.clean, time.time),) if message["audited"] else ()
        self._spans = SpanForwarder(
            self._channel, lambda lost: metrics.observe(CounterRaised("trace_spans_total", ("dropped",), lost))
        )
        spans = (self._spans,) if config.telemetry.otlp is not None else ()
        judged = telling_supervisor(self._channel)
        outputs = EventOutputs(metrics, self._logs, self._news, trails, others=spans, judged=judged)
        self.accounting = make_accounting(outputs, tracing_of(config, spans))
        self.accounting.journal.gather(self._writes.before_sending)
        self.observers = self.accounting.observer
        self._loop.set_exception_handler(self._met_defect)
        budgets = self._budgets = SharedBudgets(BudgetMemory(self._given.counts, self._given.workers), self.number)
        budgets.take_slots(message["slots"])
        if message["audited"]:
            self.accounting.write_gate.takes_writes = self._takes_writes
        self.accounting.make_client_cell = lambda client: budgets.in_flight_cell(client) or Cell()
        if (certificate := self._tls.take(message["tls"])) is not None:
            self._tls.show(certificate)
        self._directory.keep(config.accounts)
        allowed = connections_within(message["open_files"])
        self._token_checks.miss = self._say_missed_key
        of = self._directory, budgets, self._uses, self._tls.authorities, message["demo"], allowed, self._token_checks
        self._sources = RuleSources(*of)
        self._make_forwarder()

    def _make_forwarder(self) -> None:
        names = Names(ask=resolver_of(self.config))
        self._opened.callback(names.stop)
        memory = open_connections(self._given.counts, self._given.workers)
        sharing = SlotSharing(memory, self.number, self._loop, lambda: self._channel.send("places"))
        contexts = Contexts(self._tls.authority, time.time) if self._tls.authority is not None else None
        spend = SpendMemory(WorkerLedger(self._channel), self._freezes, approvals=WorkerApprovals(self._channel))
        shared = SharedParts(self._tokens, self._throttles, self._sessions, self._hints, self._reports, contexts, spend)
        self._connections = SharedConnectionCounts(memory, self.number)
        makers = ConnectionMakers(sharing.slots, self._make_table, self._make_connection)
        path = self._path = RequestPath(self.accounting, shared, names, makers)
        self._opened.callback(path.close)
        trusted = self._tls.trusted_clients.digests
        rules, settings = rules_of(self.config, self._sources, trusted), capability_settings(self.config)
        self._pools, self.forwarder = path.pools, path.begin(rules, settings)
        self.client_connections = path.client_connections

    def _serve(self, _: Message) -> None:
        """Everything is known: accept."""
        given = self._given
        self._connections.begin()
        named, clients = ((socket.socket(fileno=each) for each in kind) for kind in (given.named, given.listening))
        self.acceptors = [*self._path.accept(clients, self._tls), *self._path.accept_by_name(named)]
        ObjectFreezer().begin()
        self._beat()
        self._channel.send("serving")

    def _apply(self, message: Message) -> None:
        """A reload, which the supervisor has tried already; the accounts that changed came before."""
        pieces, self._pieces = (*self._pieces, message["rest"]), []
        task = self._loop.create_task(self._put_in_force(pieces, message))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _put_in_force(self, pieces: Sequence[Document], message: Message) -> None:
        """Put a configuration in force. With thousands of accounts it takes a while to read; requests are served
        meanwhile."""
        with self._ending_at_defects("apply"):
            async with self._reloading:
                certificate = self._tls.take(message["tls"])
                trusted = certificate.clients.digests if certificate is not None else NO_AUTHORITIES
                config, rules = await asyncio.to_thread(self._read, pieces, trusted)
                stay = certificate is None or self._tls.show(certificate)
                self._budgets.take_slots(message["slots"])
                self.config = config
                self._adjust_logs()
                self._tokens.keep(config.accounts)
                self._directory.keep(config.accounts)
                self._path.apply(rules, capability_settings(config))
                if not stay:
                    self.client_connections.retire()
                self._channel.send("applied", generation=message["generation"])

    def _read(self, pieces: Sequence[Document], trusted_clients: frozenset[str]) -> tuple[Config, Rules]:
        """What is to be put in force. For a thread."""
        with frequent_thread_switches(), freezing():
            config = from_pieces(pieces, self.config)
            self._logs.redact(config.secrets())
            return config, rules_of(config, self._sources, trusted_clients)

    def _take_keys(self, message: Message) -> None:
        """What is known of an identity provider's keys."""
        from proxy.app.jwks_keeper import put_keys, read_known  # with all that verifies signatures

        put_keys(self._token_checks, message["provider"], read_known(message["known"]))
        if message["lost"]:
            self._path.forget_credentials()

    def _take_audit(self, message: Message) -> None:
        self._stream_takes_writes = message["takes_writes"]

    def _takes_writes(self) -> bool:
        """Whether a record of one more write would reach the stream; what is lost without a supervisor is reported
        nowhere, so that no setting allows it."""
        channel = self._channel
        if not channel.is_open:
            return False
        unsent = channel.unsent + self.accounting.write_gate.unrecorded * _RECORD_BYTES
        return not self.config.audit.required or (self._stream_takes_writes and unsent < MAX_UNSENT)

    # --- what it says

    def _say_audit(self, record: Any, *, write: bool = False) -> None:
        self._lost_records += not self._channel.is_open
        self._channel.send("audit", record=record, write=write)

    def _say_missed(self, kind: str, identifier: str, account: str) -> None:
        self._channel.send("missed", of=kind, identifier=identifier, account=account)

    def _say_missed_key(self, provider: str) -> None:
        """Ask for a provider's keys to be read again, not for each token."""
        now = self._loop.time()
        if now - self._asked_for_keys.get(provider, -math.inf) >= 1:
            self._asked_for_keys[provider] = now
            self._channel.send("missed-key", provider=provider)

    async def _ask_for_first_lists(self, awaited: AwaitedId) -> None:
        await self._channel.ask("first-lists", **asdict(awaited))

    def _say_learned(self, news: News, origin: Origin) -> None:
        if origin is None:
            self._channel.send("learned", news=news)

    def _beat(self) -> None:
        """The event loop turns; and now and then what people may look at."""
        header = self._memory.header
        header[BEAT], header[IN_FLIGHT], header[CONNECTIONS] = (
            time.monotonic(),
            self.accounting.in_flight,
            len(self.client_connections),
        )
        self._loop.call_later(BEAT_SECONDS, self._beat)
        self._pools.use_free_slots()  # where a message about places was lost
        if self._memory.overflow_is_news():
            self.observers.observe(NumbersOverflowed(self.number))
        self._beats += 1
        if self._beats % _BEATS_A_TELLING == 0 and not self._channel.unsent:
            news = self._news.collect({name: size for name, (size, _) in self._pools.sizes().items()})
            if news:
                self._channel.send("news", **news)

    # --- the end

    def _lose_supervisor(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._let_end(ALONE_SECONDS))

    def _end(self) -> None:
        """Told once, let requests end; told again, cut them."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._let_end(0.0))
        else:
            self._at_once.set()

    async def _let_end(self, patience: float) -> None:
        try:
            if self.acceptors:
                await asyncio.sleep(patience)
                cut = await let_end(self, self._at_once)
                self._spans.send()
                self._channel.send("drained", cut=cut)
                await self._channel.taken(_LAST_WORDS)
        finally:
            self._report_lost_records()
            self.ended.set()

    def _report_lost_records(self) -> None:
        """Writes that were under way when the supervisor ended: there is no log any more, and no stream."""
        if self._lost_records:
            with contextlib.suppress(OSError):
                sys.stderr.write(
                    f"ads-proxy worker {self.number}: {self._lost_records} audit records are lost: their requests were "
                    "under way when the supervisor ended.\n"
                )

    def close(self) -> None:
        """Release everything."""
        self._opened.close()
        self._channel.close()

    # --- parts

    def _make_table(self, deadlines: Deadlines) -> ConnectionTable:
        addresses = SharedAddressCounts(open_addresses(self._given.counts, self._given.workers), self.number)
        return ConnectionTable(deadlines, taken_at_once=1, addresses=addresses, counts=self._connections)

    def _make_connection(self, table: ConnectionTable, service: Service) -> WorkerConnection:
        return WorkerConnection(table, service, self._writes)

    def _adjust_logs(self) -> None:
        log = self.config.log
        self._logs.adjust(level=log.level, access=log.access, access_fields=log.access_fields)

    def _met_defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.observers.observe(defect_of(context))


async def _answer_nothing(_: Message) -> Message:
    """The supervisor asks no questions."""
    return {}


# --- Writes that leave a little later than they are made -------------------------------------------------


class DeferredWrites:
    """What waits for the end of this turn: first what is to be done before anything is sent, then who holds writes."""

    __slots__ = ("_call_soon", "_first", "_report", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon, self._report = loop.call_soon, loop.call_exception_handler
        self._first: list[Callable[[], None]] = []
        self._waiting: list[DeferringTransport] = []

    def __repr__(self) -> str:
        return f"<DeferredWrites: {len(self._waiting)} wait>"

    def before_sending(self, count: Callable[[], None]) -> None:
        """Do this at the end of the turn."""
        if not self._waiting and not self._first:
            self._call_soon(self._end_turn)
        self._first.append(count)

    def wait(self, transport: DeferringTransport) -> None:
        """Have it send at the end of the turn."""
        if not self._waiting and not self._first:
            self._call_soon(self._end_turn)
        self._waiting.append(transport)

    def _end_turn(self) -> None:
        first, self._first = self._first, []
        waiting, self._waiting = self._waiting, []
        for count in first:
            try:
                count()
            except Exception as error:  # noqa: BLE001 - whatever it is, the clients get their answers
                self._tell(error)
        for transport in waiting:
            try:
                transport.send()
            except Exception as error:  # noqa: BLE001 - whatever it is, the other clients get their answers
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._report({"message": "At the end of a turn", "exception": error})


class DeferringTransport(asyncio.Transport):
    """Around another one; what is not written here is as with that."""

    def __init__(self, transport: asyncio.Transport, writes: DeferredWrites) -> None:
        super().__init__()
        self._transport, self._wait = transport, writes.wait
        self._held: list[Buffer] = []
        self._end: Any = None
        self._closing = False
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]  # its own, without a step between
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]  # its own, without a step between
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]  # its own, without a step between
        self.can_write_eof = transport.can_write_eof  # type: ignore[method-assign]  # its own, without a step between
        self.set_protocol = transport.set_protocol  # type: ignore[method-assign]  # its own, without a step between

    def __repr__(self) -> str:
        return f"<DeferringTransport: {len(self._held)} pieces held>"

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def write(self, data: Buffer) -> None:  # type: ignore[override]  # typeshed wants any memoryview
        held = self._held
        if not held:
            self._wait(self)
        held.append(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:  # type: ignore[override]  # as above
        if not self._held:
            self._wait(self)
        self._held += list_of_data

    def send(self) -> None:
        """Send the kept bytes and the end. Dropped if the client disconnected meanwhile: uvloop's transports raise
        then."""
        held, transport = self._held, self._transport
        if transport.is_closing():
            held.clear()
            self._end = None
            return
        if len(held) == 1:
            transport.write(held.pop())
        elif held:
            self._held = []
            transport.writelines(held)
        if (end := self._end) is not None:
            self._end = None
            try:
                end()
            except OSError:  # asyncio's own loop raises it if the client has reset the connection
                transport.abort()

    def release(self) -> asyncio.Transport:
        """The transport around which this is, for who writes on it from now on."""
        self.send()
        return self._transport

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._held)) + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self._end_with(self._transport.write_eof)

    def close(self) -> None:
        self._closing = True
        self._end_with(self._transport.close)

    def abort(self) -> None:
        self._closing, self._held, self._end = True, [], None
        self._transport.abort()

    def _end_with(self, end: Any) -> None:
        """Behind what was written before."""
        if not self._held and self._end is None:
            self._wait(self)
        self._end = end


class WorkerConnection(ClientConnection):
    """A client's connection whose writes are held."""

    _transport: DeferringTransport

    def __init__(self, table: ConnectionTable, service: Service, writes: DeferredWrites) -> None:
        super().__init__(table, service)
        self._writes = writes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(DeferringTransport(cast(asyncio.Transport, transport), self._writes))

    def detach(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        super().detach(protocol)
        return self._transport.release()
