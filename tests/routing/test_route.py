"""How a request chooses its account, row by row of the contract."""

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
    Refused,
    UnknownAccount,
    UnknownRegion,
    UnknownRoute,
)
from proxy.http1.target import parse_target
from proxy.routing.api import MCP
from proxy.routing.mcp_session import FixedAccount, McpSession
from proxy.routing.route import Route, route
from proxy.routing.table import ClientScope, EmptyDirectory, RoutingTable
from proxy.routing.target import find_destination
from tests.support.deciding import Listed, config, fields, request, routed, summary

DIRECTORY = Listed(
    owners={
        "11": (("acme", "na"),),
        "22": (("acme", "eu"),),
        "33": (("zeta", "fe"),),
        "44": (("acme", "na"), ("zeta", "eu")),
        "55": (("acme", "eu"), ("acme", "fe")),
        "66": (("acme", "na"), ("acme", "eu"), ("acme", "fe")),
        "77": (("gone", "na"),),
        "88": (("acme", "eu"), ("zeta", "fe")),
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
    found = routed(method, target, fields(**changed), table, ClientScope(bound))
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


@pytest.mark.parametrize(("account", "region"), [("acme", "eu"), ("zeta", "fe")])
def test_the_region_of_a_scope_is_the_one_where_the_chosen_account_lists_it(account: str, region: str) -> None:
    """A region where another account lists the same profile does not count, whichever name comes first in the
    alphabet."""
    assert chosen(REQUIRED, account=account, scopes=(b"88",)) == (account, region, b"88")


def test_the_only_account_needs_no_choice() -> None:
    """One account is the answer, for an unknown Scope too."""
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
    """A client can choose only from what it may use, and learns of nothing else."""
    only = ClientScope(accounts=frozenset({"zeta"}))
    assert routed(b"GET", NEVER, fields(), SEVERAL, only).account == "zeta"
    assert routed(b"GET", b"/x", fields(scopes=(b"44",)), SEVERAL, only).account == "zeta"
    two = ClientScope(accounts=frozenset({"zeta", "pins"}))
    with pytest.raises(AccountRequired, match=r"several accounts: pins, zeta\."):
        routed(b"GET", NEVER, fields(), SEVERAL, two)
    with pytest.raises(NotPermitted, match=r"It may use pins, z, zeta\."):
        routed(b"GET", b"/@nosuchname/x", fields(), SEVERAL, two)
    with pytest.raises(NotPermitted, match=r"It may use pins, zeta\."):
        routed(b"GET", b"/x", fields(account="nosuchname"), SEVERAL, two)
    nobody = ClientScope(accounts=frozenset())
    with pytest.raises(AccountRequired, match="This client may not use any account"):
        routed(b"GET", NEVER, fields(), SEVERAL, nobody)
    with pytest.raises(NotPermitted, match="It may not use any"):
        routed(b"GET", b"/@nosuchname/x", fields(), SEVERAL, nobody)
    with pytest.raises(AccountRequired, match="This client may not use any account"):
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
    only = ClientScope(accounts=frozenset({"acme"}))
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
    """The route is unknown, whatever account it leads to, and whatever Scope is sent with it."""
    limited = ClientScope(profiles=frozenset(profiles))
    for name in ("brand-eu", "nosuchname"):
        expected = f"This client may not use the account or route '{name}'. It may use {own}. (Rule: {rule}.)"
        for sent in ({}, {"scopes": (b"22",)}):
            with pytest.raises(NotPermitted) as refused:
                routed(b"POST", f"/@{name}/x".encode(), fields(**sent), SEVERAL, limited)
            assert refused.value.detail == expected
    assert routed(b"POST", b"/@acme/x", fields(), SEVERAL, limited).account == "acme"
    if profiles:
        assert routed(b"POST", b"/@brand" + REQUIRED, fields(), SEVERAL, limited).profile == b"22"


@pytest.mark.parametrize("scope", [b"33", b"77", b"unlisted"])
@pytest.mark.parametrize(("session", "region"), [(None, "eu"), (McpSession("agent", "acme", "na"), "na")])
def test_a_profile_that_only_others_list_leads_where_an_unlisted_one_does(
    scope: bytes, session: McpSession | None, region: str
) -> None:
    """With an ads account of the client's own, and in a session: the response does not reveal that another account
    lists it."""
    table = replace(SEVERAL, directory=Listed(DIRECTORY._owners, ads_accounts={"own": (("acme", "eu"),)}))
    client = ClientScope(accounts=frozenset({"acme", "pins"}))
    lines = () if session is not None else (b"Amazon-Ads-AccountId: own",)
    found = route(summary(request(b"POST", b"/mcp", fields(*lines, scopes=(scope,)))), table, client, session)
    assert (found.account, found.region, found.profile) == ("acme", region, scope)


def test_a_route_of_ones_own_is_still_explained() -> None:
    """Who may use its account is told what it is."""
    only = ClientScope(accounts=frozenset({"acme"}))
    with pytest.raises(UnknownAccount, match=r"'brand-eu' is a route: send its requests to /@brand-eu/"):
        routed(b"GET", b"/x", fields(account="brand-eu"), SEVERAL, only)
    with pytest.raises(NotPermitted, match="may not use the account 'z'"):
        routed(b"GET", b"/x", fields(account="z"), SEVERAL, only)


@pytest.mark.parametrize(
    ("target", "changed", "refusal", "said"),
    [
        (b"/@acne/x", {}, UnknownRoute, "Did you mean acme"),
        (b"/@qqqq/x", {}, UnknownRoute, "Choose one of acme, brand, brand-eu, pins, z, zeta"),
        (b"/@ACME/x", {}, UnknownRoute, "Unknown route or account 'ACME'"),
        (b"/@%ff/x", {}, UnknownRoute, "Unknown route or account"),
        (b"/@acme%2Feu/x", {}, UnknownRoute, "Unknown route or account"),
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


def test_a_wrong_name_is_compared_with_few_of_many() -> None:
    """With its neighbours in the alphabet, as each comparison takes time; a very long name with none."""
    table = make_routing_table(config({f"account-{number:03}": {} for number in range(300)}), EmptyDirectory())
    with pytest.raises(UnknownRoute, match=r"Did you mean account-1[45]"):
        routed(b"GET", b"/@account-150x/x", fields(), table)
    with pytest.raises(UnknownRoute, match="Choose one of account-000"):
        routed(b"GET", b"/@account-" + b"1" * 90 + b"/x", fields(), table)


def test_many_choices_are_not_all_listed() -> None:
    """Forty accounts do not fill an error message."""
    table = make_routing_table(config({f"account-{number:02}": {} for number in range(40)}), EmptyDirectory())
    with pytest.raises(AccountRequired, match="account-19 and 20 more"):
        routed(b"GET", NEVER, fields(), table)


def test_a_placeholder_bound_to_what_is_gone_is_rejected() -> None:
    """The response is 401, so that the client gets a new placeholder."""
    with pytest.raises(PlaceholderRejected) as refused:
        chosen(b"/x", bound="gone")
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("fixed", "profile", "ads_account", "header"),
    [
        (FixedAccount(profile=b"11"), b"11", b"", b""),
        (FixedAccount(ads_account=b"amzn1.x"), b"", b"amzn1.x", b"Amazon-Ads-AccountID"),
    ],
)
def test_a_fixed_advertiser_replaces_what_a_request_names(
    fixed: FixedAccount, profile: bytes, ads_account: bytes, header: bytes
) -> None:
    """At the MCP endpoint, for a limited client."""
    table = make_routing_table(config({"acme": {}}), EmptyDirectory())
    asked = summary(request(b"POST", b"/mcp", fields(scopes=(b"99",))), table.operations)
    chosen = route(asked, table, fixed=fixed)
    assert (chosen.profile, chosen.ads_account, chosen.ads_account_header) == (profile, ads_account, header)
    assert chosen.fixed == fixed


@pytest.mark.parametrize(
    ("api_path", "sent"),
    [
        (b"", b"/mcp/lite?a=1"),
        (b"/mcp", b"/mcp/lite?a=1"),
        (b"/hosted/mcp", b"/hosted/mcp/lite?a=1"),
        (b"/tools", b"/tools/lite?a=1"),
    ],
)
def test_the_path_of_a_regions_mcp_endpoint_takes_the_place_of_mcp(api_path: bytes, sent: bytes) -> None:
    """What stands behind it stays."""
    destination = find_destination(parse_target(b"/@acme/mcp/lite?a=1"))
    assert Route("acme", "na", MCP, b"", b"", api_path=api_path).target(destination) == sent
