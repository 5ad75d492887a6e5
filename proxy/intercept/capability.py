"""CONNECT: tunnels to Amazon's hosts, which end at the proxy, and to hosts that are tunnelled unread."""

from __future__ import annotations

import base64
import binascii
import re
import time
from typing import TYPE_CHECKING

from proxy.access.client_certificates import CertificateKey
from proxy.access.clients import PROXY_KEY
from proxy.errors import (
    BudgetSpent,
    CertificateRejected,
    ClientKeyEnded,
    ClientsDiffer,
    ClientUnknown,
    MalformedRequest,
    NotAmazon,
    ProxyKeyRequired,
    Refused,
    TokenRefused,
)
from proxy.events import HostRefused
from proxy.forwarding.decision import Capability
from proxy.intercept.connect_request import EndedTunnel, PassedTunnel, RefusedTunnel
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.intercept.parts import TunnelAsked
from proxy.routing.route import read_host

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity, Clients
    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.decision import Rules
    from proxy.http1.message import Request
    from proxy.intercept.connect_request import ConnectRequest
    from proxy.intercept.parts import TunnelParts

_PROXY_AUTHORIZATION = b"proxy-authorization"
_TARGET = re.compile(rb"([A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_PORT = b"443"
_MAX_TOLD = 100
_HOW = "Use HTTPS_PROXY=http://CLIENT:KEY@HOST:PORT with the key that `ads-proxy keys new CLIENT` printed."


class Interception(Capability):
    """Answers CONNECT of these clients. `passed` are patterns of the hosts that are tunnelled unread."""

    def __init__(self, parts: TunnelParts, passed: tuple[str, ...], clients: Clients) -> None:
        self._parts = parts
        self._passed = passed
        self._clients = clients
        self._told: set[str] = set()

    def take_effect(self) -> None:
        """End open tunnels that would not be opened now: nothing looks at what passes in them."""
        for tunnel in tuple(self._parts.passing):
            if not self._permits(tunnel.asked):
                tunnel.drop()

    def _permits(self, asked: TunnelAsked) -> bool:
        try:
            identify_tunnel(asked.request, self._clients, time.time(), asked.client.address)
        except Refused:  # also a JWT that cannot be checked now
            return False
        return is_passed(asked.host, self._passed)

    def open_tunnel(self, request: Request, client: ClientPort, rules: Rules) -> ConnectRequest:
        identity, key = identify_tunnel(request, self._clients, time.time(), client.address)
        try:
            host = read_connect_target(request)
            asked = TunnelAsked(request, client, rules, host, identity)
            if host in AMAZON_HOSTS:
                return EndedTunnel(self._parts, asked, key)
            if not is_passed(host, self._passed):
                raise self._refuse(identity.name, host)
            self._clients.charge(identity, time.monotonic())  # its requests are not seen
            return PassedTunnel(self._parts, asked)
        except (NotAmazon, BudgetSpent) as error:
            return RefusedTunnel(self._parts, TunnelAsked(request, client, rules, "", identity), error)

    def _refuse(self, client: str, host: str) -> NotAmazon:
        """The error for a host that is none of Amazon's. The log names each such host once, up to a number."""
        error = NotAmazon(
            f"{host} is none of the hosts of Amazon's Ads API. Add it to NO_PROXY where the client runs, so that "
            "the client connects to it itself, or to intercept.pass.",
            close=True,
        )
        if host not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(host)
            self._parts.accounting.observer.observe(HostRefused(client, host, error.detail))
        return error


def read_connect_target(request: Request) -> str:
    """The host of a CONNECT in lower case (RFC 9110, 9.3.6). Raises what forbids its form or its port."""
    fields, raw = request.fields, request.target.raw
    if fields.chunked or fields.content_length is not None:
        raise MalformedRequest("A CONNECT has no body; leave out Content-Length and Transfer-Encoding.", close=True)
    found = _TARGET.fullmatch(raw)
    if found is None:
        raise NotAmazon(
            "The target of CONNECT is a host name and a port, as in advertising-api.amazon.com:443.", close=True
        )
    asked = read_host(raw)
    if fields.host and read_host(fields.host).name != asked.name:
        raise MalformedRequest(
            "Host and the target of CONNECT name different hosts; send the same in both.", close=True
        )
    if found[2] != _PORT:
        raise NotAmazon(f"The proxy opens tunnels to port 443 alone, not to {asked.authority}.", close=True)
    if asked.is_ip:
        raise NotAmazon(f"The proxy opens no tunnel to an address ({asked.name}); send a host name.", close=True)
    return asked.name


def is_passed(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether a host is tunnelled unread: it is one of the patterns, below one that begins with `*.`, or all are."""
    return any(
        pattern in (host, "*") or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in patterns
    )


# --- whose tunnel it is


def identify_tunnel(request: Request, clients: Clients, now: float, address: str) -> tuple[ClientIdentity, bytes]:
    """Identity and key of the client that asks for a tunnel; where none needs a key, the key is empty for what is no
    client's. The certificate of its connection counts as a key. Raises `ProxyKeyRequired`, or `ClientsDiffer` for a key
    of another client than the certificate's."""
    sent = {value for name, value in request.fields.every if name == _PROXY_AUTHORIZATION}
    shown = request.fields.value(PROXY_KEY)
    if not isinstance(shown, CertificateKey) or not clients.exist:
        return _identify_key(sent, clients, now, address)
    if not sent:
        try:
            return clients.identify_key(shown, now), shown
        except CertificateRejected as rejected:
            raise ProxyKeyRequired(rejected.detail, close=True) from None
    identity, key = _identify_key(sent, clients, now, address)
    if clients.owner_of(b"", shown, now) not in (None, identity.name):
        raise ClientsDiffer(
            "Proxy-Authorization has the key of another client than the certificate of its connection; leave it out.",
            close=True,
        )
    return identity, key


def _identify_key(sent: set[bytes], clients: Clients, now: float, address: str) -> tuple[ClientIdentity, bytes]:
    """Identity and key by the values of Proxy-Authorization. Raises `ProxyKeyRequired`."""
    name, key = _credential(sent.pop()) if len(sent) == 1 else ("", b"")
    if not key and clients.exist:
        raise ProxyKeyRequired(f"CONNECT needs a client's name and key, in one Proxy-Authorization. {_HOW}", close=True)
    try:
        identity = clients.identify_key(key, now, address)
    except (ClientKeyEnded, TokenRefused) as refused:
        required = ProxyKeyRequired(refused.detail, close=True)
        required.unverified_subject = refused.unverified_subject
        raise required from None
    except ClientUnknown:
        raise ProxyKeyRequired(f"No client has this key. {_HOW}", close=True) from None
    if name in (None, identity.name) and identity.has_key:
        return identity, key
    if clients.exist:
        raise ProxyKeyRequired(f"No client of this name has this key. {_HOW}", close=True)
    return clients.identify_key(b"", now), b""


def _credential(value: bytes) -> tuple[str | None, bytes]:
    """Name and key of a Proxy-Authorization; no name with Bearer, and an empty key for what cannot be read."""
    scheme, _, encoded = value.partition(b" ")
    encoded = encoded.strip()
    match scheme.lower():
        case b"bearer":
            return None, encoded
        case b"basic":
            try:
                name, _, key = base64.b64decode(encoded, validate=True).partition(b":")
                return name.decode(), key
            except (binascii.Error, UnicodeDecodeError):
                pass
    return "", b""
