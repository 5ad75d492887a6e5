"""A peer that speaks TLS record by record: a test holds each byte before it leaves.

It answers on a plain `Wire`: what it seals is sent by the test, whole, cut or damaged.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from proxy.net.tls import TlsTerms, TlsTransport, open_tls
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.wire import Wire


class TlsPeer:
    """One server's end. `wire` is the plain connection below."""

    def __init__(self, wire: Wire, context: ssl.SSLContext) -> None:
        self.wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._taken = 0

    async def shake_hands(self, cut: int = 1 << 20, behind: bytes = b"") -> None:
        """Speak TLS, no more than so many bytes in one segment; `behind` is said together with the last of it."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_cut(cut)
                await self._more()
            else:
                if behind:
                    self.tls.write(behind)
                await self._send_cut(cut)
                return

    def sealed(self, data: bytes) -> bytes:
        """The records that hold this, and whatever else there was to say."""
        if data:
            self.tls.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """The record that says that this end ends."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()

    async def read(self, size: int) -> bytes:
        """The next so many bytes that were sent through TLS; fewer where it ended."""
        got = bytearray()
        while len(got) < size:
            try:
                piece = self.tls.read(size - len(got))
            except ssl.SSLWantReadError:
                await self._more()
                continue
            except ssl.SSLZeroReturnError:
                break
            if not piece:
                break
            got += piece
        return bytes(got)

    async def _more(self) -> None:
        await self.wire.until(lambda: self.wire.ended or len(self.wire.received) > self._taken)
        if len(self.wire.received) == self._taken:
            raise EOFError
        self._incoming.write(self.wire.received[self._taken :])
        self._taken = len(self.wire.received)

    async def _send_cut(self, cut: int) -> None:
        data = self._outgoing.read()
        for start in range(0, len(data), cut):
            self.wire.send(data[start : start + cut])
            await asyncio.sleep(0)


class Spoken(asyncio.Protocol):
    """Who speaks through TLS: what it is told, in order."""

    def __init__(self) -> None:
        self.transport: TlsTransport
        self.received = bytearray()
        self.told: list[str] = []
        self.error: Exception | None = None
        self.heard: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.heard()
        self._changed.set()

    def eof_received(self) -> None:
        self._note("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._note("lost")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what was told."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Listening:
    """A plain listener and its authority: each connection is a `TlsPeer` that has not shaken hands yet."""

    def __init__(self, authority: Authority, context: ssl.SSLContext) -> None:
        self._context = context
        self._authority = authority
        self._peers: asyncio.Queue[TlsPeer] = asyncio.Queue()
        self.trusting = trusting(authority)
        self.port = 0

    async def connect(self, session: ssl.SSLSession | None = None) -> tuple[TlsPeer, asyncio.Task[Spoken]]:
        """A new connection: the peer, and who is about to speak to it."""
        connected = socket.socket()
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self.port))
        opening = asyncio.ensure_future(open_tls(connected, TlsTerms(self.trusting, "localhost", session), Spoken))
        return await self.accepted(), opening

    async def accepted(self) -> TlsPeer:
        """The next connection that came."""
        async with asyncio.timeout(PATIENCE):
            return await self._peers.get()

    async def speak(self, session: ssl.SSLSession | None = None) -> tuple[TlsPeer, Spoken]:
        """A new connection over which hands were shaken, and the peer's session tickets have come."""
        peer, opening = await self.connect(session)
        await peer.shake_hands(behind=b"!")
        spoken = await opening
        await spoken.until(lambda: spoken.received == b"!")
        spoken.received.clear()
        return peer, spoken

    def accept(self, wire: Wire) -> None:
        self._peers.put_nowait(TlsPeer(wire, self._context))


def trusting(authority: Authority) -> ssl.SSLContext:
    """A client's context that trusts this authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.ca_file)
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


@asynccontextmanager
async def listening(authority: Authority, context: ssl.SSLContext) -> AsyncIterator[Listening]:
    """A listening socket on a port of the system's choice."""
    found = Listening(authority, context)
    wires: list[Wire] = []

    def accept(wire: Wire) -> None:
        wires.append(wire)
        found.accept(wire)

    server = await asyncio.get_running_loop().create_server(lambda: Wire(accept), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for wire in wires:
            wire.abort()


@asynccontextmanager
async def blocking_peer(authority: Authority) -> AsyncIterator[tuple[ssl.SSLSocket, Spoken]]:
    """A peer whose every call is over when it returns, and who speaks with it."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connected:
        connected.setblocking(False)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shaking = asyncio.to_thread(authority.context("localhost").wrap_socket, accepted, server_side=True)
        terms = TlsTerms(trusting(authority), "localhost")
        peer, spoken = await asyncio.gather(shaking, open_tls(connected, terms, Spoken))
        with peer:
            yield peer, spoken


def answer_and_reset(peer: ssl.SSLSocket) -> None:
    """Send a response and a reset; both have arrived, unread, when this returns."""
    peer.sendall(b"413")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
