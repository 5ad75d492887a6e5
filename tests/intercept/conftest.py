"""What the tests of tunnels share: an authority, and clients that shake hands inside a tunnel."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.intercept.authority import Authority
from proxy.intercept.contexts import Contexts
from tests.support.proxy_bench import ProxyBench
from tests.support.wire import Wire

NA = "advertising-api.amazon.com"


KEYS = {name: f"{name}-has-a-key-of-its-own" for name in ("reports", "agent", "retired")}


class OpenTunnel(Protocol):
    """Opens a tunnel through the proxy and shakes hands in it; `login` is `NAME:KEY`."""

    def __call__(
        self, bench: ProxyBench, host: str = NA, *, login: str = "", server_name: str = ""
    ) -> Awaitable[Wire]: ...


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A new authority."""
    return Authority.open(tmp_path / "ca", time.time())


@pytest.fixture
def contexts(authority: Authority) -> Contexts:
    """The server contexts of that authority."""
    return Contexts(authority, time.time)


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    """A client that trusts that authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem.decode())
    return context


@pytest.fixture
def open_tunnel(trusting: ssl.SSLContext) -> OpenTunnel:
    """What opens tunnels."""

    async def open_it(bench: ProxyBench, host: str = NA, *, login: str = "", server_name: str = "") -> Wire:
        wire = await bench.client(connect(host, login))
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 200 "), head
        wire.transport = await shake_hands(wire, trusting, server_name or host)
        return wire

    return open_it


async def shake_hands(wire: Wire, context: ssl.SSLContext, server_name: str) -> asyncio.Transport:
    """The transport inside TLS to this server."""
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(wire.transport, wire, context, server_hostname=server_name)
    return cast(asyncio.Transport, secured)


def connect(host: str = NA, login: str = "", port: int = 443) -> bytes:
    """A CONNECT to a host."""
    encoded = base64.b64encode(login.encode())
    key = b"Proxy-Authorization: Basic %b\r\n" % encoded if login else b""
    return b"CONNECT %b:%d HTTP/1.1\r\nHost: %b:%d\r\n%b\r\n" % (host.encode(), port, host.encode(), port, key)


def get(path: str = "/v2/profiles", host: str = NA, lines: bytes = b"") -> bytes:
    """A GET inside a tunnel."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path.encode(), host.encode(), lines)


def configured(*names: str, keyless: str = "", ends_at: float | None = None, **limits: Any) -> Clients:
    """Clients of these names, each with a key that expires then, and these limits. Requests without a key are
    `keyless`'s."""
    keys = {name: ClientKey(digest(KEYS[name]), ends_at, "") for name in names}
    policies = (Policy(name=name, keys=(key,), **limits) for name, key in keys.items())
    return Clients(policies, Placeholders(b"key"), Budgets(), keyless=(keyless, ""))


def digest(key: str) -> str:
    """What the configuration has of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def login(name: str) -> str:
    """What HTTPS_PROXY has of a client."""
    return f"{name}:{KEYS[name]}"
