"""Raw ends of connections: what a client or Amazon sends and receives, byte by byte, on real sockets.

All of it runs in the test's own event loop, on ports of the system's choice. Waiting is always for bytes or a
condition, with a time limit; nothing sleeps. Messages are read by `http_reader.py`. What is right is for
the tests to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from tests.support.http_reader import Body, Head, is_chunked, length_of, read_chunked, read_head
from tests.support.patience import PATIENCE

LINUX = sys.platform.startswith("linux")  # elsewhere, the loopback has one address
GET = b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\ndenied"

Script = Callable[["Wire"], Awaitable[None]]
ReadBody = tuple[bytes, tuple[tuple[bytes, bytes], ...]]
"""The payload of a body, and its trailers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its head as it came, the payload of its body, and the trailers of a chunked one."""

    head: bytes
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def value(self, name: bytes) -> bytes | None:
        """A field's value; None where it is absent."""
        return value_of(self.head, name)


def value_of(head: bytes, name: bytes) -> bytes | None:
    """The first value of a field in a head; None where it is absent."""
    return next(iter(_parsed(head).values(name)), None)


def _parsed(head: bytes) -> Head:
    """A head that lacks its closing empty line, as `Wire.head` gives it."""
    return read_head(head + b"\r\n", 0)[0]


class Wire(asyncio.Protocol):
    """One end of a connection: it records the events and returns them in order."""

    patience: float | None = PATIENCE
    """Seconds that it waits for anything; None: without end."""

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
        async with asyncio.timeout(self.patience):
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

    async def chunked(self) -> Body:
        """The next body, which is chunked. Raises `EOFError` where it does not come whole."""

        def read() -> Body:
            return read_chunked(bytes(self.received), self._taken)

        def is_whole() -> bool:
            return self.received.find(b"\r\n\r\n", self._taken) >= 0 and read().complete

        await self.until(lambda: self.ended or is_whole())
        body = read()
        if not body.complete:
            raise EOFError(bytes(self.received[self._taken :]))
        self._taken = body.end
        return body

    async def body(self, head: bytes) -> ReadBody:
        """The body that a request's head announces."""
        parsed = _parsed(head)
        if is_chunked(parsed):
            body = await self.chunked()
            return body.content, body.trailers
        return await self.take(length_of(parsed) or 0), ()

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: its head and its payload."""
        head = await self.head()
        return head, (await self.body(head))[0]

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer, an interim one too, as its framing has it."""
        head = await self.head()
        return Answer(head, *await self.answer_body(head, to_head=to_head))

    async def answer_body(self, head: bytes, *, to_head: bool = False) -> ReadBody:
        """The body that an answer's head announces, or that the end of the connection ends."""
        status, parsed = int(head.split(b" ", 2)[1]), _parsed(head)
        if to_head or status < 200 or status in (204, 304):
            return b"", ()
        if not is_chunked(parsed) and length_of(parsed) is None:
            return await self.end(), ()
        return await self.body(head)


def own_host() -> str:
    """An address of the loopback that only this process uses, for a test that must hear no other conversation.

    The port of a finished test may be in use again while a late client still connects to it.
    """
    number = os.getpid()
    return f"127.{1 + (number >> 14) % 254}.{(number >> 7) % 128}.{2 + number % 128}" if LINUX else "127.0.0.1"


class RawUpstream:
    """The raw upstream: `script` runs once for each connection, in the order in which they came."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        self.script = script
        self.wires: list[Wire] = []
        self.host = host
        self.port = 0
        self._server: asyncio.Server
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self._accept), self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def go_away(self) -> None:
        """Listen no more; `start` comes back, at the same port."""
        self._server.close()

    def _accept(self, wire: Wire) -> None:
        self.wires.append(wire)
        self._tasks.append(asyncio.get_running_loop().create_task(self._run(wire)))

    async def _run(self, wire: Wire) -> None:
        """Run a script; at its end its connection closes, so that no peer waits for it."""
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


def answering(*answers: bytes) -> Script:
    """A script that reads whole requests and answers them one after another, the last answer again and again."""

    async def script(wire: Wire) -> None:
        number = 0
        while True:
            await wire.request()
            wire.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script
