"""The aiohttp session that Login with Amazon and the lists are asked with: the same names, the same sockets as traffic.

aiohttp connects through the event loop, which in uvloop looks addresses up in a few threads of its own. Nothing hangs
there, as no name ever gets there.

Importing aiohttp takes a quarter of a start, so it is imported within functions, when a session is made.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from proxy.net.names import LookupProblem, NameLookupFailed
from proxy.net.sockets import STAGGER, make_socket
from proxy.net.tls import NO_TLS, lacks_tls

if TYPE_CHECKING:
    import aiohttp

    from proxy.net.names import Names
    from proxy.secret import Secret


class DeferredSession:
    """The session of parts that are made before aiohttp is imported; `open` gives it the session."""

    def __init__(self) -> None:
        self._session: asyncio.Future[aiohttp.ClientSession] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<DeferredSession {'open' if self._session.done() else 'not open yet'}>"

    def open(self, session: aiohttp.ClientSession) -> None:
        """Let everything that waits have this session, which is closed with this object."""
        self._session.set_result(session)

    async def opened(self) -> aiohttp.ClientSession:
        return await asyncio.shield(self._session)

    async def close(self) -> None:
        if self._session.done():
            await self._session.result().close()


HttpSession: TypeAlias = "aiohttp.ClientSession | DeferredSession"


async def opened(session: HttpSession) -> aiohttp.ClientSession:
    """The session for a request. Wait for it first, and import from aiohttp what the request needs afterwards."""
    return await session.opened() if isinstance(session, DeferredSession) else session


def make_session(names: Names) -> aiohttp.ClientSession:
    """A session without cookies and without the environment's proxies, a new connection for each request.

    It asks seldom, and a connection that was kept may have died meanwhile without a word.
    """
    import aiohttp

    from proxy.net.names_resolver import NamesResolver

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
    import aiohttp

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
        if isinstance(error.os_error, NameLookupFailed) and error.os_error.problem is LookupProblem.HERE:
            return str(error.os_error)
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
