"""What the tests of the deciding modules share: requests, configurations and a directory made in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.access.policy import Policy, Verdict, evaluate_request, evaluate_route
from proxy.config import Config
from proxy.config.model.accounts import Account
from proxy.config.model.clients import Client
from proxy.config.model.sections import Region, RouteConfig
from proxy.config.model.values import Address
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import RequestFields, read_request_fields
from proxy.http1.target import parse_target
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.profiles.index import ListingFailure
from proxy.profiles.listing import Profile
from proxy.routing.operations import PUBLISHED, Operations
from proxy.routing.route import Route, route
from proxy.routing.table import ANYBODY, ClientScope, RoutingTable
from proxy.routing.target import RequestSummary, find_destination, summarise
from proxy.secret import Secret

FIELD_NAMES = {
    "host": b"Host",
    "authorization": b"Authorization",
    "proxy_key": b"X-Ads-Proxy-Key",
    "account": b"X-Ads-Account",
    "region": b"X-Ads-Region",
    "fetch_site": b"Sec-Fetch-Site",
    "origin": b"Origin",
    "content_type": b"Content-Type",
    "request_id": b"X-Request-Id",
}


def fields(*lines: bytes, scopes: tuple[bytes, ...] = (), **sent: Any) -> RequestFields:
    """The header section of a plain request of a local client: these values by name, and further lines; empty:
    absent."""
    lines += sent.pop("lines", ())
    values: dict[str, str | bytes] = {"host": b"127.0.0.1:8080", **sent}
    every = [
        FIELD_NAMES[name] + b": " + (value.encode("latin-1") if isinstance(value, str) else value)
        for name, value in values.items()
        if value
    ]
    every += [b"Amazon-Advertising-API-Scope: " + scope for scope in scopes]
    section = b"".join(line + b"\r\n" for line in (*every, *lines))
    return read_request_fields(section, 1 if values["host"] else 0, 128, REQUEST_FIELDS)


NAMING_AN_ACCOUNT = b"Amazon-Ads-AccountId: amzn1.ads-account.g.x"
NAMING_AN_ADVERTISER = b"Amazon-Advertising-API-AdvertiserId: 58"
OVERRIDING = b"X-HTTP-Method-Override: DELETE"


def request(method: bytes = b"GET", target: bytes = b"/", read: RequestFields | None = None) -> Request:
    """A request with this header section."""
    return Request(method, parse_target(target), 1, read if read is not None else fields(), "id-1")


def summary(asked: Request, operations: Operations = PUBLISHED) -> RequestSummary:
    """What decisions may read of a request."""
    return summarise(asked.method, asked.fields, find_destination(asked.target), operations)


def screened(policy: Policy | None, asked: Request, operations: Operations = PUBLISHED) -> Verdict:
    """What a policy says of a request before it is routed."""
    assert policy is not None
    return evaluate_request(policy, summary(asked, operations), find_destination(asked.target))


def routed(
    method: bytes, target: bytes, read: RequestFields, table: RoutingTable, scope: ClientScope = ANYBODY
) -> Route:
    """Where a request goes."""
    return route(summary(request(method, target, read), table.operations), table, scope)


def judged(policy: Policy, asked: Request, chosen: Route) -> Verdict:
    """What a policy says of a request that was routed so, before routing and after it."""
    return evaluate_route(policy, screened(policy, asked), chosen)


def account(**changed: Any) -> Account:
    """A complete account of region na, with these changes."""
    return Account(**{"client_id": "amzn1.x", "client_secret": Secret("s"), "refresh_token": Secret("r"), **changed})


def config(
    accounts: Mapping[str, Mapping[str, Any]],
    *,
    routes: Mapping[str, Mapping[str, Any]] | None = None,
    clients: tuple[Client, ...] = (),
    **changed: Any,
) -> Config:
    """A configuration with these accounts; further keys as the model has them."""
    return Config(
        accounts={name: account(**{"name": name, **keys}) for name, keys in accounts.items()},
        routes={name: RouteConfig(name=name, **keys) for name, keys in (routes or {}).items()},
        clients=clients,
        **{"listen": Address("127.0.0.1", 8080), **changed},
    )


def region(**changed: str) -> Region:
    """A region with addresses of its own."""
    urls = {
        "api_url": "http://127.0.0.1:9001",
        "token_url": "http://127.0.0.1:9001/auth/o2/token",
        "auth_grant_url": "http://127.0.0.1:9001/ap/oa",
        "mcp_url": "http://127.0.0.1:9001/mcp",
    }
    return Region(**{**urls, **changed})


class Listed:
    """A directory with fixed contents: profile -> owners, (account, region) -> first profile, failed listings,
    ads account -> owners, (account, region) -> profiles, and (ads account, account) -> its (profile, region) pairs.
    """

    version = 0

    def __init__(
        self,
        owners: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
        first: Mapping[tuple[str, str], str] | None = None,
        failures: tuple[ListingFailure, ...] = (),
        ads_accounts: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
        profiles: Mapping[tuple[str, str], tuple[Profile, ...]] | None = None,
        parts: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] | None = None,
    ) -> None:
        self._profiles = dict(profiles or {})
        self._parts = dict(parts or {})
        self._ads_accounts = dict(ads_accounts or {})
        self._owners = dict(owners or {})
        self._first = dict(first or {})
        self._failures = {(failure.account, failure.region): failure for failure in failures}

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        return self._owners.get(profile, ())

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        return self._ads_accounts.get(identifier, ())

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        return next((each for each in self._profiles.get((account, region), ()) if each.id == profile), None)

    def ads_account_profiles(self, identifier: str, account: str) -> tuple[tuple[str, str], ...]:
        return self._parts.get((identifier, account), ())

    def first(self, account: str, region: str) -> str | None:
        return self._first.get((account, region))

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return self._failures.get((account, region))

    @property
    def settled(self) -> bool:
        return True

    def first_lists(self, account: str) -> FirstLists:
        return FirstLists.SETTLED

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        """There are none."""
