"""TLS towards Amazon, and of clients in tunnels, between a plain transport and who speaks through it.

The event loops have a TLS of their own; there, a write that fails takes what had come and was not decrypted yet with
it. Here it ends the writing alone, so an answer that comes before its request was read is not lost. Encrypting and
decrypting are OpenSSL's, through `ssl.SSLObject`; this moves bytes between it and the socket, and keeps none: what is
written is encrypted at once, what is read is decrypted at once, so the plain transport's limits are the only ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

from proxy.net.names import LookupProblem, NameLookupFailed
from proxy.net.sockets import SocketWriter
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import ReadableBuffer

_PIECE = 65536
"""Bytes given to OpenSSL at once: its buffers grow to that, and never shrink."""
_BATCH = 4 * _PIECE
"""Bytes that one call of the system writes at most: such calls cost more than to copy what they are given."""
_RECORD = 16384
"""The most that a record holds (RFC 8446, 5.1), and so the most that one read gives."""

NO_TLS = "does not speak TLS on this port; write http:// in its address, or the port on which it speaks TLS"
"""Follows the name of a host whose answer to a handshake was no TLS."""

AUTHORITY_NAME = "ads-proxy authority"
"""The beginning of the name of each authority for interception. Amazon has no certificate of one: a connection with
such a certificate leads back to this proxy, or to a replica of it, by something between that no lookup shows."""

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


def lacks_tls(error: BaseException | None) -> bool:
    """Whether a handshake failed because the peer answered something other than TLS, such as plain HTTP."""
    return getattr(error, "reason", None) == "WRONG_VERSION_NUMBER"


class _Shared(threading.local):
    """What an event loop reads into goes on to OpenSSL before it reads anything else: one is enough for each thread."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_PIECE))


_SHARED = _Shared()


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """The peer of a TLS connection, and how: `host` is named to the peer and must be in its certificate. A server has
    no host: its peer names one."""

    context: ssl.SSLContext
    host: str = ""
    session: ssl.SSLSession | None = None


async def open_tls(connected: socket.socket, terms: TlsTerms, factory: Callable[[], _Protocol]) -> _Protocol:
    """A protocol whose transport is a `TlsTransport` that has shaken hands. Raises `OSError`, as `ssl.SSLError` is.

    The calling code limits the time.
    """
    loop = asyncio.get_running_loop()
    protocol = factory()
    tls = TlsTransport(protocol, terms, loop)
    await loop.create_connection(lambda: tls, sock=connected)
    try:
        await tls.agreed
    except BaseException:
        tls.abort()
        raise
    return protocol


async def accept_tls(plain: asyncio.Transport, tls: TlsTransport) -> None:
    """Shake hands with a client, whose transport has this protocol already and is paused. Raises `OSError`, as
    `ssl.SSLError` is. The calling code limits the time."""
    tls.connection_made(plain)
    plain.resume_reading()
    try:
        await tls.agreed
    except BaseException:
        tls.abort()
        raise


class TlsTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """A transport to `protocol`, and a protocol to the plain transport below. `agreed` is done after the handshake.

    Each end of a TLS connection is to say that it ends (RFC 8446, 6.1): `eof_received` is called only if the peer sent
    this, and a connection that ends without a word is lost. Once it is said, nothing can be read, nor written.
    """

    def __init__(self, protocol: asyncio.Protocol, terms: TlsTerms, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._protocol = protocol
        self._host = terms.host
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject
        self._terms: TlsTerms | None = terms
        if terms.host:
            self._make_tls(terms)
        self._buffer = _SHARED.buffer
        self._plain: asyncio.Transport
        self._socket: SocketWriter
        self._speaking = False
        self._over = False
        self._error: OSError | None = None
        self.agreed: asyncio.Future[None] = loop.create_future()

    def __repr__(self) -> str:
        state = "shaking hands" if not self._speaking else "over" if self._over or self.is_closing() else "speaking"
        peer = self._host or "a client"
        return f"<TlsTransport to {peer}: {state}{', and the peer takes nothing' if self.failed else ''}>"

    def _make_tls(self, terms: TlsTerms) -> None:
        """Made for a client with its first byte: OpenSSL takes 50 KiB for each that may stay silent."""
        self._terms = None
        self._tls = terms.context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=not terms.host,
            server_hostname=terms.host or None,
            session=terms.session,
        )

    # --- asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; where the peer takes nothing more, drop."""
        if self._socket.failed or self._plain.is_closing():
            return
        try:
            if len(data) <= _PIECE:
                self._socket.write(self._encrypted(data))
            else:
                for batch in _cut(data, _BATCH):
                    self._socket.writelines([self._encrypted(piece) for piece in _cut(batch, _PIECE)])
        except ssl.SSLError as error:
            self._fail(error)

    def writelines(self, list_of_data: Iterable[ReadableBuffer]) -> None:
        """Joined, lest each becomes a record of its own."""
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self._plain.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object` and `sslcontext` are TLS's own, the rest is the plain transport's."""
        if name == "ssl_object":
            return self._tls
        return self._tls.context if name == "sslcontext" else self._plain.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._plain.is_closing()

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    def can_write_eof(self) -> bool:
        """False: ending one direction of TLS ends both here."""
        return False

    def close(self) -> None:
        """End it in an orderly way: what was written leaves first."""
        if not self._plain.is_closing():
            if self._speaking:
                with contextlib.suppress(ssl.SSLError):  # unwrap would wait for the peer's word, too
                    self._tls.unwrap()
            self._send()
            self._plain.close()

    def abort(self) -> None:
        self._plain.abort()

    # --- what a writer of requests also asks

    @property
    def failed(self) -> bool:
        """A write has failed: the peer takes nothing more."""
        return self._socket.failed

    def has_news(self) -> bool:
        """Whether bytes, or the end, came from the peer and have not been read."""
        return self._socket.has_news()

    def unread(self) -> bytes:
        """Nothing: what had come when the plain transport failed has been given."""
        return b""

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._socket = SocketWriter(self._plain)
        if self._host:
            self._shake_hands()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._take(self._buffer[:nbytes])

    def eof_received(self) -> None:
        """The plain transport closes itself then. An end within TLS has been told already, any other is a loss."""

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and (unread := self._socket.unread()):
            self._take(unread)
        if self._speaking:
            self._protocol.connection_lost(exc or self._error)
        else:
            self._disagree(exc or ConnectionResetError("the connection ended within the TLS handshake"))

    def pause_writing(self) -> None:
        if self._speaking:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._speaking:
            self._protocol.resume_writing()

    # --- between the two

    def _take(self, data: bytes | memoryview) -> None:
        self._incoming.write(data)
        if self._speaking:
            self._read()
        else:
            self._shake_hands()

    def _shake_hands(self) -> None:
        if self._terms is not None:
            self._make_tls(self._terms)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._send()
            if AUTHORITY_NAME.encode() in (self._tls.getpeercert(True) or b""):
                self._fail(NameLookupFailed(self._host, LookupProblem.HERE))
                return
            if self.agreed.done():  # it is no longer awaited
                self._plain.abort()
                return
            self._speaking = True
            self._protocol.connection_made(self)
            self.agreed.set_result(None)
            if self._incoming.pending:
                self._read()

    def _read(self) -> None:
        """Decrypt what came, and give it at once: a protocol that asks to pause gets nothing more until it resumes.

        To read until OpenSSL wants more would cost an exception each time, so it is read until it has nothing left.
        """
        pieces: list[bytes] = []
        try:
            while self._incoming.pending and not self._over:
                if piece := self._tls.read(_RECORD):
                    pieces.append(piece)
                else:
                    self._over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._error, self._over = error, True
        if self._outgoing.pending:  # after the handshake, too: an answer to a KeyUpdate (RFC 8446, 4.6.3)
            self._send()
        if pieces:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._over:
            if self._error is not None:
                self._fail(self._error)
            elif not self._plain.is_closing():
                self._protocol.eof_received()
                self.close()

    def _encrypted(self, data: bytes | bytearray | memoryview) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def _send(self) -> None:
        """Send what TLS itself has to say."""
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    def _fail(self, error: OSError) -> None:
        """TLS cannot go on. The peer is told why, where OpenSSL has an alert for it."""
        self._error = error
        self._over = True
        self._send()
        self._disagree(error)
        self._plain.abort()

    def _disagree(self, error: Exception) -> None:
        if not self.agreed.done():
            self.agreed.set_exception(error)
            self.agreed.exception()  # it is no defect if it is no longer awaited


def _cut(data: bytes | bytearray | memoryview, size: int) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[start : start + size] for start in range(0, len(view), size))
