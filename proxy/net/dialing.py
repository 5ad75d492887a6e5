"""Reaching a host of Amazon's: names, sockets, TLS, an outbound proxy. Gives a connected protocol, or a named error.

A failed connection is tried again while `connect_timeout` lasts, as `pause_before_redial` says. Only what the
configuration names is ever dialled; no environment variable is read. Certificates are always verified.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import random
import re
import ssl
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from cachetools import LRUCache

from proxy.backoff import backoff
from proxy.errors import (
    Refused,
    UpstreamCertificateRejected,
    UpstreamConnectTimeout,
    UpstreamNameUnresolved,
    UpstreamUnreachable,
)
from proxy.net.names import LEADS_HERE, LookupProblem, NameLookupFailed
from proxy.net.sockets import connect_to_any
from proxy.net.tls import NO_TLS, TlsTerms, lacks_tls, open_tls
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from proxy.net.names import AddressInfo


_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)

_MAX_TUNNEL_ANSWER = 16384
_MAX_SESSIONS = 64
_TUNNEL_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a region's API lives: `https`, `advertising-api.amazon.com`, 443."""

    scheme: str
    host: str
    port: int

    @property
    def host_line(self) -> bytes:
        """The Host header's whole line; the port is named where it is not the scheme's own."""
        usual = 443 if self.scheme == "https" else 80
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"Host: {name}{'' if self.port == usual else f':{self.port}'}\r\n".encode("ascii")


def origin_of(url: str) -> Origin:
    """The origin of an http or https URL."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def client_context(ca_file: str | None) -> ssl.SSLContext:
    """A verifying context; `ca_file` is trusted instead of the system's authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)
    return context


@dataclass(frozen=True, slots=True)
class RedialBackoff:
    """What redialing waits with, and its dice."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class AddressSource(Protocol):
    """Looks names up, as `Names` does."""

    async def find(self, host: str, port: int) -> list[AddressInfo]: ...


class Dialer:
    """Opens connections to origins. `names` is shared by all: it outlives a change of the dialling settings. Without a
    `context` the system's authorities are believed."""

    def __init__(
        self,
        names: AddressSource,
        *,
        connect_timeout: float,
        context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        backoff: RedialBackoff | None = None,
    ) -> None:
        self._names = names
        self._timeout = connect_timeout
        self._context = context or client_context(None)
        self._sessions: LRUCache[str, ssl.SSLSession] = LRUCache(_MAX_SESSIONS)
        self._proxy = urlsplit(proxy) if proxy else None
        self._backoff = backoff or RedialBackoff()

    async def dial(self, origin: Origin, factory: Callable[[], _Protocol]) -> _Protocol:
        """Connect within `connect_timeout`. Raises the `Refused` that names what went wrong."""
        failed: list[OSError] = []
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(end):
                while True:
                    try:
                        return await self._open(origin, factory)
                    except OSError as error:
                        failed.append(error)
                        left, chance = end - loop.time(), self._backoff.chance()
                        pause = pause_before_redial(error, tries=len(failed), left=left, chance=chance)
                        if pause is None:
                            raise
                    await self._backoff.sleep(pause)
        except TimeoutError as error:
            if failed:  # the time ended within another try, and what the host said before tells more
                raise _translated(failed[-1], origin) from error
            raise UpstreamConnectTimeout(
                f"{origin.host} did not accept a connection within {self._timeout:g} s; try again, and look at the "
                "network between the proxy and Amazon if it lasts."
            ) from error
        except OSError as error:
            raise _translated(error, origin) from error

    def remember_session(self, origin: Origin, transport: asyncio.BaseTransport) -> None:
        """Keep the TLS session of a connection that worked, for the next one to the same host."""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.session is not None:
            self._sessions[origin.host] = tls.session

    async def _open(self, origin: Origin, factory: Callable[[], _Protocol]) -> _Protocol:
        host, port = origin.host, origin.port
        if self._proxy is not None:
            host, port = self._proxy.hostname or "", self._proxy.port or 3128
        addresses = await self._names.find(host, port)
        try:
            connected = await connect_to_any(addresses)
        except OSError as error:
            if self._proxy is None:
                raise
            why = f"the outbound proxy {host}:{port} did not accept a connection ({error.strerror or error})"
            raise OSError(error.errno, f"{why}; look at upstream.proxy") from error
        try:
            if self._proxy is not None:
                await self._tunnel(connected, origin)
            if origin.scheme == "https":
                terms = TlsTerms(self._context, origin.host, self._sessions.get(origin.host))
                return await open_tls(connected, terms, factory)
            _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=connected)
        except BaseException:
            connected.close()
            raise
        return protocol

    async def _tunnel(self, connected: socket.socket, origin: Origin) -> None:
        """Ask the outbound proxy for a way through (RFC 9110, 9.3.6)."""
        assert self._proxy is not None
        loop = asyncio.get_running_loop()
        name = f"[{origin.host}]" if ":" in origin.host else origin.host
        request = f"CONNECT {name}:{origin.port} HTTP/1.1\r\nHost: {name}:{origin.port}\r\n"
        if self._proxy.username or self._proxy.password:
            login = f"{unquote(self._proxy.username or '')}:{unquote(self._proxy.password or '')}"
            request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
        await loop.sock_sendall(connected, request.encode() + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await loop.sock_recv(connected, 4096)
            answer += data
            if len(answer) > _MAX_TUNNEL_ANSWER:
                raise TunnelRefused("the outbound proxy sent an endless answer to CONNECT; look at upstream.proxy")
            if not data:
                raise ConnectionError("the outbound proxy closed the connection; look at upstream.proxy")
        found = _TUNNEL_STATUS.match(answer)
        if found is not None and not found[1].startswith(b"2"):  # a body may follow
            status = found[1].decode()
            raise TunnelRefused(f"the outbound proxy answered {status} to CONNECT; look at upstream.proxy", int(status))
        if found is None or not answer.endswith(b"\r\n\r\n"):
            raise TunnelRefused("the outbound proxy did not answer CONNECT in HTTP/1.1; look at upstream.proxy")


def _translated(error: OSError, origin: Origin) -> Refused:
    if isinstance(error, NameLookupFailed) and error.problem is LookupProblem.HERE:
        return UpstreamNameUnresolved(f"The name {error.host} {LEADS_HERE}.")
    if isinstance(error, NameLookupFailed):
        why = "no name server answered" if error.problem is LookupProblem.SILENT else "it could not be resolved"
        return UpstreamNameUnresolved(
            f"The name {error.host} has no address: {why}; look at the DNS of the machine that the proxy runs on."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamCertificateRejected(
            f"The certificate of {origin.host} was not accepted ({error.verify_message}). If a company proxy signs "
            "certificates here, name its authority in upstream.ca_file."
        )
    if lacks_tls(error):
        return UpstreamUnreachable(f"{origin.host}:{origin.port} {NO_TLS}.")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return UpstreamUnreachable(
            f"No connection to {origin.host} could be opened: this program may open no more files. Raise its limit "
            "(ulimit -n, LimitNOFILE), or lower limits.max_connections."
        )
    return UpstreamUnreachable(f"{origin.host}:{origin.port} could not be reached: {error.strerror or error}.")


# --- Whether a connection that could not be made is tried again, and after which pause -------------------

MAX_TRIES = 4
FIRST_PAUSE = 0.1
"""Seconds before the second try; they double, and each is between half and one and a half of that by chance. A listener
that is away for 300 ms is back before the last try, whatever chance says."""

_PASSING = frozenset(
    (
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL),
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS),
    )
)
_BUSY_PROXY = frozenset((502, 503, 504))


class TunnelRefused(ConnectionError):
    """The outbound proxy opened no way. `status` is what it answered to CONNECT, 0 for what is no answer."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


def pause_before_redial(error: OSError, *, tries: int, left: float, chance: float) -> float | None:
    """Seconds until the next try, None to give up: `tries` were made, `left` is what remains of `connect_timeout`.

    `chance` is in [0, 1).
    """
    if tries >= MAX_TRIES or not _may_pass(error):
        return None
    pause = backoff(tries, first=FIRST_PAUSE, jitter=(0.5, 1.5), chance=chance)
    return pause if pause < left else None


def _may_pass(error: OSError) -> bool:
    """What failed could be over soon, without anybody changing anything."""
    match error:
        case NameLookupFailed():
            return error.problem is LookupProblem.UNAVAILABLE  # silence has taken its time already
        case TunnelRefused():
            return error.status in _BUSY_PROXY
        case ssl.SSLError():
            return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return error.errno in _PASSING or isinstance(error, ConnectionError) or error.errno is None
