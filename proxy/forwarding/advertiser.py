"""For whom a request is made: its profile, its ads account, or both. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.http1.message import Request
    from proxy.routing.route import Route

_ACCOUNT_IDS = frozenset((b"amazon-ads-accountid", b"amazon-ads-account-id"))


def find_advertiser(request: Request, route: Route) -> str:
    """The profile that is sent and the ads account, the tool's or a default one, each empty where there is none."""
    accounts = [value for name, value in request.fields.every if name in _ACCOUNT_IDS]
    if route.ads_account_header:
        accounts.append(route.ads_account)
    return b" ".join((route.profile, *accounts)).decode("latin-1").strip()
