"""Why an address could not be reached, in words that name what to look at: aiohttp's errors, translated in one place.

Which failure it becomes, and what is said beside it, is for those who asked. The outbound proxy is named by host
and port, never by its credentials.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from proxy.net.tls import NO_TLS, lacks_tls

if TYPE_CHECKING:
    from proxy.secret import Secret

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
