"""Ids that nobody lists: what was decided about a request that has one may change with the next look-up.

To ask for such an id makes the directory look for it, so it is asked for with each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxy.routing.ads_account import sent_ads_account
from proxy.routing.scope import SCOPE
from proxy.routing.selection import select

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.route import Route
    from proxy.routing.summary import RequestSummary
    from proxy.routing.table import CallerScope, Directory, RoutingTable


class Missed(NamedTuple):
    """A profile and an ads account that were sent and that nobody lists, each empty where it is none.

    `account` is the one that the request chose, empty where it chose none.
    """

    profile: str
    ads_account: str
    account: str


def find_missed(asked: RequestSummary, caller: CallerScope, table: RoutingTable) -> Missed | None:
    """What was sent and nobody lists."""
    fields = asked.fields
    selection = select(asked.name, fields, table, caller)
    chosen = selection.account.name if selection is not None else ""
    scope = next((value.decode("latin-1") for value in fields.values(SCOPE) if value), "")
    ads_account = sent_ads_account(fields).decode("latin-1")
    missed = Missed(
        scope if scope and not table.directory.owners(scope, chosen) else "",
        ads_account if ads_account and not table.directory.ads_account_owners(ads_account, chosen) else "",
        chosen,
    )
    return missed if missed.profile or missed.ads_account else None


def misses_default(fields: RequestFields, route: Route, directory: Directory) -> bool:
    """Whether a default was added that nobody lists."""
    profile, ads_account = route.profile.decode("latin-1"), route.ads_account.decode("latin-1")
    if profile and not any(fields.values(SCOPE)) and not directory.owners(profile, route.account):
        return True
    return bool(route.ads_account_header) and not directory.ads_account_owners(ads_account, route.account)


def is_listed(missed: Missed, directory: Directory) -> bool:
    """Whether somebody lists by now what nobody did."""
    profile, ads_account, account = missed
    if profile and directory.owners(profile, account):
        return True
    return bool(ads_account and directory.ads_account_owners(ads_account, account))
