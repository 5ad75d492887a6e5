"""How a request chooses account, region and profile, row by row of the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.app.rules import make_routing_table
from proxy.errors import (
    AccountRequired,
    ConflictingScope,
    NeverForwarded,
    NotPermitted,
    PlaceholderRejected,
    ProfileNotKnownYet,
    Refused,
    UnknownAccount,
    UnknownRegion,
    UnknownRoute,
)
from proxy.profiles.index import ListingFailure
from proxy.routing.route import Route
from proxy.routing.table import CallerScope, EmptyDirectory, RoutingTable
from proxy.routing.target import TargetKind
from tests.support.deciding import NAMING_AN_ACCOUNT, NAMING_AN_ADVERTISER, Listed, config, fields, region, routed

DIRECTORY = Listed(
    owners={
        "11": (("acme", "na"),),
        "22": (("acme", "eu"),),
        "33": (("zeta", "fe"),),
        "44": (("acme", "na"), ("zeta", "eu")),
        "55": (("acme", "eu"), ("acme", "fe")),
        "66": (("acme", "na"), ("acme", "eu"), ("acme", "fe")),
        "77": (("gone", "na"),),
    },
    first={("pins", "na"): "901", ("pins", "eu"): "902", ("pins", "fe"): ""},
)
SEVERAL = make_routing_table(
    config(
        {
            "acme": {"region": "na"},
            "zeta": {"region": "eu", "default_profile": "33"},
            "pins": {"default_profile": "first"},
        },
        routes={
            "brand-eu": {"account": "acme", "region": "eu", "profile": "123"},
            "brand": {"account": "acme", "profile": "22"},
            "z": {"account": "zeta"},
        },
    ),
    DIRECTORY,
)
ONE = make_routing_table(config({"acme": {"region": "eu", "default_profile": "22"}}), DIRECTORY)
REQUIRED, OPTIONAL, NEVER, UNKNOWN = b"/sp/campaigns/list", b"/reporting/reports", b"/v2/profiles", b"/new/thing"


def chosen(target: bytes, table: RoutingTable = SEVERAL, bound: str = "", **changed: Any) -> tuple[str, str, bytes]:
    """Account, region and profile of a request with these facts; profiles are read, all else is posted."""
    method = b"GET" if target.endswith(NEVER) else b"POST"
    found = routed(method, target, fields(**changed), table, CallerScope(bound))
    return found.account, found.region, found.profile


@pytest.mark.parametrize(
    ("target", "changed", "bound", "account"),
    [
        (b"/@acme/x", {}, "", "acme"),
        (b"/@brand-eu/x", {}, "", "acme"),
        (b"/%40zeta/x", {}, "", "zeta"),
        (b"/@acme/x", {"account": "zeta"}, "", "acme"),
        (b"/@acme/x", {"account": "zeta", "scopes": (b"33",)}, "zeta", "acme"),
        (b"/x", {"account": "zeta"}, "", "zeta"),
        (b"/x", {"account": "zeta"}, "acme", "zeta"),
        (b"/x", {"account": "acme", "scopes": (b"33",)}, "", "acme"),
        (b"/x", {}, "zeta", "zeta"),
        (b"/x", {}, "brand-eu", "acme"),
        (b"/x", {"scopes": (b"33",)}, "acme", "acme"),
        (b"/x", {"scopes": (b"33",)}, "", "zeta"),
        (b"/x", {"scopes": (b"22",)}, "", "acme"),
        (b"/eu/x", {"scopes": (b"44",)}, "", "zeta"),
        (b"/na/x", {"scopes": (b"44",)}, "", "acme"),
        (b"/fe/x", {"scopes": (b"22",)}, "", "acme"),
    ],
)
def test_account_is_chosen_by_the_first_that_speaks(
    target: bytes, changed: dict[str, Any], bound: str, account: str
) -> None:
    """/@NAME, then X-Ads-Account, then the placeholder's, then the one that the Scope belongs to."""
    assert chosen(target, bound=bound, **changed)[0] == account


def test_the_only_account_needs_no_choice() -> None:
    """One account is the answer, for a Scope that nobody knows too."""
    assert chosen(NEVER, ONE) == ("acme", "eu", b"")
    assert chosen(REQUIRED, ONE, scopes=(b"999",)) == ("acme", "eu", b"999")
    assert chosen(REQUIRED, ONE, scopes=(b"77",)) == ("acme", "eu", b"77")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "There are several accounts: acme, pins, zeta"),
        ({"scopes": (b"999",)}, "There are several accounts"),
        ({"scopes": (b"77",)}, "There are several accounts"),
        ({"scopes": (b"44",)}, "Several accounts have this profile: acme, zeta"),
        ({"scopes": (b"44",), "region": "fe"}, "Several accounts have this profile: acme, zeta"),
    ],
)
def test_without_a_choice_the_choices_are_named(changed: dict[str, Any], said: str) -> None:
    """400 that says how to choose."""
    with pytest.raises(AccountRequired, match=said) as refused:
        chosen(b"/x", **changed)
    assert "X-Ads-Account" in refused.value.detail
    assert refused.value.status == 400


def test_a_client_of_one_account_needs_no_choice_and_learns_of_no_other() -> None:
    """What a caller may use is all that it can choose from, and all that it is told of."""
    only = CallerScope(accounts=frozenset({"zeta"}))
    assert routed(b"GET", NEVER, fields(), SEVERAL, only).account == "zeta"
    assert routed(b"GET", b"/x", fields(scopes=(b"44",)), SEVERAL, only).account == "zeta"
    two = CallerScope(accounts=frozenset({"zeta", "pins"}))
    with pytest.raises(AccountRequired, match=r"several accounts: pins, zeta\."):
        routed(b"GET", NEVER, fields(), SEVERAL, two)
    with pytest.raises(NotPermitted, match=r"It may use pins, z, zeta\."):
        routed(b"GET", b"/@nosuchname/x", fields(), SEVERAL, two)
    with pytest.raises(NotPermitted, match=r"It may use pins, zeta\."):
        routed(b"GET", b"/x", fields(account="nosuchname"), SEVERAL, two)
    nobody = CallerScope(accounts=frozenset())
    with pytest.raises(AccountRequired, match="no account that this client may use"):
        routed(b"GET", NEVER, fields(), SEVERAL, nobody)
    with pytest.raises(NotPermitted, match="There is none that it may use"):
        routed(b"GET", b"/@nosuchname/x", fields(), SEVERAL, nobody)
    with pytest.raises(AccountRequired, match="no account that this client may use"):
        routed(b"GET", NEVER, fields(), ONE, nobody)


@pytest.mark.parametrize(
    ("target", "changed", "bound"),
    [
        (b"/@NAME/x", {}, ""),
        (b"/%40NAME/x", {}, ""),
        (b"/@NAME/eu/x", {}, ""),
        (b"/@NAME" + REQUIRED, {"region": "us"}, ""),
        (b"/@NAME" + REQUIRED, {"scopes": (b"33",)}, ""),
        (b"/@NAME/mcp", {}, ""),
        (b"/@NAME/x", {"account": "acme"}, "acme"),
        (b"/x", {"account": "NAME"}, ""),
        (b"/@acme/x", {"account": "NAME"}, ""),
        (b"/x", {"account": "NAME", "region": "us"}, ""),
        (b"/x", {}, "NAME"),
        (b"/@acme/x", {}, "NAME"),
        (b"/x", {"account": "acme"}, "NAME"),
    ],
)
def test_what_is_not_the_callers_is_answered_as_what_is_not_there(
    target: bytes, changed: dict[str, Any], bound: str
) -> None:
    """Account, route, one whose first profile is not known, prefix, header, token: one 403, but for the name."""
    only = CallerScope(accounts=frozenset({"acme"}))
    answers = set()
    for name in ("zeta", "pins", "z", "nosuchname", "acne", "accountless"):
        sent: dict[str, Any] = {key: name if value == "NAME" else value for key, value in changed.items()}
        scope = replace(only, bound=bound.replace("NAME", name))
        with pytest.raises(NotPermitted) as refused:
            routed(b"POST", target.replace(b"NAME", name.encode()), fields(**sent), SEVERAL, scope)
        assert refused.value.detail.count(name) == 1
        answers.add(refused.value.detail.replace(name, "NAME"))
    (answer,) = answers
    assert not [name for name in ("zeta", "pins", " z") if name in answer]


@pytest.mark.parametrize(
    ("profiles", "rule", "own"),
    [({"22", "9"}, "profiles", "acme, brand, pins, z, zeta"), (set(), "account_ids", "acme, pins, z, zeta")],
)
def test_a_route_to_a_profile_that_is_not_the_callers_is_not_there(profiles: set[str], rule: str, own: str) -> None:
    """Whatever account it leads to, and whatever Scope is sent beside it."""
    limited = CallerScope(profiles=frozenset(profiles))
    for name in ("brand-eu", "nosuchname"):
        expected = f"This client may not use the account or route '{name}'. It may use {own}. (Rule: {rule}.)"
        for sent in ({}, {"scopes": (b"22",)}):
            with pytest.raises(NotPermitted) as refused:
                routed(b"POST", f"/@{name}/x".encode(), fields(**sent), SEVERAL, limited)
            assert refused.value.detail == expected
    assert routed(b"POST", b"/@acme/x", fields(), SEVERAL, limited).account == "acme"
    if profiles:
        assert routed(b"POST", b"/@brand" + REQUIRED, fields(), SEVERAL, limited).profile == b"22"


def test_a_route_of_ones_own_is_still_explained() -> None:
    """Who may use its account is told what it is."""
    only = CallerScope(accounts=frozenset({"acme"}))
    with pytest.raises(UnknownAccount, match=r"'brand-eu' is a route: send its requests to /@brand-eu/"):
        routed(b"GET", b"/x", fields(account="brand-eu"), SEVERAL, only)
    with pytest.raises(NotPermitted, match="may not use the account 'z'"):
        routed(b"GET", b"/x", fields(account="z"), SEVERAL, only)


@pytest.mark.parametrize(
    ("target", "changed", "refusal", "said"),
    [
        (b"/@acne/x", {}, UnknownRoute, "Did you mean acme"),
        (b"/@qqqq/x", {}, UnknownRoute, "Choose one of acme, brand, brand-eu, pins, z, zeta"),
        (b"/@ACME/x", {}, UnknownRoute, "no route or account 'ACME'"),
        (b"/@%ff/x", {}, UnknownRoute, "no route or account"),
        (b"/@acme%2Feu/x", {}, UnknownRoute, "no route or account"),
        (b"/x", {"account": "acne"}, UnknownAccount, "Did you mean acme"),
        (b"/x", {"account": "brand-eu"}, UnknownAccount, "'brand-eu' is a route: send its requests to /@brand-eu/"),
        (b"/@acme/x", {"account": "qqqq"}, UnknownAccount, "Choose one of acme, pins, zeta"),
        (b"/@acme/x", {"region": "us"}, UnknownRegion, "'us' is not one of na, eu, fe"),
        (b"/@brand-eu/x", {"region": "us"}, UnknownRegion, "not one of"),
        (b"/@acme/x", {"scopes": (b"1", b"2")}, ConflictingScope, "more than one profile"),
        (b"/@acme/x", {"scopes": (b"1, 2",)}, ConflictingScope, "more than one profile"),
        (b"/auth/x", {}, NeverForwarded, "never forwarded"),
        (b"/auth/o2/token", {}, NeverForwarded, "never forwarded"),
        (b"/@acme/eu/ap/oa", {}, NeverForwarded, "never forwarded"),
        (b"/.well-known/oauth-protected-resource/mcp", {}, NeverForwarded, "no OAuth login here"),
    ],
)
def test_wrong_selections_are_named(target: bytes, changed: dict[str, Any], refusal: type[Refused], said: str) -> None:
    """A selector that names nothing is an error, even where another one wins."""
    with pytest.raises(refusal, match=said):
        chosen(target, **changed)


def test_many_choices_are_not_all_listed() -> None:
    """Forty accounts do not fill an error message."""
    table = make_routing_table(config({f"account-{number:02}": {} for number in range(40)}), EmptyDirectory())
    with pytest.raises(AccountRequired, match="account-19 and 20 more"):
        routed(b"GET", NEVER, fields(), table)


def test_a_placeholder_bound_to_what_is_gone_is_rejected() -> None:
    """401, so that the tool gets a new one."""
    with pytest.raises(PlaceholderRejected) as refused:
        chosen(b"/x", bound="gone")
    assert refused.value.status == 401


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
    """The client's own, the route's, the account's default; added as the operation has it (docs/amazon.md, Scope)."""
    assert chosen(target, **changed)[2] == profile


def test_a_bound_route_gives_its_profile_to_its_own_account_only() -> None:
    """X-Ads-Account that names another account leaves the placeholder's route behind."""
    assert chosen(REQUIRED, bound="brand-eu") == ("acme", "eu", b"123")
    assert chosen(REQUIRED, bound="brand-eu", account="acme") == ("acme", "eu", b"123")
    assert chosen(REQUIRED, bound="brand-eu", account="zeta") == ("zeta", "fe", b"33")


def test_first_profile_that_is_not_known_yet_is_503() -> None:
    """Only where it would be sent; the tool is told when to ask again."""
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
        (None, "is not read yet. Ask again shortly.", True),
        (
            ListingFailure("acme", "na", "Amazon answered (500)", 5.0, True, True),
            "(500). It is tried again by itself.",
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
    """The target byte for byte behind the prefix, the path for policy and metrics, the prefix for the way back."""
    found = routed(b"GET", b"/@brand-eu//v2/x?a=%2F&b=https://c//d", fields(), SEVERAL)
    assert found == Route(
        "acme", "eu", TargetKind.API, b"//v2/x?a=%2F&b=https://c//d", b"//v2/x", (b"v2", b"x"), b"123", b"/@brand-eu"
    )
    assert routed(b"GET", b"/@acme/eu?x", fields(), SEVERAL).target == b"/?x"


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
    """What the client wrote, completed where its headers chose: whoever follows it need not send them again."""
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
    from proxy.config import AMAZON_REGIONS, Region

    regions = {name: Region(**keys) for name, keys in AMAZON_REGIONS.items()} | {"na": region(mcp_url=mcp_url)}
    table = make_routing_table(config({"acme": {}}, regions=regions), EmptyDirectory())
    found = routed(b"POST", target, fields(), table)
    assert (found.endpoint, found.target, found.profile) == ("mcp", sent, b"")


def test_an_empty_directory_knows_nothing() -> None:
    """What a proxy starts with."""
    assert EmptyDirectory().owners("1") == ()
    assert EmptyDirectory().first("acme", "na") is None
    assert EmptyDirectory().failure("acme", "na") is None
