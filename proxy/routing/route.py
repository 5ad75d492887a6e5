"""A request's account, region, profile and ads account: which of its words chooses each, what is sent where. Pure.

Each of them resolves by itself, and the first selector that speaks wins (docs/reference/routing.md). What is known of
profiles comes through `Directory`, in memory. What a request selects by name is in `select`. Whether the client may go
there, and its admission, is for `access`.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import re
from bisect import bisect
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.errors import (
    AccountRequired,
    ConflictingAdsAccount,
    MalformedRequest,
    NeverForwarded,
    NotPermitted,
    PlaceholderRejected,
    ProfileNotKnownYet,
    RegionRequired,
    UnknownAccount,
    UnknownRegion,
    UnknownRoute,
)
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.regions import REGION_NAMES
from proxy.routing.ads_account import (
    names_another,
    sent_ads_account,
    sent_manager,
    sent_scope,
    takes_default_ads_account,
    takes_default_scope,
)
from proxy.routing.mcp_session import ACCOUNT_HEADER, stay
from proxy.routing.table import ANYBODY, AccountEntry, ClientScope, RoutingTable, Selection
from proxy.routing.target import TargetKind
from proxy.unchanging import unchanging
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.http1.request_fields import RequestFields
    from proxy.profiles.index import ListingFailure
    from proxy.routing.api import Api
    from proxy.routing.mcp_session import FixedAccount, McpSession
    from proxy.routing.operations import Operation
    from proxy.routing.target import Destination, RequestSummary


_Owners = tuple[tuple[str, str], ...]
"""Pairs of account and region."""
_MAX_ADVERTISER = 128
REGION = b"x-ads-region"
"""A selector: read here, and never sent."""

_FIRST_KNOWN_IN = 2.0
"""Seconds until a client should ask again while the first profile is not known yet."""

_SIGN_IN = "/auth and /ap are never forwarded: the proxy signs in by itself."
_NO_LOGIN = (
    "There is no OAuth login here, as the proxy itself signs in to Amazon. If it answered 401, the key in the header "
    "Authorization is missing, unknown or expired: ask the operator of the proxy for a key, and have the MCP client "
    "send it as Authorization: Bearer KEY. Switch off OAuth in the client."
)


@unchanging
class Route:
    """Where a request goes.

    `profile` is the Scope to send, empty for none. `prefix` leads back to the same account and region without any
    header: what the client wrote (`/@brand-eu`, `/@acme/eu`), completed where its headers chose. `ads_account` is the
    client's own or the default one, empty for none; `ads_account_header` is the name to send it under, empty where the
    client's own passes. `operation` is the table's row, None where it has none. `api_path` is the region's own path of
    the API, which replaces the first of its `paths`; empty where the target is sent as it came. `fixed` is the only
    advertiser that MCP tools work for, None for any. `session` is that of the request at the MCP endpoint.
    """

    account: str
    region: str
    api: Api
    profile: bytes
    prefix: bytes
    ads_account: bytes = b""
    ads_account_header: bytes = b""
    operation: Operation | None = None
    api_path: bytes = b""
    fixed: FixedAccount | None = None
    session: McpSession | None = None

    @property
    def advertiser(self) -> str:
        """The advertiser of a request: the profile and the ads account that are sent, empty for neither.

        What is longer than any id of Amazon's is named by its digest: this is remembered.
        """
        named = b" ".join((self.profile, self.ads_account)).strip()
        if len(named) > _MAX_ADVERTISER:
            named = hashlib.blake2b(named, digest_size=16).hexdigest().encode()
        return named.decode("latin-1")

    def target(self, destination: Destination) -> bytes:
        """The origin-form to send for a destination that was decided so: byte for byte what came behind the prefix."""
        if not self.api_path:
            return destination.target
        return self.api_path + destination.target[len(self.api.paths[0]) :]


def route(
    asked: RequestSummary,
    table: RoutingTable,
    scope: ClientScope = ANYBODY,
    session: McpSession | None = None,
    fixed: FixedAccount | None = None,
) -> Route:
    """Choose account, region and profile. Raises `Refused`, with the choices, where nothing known chooses.

    A client with only some accounts or profiles gets `NotPermitted` for any other name, whether it exists or not.

    `session` is the one that the request belongs to at the MCP endpoint. `fixed` is the only advertiser that it is for
    there, whatever it names itself.
    """
    api, fields = asked.api, asked.fields
    if api is None:
        raise _never_forwarded(asked.kind)
    if fixed is None:
        sent, ads_account = sent_scope(fields), sent_ads_account(fields)
    else:
        sent, ads_account = fixed.profile, fixed.ads_account
    selection = select(asked.name, fields, table, scope)
    owners, homes = _find_owners(sent, ads_account or _manager(asked), selection, table, scope)
    region = _chosen_region(asked, table, selection)
    if session is not None:
        selection = stay(session, selection, region, owners or homes, table)
        region = selection.region
    if selection is None:
        selection = Selection(_account_without_selector(owners, homes, region, table, scope))
    account = selection.account
    defaults, operation = _NO_DEFAULTS, asked.operation
    if api.takes_defaults and not sent:
        defaults = _choose_defaults(fields, ads_account, operation, selection)
    region = region or _region_of_ids(account, owners, homes, defaults, table)
    profile = _default_scope(defaults.profile, account.name, region, table) if defaults.profile else sent
    return Route(
        account.name,
        region,
        api,
        profile,
        _prefix_back(asked, account, region, table),
        defaults.ads_account.encode("latin-1") if defaults.ads_account else ads_account,
        _account_header(defaults, fixed),
        operation,
        table.api_paths[api.name, region] if api.paths else b"",
        fixed,
        session,
    )


def _never_forwarded(kind: TargetKind) -> NeverForwarded:
    """MCP clients that look for a login show the error of an answer as OAuth has it (RFC 6749, 5.2; RFC 7591, 3.2.2),
    and nothing of a problem document."""
    if kind is not TargetKind.LOGIN:
        return NeverForwarded(_SIGN_IN)
    return NeverForwarded(_NO_LOGIN).saying(error="access_denied", error_description=_NO_LOGIN)


def _account_header(defaults: _Defaults, fixed: FixedAccount | None) -> bytes:
    """The name to send the ads account under, empty where the client's own passes."""
    if fixed is not None:
        return ACCOUNT_HEADER if fixed.ads_account else b""
    return defaults.ads_account_header.encode("latin-1") if defaults.ads_account_header else b""


def _find_owners(
    sent: bytes, ads_account: bytes, selection: Selection | None, table: RoutingTable, scope: ClientScope
) -> tuple[_Owners, _Owners]:
    """Where the Scope and the ads account that were sent live, as far as Amazon's lists are known. What only accounts
    list that the client may not use is as unknown to it as what none lists."""
    directory, chosen = table.directory, selection.account.name if selection is not None else ""
    owners = directory.owners(sent.decode("latin-1"), chosen) if sent else ()
    homes = directory.ads_account_owners(ads_account.decode("latin-1"), chosen) if ads_account else ()
    owners, homes = (
        tuple(owner for owner in each if owner[0] in table.accounts and scope.admits(owner[0]))
        for each in (owners, homes)
    )
    _compare(owners, homes)
    return owners, homes


def find_awaited(
    asked: RequestSummary, table: RoutingTable, scope: ClientScope, fixed: FixedAccount | None, chosen: Route | None
) -> AwaitedId | None:
    """What a request names that first lists may still have. Then it goes elsewhere than to its `chosen` route, or,
    where that is None, to one of several accounts. None if it names nothing that only a list can tell, or if all lists
    that could have it were read.
    """
    fields, directory = asked.fields, table.directory
    if chosen is None:
        sent = fixed.profile if fixed is not None else sent_scope(fields)
        named = fixed.ads_account if fixed is not None else sent_ads_account(fields) or _manager(asked)
        usable = (name for name in sorted(table.accounts) if scope.admits(name))
        accounts = tuple(name for name in usable if directory.first_lists(name) is FirstLists.AWAITED)
        if not accounts or not (sent or named) or any(_find_owners(sent, named, None, table, scope)):
            return None
        return AwaitedId(accounts, sent.decode("latin-1"), named.decode("latin-1"))
    account = chosen.account
    if directory.first_lists(account) is FirstLists.SETTLED:
        return None
    if _chosen_region(asked, table, select(asked.name, fields, table, scope)):
        return None
    profile = chosen.profile.decode("latin-1")
    ads_account = (chosen.ads_account or _manager(asked)).decode("latin-1")
    if not (profile or ads_account):
        return None
    owners = directory.owners(profile, account) if profile else directory.ads_account_owners(ads_account, account)
    return None if any(name == account for name, _ in owners) else AwaitedId((account,), profile, ads_account)


def _manager(asked: RequestSummary) -> bytes:
    """The manager account that a request names, empty where it leads to no account."""
    api = asked.api
    return sent_manager(asked.fields) if api is not None and api.manager_leads else b""


@unchanging
class _Defaults:
    """What is added to a request that does not name it: a profile, which may be `first`, and an ads account."""

    profile: str = ""
    ads_account: str = ""
    ads_account_header: str = ""


def _choose_defaults(
    fields: RequestFields, ads_account: bytes, operation: Operation | None, selection: Selection
) -> _Defaults:
    """The defaults of route and account that the operation takes, given the sent ads account."""
    account = selection.account
    profile = selection.profile or account.default_profile
    if not (profile or account.default_ads_account):
        return _NO_DEFAULTS
    names_account, default = names_another(fields), ""
    if not ads_account and not selection.profile and takes_default_ads_account(operation, names_account):
        default = account.default_ads_account
    named = bool(ads_account or default)
    if not takes_default_scope(operation, ads_account=named, names_account=names_account):
        profile = ""
    header = operation.account_header if default and operation is not None else ""
    return _Defaults(profile, default, header)


_NO_DEFAULTS = _Defaults()


def _prefix_back(asked: RequestSummary, account: AccountEntry, region: str, table: RoutingTable) -> bytes:
    """A prefix that alone chooses this account and region."""
    named = table.names[asked.name] if asked.name else None
    pinned = asked.region or (named is not None and named.region)
    if (named is not None or len(table.accounts) == 1) and (pinned or region == account.region):
        return asked.prefix
    name = asked.prefix[: -len("/eu")] if asked.region else asked.prefix
    if not name and len(table.accounts) > 1:
        name = b"/@" + account.name.encode()
    return name if not asked.region and region == account.region else b"%b/%b" % (name, region.encode())


# --- account ------------------------------------------------------------------------------------------------


def _account_without_selector(
    owners: _Owners, homes: _Owners, region: str, table: RoutingTable, scope: ClientScope
) -> AccountEntry:
    """The account that Scope and ads account belong to, else the only one."""
    what = "this profile" if owners else "this ads account"
    owners = _together(owners, homes)
    if owners:
        narrowed = [owner for owner in owners if owner[1] == region] or owners
        names = sorted({account for account, _ in narrowed})
        if len(names) == 1:
            return table.accounts[names[0]]
        raise AccountRequired(f"Several accounts have {what}: {listed(names)}. {_HOW_TO_CHOOSE}")
    if scope.accounts is None and len(table.accounts) == 1:
        return next(iter(table.accounts.values()))
    usable_names = sorted(name for name in table.accounts if scope.admits(name))
    if len(usable_names) == 1:
        return table.accounts[usable_names[0]]
    if not usable_names:
        raise AccountRequired("This client may not use any account; add one to its `accounts`.")
    raise AccountRequired(f"There are several accounts: {listed(usable_names)}. {_HOW_TO_CHOOSE}")


def _compare(owners: _Owners, homes: _Owners) -> None:
    """A Scope and an ads account that lead to different accounts are refused, whatever else chooses."""
    if not (owners and homes):
        return
    by_scope, by_ads_account = ({account for account, _ in each} for each in (owners, homes))
    if by_scope.isdisjoint(by_ads_account):
        raise ConflictingAdsAccount(
            f"Amazon-Advertising-API-Scope leads to account {listed(sorted(by_scope))}, and Amazon-Ads-AccountId to "
            f"account {listed(sorted(by_ads_account))}; send ids of one account."
        )


def _together(owners: _Owners, homes: _Owners) -> _Owners:
    """Where both lead, with the regions of the profile; where only one is known, where that one leads."""
    if not (owners and homes):
        return owners or homes
    common = {account for account, _ in owners} & {account for account, _ in homes}
    return tuple(owner for owner in owners if owner[0] in common)


_HOW_TO_CHOOSE = "Choose one with X-Ads-Account: NAME, or with /@NAME/ before the path."


# --- region -------------------------------------------------------------------------------------------------


def _chosen_region(asked: RequestSummary, table: RoutingTable, selection: Selection | None) -> str:
    """The region that a selector names, empty where none does; a wrong X-Ads-Region is an error even if it loses."""
    sent, fields = "", asked.fields
    if REGION in fields.named:
        sent = fields.value(REGION).decode("latin-1").lower()
        if sent and sent not in REGION_NAMES:
            raise UnknownRegion(
                f"X-Ads-Region {sent!r:.80} is not one of {', '.join(REGION_NAMES)}; correct it, or leave it out."
            )
    if selection is not None and selection.region:
        return selection.region
    if asked.region or sent:
        return asked.region or sent
    authority = asked.authority or fields.host
    if not authority:
        return ""
    host = read_host(authority)
    return table.find_api_host(host.name, host.authority) or ""


def _region_of_scope(account: AccountEntry, owners: _Owners) -> str:
    """The region in which this account lists the profile; its home region where it lists it in none, or there too."""
    regions = {region for name, region in owners if name == account.name}
    return regions.pop() if len(regions) == 1 else account.region


def _region_of_ids(
    account: AccountEntry, owners: _Owners, homes: _Owners, defaults: _Defaults, table: RoutingTable
) -> str:
    """The region of what is sent, a Scope before an ads account, else of the defaults, else the account's home."""
    if owners:
        return _region_of_scope(account, owners)
    if not homes and defaults.ads_account:
        homes = table.directory.ads_account_owners(defaults.ads_account, account.name)
    if homes:
        return _region_of_ads_account(account, homes)
    if defaults.profile and defaults.profile != "first":
        return _region_of_scope(account, table.directory.owners(defaults.profile, account.name))
    return account.region


def _region_of_ads_account(account: AccountEntry, homes: _Owners) -> str:
    """The only region in which it lives for this account, else the account's home region if it lives there."""
    regions = sorted({region for name, region in homes if name == account.name})
    if len(regions) > 1 and account.region not in regions:
        raise RegionRequired(
            f"This ads account is in several regions: {', '.join(regions)}. Choose one with X-Ads-Region: REGION, "
            f"with /{regions[0]} before the path, or with a Scope."
        )
    return regions[0] if len(regions) == 1 else account.region


# --- profile ------------------------------------------------------------------------------------------------


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
        return ProfileNotKnownYet(f"{what} is not read yet. Try again shortly.{without}", retry_after=_FIRST_KNOWN_IN)
    again = " The proxy tries again by itself." if failure.retryable else ""
    return ProfileNotKnownYet(
        f"{what} cannot be read: {failure.detail.rstrip('.')}.{again + without if failure.asked else ''}",
        retry_after=_FIRST_KNOWN_IN,
        retryable=failure.retryable,
    )


# --- Host names ------------------------------------------------------------------------------------------

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+;=%-]{1,255})(?::([0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class HostName:
    """A Host's parts, lower case: name without brackets and closing dot, port as sent."""

    name: str
    port: str
    is_ip: bool
    authority: str
    """Name and port, as far as there is one."""


@lru_cache(maxsize=1024)
def read_host(host: bytes) -> HostName:
    """Read `name[:port]`. Raises `MalformedRequest` for what is neither a name nor an address."""
    match = _HOST.fullmatch(host)
    if match is None:
        raise MalformedRequest("The Host header is neither a name nor an address.", close=True)
    name = match[1].decode("ascii").lower().strip("[]").removesuffix(".")
    port = (match[2] or b"").decode("ascii")
    return HostName(name, port, _is_ip(name), f"{name}:{port}" if port else name)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# --- What a request chooses by name ----------------------------------------------------------------------

ACCOUNT = b"x-ads-account"
"""A selector: read here, and never sent."""
_MAX_COMPARED = 6
_MAX_NAME = 64
"""The most characters of a name that is compared with others."""


def select(prefix_name: str, fields: RequestFields, table: RoutingTable, scope: ClientScope) -> Selection | None:
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


def _named(name: str, table: RoutingTable, scope: ClientScope) -> Selection:
    found = table.names.get(name)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account or route", name, table.names, scope)
    if found is None:
        raise UnknownRoute(f"Unknown route or account {name!r:.80}. {_suggest(name, table.names)}")
    return found


def _account_of_header(name: str, table: RoutingTable, scope: ClientScope) -> AccountEntry:
    found = table.names.get(name)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account", name, {known: table.names[known] for known in table.accounts}, scope)
    if found is None or name not in table.accounts:
        hint = f"{name!r} is a route: send its requests to /@{name}/. " if found is not None else ""
        choices = table.accounts if scope.accounts is None else scope.accounts & table.accounts.keys()
        raise UnknownAccount(f"X-Ads-Account: unknown account {name!r:.80}. {hint}{_suggest(name, choices)}")
    return table.accounts[name]


def _bound(table: RoutingTable, scope: ClientScope) -> Selection:
    found = table.names.get(scope.bound)
    if scope.rule and not scope.may_use(found):
        raise _not_yours("account or route of the access token", scope.bound, table.names, scope)
    if found is None:
        raise PlaceholderRejected("The access token is bound to an account or route that was removed; get a new one.")
    return found


def _not_yours(what: str, name: str, known: Mapping[str, Selection], scope: ClientScope) -> NotPermitted:
    """One answer for any name that is not the client's, existing or not: it lists only the client's own."""
    own = sorted(each for each, selection in known.items() if scope.may_use(selection))
    choices = f"It may use {listed(own)}." if own else "It may not use any."
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
    return f"Choose one of {listed(known)}." if known else "This client may not use any."


def listed(names: Iterable[str]) -> str:
    """The first twenty names, for a sentence."""
    shown = list(names)
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
