"""How a request chooses region and profile, row by row of the contract, and what leads back."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.app.rules import make_routing_table
from proxy.errors import (
    ProfileNotKnownYet,
)
from proxy.http1.target import parse_target
from proxy.profiles.index import ListingFailure
from proxy.routing.api import ADS_API, MCP
from proxy.routing.route import Route
from proxy.routing.table import EmptyDirectory, RoutingTable
from proxy.routing.target import find_destination
from tests.routing.test_route import NEVER, ONE, OPTIONAL, REQUIRED, SEVERAL, UNKNOWN, chosen
from tests.support.deciding import NAMING_AN_ACCOUNT, NAMING_AN_ADVERTISER, Listed, config, fields, region, routed


@pytest.mark.parametrize(
    ("target", "changed", "bound", "region"),
    [
        (b"/@brand-eu/na/x", {"region": "fe", "host": b"advertising-api-fe.amazon.com"}, "", "eu"),
        (b"/x", {"region": "fe"}, "brand-eu", "eu"),
        (b"/x", {"account": "acme", "region": "fe"}, "brand-eu", "eu"),
        (b"/x", {"account": "zeta", "region": "fe"}, "brand-eu", "fe"),
        (b"/@acme/eu/x", {"region": "fe"}, "", "eu"),
        (b"/@acme/x", {"region": "fe", "host": b"advertising-api-eu.amazon.com"}, "", "fe"),
        (b"/@acme/x", {"host": b"advertising-api-eu.amazon.com", "scopes": (b"11",)}, "", "eu"),
        (b"/@acme/x", {"host": b"advertising-api-eu.amazon.com:8080"}, "", "eu"),
        (b"http://advertising-api-fe.amazon.com/@acme/x", {"host": b"advertising-api-fe.amazon.com"}, "", "fe"),
        (b"/@acme/x", {"scopes": (b"22",)}, "", "eu"),
        (b"/@acme/x", {"scopes": (b"11",)}, "", "na"),
        (b"/@acme/x", {"scopes": (b"33",)}, "", "na"),
        (b"/@acme/x", {"scopes": (b"999",)}, "", "na"),
        (b"/@acme/x", {"scopes": (b"66",)}, "", "na"),
        (b"/@acme/x", {"scopes": (b"55",)}, "", "na"),
        (b"/@brand" + REQUIRED, {}, "", "eu"),
        (b"/@brand" + NEVER, {}, "", "na"),
        (b"/@zeta" + REQUIRED, {}, "", "fe"),
        (b"/@zeta" + NEVER, {}, "", "eu"),
        (b"/@pins" + REQUIRED, {}, "", "na"),
        (b"/@acme/x", {}, "", "na"),
        (b"/@acme/x", {"host": b""}, "", "na"),
    ],
)
def test_region_is_chosen_by_the_first_that_speaks(
    target: bytes, changed: dict[str, Any], bound: str, region: str
) -> None:
    """The route's, the prefix, X-Ads-Region, the host asked for, the Scope's own, the account's home."""
    assert chosen(target, bound=bound, **changed)[1] == region


def test_overridden_api_addresses_choose_their_region_by_host_and_port() -> None:
    """Tests and simulators tell regions apart by ports; an address that regions share chooses none."""
    regions = {
        "na": region(api_url="http://127.0.0.1:9001"),
        "eu": region(api_url="http://127.0.0.1:9002"),
        "fe": region(api_url="http://127.0.0.1:9002"),
    }
    table = make_routing_table(config({"acme": {"region": "fe"}}, regions=regions), EmptyDirectory())
    assert chosen(b"/x", table, host=b"127.0.0.1:9001")[1] == "na"
    assert chosen(b"/x", table, host=b"127.0.0.1:9002")[1] == "fe"
    assert chosen(b"/x", table, host=b"127.0.0.1:8080")[1] == "fe"
    assert chosen(b"http://127.0.0.1:9001/x", table, host=b"127.0.0.1:9001")[1] == "na"
    assert chosen(b"/x", table, host=b"advertising-api-eu.amazon.com")[1] == "eu"


@pytest.mark.parametrize(
    ("target", "changed", "profile"),
    [
        (b"/@brand-eu" + REQUIRED, {"scopes": (b"7",)}, b"7"),
        (b"/@brand-eu" + REQUIRED, {"scopes": (b"7", b"7")}, b"7"),
        (b"/@brand-eu" + REQUIRED, {"lines": (b"Amazon-Advertising-API-Scope:",), "scopes": (b"7",)}, b"7"),
        (b"/@brand-eu" + REQUIRED, {"lines": (b"Amazon-Advertising-API-Scope:",) * 2}, b"123"),
        (b"/@brand-eu" + REQUIRED, {}, b"123"),
        (b"/@brand-eu" + OPTIONAL, {}, b"123"),
        (b"/@brand-eu" + UNKNOWN, {}, b"123"),
        (b"/@brand-eu" + NEVER, {}, b""),
        (b"/@brand-eu" + NEVER, {"scopes": (b"7",)}, b"7"),
        (b"/@brand-eu" + REQUIRED, {"lines": (NAMING_AN_ADVERTISER,)}, b"123"),
        (b"/@brand-eu" + OPTIONAL, {"lines": (NAMING_AN_ADVERTISER,)}, b""),
        (b"/@brand-eu" + OPTIONAL, {"lines": (b"Amazon-Ads-Manager-AccountId: ",)}, b"123"),
        (b"/@brand-eu" + REQUIRED, {"lines": (NAMING_AN_ACCOUNT,)}, b""),
        (b"/@brand-eu" + OPTIONAL, {"lines": (b"Amazon-Ads-AccountId: ",)}, b"123"),
        (b"/@brand-eu" + OPTIONAL, {"lines": (NAMING_AN_ACCOUNT,)}, b""),
        (b"/@brand-eu" + UNKNOWN, {"lines": (NAMING_AN_ACCOUNT,)}, b""),
        (b"/@brand-eu" + OPTIONAL, {"lines": (NAMING_AN_ACCOUNT,), "scopes": (b"7",)}, b"7"),
        (b"/@zeta" + REQUIRED, {}, b"33"),
        (b"/@z" + REQUIRED, {}, b"33"),
        (b"/@acme" + REQUIRED, {}, b""),
        (b"/@pins" + REQUIRED, {}, b"901"),
        (b"/@pins/eu" + REQUIRED, {}, b"902"),
        (b"/@pins/fe" + REQUIRED, {}, b""),
        (b"/@pins" + NEVER, {}, b""),
        (b"/@brand-eu/mcp", {}, b""),
        (b"/@zeta/mcp/lite", {}, b""),
        (b"/@zeta/mcp", {"scopes": (b"7",)}, b"7"),
    ],
)
def test_profile_is_chosen_by_the_first_that_speaks(target: bytes, changed: dict[str, Any], profile: bytes) -> None:
    """The client's own, the route's, the account's default; added as the operation has it (docs/development/amazon.md,
    Scope)."""
    assert chosen(target, **changed)[2] == profile


def test_a_bound_route_gives_its_profile_to_its_own_account_only() -> None:
    """X-Ads-Account that names another account leaves the placeholder's route behind."""
    assert chosen(REQUIRED, bound="brand-eu") == ("acme", "eu", b"123")
    assert chosen(REQUIRED, bound="brand-eu", account="acme") == ("acme", "eu", b"123")
    assert chosen(REQUIRED, bound="brand-eu", account="zeta") == ("zeta", "fe", b"33")


def test_first_profile_that_is_not_known_yet_is_503() -> None:
    """Only requests that would use it get 503; the response says when to ask again."""
    table = make_routing_table(config({"acme": {"default_profile": "first"}}), EmptyDirectory())
    with pytest.raises(ProfileNotKnownYet) as refused:
        chosen(REQUIRED, table)
    assert (refused.value.status, refused.value.retry_after) == (503, 2.0)
    assert chosen(NEVER, table) == ("acme", "na", b"")
    assert chosen(REQUIRED, table, scopes=(b"5",)) == ("acme", "na", b"5")
    assert chosen(OPTIONAL, table, lines=(NAMING_AN_ACCOUNT,)) == ("acme", "na", b"")


@pytest.mark.parametrize(
    ("failure", "said", "retryable"),
    [
        (None, "is not read yet. Try again shortly.", True),
        (
            ListingFailure("acme", "na", "Amazon answered (500)", 5.0, True, True),
            "(500). The proxy tries again by itself.",
            True,
        ),
        (
            ListingFailure("acme", "na", "Amazon refuses (403)", 5.0, False, True),
            "cannot be read: Amazon refuses (403).",
            False,
        ),
        (ListingFailure("acme", "na", "Sign in.", 5.0, False, False), "cannot be read: Sign in.", False),
        (ListingFailure("acme", "na", "No token yet.", 5.0, True, False), "cannot be read: No token yet.", True),
        (ListingFailure("acme", "eu", "of another region", 5.0, False, True), "is not read yet.", True),
    ],
)
def test_why_the_first_profile_is_not_known_is_told(failure: ListingFailure | None, said: str, retryable: bool) -> None:
    """The last failed listing of this account and region speaks, and whether it can pass by itself."""
    directory = Listed(failures=(failure,) if failure else ())
    table = make_routing_table(config({"acme": {"default_profile": "first"}}), directory)
    with pytest.raises(ProfileNotKnownYet) as refused:
        chosen(REQUIRED, table)
    assert said in refused.value.detail
    assert ("by itself" in refused.value.detail) is ("by itself" in said)
    hint = refused.value.detail.endswith(" A request that sends Amazon-Advertising-API-Scope needs no list.")
    assert hint is (failure is None or failure.asked)
    assert refused.value.retryable is retryable


def test_the_route_says_what_to_send_where() -> None:
    """The target byte for byte behind the prefix, and the prefix for the addresses that lead back."""
    target = b"/@brand-eu//v2/x?a=%2F&b=https://c//d"
    found = routed(b"GET", target, fields(), SEVERAL)
    assert found == Route("acme", "eu", ADS_API, b"123", b"/@brand-eu")
    assert found.target(find_destination(parse_target(target))) == b"//v2/x?a=%2F&b=https://c//d"
    target = b"/@acme/eu?x"
    assert routed(b"GET", target, fields(), SEVERAL).target(find_destination(parse_target(target))) == b"/?x"


@pytest.mark.parametrize(
    ("table", "target", "changed", "back"),
    [
        (ONE, b"/x", {}, b""),
        (ONE, b"/eu/x", {}, b"/eu"),
        (ONE, b"/na/x", {}, b"/na"),
        (ONE, b"/x", {"region": "fe"}, b"/fe"),
        (ONE, b"/x", {"scopes": (b"11",)}, b"/na"),
        (ONE, b"/x", {"scopes": (b"22",)}, b""),
        (ONE, b"/x", {"host": b"advertising-api.amazon.com"}, b"/na"),
        (ONE, b"/%40acme/x", {}, b"/%40acme"),
        (ONE, b"/@acme/x", {"region": "na"}, b"/@acme/na"),
        (SEVERAL, b"/@brand-eu/x", {}, b"/@brand-eu"),
        (SEVERAL, b"/@brand-eu/na/x", {}, b"/@brand-eu/na"),
        (SEVERAL, b"/@brand/x", {"region": "fe"}, b"/@brand/fe"),
        (SEVERAL, b"/@acme/eu/x", {}, b"/@acme/eu"),
        (SEVERAL, b"/x", {"account": "acme"}, b"/@acme"),
        (SEVERAL, b"/x", {"account": "acme", "region": "fe"}, b"/@acme/fe"),
        (SEVERAL, b"/fe/x", {"account": "acme"}, b"/@acme/fe"),
        (SEVERAL, b"/na/x", {"account": "acme"}, b"/@acme/na"),
        (SEVERAL, b"/x", {"scopes": (b"22",)}, b"/@acme/eu"),
    ],
)
def test_the_prefix_leads_back_to_the_same_account_and_region(
    table: RoutingTable, target: bytes, changed: dict[str, Any], back: bytes
) -> None:
    """The prefix is what the client wrote, completed by what its headers chose: a later request need not send them
    again."""
    found = routed(b"GET", target, fields(**changed), table)
    assert found.prefix == back
    again = routed(b"GET", found.prefix + b"/v1/reports/1/download", fields(), table)
    assert (again.account, again.region) == (found.account, found.region)


@pytest.mark.parametrize(
    ("mcp_url", "target", "sent"),
    [
        ("http://127.0.0.1:9001/mcp", b"/mcp?x=1", b"/mcp?x=1"),
        ("http://127.0.0.1:9001/mcp", b"/@acme/mcp/lite", b"/mcp/lite"),
        ("http://127.0.0.1:9001/deep/mcp", b"/eu/mcp", b"/mcp"),
        ("http://127.0.0.1:9001/deep/mcp", b"/na/mcp/lite?x", b"/deep/mcp/lite?x"),
    ],
)
def test_mcp_leads_to_the_regions_endpoint(mcp_url: str, target: bytes, sent: bytes) -> None:
    """The path of `mcp_url` stands where `/mcp` stood."""
    from proxy.config import Region
    from proxy.regions import AMAZON_REGIONS

    regions = {name: Region(**keys) for name, keys in AMAZON_REGIONS.items()} | {"na": region(mcp_url=mcp_url)}
    table = make_routing_table(config({"acme": {}}, regions=regions), EmptyDirectory())
    found = routed(b"POST", target, fields(), table)
    assert (found.api, found.profile) == (MCP, b"")
    assert found.target(find_destination(parse_target(target))) == sent


def test_an_empty_directory_knows_nothing() -> None:
    """What a proxy starts with."""
    assert EmptyDirectory().owners("1") == ()
    assert EmptyDirectory().first("acme", "na") is None
    assert EmptyDirectory().failure("acme", "na") is None
    assert EmptyDirectory().describe("1", "acme", "na") is None
    assert EmptyDirectory().ads_account_profiles("a", "acme") == ()


@pytest.mark.parametrize(
    ("profile", "ads_account", "advertiser"), [(b"", b"", ""), (b"7", b"", "7"), (b"", b"a", "a"), (b"7", b"a", "7 a")]
)
def test_an_advertiser_is_profile_and_ads_account(profile: bytes, ads_account: bytes, advertiser: str) -> None:
    """Whether the client sent them or they are defaults."""
    assert Route("acme", "na", ADS_API, profile, b"", ads_account).advertiser == advertiser


def test_a_long_advertiser_is_named_by_its_digest() -> None:
    """The digest is short, and differs for different advertisers."""
    names = {Route("acme", "na", ADS_API, b"7" * 50_000 + end, b"", b"").advertiser for end in (b"1", b"2")}
    assert [len(name) for name in names] == [32, 32]
