"""Whose first lists may still show where a request goes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.app.rules import make_routing_table
from proxy.errors import AccountRequired
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.routing.mcp_session import FixedAccount
from proxy.routing.route import find_awaited, route
from proxy.routing.table import ANYBODY, ClientScope, EmptyDirectory
from tests.support.deciding import Listed, config, fields, request, summary

AWAITED, SETTLED, WITHOUT_TOKEN = FirstLists.AWAITED, FirstLists.SETTLED, FirstLists.WITHOUT_TOKEN
SCOPE, MANAGER = "amazon_advertising_api_scope", "amazon_ads_manager_accountid"


class Reading(Listed):
    """A directory in which first lists are still read."""

    def __init__(self, states: dict[str, FirstLists]) -> None:
        super().__init__(
            owners={"11": (("acme", "na"),), "33": (("zeta", "fe"),), "44": (("acme", "na"), ("zeta", "eu"))},
            ads_accounts={"amzn1.a": (("acme", "eu"),)},
        )
        self._states = states

    def first_lists(self, account: str) -> FirstLists:
        return self._states.get(account, SETTLED)


def awaited(
    accounts: dict[str, FirstLists],
    headers: Mapping[str, str],
    target: str = "/v2/campaigns",
    *,
    scope: ClientScope = ANYBODY,
    fixed: FixedAccount | None = None,
) -> tuple[str, ...]:
    """The accounts that a request waits for, where these are configured."""
    routes = {"brand": {"account": "acme", "region": "eu"}, "shop": {"account": "acme", "profile": "99"}}
    table = make_routing_table(config({name: {} for name in accounts}, routes=routes), Reading(accounts))
    sent = fields(*(f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()))
    asked = summary(request(b"GET", target.encode(), sent))
    try:
        chosen = route(asked, table, scope, None, fixed)
    except AccountRequired:
        chosen = None
    found = find_awaited(asked, table, scope, fixed, chosen)
    return found.accounts if found is not None else ()


ALONE = {"acme": AWAITED}
BOTH = {"acme": AWAITED, "zeta": AWAITED}


@pytest.mark.parametrize(
    ("headers", "target", "expected"),
    [
        ({SCOPE: "99"}, "/v2/campaigns", ("acme",)),
        ({SCOPE: "11"}, "/v2/campaigns", ()),
        ({SCOPE: ""}, "/v2/campaigns", ()),
        ({}, "/v2/campaigns", ()),
        ({"amazon_ads_accountid": "amzn1.x"}, "/v2/campaigns", ("acme",)),
        ({"amazon_ads_accountid": "amzn1.a"}, "/v2/campaigns", ()),
        ({"amazon_ads_accountid": "amzn1.a", SCOPE: "99"}, "/v2/campaigns", ("acme",)),
        ({"amazon_ads_accountid": "amzn1.x", SCOPE: "11"}, "/v2/campaigns", ()),
        ({MANAGER: "amzn1.m"}, "/mcp", ("acme",)),
        ({MANAGER: "amzn1.m"}, "/v2/campaigns", ()),
        ({SCOPE: "99"}, "/mcp", ("acme",)),
        ({SCOPE: "99"}, "/eu/v2/campaigns", ()),
        ({SCOPE: "99", "x_ads_region": "fe"}, "/v2/campaigns", ()),
        ({SCOPE: "99"}, "/@brand/v2/campaigns", ()),
        ({}, "/@shop/sp/campaigns", ("acme",)),
        ({SCOPE: "33"}, "/@acme/v2/campaigns", ("acme",)),
    ],
)
def test_what_only_a_list_can_tell(headers: dict[str, str], target: str, expected: tuple[str, ...]) -> None:
    """The region of an id that the account does not list, unless the request names a region."""
    assert awaited(ALONE, headers, target) == expected


def test_settled_lists_are_not_awaited() -> None:
    """What they do not have, they will not have soon."""
    assert awaited({"acme": SETTLED, "zeta": AWAITED}, {SCOPE: "99"}, "/@acme/v2/campaigns") == ()


@pytest.mark.parametrize(
    ("keys", "waits"),
    [
        ({"default_profile": "99"}, True),
        ({"default_profile": "11"}, False),
        ({"default_profile": "first"}, False),
    ],
)
def test_defaults_count_as_sent(keys: dict[str, Any], waits: bool) -> None:
    """A default profile may be in any region, the first one of a region is in that."""
    listed = Reading(ALONE)
    listed._first["acme", "na"] = "11"
    table = make_routing_table(config({"acme": keys}), listed)
    asked = summary(request(b"GET", b"/sp/campaigns", fields()))
    found = find_awaited(asked, table, ANYBODY, None, route(asked, table))
    assert found == (AwaitedId(("acme",), "99") if waits else None)


@pytest.mark.parametrize(
    ("accounts", "headers", "expected"),
    [
        (BOTH, {SCOPE: "99"}, ("acme", "zeta")),
        (BOTH, {"amazon_ads_accountid": "amzn1.x"}, ("acme", "zeta")),
        (BOTH, {SCOPE: "44"}, ()),
        (BOTH, {}, ()),
        (BOTH, {SCOPE: "33"}, ()),
        (BOTH, {SCOPE: "33", "x_ads_account": "acme"}, ("acme",)),
        ({"acme": AWAITED, "zeta": WITHOUT_TOKEN, "third": SETTLED}, {SCOPE: "99"}, ("acme",)),
        ({"acme": SETTLED, "zeta": WITHOUT_TOKEN}, {SCOPE: "99"}, ()),
        ({"acme": SETTLED, "zeta": WITHOUT_TOKEN}, {SCOPE: "99", "x_ads_account": "zeta"}, ("zeta",)),
    ],
)
def test_of_several_accounts_all_may_have_it(
    accounts: dict[str, FirstLists], headers: dict[str, str], expected: tuple[str, ...]
) -> None:
    """Accounts without a token are awaited only where the request names them, as it needs that token."""
    assert awaited(accounts, headers) == expected


def test_a_client_waits_for_its_own_accounts_alone() -> None:
    """Ids in lists of other accounts are as unknown to the client as ids in no list."""
    third = {**BOTH, "third": AWAITED}
    assert awaited(third, {SCOPE: "99"}, scope=ClientScope(accounts=frozenset(("acme", "zeta")))) == ("acme", "zeta")
    assert awaited(BOTH, {SCOPE: "33"}, scope=ClientScope(accounts=frozenset(("acme",)))) == ("acme",)


def test_a_fixed_advertiser_counts_instead_of_what_is_sent() -> None:
    """At the MCP endpoint, for a limited client."""
    for fixed in (FixedAccount(b"99", b""), FixedAccount(b"", b"amzn1.x")):
        assert awaited(ALONE, {}, "/mcp", fixed=fixed) == ("acme",)
        assert awaited(BOTH, {}, "/mcp", fixed=fixed) == ("acme", "zeta")
    assert awaited(ALONE, {SCOPE: "99"}, "/mcp", fixed=FixedAccount(b"11", b"")) == ()


def test_an_empty_directory_awaits_nothing() -> None:
    """An empty directory reads no lists."""
    directory = EmptyDirectory()
    assert (directory.settled, directory.first_lists("acme")) == (True, SETTLED)
    asyncio.run(directory.wait_for_first_lists(AwaitedId(("acme",), "99")))
