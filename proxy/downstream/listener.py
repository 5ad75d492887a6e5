"""Addresses to listen on; what fails is a `ListenError` that says what to do."""

from __future__ import annotations

import errno
import socket
from typing import Any

from proxy.config import Address
from proxy.errors import ListenError

BACKLOG = 1024
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind(name: str, address: Address) -> list[socket.socket]:
    """Listening sockets of an address, for a server that takes them.

    They listen at once: two programs can bind one address as long as neither listens. A host name may stand for
    addresses that this machine does not have (`::1` where there is no IPv6): one that works is enough.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in _addresses(address):
            try:
                sockets.append(_listening(family, where))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
            if sockets and address.port == 0:
                break
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise _explained(name, address, error) from error
    return sockets


def bound_address(bound: socket.socket) -> Address:
    """Where a socket of `bind` listens."""
    host, port = bound.getsockname()[:2]
    return Address(host, port)


def _addresses(address: Address) -> list[tuple[int, Any]]:
    """Each address once: a hosts file may name one twice."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listening(family: int, where: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _explained(name: str, address: Address, error: OSError) -> ListenError:
    variable = f"ADS_PROXY_{name.upper()}"
    advice = f"set `{name}` ({variable}) to another address"
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        return ListenError(f"{name}: {address} is in use by another program; stop that program, or {advice}.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ListenError(f"{name}: this user may not listen on {address}; use a port from 1024 on, or {advice}.")
    if error.errno in _NOT_HERE or isinstance(error, socket.gaierror):
        return ListenError(f"{name}: {address} is no address of this machine; {advice}.")
    return ListenError(f"{name}: cannot listen on {address} ({error.strerror or error}); {advice}.")
