"""Who may knock at all: method, form of the target, web pages, host names. Pure.

It defends against web pages (any Origin, RFC 6454; Fetch Metadata) and DNS rebinding (Host), before anything is chosen
or forwarded (design, contract: "Who may knock"). Keys and what a client may do are for `clients`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.errors import CrossOrigin, MalformedRequest, MethodNotAllowed, MisdirectedHost
from proxy.routing.target import read_target

if TYPE_CHECKING:
    from proxy.http1.headers import Facts
    from proxy.routing.route import RoutingTable

_FETCH_SITES = (b"", b"none", b"same-origin")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+;=%-]{1,255})(?::([0-9]{0,5}))?")
_REFUSED_METHODS = {
    b"CONNECT": "CONNECT is refused: a tunnel would pass by the proxy. Give the tool an http:// base URL of the proxy, "
    "or http_proxy with http:// URLs of Amazon's API hosts.",
    b"TRACE": "TRACE is refused: it would hand back what the proxy adds.",
}


@dataclass(frozen=True, slots=True)
class HostName:
    """A Host's parts, lower case: name without brackets and closing dot, port as sent."""

    name: str
    port: str
    is_ip: bool

    @property
    def authority(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


def admit(method: bytes, target: bytes, facts: Facts) -> None:
    """Refuse what is answered to nobody, key or not: method, web pages, form of the target."""
    if method in _REFUSED_METHODS:
        raise MethodNotAllowed(_REFUSED_METHODS[method], close=True)
    if facts.has_origin:
        raise CrossOrigin(
            "The request carries an Origin, as requests of web pages do; call the proxy from a program.", close=True
        )
    if facts.fetch_site not in _FETCH_SITES:
        raise CrossOrigin("The request's Sec-Fetch-Site says that another web page sent it.", close=True)
    read_target(target)


def check_host(target: bytes, facts: Facts, table: RoutingTable, *, has_key: bool = False) -> None:
    """Refuse a host name that is not ours to answer for; of a caller with a valid key, only what is no host name.

    An absolute target must be an API host's, key or not. The port does not count, save where a configured API address
    is only told apart by it.
    """
    authority = read_target(target).authority
    if authority:
        _check_absolute(authority, facts.host, table)
        return
    if not facts.host:
        return  # HTTP/1.0; no browser omits it
    host = read_host(facts.host)
    if has_key or host.is_ip or host.name in table.served_hosts:
        return
    raise MisdirectedHost(
        f"The host name {host.name!r} is not served here. Use 127.0.0.1 or localhost, or add it to allowed_hosts.",
        close=True,
    )


def _check_absolute(authority: bytes, host: bytes, table: RoutingTable) -> None:
    asked = read_host(authority)
    if host and read_host(host) != asked:
        raise MalformedRequest("Host and the request target name different hosts.", close=True)
    if table.find_api_host(asked.name, asked.authority) is None:
        raise MisdirectedHost(
            "This is no general proxy: of absolute targets it forwards those of Amazon's API hosts only, "
            f"not {asked.name!r}.",
            close=True,
        )


@lru_cache(maxsize=1024)
def read_host(host: bytes) -> HostName:
    """Read `name[:port]`. Raises `MalformedRequest` for what is neither a name nor an address."""
    match = _HOST.fullmatch(host)
    if match is None:
        raise MalformedRequest("The Host header is neither a name nor an address.", close=True)
    name = match[1].decode("ascii").lower().strip("[]").removesuffix(".")
    return HostName(name, (match[2] or b"").decode("ascii"), _is_ip(name))


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
