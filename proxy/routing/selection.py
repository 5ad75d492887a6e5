"""What a request chooses by name: `/@NAME`, X-Ads-Account, and the placeholder that it shows. Pure.

A wrong name is always an error, which tells a caller of some accounts only of its own.
"""

from __future__ import annotations

import difflib
from bisect import bisect
from typing import TYPE_CHECKING

from proxy.errors import NotPermitted, PlaceholderRejected, UnknownAccount, UnknownRoute
from proxy.routing.table import AccountEntry, CallerScope, RoutingTable, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.http1.request_fields import RequestFields

ACCOUNT = b"x-ads-account"
"""A selector: read here, and never sent."""
_MAX_COMPARED = 6
_MAX_NAME = 64
"""In characters: a longer name is not compared with others."""


def select(prefix_name: str, fields: RequestFields, table: RoutingTable, scope: CallerScope) -> Selection | None:
    """What `/@NAME`, X-Ads-Account and the placeholder choose, in this order; a wrong name is always an error.

    A placeholder's route still gives its region and profile where X-Ads-Account names the route's own account.
    """
    if not (prefix_name or scope.bound or ACCOUNT in fields.named):
        return None
    sent = fields.value(ACCOUNT)
    named = _named(prefix_name, table, scope) if prefix_name else None
    header = _account_of_header(sent.decode("latin-1"), table, scope) if sent else None
    bound = _bound(table, scope) if scope.bound else None
    if named is not None:
        return named
    if header is not None:
        return bound if bound is not None and bound.account is header else Selection(header)
    return bound


def _named(name: str, table: RoutingTable, scope: CallerScope) -> Selection:
    found = table.names.get(name)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account or route", name, table.names, scope)
    if found is None:
        raise UnknownRoute(f"There is no route or account {name!r:.80}. {_suggest(name, table.names)}")
    return found


def _account_of_header(name: str, table: RoutingTable, scope: CallerScope) -> AccountEntry:
    found = table.names.get(name)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account", name, {known: table.names[known] for known in table.accounts}, scope)
    if found is None or name not in table.accounts:
        hint = f"{name!r} is a route: send its requests to /@{name}/. " if found is not None else ""
        choices = table.accounts if scope.accounts is None else scope.accounts & table.accounts.keys()
        raise UnknownAccount(f"X-Ads-Account names no account: {name!r:.80}. {hint}{_suggest(name, choices)}")
    return table.accounts[name]


def _bound(table: RoutingTable, scope: CallerScope) -> Selection:
    found = table.names.get(scope.bound)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account or route of the access token", scope.bound, table.names, scope)
    if found is None:
        raise PlaceholderRejected("The access token is bound to an account or route that is gone; get a new one.")
    return found


def _not_yours(what: str, name: str, known: Mapping[str, Selection], scope: CallerScope) -> NotPermitted:
    """One answer for what is not the caller's, be it there or not: of what there is, it learns its own."""
    own = sorted(each for each, selection in known.items() if scope.may_use(selection))
    choices = f"It may use {listed(own)}." if own else "There is none that it may use."
    return NotPermitted(f"This client may not use the {what} {name!r:.80}. {choices} (Rule: {scope.rule}.)")


def _suggest(name: str, choices: Iterable[str]) -> str:
    """What a wrong name may have been meant for. Only the names around it in the alphabet are compared with it, as one
    comparison costs as much as a whole 401."""
    known = sorted(choices)
    at = bisect(known, name)
    compared = known[max(0, at - _MAX_COMPARED // 2) :][:_MAX_COMPARED]
    near = difflib.get_close_matches(name, compared, n=3, cutoff=0.6) if len(name) <= _MAX_NAME else []
    if near:
        return f"Did you mean {listed(near)}?"
    return f"Choose one of {listed(known)}." if known else "There is none that this client may use."


def listed(names: Iterable[str]) -> str:
    """The first twenty names, for a sentence."""
    shown = list(names)
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
