"""How log and metrics call a request: by client, account, region, method and operation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import UNKNOWN, RequestKind
from proxy.routing.ads_account import ADS_ACCOUNT, SCOPE
from proxy.routing.ends import find_end

if TYPE_CHECKING:
    from proxy.routing.route import Route
    from proxy.routing.target import RequestSummary

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
"""What Amazon's specifications use, and HEAD and OPTIONS."""
_NAMES = {method: method.decode() for method in METHODS | {b"CONNECT", b"TRACE"}}
MAX_NAMED = 64
"""Characters of a profile or an ads account that log and metrics tell: a client may send anything as one."""


def method_name(method: bytes) -> str:
    """How log and metrics call it."""
    return _NAMES.get(method, "other")


def kind_of_route(client: str, asked: RequestSummary, route: Route, effect: str, subject: str = "") -> RequestKind:
    """The kind of a request that was routed, and has this effect at Amazon. `subject` is that of the client's JWT."""
    operation = route.operation
    return RequestKind(
        client,
        route.account,
        route.region,
        route.profile[:MAX_NAMED].decode("latin-1"),
        route.ads_account[:MAX_NAMED].decode("latin-1"),
        method_name(asked.method),
        UNKNOWN if operation is None else operation.name,
        effect,
        subject,
        find_end(operation, asked.fields).day,
    )


def kind_of_summary(client: str, asked: RequestSummary, subject: str = "") -> RequestKind:
    """The kind of a request that was refused before it was routed: what it named itself."""
    fields, operation = asked.fields, asked.operation
    profile = next((value for value in fields.values(SCOPE) if value), b"")
    ads_account = next((value for name, value in fields.every if name in ADS_ACCOUNT and value), b"")
    return RequestKind(
        client,
        "",
        "",
        profile[:MAX_NAMED].decode("latin-1"),
        ads_account[:MAX_NAMED].decode("latin-1"),
        method_name(asked.method),
        UNKNOWN if operation is None else operation.name,
        asked.effect,
        subject,
        find_end(operation, fields).day,
    )
