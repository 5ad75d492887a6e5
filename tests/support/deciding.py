"""What the tests of the deciding modules share: facts, configurations and a directory made in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proxy.config import Config
from proxy.config.model.sections import Account, Client, Region, RouteConfig
from proxy.config.model.values import Address
from proxy.http1.headers import Facts
from proxy.profiles.index import ListingFailure
from proxy.secret import Secret

PLAIN = Facts(
    passing=b"",
    host=b"127.0.0.1:8080",
    content_length=None,
    chunked=False,
    close=False,
    keep_alive=False,
    expects_continue=False,
    has_origin=False,
    fetch_site=b"",
    authorization=b"",
    proxy_key=b"",
    account="",
    region="",
    scopes=(),
    names_account=False,
    overrides=False,
    request_id="",
    content_type=b"",
)


def facts(**changed: Any) -> Facts:
    """The facts of a plain request of a local tool, with these changes."""
    return replace(PLAIN, **changed)


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
    """A directory with fixed contents: profile -> owners, (account, region) -> first profile, and failed listings."""

    def __init__(
        self,
        owners: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
        first: Mapping[tuple[str, str], str] | None = None,
        failures: tuple[ListingFailure, ...] = (),
    ) -> None:
        self._owners = dict(owners or {})
        self._first = dict(first or {})
        self._failures = {(failure.account, failure.region): failure for failure in failures}

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        return self._owners.get(profile, ())

    def first(self, account: str, region: str) -> str | None:
        return self._first.get((account, region))

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return self._failures.get((account, region))
