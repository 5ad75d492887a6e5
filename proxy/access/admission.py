"""Admission: method, form of the target, web pages, host names; then the client's identity. Pure.

It defends against web pages (any Origin, RFC 6454; Fetch Metadata) and DNS rebinding (Host), before anything is chosen
or forwarded (docs/explanation/security.md). Keys are verified by `clients`, what a client may do is for `policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.errors import (
    CrossOrigin,
    MalformedRequest,
    MethodNotAllowed,
    MisdirectedHost,
    Refused,
    UnknownRoute,
)
from proxy.http1.target import TargetForm
from proxy.regions import HostUse
from proxy.routing.route import read_host
from proxy.routing.target import TOKEN_PATH, TargetKind, is_served

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity, Clients
    from proxy.http1.message import Request
    from proxy.http1.target import Target
    from proxy.routing.table import RoutingTable
    from proxy.routing.target import Destination

ORIGIN = b"origin"
FETCH_SITE = b"sec-fetch-site"

_ORIGIN = TargetForm.ORIGIN
_KEYLESS = frozenset((TargetKind.TOKEN, TargetKind.LOGIN))
_HAS = {HostUse.TOKEN: TOKEN_PATH.decode(), HostUse.MCP: "/mcp"}
_FETCH_SITES = (b"none", b"same-origin")
_REFUSED_METHODS = {
    b"CONNECT": "CONNECT is refused: interception is off. Set intercept.enabled and restart the proxy, so that "
    "it answers for Amazon's hosts, or give the client an http:// base URL of the proxy.",
    b"TRACE": "TRACE is refused: its answer would show the headers that the proxy adds. Use another method.",
}


def admit(request: Request, table: RoutingTable) -> None:
    """Refuse what no client may send, with or without a key: method, web pages, form of the target."""
    if request.method in _REFUSED_METHODS:
        raise MethodNotAllowed(_REFUSED_METHODS[request.method], close=True)
    refuse_web_page(request)
    if request.target.form is not _ORIGIN:
        _check_form(request, table)


def refuse_web_page(request: Request) -> None:
    """Refuse a request that a web page sent."""
    named = request.fields.named
    if ORIGIN in named:
        raise CrossOrigin(
            "The request has an Origin header, as requests of web pages do; call the proxy from a program.", close=True
        )
    if FETCH_SITE in named and not all(value.lower() in _FETCH_SITES for value in named[FETCH_SITE] if value):
        raise CrossOrigin(
            "Sec-Fetch-Site shows that another web page sent the request; call the proxy from a program.", close=True
        )


def _check_form(request: Request, table: RoutingTable) -> None:
    target = request.target
    if target.form is TargetForm.ASTERISK:
        raise MethodNotAllowed("The request target '*' is not supported; send a path.", close=True)
    # Some clients send a proxy https:// targets where others send CONNECT.
    if target.scheme == b"https" and read_host(target.authority).name not in table.intercepted_hosts:
        raise MalformedRequest(
            "The request target begins with https:// and is none of Amazon's hosts. Add its host to NO_PROXY where the "
            "client runs, so that the client connects to it itself."
            if table.intercepted_hosts
            else "The request target begins with https://; set intercept.enabled for Amazon's hosts, or write the "
            "client's base URL with http://.",
            close=True,
        )
    if target.scheme not in (b"http", b"https"):
        raise MalformedRequest("The request target begins neither with '/' nor with http://; send a path.", close=True)


class AdmissionRules(Protocol):
    """Who may ask, and for what: the part of the rules that an admission needs."""

    @property
    def clients(self) -> Clients: ...

    @property
    def table(self) -> RoutingTable: ...


def identify(
    request: Request, destination: Destination | None, rules: AdmissionRules, now: float, address: str = ""
) -> ClientIdentity:
    """The client; `now` is wall-clock time, `address` the one that the request came from. A valid key exempts from what
    Host must be; without one the Host is checked first. At the token endpoint a client shows its key in the body. A
    request for the proxy's own login gets the answer that there is none. A `destination` that is not read yet is
    neither.
    """
    clients, table = rules.clients, rules.table
    try:
        identity = clients.identify(request.fields, now, address)
    except Refused:
        check_host(request, table)
        if destination is None or destination.kind not in _KEYLESS:
            raise
        return clients.nobody
    check_host(request, table, has_key=identity.has_key)
    return identity


def check_host(request: Request, table: RoutingTable, *, has_key: bool = False) -> None:
    """Refuse a host name that is not ours to answer for; from a client with a valid key, only what is no host name.

    An absolute target must be an API host's or an intercepted one's, key or not. The port does not count, save where a
    configured API address is only told apart by it.
    """
    host = request.fields.host
    if request.target.authority:
        _check_absolute(request, table)
        return
    if not host:
        return  # HTTP/1.0; no browser omits it
    name = read_host(host)
    if has_key or name.is_ip or name.name in table.served_hosts:
        return
    raise MisdirectedHost(
        f"The host name {name.name!r} is not served here. Use 127.0.0.1 or localhost, or add it to allowed_hosts.",
        close=True,
    )


def _check_absolute(request: Request, table: RoutingTable) -> None:
    host, asked = request.fields.host, read_host(request.target.authority)
    if host and read_host(host) != asked:
        raise MalformedRequest(
            "Host and the request target name different hosts; send the same host in both.", close=True
        )
    use = table.intercepted_hosts.get(asked.name)
    if use is not None:
        check_use(request.target, asked.name, use)
    elif table.find_api_host(asked.name, asked.authority) is None:
        raise MisdirectedHost(
            "This is no general proxy: of absolute targets it forwards those of Amazon's API hosts only, "
            f"not {asked.name!r}.",
            close=True,
        )


def check_use(target: Target, host: str, use: HostUse) -> None:
    """Refuse what Amazon does not have at this one of its hosts."""
    if not is_served(target, use):
        raise UnknownRoute(f"Through the proxy, {host} has {_HAS[use]} alone; send this to another host.")
