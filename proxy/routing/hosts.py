"""Host names: the parts of a Host or an authority (RFC 9110, 7.2; RFC 3986, 3.2). Pure.

Which host is served is for `access.admission`; which region an API host means, for `table`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from proxy.errors import MalformedRequest

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+;=%-]{1,255})(?::([0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class HostName:
    """A Host's parts, lower case: name without brackets and closing dot, port as sent."""

    name: str
    port: str
    is_ip: bool
    authority: str
    """Name and port, as far as there is one."""


@lru_cache(maxsize=1024)
def read_host(host: bytes) -> HostName:
    """Read `name[:port]`. Raises `MalformedRequest` for what is neither a name nor an address."""
    match = _HOST.fullmatch(host)
    if match is None:
        raise MalformedRequest("The Host header is neither a name nor an address.", close=True)
    name = match[1].decode("ascii").lower().strip("[]").removesuffix(".")
    port = (match[2] or b"").decode("ascii")
    return HostName(name, port, _is_ip(name), f"{name}:{port}" if port else name)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
