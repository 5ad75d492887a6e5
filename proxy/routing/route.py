"""A request's account, region and profile: which of its words chooses each, and what is sent where. Pure.

Each of the three resolves by itself, and the first selector that speaks wins (design, contract: "How a request chooses
account, region and profile"; docs/routing.md). What is known of profiles comes through `Directory`, in memory.
Whether the caller may go there is for `clients`; whether it may knock at all, for `admission`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from proxy.access.admission import read_host
from proxy.errors import (
    AccountRequired,
    ConflictingScope,
    NeverForwarded,
    PlaceholderRejected,
    ProfileNotKnownYet,
    UnknownAccount,
    UnknownRegion,
    UnknownRoute,
)
from proxy.routing.scope import scope_rule, wants_default
from proxy.routing.target import REGIONS, Door, Target, read_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.config import Config
    from proxy.http1.headers import Facts
    from proxy.profiles.index import ListingFailure

_FIRST_KNOWN_IN = 2.0
"""Seconds until a tool should ask again while the first profile is not known yet."""


class Directory(Protocol):
    """What is known of profiles, in memory."""

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        """The (account, region) pairs that list a profile; empty where nobody does."""

    def first(self, account: str, region: str) -> str | None:
        """The pinned first profile; empty where none is listed, None while nothing is known."""

    def failure(self, account: str, region: str) -> ListingFailure | None:
        """Why the last listing failed, if it did."""


class EmptyDirectory:
    """A directory that knows nothing yet."""

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        return ()

    def first(self, account: str, region: str) -> str | None:
        return None

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return None


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account as routing needs it. `default_profile` is an id, `first` or empty."""

    name: str
    region: str
    default_profile: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What `/@NAME` or a placeholder chooses; region and profile are empty where only an account is named."""

    account: AccountEntry
    region: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All that routing knows of the configuration. Made once by `routing_table`, swapped whole by a reload."""

    accounts: Mapping[str, AccountEntry]
    names: Mapping[str, Selection]
    """Routes and accounts: one namespace."""
    api_hosts: Mapping[str, str]
    """Host, or host:port, of an API address -> region; empty where regions share the address."""
    served_hosts: frozenset[str]
    """Host names that are answered for beside IP literals; without ports."""
    mcp_paths: Mapping[str, bytes]
    """Region -> path of its hosted MCP endpoint."""
    directory: Directory

    def find_api_host(self, name: str, authority: str) -> str | None:
        """The region of an API host, None for any other host."""
        region = self.api_hosts.get(authority)
        return region if region is not None else self.api_hosts.get(name)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller's credentials say for routing: a name that its placeholder binds, and the accounts it may use."""

    bound: str = ""
    accounts: frozenset[str] | None = None

    def admits(self, account: str) -> bool:
        return self.accounts is None or account in self.accounts


ANYBODY = Standing()


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    `target` is the origin-form to send: byte for byte what came behind the removed prefix. `path` is the client's path
    without prefix and query. `profile` is the Scope to send, empty for none. `prefix` leads back to the same account
    and region without any header: what the client wrote (`/@brand-eu`, `/@acme/eu`), completed where its headers chose.
    """

    account: str
    region: str
    endpoint: Literal["api", "mcp"]
    target: bytes
    path: bytes
    profile: bytes
    prefix: bytes


def routing_table(config: Config, directory: Directory) -> RoutingTable:
    """Make the table of a configuration."""
    accounts = {
        name: AccountEntry(name, account.region, account.default_profile or "")
        for name, account in config.accounts.items()
    }
    names = {name: Selection(entry) for name, entry in accounts.items()}
    for name, chosen in config.routes.items():
        names[name] = Selection(accounts[chosen.account], chosen.region or "", chosen.profile or "")
    addresses = _api_addresses(config)
    served = {"localhost", config.listen.host.lower(), *(name.lower() for name in config.allowed_hosts)}
    return RoutingTable(
        accounts=accounts,
        names=names,
        api_hosts=_api_hosts(addresses),
        served_hosts=frozenset(served.union(urlsplit(address).hostname or "" for _, address in addresses)),
        mcp_paths={region: urlsplit(config.regions[region].mcp_url).path.encode() for region in REGIONS},
        directory=directory,
    )


def _api_addresses(config: Config) -> list[tuple[str, str]]:
    """(region, API address): Amazon's own, then the configured ones."""
    from proxy.config import AMAZON_REGIONS

    amazon = [(region, AMAZON_REGIONS[region]["api_url"]) for region in REGIONS]
    return [*amazon, *((region, config.regions[region].api_url) for region in REGIONS)]


def _api_hosts(addresses: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Host or host:port -> region; an address that regions share chooses none of them."""
    found: dict[str, str] = {}
    for region, address in addresses:
        host = urlsplit(address).netloc.lower().replace("[", "").replace("]", "")
        found[host] = region if found.get(host, region) == region else ""
    return found


def route(method: bytes, target: bytes, facts: Facts, table: RoutingTable, standing: Standing = ANYBODY) -> Route:
    """Choose account, region and profile. Raises `Refused`, with the choices, where nothing known chooses."""
    read = read_target(target)
    if read.door is Door.SIGN_IN or read.door is Door.TOKEN:
        raise NeverForwarded("Signing in is the proxy's own business: /auth and /ap are never forwarded.")
    own = _own_scope(facts)
    selection = _select(read, facts, table, standing) if read.name or facts.account or standing.bound else None
    owners = table.directory.owners(own.decode("latin-1")) if own else ()
    region = _chosen_region(read, facts, table, selection)
    if selection is None:
        selection = Selection(_account_without_selector(owners, region, table, standing))
    account = selection.account
    profile, default = own, ""
    if not own and read.door is Door.API and wants_default(scope_rule(method, read.path), facts.names_account):
        default = selection.profile or account.default_profile
    if not region:
        known = owners or (table.directory.owners(default) if default and default != "first" else ())
        region = _region_of_scope(account, known) if known else account.region
    if default:
        profile = _default_scope(default, account.name, region, table)
    prefix = _way_back(read, account, region, table)
    if read.door is Door.API:
        return Route(account.name, region, "api", read.rest, read.path, profile, prefix)
    return Route(account.name, region, "mcp", _mcp_target(read, table.mcp_paths[region]), read.path, profile, prefix)


def _way_back(read: Target, account: AccountEntry, region: str, table: RoutingTable) -> bytes:
    """A prefix that alone chooses this account and region."""
    named = table.names[read.name] if read.name else None
    pinned = read.region or (named is not None and named.region)
    if (named is not None or len(table.accounts) == 1) and (pinned or region == account.region):
        return read.prefix
    name = read.prefix[: -len("/eu")] if read.region else read.prefix
    if not name and len(table.accounts) > 1:
        name = b"/@" + account.name.encode()
    return name if not read.region and region == account.region else b"%b/%b" % (name, region.encode())


# --- account ------------------------------------------------------------------------------------------------


def _select(read: Target, facts: Facts, table: RoutingTable, standing: Standing) -> Selection | None:
    """What `/@NAME`, X-Ads-Account and the placeholder choose, in this order; a wrong name is always an error.

    A placeholder's route still gives its region and profile where X-Ads-Account names the route's own account.
    """
    named = _named(read.name, table, standing) if read.name else None
    header = _account_of_header(facts.account, table, standing) if facts.account else None
    bound = table.names.get(standing.bound) if standing.bound else None
    if standing.bound and bound is None:
        raise PlaceholderRejected("The access token is bound to an account or route that is gone; get a new one.")
    if named is not None:
        return named
    if header is not None:
        return bound if bound is not None and bound.account is header else Selection(header)
    return bound


def _named(name: str, table: RoutingTable, standing: Standing) -> Selection:
    found = table.names.get(name)
    if found is None:
        choices = [known for known, selection in table.names.items() if standing.admits(selection.account.name)]
        raise UnknownRoute(f"There is no route or account {name!r:.80}. {_suggest(name, choices)}")
    return found


def _account_of_header(name: str, table: RoutingTable, standing: Standing) -> AccountEntry:
    found = table.accounts.get(name)
    if found is None:
        hint = f"{name!r} is a route: send its requests to /@{name}/. " if name in table.names else ""
        choices = [known for known in table.accounts if standing.admits(known)]
        raise UnknownAccount(f"X-Ads-Account names no account: {name!r:.80}. {hint}{_suggest(name, choices)}")
    return found


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
    owners: tuple[tuple[str, str], ...], region: str, table: RoutingTable, standing: Standing
) -> AccountEntry:
    """The account that the Scope belongs to, else the only one."""
    if owners:
        usable = [owner for owner in owners if owner[0] in table.accounts and standing.admits(owner[0])]
        narrowed = [owner for owner in usable if owner[1] == region] or usable
        names = sorted({account for account, _ in narrowed})
        if len(names) == 1:
            return table.accounts[names[0]]
        if names:
            raise AccountRequired(f"Several accounts have this profile: {_listed(names)}. {_HOW_TO_CHOOSE}")
    if standing.accounts is None and len(table.accounts) == 1:
        return next(iter(table.accounts.values()))
    usable_names = sorted(name for name in table.accounts if standing.admits(name))
    if len(usable_names) == 1:
        return table.accounts[usable_names[0]]
    if not usable_names:
        raise AccountRequired("There is no account that this client may use.")
    raise AccountRequired(f"There are several accounts: {_listed(usable_names)}. {_HOW_TO_CHOOSE}")


_HOW_TO_CHOOSE = "Choose one with X-Ads-Account: NAME, or with /@NAME/ before the path."


# --- region -------------------------------------------------------------------------------------------------


def _chosen_region(read: Target, facts: Facts, table: RoutingTable, selection: Selection | None) -> str:
    """The region that a selector names, empty where none does; a wrong X-Ads-Region is an error even if it loses."""
    if facts.region and facts.region not in REGIONS:
        raise UnknownRegion(f"X-Ads-Region {facts.region!r:.80} is not one of {', '.join(REGIONS)}.")
    if selection is not None and selection.region:
        return selection.region
    if read.region or facts.region:
        return read.region or facts.region
    authority = read.authority or facts.host
    if not authority:
        return ""
    host = read_host(authority)
    return table.find_api_host(host.name, host.authority) or ""


def _region_of_scope(account: AccountEntry, owners: tuple[tuple[str, str], ...]) -> str:
    """The region in which this account lists the profile; its home region where it lists it in none, or there too."""
    regions = {region for name, region in owners if name == account.name}
    return regions.pop() if len(regions) == 1 else account.region


# --- profile ------------------------------------------------------------------------------------------------


def _own_scope(facts: Facts) -> bytes:
    """The Scope that the client sent, empty for none. Two values are refused, a list in one field counts as two."""
    scopes = facts.scopes
    if not scopes:
        return b""
    if len(scopes) > 1 or b"," in scopes[0]:
        raise ConflictingScope("Amazon-Advertising-API-Scope was sent with more than one profile; send one.")
    return scopes[0]


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


def _mcp_target(read: Target, path: bytes) -> bytes:
    """The target at the region's MCP endpoint, whose path is `/mcp` as a rule."""
    return read.rest if path == b"/mcp" else path + read.rest[len(b"/mcp") :]
