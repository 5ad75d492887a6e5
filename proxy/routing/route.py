"""A request's account, region and profile: which of its words chooses each, and what is sent where. Pure.

Each of the three resolves by itself, and the first selector that speaks wins (docs/routing.md). What is known of
profiles comes through `Directory`, in memory. Whether the caller may go there, and whether it may knock at all, is for
`access`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import (
    AccountRequired,
    ConflictingScope,
    NeverForwarded,
    NotPermitted,
    PlaceholderRejected,
    ProfileNotKnownYet,
    UnknownAccount,
    UnknownRegion,
    UnknownRoute,
)
from proxy.routing.hosts import read_host
from proxy.routing.scope import NAMES_ACCOUNT, SCOPE, scope_rule, wants_default
from proxy.routing.table import ANYBODY, AccountEntry, CallerScope, RoutingTable, Selection
from proxy.routing.target import REGIONS, Destination, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.profiles.index import ListingFailure

ACCOUNT = b"x-ads-account"
REGION = b"x-ads-region"
"""Selectors: read here, and never sent."""

_FIRST_KNOWN_IN = 2.0
"""Seconds until a tool should ask again while the first profile is not known yet."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    `target` is the origin-form to send: byte for byte what came behind the removed prefix. `path` is the client's path
    without prefix and query, `segments` are its parts. `profile` is the Scope to send, empty for none. `prefix` leads
    back to the same account and region without any header: what the client wrote (`/@brand-eu`, `/@acme/eu`), completed
    where its headers chose.
    """

    account: str
    region: str
    endpoint: TargetKind
    target: bytes
    path: bytes
    segments: tuple[bytes, ...]
    profile: bytes
    prefix: bytes


def route(request: Request, destination: Destination, table: RoutingTable, scope: CallerScope = ANYBODY) -> Route:
    """Choose account, region and profile. Raises `Refused`, with the choices, where nothing known chooses.

    A caller of some accounts only gets `NotPermitted` for the name of any other, whether there is such a name or not.

    `destination` is that of the request's own target.
    """
    kind, fields = destination.kind, request.fields
    if kind is TargetKind.SIGN_IN or kind is TargetKind.TOKEN:
        raise NeverForwarded("Signing in is the proxy's own business: /auth and /ap are never forwarded.")
    sent = _sent_scope(fields)
    selection = None
    if destination.name or scope.bound or ACCOUNT in fields.named:
        selection = _select(destination, fields, table, scope)
    owners = table.directory.owners(sent.decode("latin-1")) if sent else ()
    region = _chosen_region(destination, fields, table, selection)
    if selection is None:
        selection = Selection(_account_without_selector(owners, region, table, scope))
    account = selection.account
    profile, default = sent, ""
    if not sent and kind is TargetKind.API and _wants_default(request, destination):
        default = selection.profile or account.default_profile
    if not region:
        known = owners or (table.directory.owners(default) if default and default != "first" else ())
        region = _region_of_scope(account, known) if known else account.region
    if default:
        profile = _default_scope(default, account.name, region, table)
    target = destination.target
    if kind is TargetKind.MCP:
        target = _mcp_target(destination, table.mcp_paths[region])
    prefix = _way_back(destination, account, region, table)
    return Route(account.name, region, kind, target, destination.path, destination.segments, profile, prefix)


def _wants_default(request: Request, destination: Destination) -> bool:
    rule = scope_rule(request.method, destination.path)
    return wants_default(rule, names_account=not NAMES_ACCOUNT.isdisjoint(request.fields.noticed))


def _way_back(destination: Destination, account: AccountEntry, region: str, table: RoutingTable) -> bytes:
    """A prefix that alone chooses this account and region."""
    named = table.names[destination.name] if destination.name else None
    pinned = destination.region or (named is not None and named.region)
    if (named is not None or len(table.accounts) == 1) and (pinned or region == account.region):
        return destination.prefix
    name = destination.prefix[: -len("/eu")] if destination.region else destination.prefix
    if not name and len(table.accounts) > 1:
        name = b"/@" + account.name.encode()
    return name if not destination.region and region == account.region else b"%b/%b" % (name, region.encode())


# --- account ------------------------------------------------------------------------------------------------


def _select(
    destination: Destination, fields: RequestFields, table: RoutingTable, scope: CallerScope
) -> Selection | None:
    """What `/@NAME`, X-Ads-Account and the placeholder choose, in this order; a wrong name is always an error.

    A placeholder's route still gives its region and profile where X-Ads-Account names the route's own account.
    """
    sent = fields.value(ACCOUNT)
    named = _named(destination.name, table, scope) if destination.name else None
    header = _account_of_header(sent.decode("latin-1"), table, scope) if sent else None
    bound = _bound(table, scope) if scope.bound else None
    if named is not None:
        return named
    if header is not None:
        return bound if bound is not None and bound.account is header else Selection(header)
    return bound


def _named(name: str, table: RoutingTable, scope: CallerScope) -> Selection:
    found = table.names.get(name)
    if not scope.may_use(found):
        raise _not_yours("account or route", name, table.names, scope)
    if found is None:
        raise UnknownRoute(f"There is no route or account {name!r:.80}. {_suggest(name, table.names)}")
    return found


def _account_of_header(name: str, table: RoutingTable, scope: CallerScope) -> AccountEntry:
    found = table.names.get(name)
    if not scope.may_use(found):
        raise _not_yours("account", name, {known: table.names[known] for known in table.accounts}, scope)
    if found is None or name not in table.accounts:
        hint = f"{name!r} is a route: send its requests to /@{name}/. " if found is not None else ""
        choices = [known for known in table.accounts if scope.admits(known)]
        raise UnknownAccount(f"X-Ads-Account names no account: {name!r:.80}. {hint}{_suggest(name, choices)}")
    return table.accounts[name]


def _bound(table: RoutingTable, scope: CallerScope) -> Selection:
    found = table.names.get(scope.bound)
    if not scope.may_use(found):
        raise _not_yours("account or route of the access token", scope.bound, table.names, scope)
    if found is None:
        raise PlaceholderRejected("The access token is bound to an account or route that is gone; get a new one.")
    return found


def _not_yours(what: str, name: str, known: Mapping[str, Selection], scope: CallerScope) -> NotPermitted:
    """One answer for what is not the caller's, be it there or not: of what there is, it learns its own."""
    own = sorted(each for each, selection in known.items() if scope.may_use(selection))
    choices = f"It may use {_listed(own)}." if own else "There is none that it may use."
    return NotPermitted(f"This client may not use the {what} {name!r:.80}. {choices} (Rule: accounts.)")


def _suggest(name: str, choices: Iterable[str]) -> str:
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {_listed(near)}?"
    return f"Choose one of {_listed(known)}." if known else "There is none that this client may use."


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def _account_without_selector(
    owners: tuple[tuple[str, str], ...], region: str, table: RoutingTable, scope: CallerScope
) -> AccountEntry:
    """The account that the Scope belongs to, else the only one."""
    if owners:
        usable = [owner for owner in owners if owner[0] in table.accounts and scope.admits(owner[0])]
        narrowed = [owner for owner in usable if owner[1] == region] or usable
        names = sorted({account for account, _ in narrowed})
        if len(names) == 1:
            return table.accounts[names[0]]
        if names:
            raise AccountRequired(f"Several accounts have this profile: {_listed(names)}. {_HOW_TO_CHOOSE}")
    if scope.accounts is None and len(table.accounts) == 1:
        return next(iter(table.accounts.values()))
    usable_names = sorted(name for name in table.accounts if scope.admits(name))
    if len(usable_names) == 1:
        return table.accounts[usable_names[0]]
    if not usable_names:
        raise AccountRequired("There is no account that this client may use.")
    raise AccountRequired(f"There are several accounts: {_listed(usable_names)}. {_HOW_TO_CHOOSE}")


_HOW_TO_CHOOSE = "Choose one with X-Ads-Account: NAME, or with /@NAME/ before the path."


# --- region -------------------------------------------------------------------------------------------------


def _chosen_region(
    destination: Destination, fields: RequestFields, table: RoutingTable, selection: Selection | None
) -> str:
    """The region that a selector names, empty where none does; a wrong X-Ads-Region is an error even if it loses."""
    sent = ""
    if REGION in fields.named:
        sent = fields.value(REGION).decode("latin-1").lower()
        if sent and sent not in REGIONS:
            raise UnknownRegion(f"X-Ads-Region {sent!r:.80} is not one of {', '.join(REGIONS)}.")
    if selection is not None and selection.region:
        return selection.region
    if destination.region or sent:
        return destination.region or sent
    authority = destination.authority or fields.host
    if not authority:
        return ""
    host = read_host(authority)
    return table.find_api_host(host.name, host.authority) or ""


def _region_of_scope(account: AccountEntry, owners: tuple[tuple[str, str], ...]) -> str:
    """The region in which this account lists the profile; its home region where it lists it in none, or there too."""
    regions = {region for name, region in owners if name == account.name}
    return regions.pop() if len(regions) == 1 else account.region


# --- profile ------------------------------------------------------------------------------------------------


def _sent_scope(fields: RequestFields) -> bytes:
    """The Scope that the client sent, empty for none. Two values are refused, a list in one field counts as two."""
    values = fields.named.get(SCOPE)
    if values is None:
        return b""
    if len(values) == 1 and b"," not in values[0]:
        return values[0]
    found = set(filter(None, values))
    if len(found) > 1 or any(b"," in value for value in found):
        raise ConflictingScope("Amazon-Advertising-API-Scope was sent with more than one profile; send one.")
    return found.pop() if found else b""


def _default_scope(default: str, account: str, region: str, table: RoutingTable) -> bytes:
    if default != "first":
        return default.encode("latin-1")
    first = table.directory.first(account, region)
    if first is None:
        raise _not_known_yet(account, region, table.directory.failure(account, region))
    return first.encode("latin-1")


def _not_known_yet(account: str, region: str, failure: ListingFailure | None) -> ProfileNotKnownYet:
    what = f"The default profile of {account} in {region} is the first listed, and the list"
    without = " A request that sends Amazon-Advertising-API-Scope needs no list."
    if failure is None:
        return ProfileNotKnownYet(f"{what} is not read yet. Ask again shortly.{without}", retry_after=_FIRST_KNOWN_IN)
    again = " It is tried again by itself." if failure.retryable else ""
    return ProfileNotKnownYet(
        f"{what} cannot be read: {failure.detail.rstrip('.')}.{again + without if failure.asked else ''}",
        retry_after=_FIRST_KNOWN_IN,
        retryable=failure.retryable,
    )


def _mcp_target(destination: Destination, path: bytes) -> bytes:
    """The target at the region's MCP endpoint, whose path is `/mcp` as a rule."""
    return destination.target if path == b"/mcp" else path + destination.target[len(b"/mcp") :]
