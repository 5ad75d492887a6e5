"""The TLS of the proxy's end of a tunnel: for each of Amazon's hosts a context with a certificate of the authority.

A context lasts for as many handshakes as come while its certificate is young. Handshakes alone look at certificates,
so a connection goes on with the context that it began with.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, TypeVar

from proxy.intercept.authority import LEAF_LIFE
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.net.pem import as_file
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.intercept.authority import Authority, Leaf

_REPLACE_BEFORE = LEAF_LIFE / 4
"""Seconds before its end in which a certificate is no longer shown, for clients whose clocks are fast."""


_Context = TypeVar("_Context", bound=ssl.SSLContext)


class HostContext(ssl.SSLContext):
    """A server's context, and the host that its certificate is for."""

    host: str


@dataclass(frozen=True, slots=True)
class _Cached:
    context: HostContext
    until: float


class Contexts:
    """Makes and keeps the contexts: one for each of `AMAZON_HOSTS` at most. `clock` gives Unix time."""

    def __init__(self, authority: Authority, clock: Callable[[], float]) -> None:
        self._authority = authority
        self._clock = clock
        self._cached: dict[str, _Cached] = {}

    def __repr__(self) -> str:
        return f"<Contexts of {self._authority!r}>"

    def find(self, host: str) -> ssl.SSLContext:
        """The context for one of `AMAZON_HOSTS`, its name in lower case; raises `ValueError` for any other."""
        now = self._clock()
        cached = self._cached.get(host)
        if cached is None or now >= cached.until:
            leaf = self._authority.issue(host, now)
            cached = self._cached[host] = _Cached(self._make(host, leaf), leaf.ends_at - _REPLACE_BEFORE)
        return cached.context

    def by_name(self) -> ssl.SSLContext:
        """A context without a certificate of its own, for clients that name one of `AMAZON_HOSTS` in their handshake;
        it fails for all others."""
        context = _server_context(ssl.SSLContext)
        context.sni_callback = self._require_name
        return context

    def host_of(self, context: ssl.SSLContext) -> str:
        """The host that a context of `find` is for."""
        assert isinstance(context, HostContext)
        return context.host

    def _make(self, host: str, leaf: Leaf) -> HostContext:
        context = _server_context(HostContext)
        context.host = host
        context.sni_callback = self._choose
        with as_file(leaf.chain) as chain, as_file(leaf.key.reveal().encode("ascii")) as key:
            context.load_cert_chain(chain, key)
        return context

    def _require_name(
        self, tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name is None else self._choose(tls, name, context)

    def _choose(self, tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        """Show the certificate of the host that the client names; a client without a name gets that of the context."""
        if name is None:
            return None
        host = name.lower()
        if host not in AMAZON_HOSTS:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = self.find(host)
        return None


def _server_context(kind: type[_Context]) -> _Context:
    """A server's terms, without a certificate."""
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ecdh_curve("prime256v1")
    context.set_alpn_protocols(["http/1.1"])
    return context
