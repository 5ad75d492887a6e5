"""The proxy between a client and an upstream that are both in memory: no socket, no clock, every byte is seen.

A client's bytes are handed to the real `ClientConnection` in the pieces that a test likes; what leaves for Amazon
arrives at a recorder that reads it with two parsers which are not ours. What is right is for the tests to say.
"""

from __future__ import annotations

import asyncio
import atexit
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

from proxy.app.request_path import RequestPath, SharedParts
from proxy.audit.write_reading import WRITE_READER
from proxy.body_reader import READER, SHORT_READER
from proxy.downstream.connection import ClientConnection
from proxy.downstream.table import ConnectionTable
from proxy.events import Observers
from proxy.forwarding.accounting import Accounting
from proxy.forwarding.decision import Rules
from proxy.mcp.sessions import McpSessions
from proxy.net.dialing import Dialer, Origin
from proxy.net.names import Names
from proxy.observability.journal import Journal
from proxy.observability.logs import Logs
from tests.support.events import EventRecorder
from tests.support.independent_readers import Message, QuickReader, RequestReader
from tests.support.patience import PATIENCE
from tests.support.rules import changed_rules, rules_for, settings_of
from tests.support.tokens import NumberedTokens

_SILENT, _UNUSED = socket.socketpair()
atexit.register(_SILENT.close)
atexit.register(_UNUSED.close)
TURNS = 400
"""Turns of the event loop after which something that still moves is taken for a hang."""


class Pipe(asyncio.Transport):
    """A transport that keeps what is written. `ended` tells that no more will come, `aborted` that it broke."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.ended = self.closing = self.aborted = self.paused = False
        self.heard: Callable[[bytes], None] = lambda data: None

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.closing and not self.ended:
            self.written += data
            self.heard(bytes(data))

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self.aborted = True
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self.closing:
            self.closing = self.ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_reading(self) -> bool:
        return not self.paused

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Report a TLS connection, so that all writes go through the transport; the socket never has news."""
        return {"peername": ("127.0.0.1", 1), "socket": _SILENT, "ssl_object": self}.get(name, default)


class End:
    """The far end of a pipe: sends in pieces, as far as the near end reads, and may leave."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.pipe = Pipe(protocol)
        self.pending: list[bytes] = []
        protocol.connection_made(self.pipe)

    def send(self, *pieces: bytes) -> None:
        self.pending += [piece for piece in pieces if piece]
        self.push()

    def push(self) -> bool:
        """Hand over what the near end takes; tells whether anything moved."""
        moved = False
        while self.pending and not self.pipe.paused and not self.pipe.closing:
            self.pipe.protocol.data_received(self.pending.pop(0))
            moved = True
        return moved

    def leave(self) -> None:
        """Close this end: what the near end still sends goes nowhere."""
        if not self.pipe.closing:
            self.pipe.protocol.eof_received()
            self.pipe.close()


class MemoryUpstream(End):
    """One connection at Amazon's side: reads requests, and answers each with what `answer` gives, in pieces.

    None as an answer's last piece ends the connection.
    """

    def __init__(self, protocol: asyncio.Protocol, bench: MemoryBench) -> None:
        self.reader = bench.reader()
        self.bench = bench
        self.early = False
        self.unread = bytearray()
        super().__init__(protocol)
        self.pipe.heard = self._hear
        self.leaving = False

    def _hear(self, data: bytes) -> None:
        if self.bench.answers_early and not self.early:
            self.early = True
            self.pending.append(OK)
        self.unread += data
        for message in self.reader.feed(data):
            self.bench.messages.append(message)
            self.bench.sent.append(bytes(self.unread))
            self.unread.clear()
            answer = [] if self.bench.answers_early else self.bench.answer(message)
            self.early = False
            for piece in answer:
                if piece is None:
                    self.leaving = True
                else:
                    self.pending.append(piece)

    def push(self) -> bool:
        moved = super().push()
        if self.leaving and not self.pending and not self.pipe.closing:
            self.leave()
            return True
        return moved


class _Dialer(Dialer):
    """Connects to the recorder; TLS and names are not needed for that."""

    def __init__(self, bench: MemoryBench) -> None:
        self._bench = bench

    def remember_session(self, origin: Origin, transport: asyncio.BaseTransport) -> None:
        """There is none."""

    async def dial(self, origin: Origin, factory: Callable[[], Any]) -> Any:
        protocol = factory()
        self._bench.upstreams.append(MemoryUpstream(protocol, self._bench))
        return protocol


@cache
def usual_rules() -> Rules:
    """The rules of one account behind one address; read once."""
    return rules_for("http://api.test:81")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class MemoryBench:
    """The proxy between two simulated peers. `answer` decides what Amazon replies to a message; `sent` holds each
    message as bytes."""

    logs: Logs | None = None
    reader: type[RequestReader | QuickReader] = RequestReader

    def __init__(self, **changed: Any) -> None:
        self.messages: list[Message] = []
        self.sent: list[bytes] = []
        self.upstreams: list[MemoryUpstream] = []
        self.answer: Callable[[Message], list[bytes | None]] = lambda message: [OK]
        self.answers_early = False
        self.tokens = NumberedTokens()
        self.events = EventRecorder()
        self.rules = changed_rules(usual_rules(), changed)
        self.accounting = self.account()
        self.accounting.record_within = PATIENCE
        self.sessions = McpSessions()
        shared = SharedParts(self.tokens, sessions=self.sessions)
        path = self._path = RequestPath(self.accounting, shared, Names())
        self.reports, self.writes = shared.reports, path.memory.writes
        self.deadlines, self.pools = path.deadlines, path.pools
        self.forwarder = path.begin(self.rules, settings_of(self.rules))
        self.reach()
        self.server = ConnectionTable(self.deadlines)

    def apply(self, rules: Rules) -> None:
        """A reload to these rules."""
        self._path.apply(rules, settings_of(rules))

    def account(self) -> Accounting:
        """What keeps account of requests: it tells `events` of them and writes to `logs`, if there are some."""
        if self.logs is None:
            return Accounting(self.events)
        journal = Journal(logs=self.logs, listeners=(self.events,))
        journal.gather(asyncio.get_running_loop().call_soon)
        return Accounting(Observers((self.events, self.logs)), journal)

    def reach(self) -> None:
        """Lead every pool to the recorder."""
        dialer = _Dialer(self)
        for pool in self.pools._by_origin.values():
            pool._dialer = dialer

    def client(self) -> End:
        """A new connection of a client."""
        return End(ClientConnection(self.server, self.forwarder))

    async def rest(self, *clients: End) -> None:
        """Let everything go on until nothing moves any more."""
        still, before = 0, self._moves(clients)
        for _ in range(TURNS):
            if still == 4 and self.accounting.flight.value:
                for reader in (READER, SHORT_READER):
                    reader._thread.submit(int).result()  # earlier work, such as reading tool names, is done then
            await asyncio.sleep(0)
            moved = False
            for end in (*clients, *self.upstreams):
                if end.push():
                    moved = True
            now = self._moves(clients)
            still = 0 if moved or now != before else still + 1
            before = now
            if still > 8 and self.writes.waiting:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(WRITE_READER._thread, str)  # what came before is done then
            elif still > 8:
                return
        raise AssertionError("the proxy does not come to rest")

    def _moves(self, clients: tuple[End, ...]) -> int:
        """A number that grows with each event, connection, byte written and end."""
        moves = len(self.events.events) + len(self.upstreams)
        for end in (*clients, *self.upstreams):
            moves += len(end.pipe.written) + end.pipe.closing
        return moves

    async def stop(self, *clients: End) -> None:
        """End all connections, and see that nothing is left: no request, no defect, no message that cannot be read."""
        for client in clients:
            client.leave()
        await self.rest(*clients)
        self.pools.close()
        await self.rest(*clients)
        self.deadlines.stop()
        assert not self.events.defects, self.events.defects[0]
        assert self.accounting.in_flight == 0
        assert self.events.started == len(self.events.finished)
        assert not self.server.connections
        for upstream in self.upstreams:
            assert not upstream.reader.trouble, upstream.reader.trouble
