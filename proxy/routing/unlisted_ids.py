"""Ids of profiles and ads accounts that a request names, and that no account lists as far as is known. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxy.routing.ads_account import SCOPE, sent_ads_account
from proxy.routing.route import select

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.route import Route
    from proxy.routing.table import ClientScope, Directory, RoutingTable
    from proxy.routing.target import RequestSummary


class UnlistedIds(NamedTuple):
    """A sent profile and ads account that no account lists, each empty for none.

    `account` is the one that the request chose, empty where it chose none.
    """

    profile: str
    ads_account: str
    account: str


def find_missed(asked: RequestSummary, identity: ClientScope, table: RoutingTable) -> UnlistedIds | None:
    """The sent ids that no account lists."""
    fields = asked.fields
    selection = select(asked.name, fields, table, identity)
    chosen = selection.account.name if selection is not None else ""
    scope = next((value.decode("latin-1") for value in fields.values(SCOPE) if value), "")
    ads_account = sent_ads_account(fields).decode("latin-1")
    missed = UnlistedIds(
        scope if scope and not table.directory.owners(scope, chosen) else "",
        ads_account if ads_account and not table.directory.ads_account_owners(ads_account, chosen) else "",
        chosen,
    )
    return missed if missed.profile or missed.ads_account else None


def misses_default(fields: RequestFields, route: Route, directory: Directory) -> bool:
    """Whether an unlisted default was added."""
    profile, ads_account = route.profile.decode("latin-1"), route.ads_account.decode("latin-1")
    if profile and not any(fields.values(SCOPE)) and not directory.owners(profile, route.account):
        return True
    return bool(route.ads_account_header) and not directory.ads_account_owners(ads_account, route.account)


def is_listed(missed: UnlistedIds, directory: Directory) -> bool:
    """Whether an id that was unlisted is listed by now."""
    profile, ads_account, account = missed
    if profile and directory.owners(profile, account):
        return True
    return bool(ads_account and directory.ads_account_owners(ads_account, account))
