"""The aiohttp session that Login with Amazon and the lists are asked with: the same names, the same sockets as traffic.

aiohttp connects through the event loop, which in uvloop looks addresses up in a few threads of its own. Nothing hangs
there, as no name ever gets there.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.net.sockets import STAGGER, make_socket
from proxy.net.tls import NO_TLS, lacks_tls

if TYPE_CHECKING:
    from proxy.net.names import Names
    from proxy.secret import Secret


class NamesResolver(AbstractResolver):
    """aiohttp's view of `Names`, which is not its own to close."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of every family, whatever `family` is: the session never asks for a single one."""
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=of_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of_family, _, protocol, _, address in await self._names.find(host, port)
        ]

    async def close(self) -> None:
        """Nothing is the resolver's own."""


def make_session(names: Names) -> aiohttp.ClientSession:
    """A session without cookies and without the environment's proxies, a new connection for each request.

    It asks seldom, and a connection that was kept may have died meanwhile without a word.
    """
    connector = aiohttp.TCPConnector(
        resolver=NamesResolver(names),
        use_dns_cache=False,
        happy_eyeballs_delay=STAGGER,
        socket_factory=make_socket,
        force_close=True,
    )
    return aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


# --- The outbound proxy --------------------------------------------------------------------------------------


def proxy_url(proxy: Secret | None) -> str | None:
    """An outbound proxy's URL for aiohttp, which would send its credentials in Latin-1: with this one it sends them in
    UTF-8 (RFC 7617, 2.1), as the `Dialer` does."""
    if not proxy:
        return None
    url = proxy.reveal()
    login, at, _ = urlsplit(url).netloc.rpartition("@")
    parts = [quote(unquote(part).encode().decode("latin-1"), safe="") for part in login.split(":", 1)]
    return url.replace(f"//{login}{at}", f"//{':'.join(parts)}{at}", 1)


# --- Causes of connection failures ----------------------------------------------------------------------------

_CERTIFICATES = "if a company proxy signs certificates here, name its authority in upstream.ca_file"


def name_proxy(proxy: Secret | None) -> str:
    """`HOST:PORT` of an outbound proxy's URL, empty for none."""
    return "" if proxy is None else urlsplit(proxy.reveal()).netloc.rpartition("@")[2]


def through(proxy: Secret | None) -> str:
    """What a sentence about an address adds where it is asked over an outbound proxy."""
    return f" through the outbound proxy {name_proxy(proxy)}" if proxy is not None else ""


def why_unreachable(error: Exception, host: str, proxy: Secret | None) -> str:
    """A clause without a full stop; empty where the network is not to blame, but what was answered."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return f"the certificate of {host} was not accepted ({words}); {_CERTIFICATES}"
    if lacks_tls(error) or lacks_tls(getattr(error, "os_error", None)):
        return f"{host} {NO_TLS}"
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return f"the TLS handshake with {host} failed; {_CERTIFICATES}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if proxy is not None:
            return f"the name of the outbound proxy {name_proxy(proxy)} could not be resolved; look at upstream.proxy"
        return f"the name {host} could not be resolved; look at the DNS of the machine that the proxy runs on"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the outbound proxy {name_proxy(proxy)} answered {error.status} to CONNECT; look at upstream.proxy"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        reason = _reason(error.os_error)
        return f"the outbound proxy {name_proxy(proxy)} cannot be reached ({reason}); look at upstream.proxy"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{host} cannot be reached ({_reason(error.os_error)}); look at the network and the firewall between"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | OSError):
        return f"the connection to {host}{through(proxy)} broke before the answer was complete"
    return ""


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "connecting failed"
