"""The doing of a case: a raw client on one side of a proxy, a recording raw upstream on the other, one loop for both.

It observes and judges nothing. Waiting is always for a condition with a time limit, never for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable

from tests.conformance.case import (
    PLAIN_REPLY,
    Case,
    HalfClose,
    Observation,
    Reply,
    Reset,
    Step,
    Stream,
    UntilClientSaw,
    UntilUpstreamSaw,
)
from tests.support.http_reader import Head, Incomplete, Malformed, Request, read_conversation, read_head, read_request

GIVEN_UP = 4.5
"""Seconds after which a proxy that may fail a case counts as silent. Ours may not fail any, and is waited for."""
_TURNS = 10
"""Turns of the event loop, of which asyncio takes three to make a protocol of a connection that it accepts."""
SENTINEL_TARGET = b"/sentinel"
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
SENTINEL_REPLY = Reply((b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsentinel",))
PROFILES_TARGET = b"/v2/profiles"
LISTED_TARGETS = (PROFILES_TARGET, b"/adsAccounts/list", b"/managerAccounts")
"""What the proxy asks for by itself, in the background."""
PROFILES_REPLY = Reply((b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",))
_STATUS_LINE = re.compile(rb"http/1\.[01] [0-9]{3} ")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONFUSED_REPLY = b"HTTP/1.1 599 Unreadable Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Board:
    """Wakes the waiting test when a condition on the received bytes holds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._changed = asyncio.Event()

    def change(self) -> None:
        """Something was received, or a connection ended."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], patience: float | None = None) -> bool:
        """Wait for the condition; false when patience runs out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience if patience is None else patience):
                while not condition():
                    await self._changed.wait()
                return True
        return condition()


class Wire(asyncio.Protocol):
    """One connection: records every byte and how it ended."""

    def __init__(self, board: Board, opened: Callable[[Wire], None] | None = None) -> None:
        self.board = board
        self.raw = bytearray()
        self.ended = self.reset = self.finished = False
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and send without delay."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._opened:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Record."""
        self.raw += data
        self.board.change()

    def eof_received(self) -> bool:
        """The peer ended its direction; ours stays open."""
        self.ended = True
        self.board.change()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, in order or not."""
        self.reset = self.reset or (exc is not None and not self.ended)
        self.ended = True
        self.board.change()

    def drop(self) -> None:
        """End with a RST."""
        sock = self.transport.get_extra_info("socket")
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def finish(self) -> None:
        """End our direction with a FIN."""
        if not self.transport.is_closing() and not self.finished:
            self.finished = True
            with contextlib.suppress(OSError):
                self.transport.write_eof()


class Upstream:
    """The recording raw upstream."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.client: Wire | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.begin(())

    async def start(self) -> int:
        """Listen on a free loopback port and return it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self.board, self._accept), "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def begin(self, replies: tuple[Reply, ...]) -> None:
        """Forget everything and play these replies."""
        self.requests: list[Request] = []
        self.wires: list[Wire] = []
        self.streams: dict[Wire, Stream] = {}
        self._replies = list(replies)

    def saw(self, marker: bytes) -> bool:
        """Whether any connection of this case has received these bytes."""
        return any(marker in wire.raw for wire in self.wires)

    async def settle(self) -> None:
        """End every connection and see the peer end it too."""
        for wire in self.wires:
            wire.finish()
        await self.board.until(lambda: all(wire.ended for wire in self.wires), 1.0)
        for wire in self.wires:
            wire.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.wires.clear()

    async def stop(self) -> None:
        """Close the listener and every connection, also those that were accepted a moment ago and have no wire yet."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self._server:
            self._server.close()
        await self.settle()
        if self._server:
            await self._server.wait_closed()

    def _accept(self, wire: Wire) -> None:
        self.wires.append(wire)
        task = asyncio.get_running_loop().create_task(self._serve(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reply_to(self, target: bytes) -> Reply:
        if target.startswith(LISTED_TARGETS):
            return PROFILES_REPLY
        if target.endswith(SENTINEL_TARGET):
            return SENTINEL_REPLY
        return self._replies.pop(0) if self._replies else PLAIN_REPLY

    async def _serve(self, wire: Wire) -> None:
        at = 0
        while not wire.transport.is_closing():
            try:
                end = await self._serve_one(wire, at)
            except Malformed as fault:
                self.streams[wire] = Stream(bytes(wire.raw[at:]), str(fault))
                wire.transport.write(CONFUSED_REPLY)
                wire.transport.close()
                return
            if end is None:
                break
            at = end
        self.streams[wire] = Stream(bytes(wire.raw[at:]), "")
        if wire not in self.wires:  # accepted between two cases: nothing else will end it
            wire.transport.close()

    async def _serve_one(self, wire: Wire, at: int) -> int | None:
        def attempt() -> tuple[Request, int] | None:
            try:
                return read_request(bytes(wire.raw), at)
            except Incomplete:
                return None

        head = await self._head(wire, at)
        if head is None:
            return None
        target = head.start.split(b" ")[1] if head.start.count(b" ") else b""
        reply = self._reply_to(target)
        if reply.early:
            await perform(reply.steps, wire, self, self.client)
        elif attempt() is None and head.values(b"expect"):
            wire.transport.write(CONTINUE)
        await self.board.until(lambda: bool(attempt()) or wire.ended, 60)
        found = attempt()
        if found is None:
            return None
        if not target.startswith(LISTED_TARGETS):
            self.requests.append(found[0])
            self.board.change()
        if not reply.early:
            await perform(reply.steps, wire, self, self.client)
        return found[1]

    async def _head(self, wire: Wire, at: int) -> Head | None:
        found: list[Head] = []

        def attempt() -> bool:
            with contextlib.suppress(Incomplete):
                found.append(read_head(bytes(wire.raw), at)[0])
            return bool(found)

        await self.board.until(lambda: wire.ended or attempt(), 60)
        return found[0] if found or attempt() else None


async def perform(steps: tuple[Step, ...], wire: Wire, upstream: Upstream, client: Wire | None) -> None:
    """Play one side's steps on its connection."""
    for step in steps:
        if isinstance(step, UntilClientSaw):
            await upstream.board.until(lambda m=step.marker: client is not None and m in client.raw)  # type: ignore[misc]  # not inferred: it has a default
        elif isinstance(step, UntilUpstreamSaw):
            await upstream.board.until(lambda m=step.marker: upstream.saw(m))  # type: ignore[misc]  # not inferred: it has a default
        elif isinstance(step, HalfClose):
            wire.finish()
        elif isinstance(step, Reset):
            wire.drop()
        elif not wire.transport.is_closing() and not wire.finished:
            wire.transport.write(step)
            await asyncio.sleep(0)


async def connect_directly(wire: Wire, port: int) -> None:
    """Connect to a proxy."""
    await asyncio.get_running_loop().create_connection(lambda: wire, "127.0.0.1", port)


Connect = Callable[[Wire, int], Awaitable[None]]
"""Connects a wire to the proxy on a port."""


class Bench:
    """A board, an upstream, and a client for each case; `connect` and the Host are the same for all of them."""

    def __init__(
        self, patience: float = GIVEN_UP, connect: Connect = connect_directly, sentinel: bytes = SENTINEL
    ) -> None:
        self.board = Board(patience)
        self.upstream = Upstream(self.board)
        self._connect, self._sentinel = connect, sentinel

    async def observe(self, case: Case, port: int) -> Observation:
        """Run one case against the proxy on this port."""
        await self.upstream.settle()
        self.upstream.begin(case.replies)
        client = Wire(self.board)
        await self._connect(client, port)
        self.upstream.client = client
        await perform(case.send, client, self.upstream, client)
        sentinel, settled = await self._converse(case, client)
        reset = client.reset
        ended = client.ended
        received = bytes(client.raw)
        client.transport.abort()
        if not sentinel:
            await self._pass_barrier(port)
        await self.upstream.settle()
        streams = tuple(self.upstream.streams.values())
        return Observation(received, ended, reset, not settled, sentinel, tuple(self.upstream.requests), streams)

    async def _pass_barrier(self, port: int) -> None:
        """A request of its own connection: once it is answered, what the case set off has reached the upstream too."""
        barrier = Wire(self.board)
        await self._connect(barrier, port)
        barrier.transport.write(self._sentinel)
        await self.board.until(lambda: barrier.ended or b"sentinel" in barrier.raw)
        barrier.transport.abort()

    async def _converse(self, case: Case, client: Wire) -> tuple[bool, bool]:
        def finals() -> int:
            talk = read_conversation(bytes(client.raw), case.heads, client.ended and not client.reset)
            return sum(answer.body.complete for answer in talk.answers) + bool(talk.fault)

        over_tls = client.transport.get_extra_info("sslcontext") is not None

        def is_last() -> bool:
            return over_tls and finals() > 0 and says_close(bytes(client.raw))

        settled = await self.board.until(lambda: client.ended or finals() >= case.answers or is_last())
        if is_last():  # ending TLS takes both sides, and the proxy waits a while for the client's
            client.transport.close()
        last = (HalfClose() in case.send) or (Reset() in case.send)
        if client.ended or not settled or last or says_close(bytes(client.raw)):
            return False, await self.board.until(lambda: client.ended) and settled
        client.transport.write(self._sentinel)
        return True, await self.board.until(lambda: client.ended or finals() > case.answers)


def says_close(received: bytes) -> bool:
    """Whether the last head received announces the end of the connection."""
    lowered = received.lower()
    heads = [found.start() for found in _STATUS_LINE.finditer(lowered)]
    return b"\r\nconnection: close\r\n" in lowered[max(heads, default=0) :]
