"""What a limited client reaches, with the published table and with a default ads account."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from proxy.access.own_accounts import ORDINARY
from proxy.errors import NotPermitted, TooManyParameters
from proxy.routing.ads_account import names_account
from proxy.routing.operations import (
    PUBLISHED,
    AccountRule,
    Amendment,
    Effect,
    Operation,
    ScopeRule,
    amend,
)
from tests.access.test_policy import BOTH, EITHER, LIST, OTHER, OWN, ROUTE, STREAMS, account, decided, policy
from tests.support.deciding import fields, judged, request, screened

PROFILED: dict[str, Any] = {"profiles": ("123", "124")}
ACCOUNTED: dict[str, Any] = {"account_ids": (OWN, "77")}
MIXED: dict[str, Any] = {**PROFILED, **ACCOUNTED}


@pytest.mark.parametrize(
    ("limits", "method", "target", "lines", "scope", "allowed"),
    [
        (PROFILED, b"POST", LIST, (), b"123", True),
        (PROFILED, b"POST", LIST, (), b"999", False),
        (PROFILED, b"POST", LIST, (), b"", False),
        (PROFILED, b"POST", EITHER, (), b"124", True),
        (PROFILED, b"POST", EITHER, (account(OWN),), b"123", False),
        (PROFILED, b"POST", EITHER, (account(""),), b"123", True),
        (PROFILED, b"GET", STREAMS, (), b"123", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN),), b"", True),
        (ACCOUNTED, b"POST", EITHER, (account("77"),), b"", True),
        (ACCOUNTED, b"POST", EITHER, (account(OTHER),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN.upper()),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(""),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN),), b"123", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN), account("")), b"", True),  # an empty one does not leave
        (ACCOUNTED, b"POST", EITHER, (account(OWN), account("77")), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(f"{OWN},77"),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN), account(OTHER)), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN, "Amazon_Ads_AccountId"),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN, "Amazon-Ads-Account-ID"),), b"", False),
        (ACCOUNTED, b"POST", EITHER, (account(OWN, "AMAZON-ADS-ACCOUNTID"),), b"", True),
        (ACCOUNTED, b"POST", EITHER, (account(OWN), b"Connection: Amazon-Ads-AccountId"), b"", False),
        (ACCOUNTED, b"POST", LIST, (account(OWN),), b"", False),
        (ACCOUNTED, b"GET", STREAMS, (account(OWN, "Amazon-Ads-Account-ID"),), b"", True),
        (ACCOUNTED, b"GET", STREAMS, (account(OWN),), b"", False),
        (MIXED, b"POST", EITHER, (account(OWN),), b"", True),
        (MIXED, b"POST", EITHER, (), b"123", True),
        (MIXED, b"POST", EITHER, (account(OWN),), b"123", True),
        (MIXED, b"POST", EITHER, (account(OWN),), b"999", False),
        (MIXED, b"POST", EITHER, (account(OTHER),), b"123", False),
        (MIXED, b"POST", EITHER, (account(f"{OWN}, 77"),), b"123", True),
        (MIXED, b"POST", EITHER, (account(f"{OWN}, {OTHER}"),), b"123", False),
        (MIXED, b"POST", EITHER, (), b"", False),
        (MIXED, b"POST", LIST, (account(OWN),), b"", False),
        (MIXED, b"POST", LIST, (account(OWN),), b"123", True),
        (MIXED, b"GET", STREAMS, (account(OWN, "Amazon-Ads-Account-ID"),), b"123", True),
        (MIXED, b"GET", STREAMS, (), b"123", False),
        (MIXED, b"POST", BOTH, (account(OWN),), b"123", True),
    ],
)
def test_a_limited_client_reaches_what_its_own_governs(
    limits: dict[str, Any], method: bytes, target: bytes, lines: tuple[bytes, ...], scope: bytes, allowed: bool
) -> None:
    """One permitted Scope or account id, of a kind that the operation takes, and none that is not permitted."""
    verdict = decided(limits, method, target, *lines, scope=scope)
    assert (verdict.refusal is None) is allowed, verdict
    if not allowed:
        assert isinstance(verdict.refusal, NotPermitted)
        assert verdict.rule in limits


UNGOVERNED = [
    (b"GET", b"/v2/profiles"),
    (b"HEAD", b"/v2/profiles"),
    (b"GET", b"/v2/profiles/123"),
    (b"GET", b"/managerAccounts"),
    (b"POST", b"/adsAccounts/list"),
    (b"GET", b"/accounts/ENTITY1/dsp/amazonAdTag"),
    (b"GET", b"/dsp/advertisers/1"),
    (b"GET", b"/amc/instances"),
    (b"GET", b"/amc/reporting/amc1/schedules"),
    (b"POST", b"/adsApi/v1/create/reports"),
    (b"POST", b"/adsApi/v1/retrieve/reports"),
    (b"DELETE", LIST),
    (b"OPTIONS", LIST),
    (b"POST", b"/unheard/of"),
    (b"GET", b"/unheard/of/1"),
    (b"GET", b"/unheard/amzn1.ads-account.g.x"),
    (b"GET", b"/unheard/commitments"),
    (b"GET", b"/unheard/sellerAccounts"),
    (b"POST", b"/adsApi/v1/query/commitments"),
    (b"POST", b"/adsApi/v1/query/unheardUsers"),
    (b"GET", b"/V2/Profiles"),
    (b"DELETE", b"/v2/profiles"),
    (b"GET", b"/v2/profiles.json"),
    (b"GET", b"/v4/profiles"),
    (b"GET", b"/V17/PROFILES/1"),
    (b"POST", b"/AMC/Instances"),
    (b"POST", b"/managerAccounts/1/unheard"),
    (b"GET", b"/Accounts/1/dsp/x"),
    (b"GET", b"/MCP"),
    (b"GET", b"/mcp/x"),
    (b"GET", b"/"),
]


@pytest.mark.parametrize(("method", "target"), UNGOVERNED)
@pytest.mark.parametrize("limits", [PROFILED, ACCOUNTED, MIXED, {**MIXED, "paths": ("*",)}])
def test_what_nothing_governs_is_open_where_it_is_named_only(
    limits: dict[str, Any], method: bytes, target: bytes
) -> None:
    """A pattern of `paths` opens nothing; `unscoped_paths` opens what it names letter by letter, for no foreign one."""
    ways: list[tuple[bytes, tuple[bytes, ...]]] = [(b"", ())]
    if "profiles" in limits:
        ways.append((b"123", ()))
    if "account_ids" in limits:
        ways.append((b"", (account(OWN),)))
    named = {**limits, "unscoped_paths": (target.decode(),)}
    for scope, lines in ways:
        verdict = decided(limits, method, target, *lines, scope=scope)
        assert isinstance(verdict.refusal, NotPermitted) and verdict.rule in limits
        verdict = decided(named, method, target, *lines, scope=scope)
        assert (verdict.refusal, verdict.rule) == (None, "unscoped_paths")
    for scope, line in ((b"999", b"X-A: b"), (b"", account(OTHER)), (b"", b"AdvertiserId: 1")):
        assert decided(named, method, target, line, scope=scope).refusal is not None
    assert decided(named, method, target, default=b"999").refusal is not None
    assert decided(named, method, target + b"x").refusal is not None


def test_a_named_path_is_compared_letter_by_letter() -> None:
    """The path is compared as its bytes are, not as a server may read it."""
    named = {**PROFILED, "unscoped_paths": ("/v2/profiles", "/mcp/")}
    assert decided(named, b"GET", b"/v2/profiles").refusal is None
    assert decided(named, b"POST", b"/mcp/").refusal is None
    for target in (b"/v2/%70rofiles", b"/v2/profiles/", b"/V2/profiles", b"/v2/profile"):
        assert decided(named, b"GET", target).refusal is not None


@pytest.mark.parametrize("limits", [{"paths": ("/sp/*",)}, {"methods": ("GET",)}, {"access": "read"}])
def test_a_named_path_opens_no_other_limit(limits: dict[str, Any]) -> None:
    """`paths`, `methods` and `access` only ever restrict, and `unscoped_paths` is about Scope and account id alone."""
    named = {**PROFILED, "unscoped_paths": ("/v2/unheard",), **limits}
    assert decided(named, b"POST", b"/v2/unheard").rule == next(iter(limits))
    assert decided(named, b"POST", b"/v2/unheard").refusal is not None


def test_a_refused_report_says_why() -> None:
    """Reports of the unified API name their accounts in a body."""
    verdict = decided(PROFILED, b"POST", b"/adsApi/v1/create/reports", scope=b"123")
    assert "name their accounts in the body" in verdict.reason


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        (b"AdvertiserId: 1", False),
        (b"AdvertiserId: 77", True),
        (b"AdvertiserId:", True),
        (b"AdvertiserId: 77, 78", False),
        (b"AdvertiserId: ,77 ,", True),
        (b"X_Advertiser-Ids: 78", False),
        (b"Amazon-Advertising-API-EntityId: ENTITY1", False),
        (b"Amazon-Advertising-API-Entity_Id: 77", True),
        (b"Amazon-Ads-Manager-AccountId: 77", False),
        (b"Amazon-Advertising-API-Manager-Account: 77", False),
        (b"Amazon-Advertising-API-MarketplaceId: 77", False),
        (b"Amazon-Marketing-Cloud-Audience-InstanceId: 77", False),
        (b"X-Profile-Id: 123", True),
        (b"X-Profile-Id: 125", False),
        (b"X-Profile-Id: 77", False),
        (b"AdvertiserId: 123", False),
        (b"X-ProfileId-Or-AccountId: 123", False),
        (b"X-ProfileId-Or-AccountId: 77", False),
        (b"Amazon-Ads-Account-Id-Filter: 78", False),
        (b"Accept: 78", True),
        (b"Amazon-Ads-AccountId: 78", False),
    ],
)
@pytest.mark.parametrize("place", ["header", "query"])
def test_an_account_that_is_not_the_clients_own_is_named_nowhere(line: bytes, allowed: bool, place: str) -> None:
    """No header and no parameter, known or similar, may name it next to a permitted Scope."""
    name, _, value = line.partition(b":")
    if place == "header":
        verdict = decided(MIXED, b"POST", LIST, line, scope=b"123")
    else:
        target = LIST + b"?a=b&" + name + b"=" + value.strip().replace(b" ", b"%20")
        verdict = decided(MIXED, b"POST", target, scope=b"123")
    assert (verdict.refusal is None) is allowed, verdict
    if not allowed:
        assert isinstance(verdict.refusal, NotPermitted)
        assert place in verdict.reason


def test_no_ordinary_header_names_an_account() -> None:
    """What is passed over without a look is nothing that would be refused."""
    assert not [name for name in ORDINARY if names_account(name)]


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        (b"", True),
        (b"?", True),
        (b"?startIndex=1&count=10", True),
        (b"?x=accountId", True),
        (b"?advertiserId=1", False),
        (b"?advertiserId=", True),
        (b"?advertiserId", True),
        (b"?advertiserId=77&advertiserId=1", False),
        (b"?advertiserId=77%2C1", False),
        (b"?advertiserId=77%2C77", True),
        (b"?%61dvertiser%49d=1", False),
        (b"?%2561dvertiserId=1", False),
        (b"?%252561dvertiserId=1", False),
        (b"?x=1%26advertiserId=1", False),
        (b"?x=1%2526advertiserId%253D1", False),
        (b"?x=1;advertiserId=1", False),
        (b"?filter[profile.id]=9", False),
        (b"?filter%5Bprofile+id%5D=123", True),
        (b"?a&b&&=c&accountId=%ff", False),
        (b"?x=100%25", True),
        (b"?x=%252525", True),
        (b"?x=%2525252525252541", False),
        (b"?profileI%u0064=9", False),
        (b"?x=1&%25u0070rofileId=9", False),
        (b"?\\u0070rofileId=9", False),
        (b"?%C0%F0rofileId=9", False),
        (b"?profile%C4%B0d=9", False),
        (b"?%EF%BD%90rofileId=123", False),
        (b"?x=%C4%B0%u0064", True),
        (b"?Amazon-Advertising-API-Scope=9", False),
        (b"?amazon_advertising_api_scope=9", False),
        (b"?Amazon-Advertising-API-Scope=123", True),
    ],
)
def test_a_query_is_read_as_the_most_lenient_server_would(query: bytes, allowed: bool) -> None:
    """Codes, twice coded ones, semicolons, repetition, lists."""
    verdict = decided(MIXED, b"POST", LIST + query, scope=b"123")
    assert (verdict.refusal is None) is allowed, verdict


@pytest.mark.parametrize("separator", [b"&", b";", b"%26", b"%2526"])
def test_a_query_of_too_many_parameters_is_not_judged(separator: bytes) -> None:
    """400 beyond 80, also where the parameters appear only once the query is decoded again."""
    within, beyond = (separator.join(b"a%d=1" % number for number in range(count)) for count in (80, 81))
    assert decided(MIXED, b"POST", LIST + b"?" + within, scope=b"123").refusal is None
    verdict = decided(MIXED, b"POST", LIST + b"?" + beyond, scope=b"123")
    assert isinstance(verdict.refusal, TooManyParameters)
    assert verdict.refusal.status == 400
    assert "more than 80 parameters" in verdict.reason


def test_a_client_without_a_profile_is_told_which_header_chooses_one() -> None:
    """By its whole name, and so it is where an account id is needed."""
    assert "send Amazon-Advertising-API-Scope." in decided(PROFILED, b"POST", LIST).reason
    assert "send Amazon-Ads-Account-ID, once." in decided(ACCOUNTED, b"GET", STREAMS).reason
    assert "this operation needs a Scope" in decided(ACCOUNTED, b"POST", LIST, account(OWN)).reason
    assert "this operation needs an account id" in decided(PROFILED, b"GET", STREAMS, scope=b"123").reason


def test_a_default_profile_that_is_not_the_clients_own_is_refused_without_its_name() -> None:
    """The client learns no profile id that it did not send; one of its own passes as if it were sent."""
    assert decided(PROFILED, b"POST", LIST, default=b"123").refusal is None
    for limits, lines in ((PROFILED, ()), (MIXED, (account(OWN),)), (ACCOUNTED, (account(OWN),))):
        verdict = decided(limits, b"POST", EITHER, *lines, default=b"999000")
        assert isinstance(verdict.refusal, NotPermitted)
        assert "999000" not in verdict.reason


@pytest.mark.parametrize(
    ("limits", "method", "target", "ads_account", "allowed"),
    [
        (ACCOUNTED, b"POST", EITHER, OWN, True),
        (ACCOUNTED, b"POST", EITHER, OTHER, False),
        (ACCOUNTED, b"GET", STREAMS, OWN, True),
        (ACCOUNTED, b"GET", STREAMS, OTHER, False),
        (ACCOUNTED, b"GET", STREAMS, "", False),
        (MIXED, b"POST", EITHER, OWN, True),
        (MIXED, b"POST", EITHER, OTHER, False),
        (MIXED, b"GET", STREAMS, OWN, True),
        (PROFILED, b"POST", EITHER, OWN, False),
        (PROFILED, b"POST", EITHER, OTHER, False),
        ({**PROFILED, "unscoped_paths": (EITHER.decode(),)}, b"POST", EITHER, OTHER, False),
        ({**ACCOUNTED, "unscoped_paths": (EITHER.decode(),)}, b"POST", EITHER, OWN, True),
        ({}, b"POST", EITHER, OTHER, True),
    ],
)
def test_a_default_ads_account_is_judged_as_if_it_were_sent(
    limits: dict[str, Any], method: bytes, target: bytes, ads_account: str, allowed: bool
) -> None:
    """One of the client's own governs the request; another is refused, on a named path too, and not said."""
    header = b"Amazon-Ads-AccountId" if ads_account else b""
    chosen = replace(ROUTE, ads_account=ads_account.encode(), ads_account_header=header)
    verdict = judged(policy(**limits), request(method, target, fields()), chosen)
    assert (verdict.refusal is None) is allowed, verdict
    assert OTHER not in verdict.reason


@pytest.mark.parametrize("lines", [(account(OTHER),), (account(OWN), account(OWN)), (account(f"{OWN},77"),)])
def test_a_default_ads_account_replaces_nothing_that_was_sent(lines: tuple[bytes, ...]) -> None:
    """The default fills in only what is absent."""
    chosen = replace(ROUTE, ads_account=OWN.encode(), ads_account_header=b"Amazon-Ads-Account-ID")
    sent = [line.replace(b"AccountId", b"Account-ID") for line in lines]
    verdict = judged(policy(**ACCOUNTED), request(b"GET", STREAMS, fields(*sent)), chosen)
    assert isinstance(verdict.refusal, NotPermitted)


def test_a_scope_that_the_operation_does_not_take_governs_nothing() -> None:
    """The Scope governs nothing next to a missing account id either."""
    verdict = decided(MIXED, b"GET", STREAMS, scope=b"123")
    assert isinstance(verdict.refusal, NotPermitted) and verdict.rule == "account_ids"


def test_sign_in_is_left_to_who_never_forwards_it() -> None:
    """A limited client gets the same error as all others: such a path is never forwarded."""
    assert decided(PROFILED, b"GET", b"/auth/../x").refusal is None
    assert decided(PROFILED, b"GET", b"/.well-known/oauth-protected-resource").refusal is None


def _placeholder_beside(row: Operation, literal: Operation) -> bool:
    """Whether a path of `literal`, which has as many segments, fits `row` too, but for the literal's segments."""
    return all(mine in (b"{}", theirs) for mine, theirs in zip(row.segments, literal.segments, strict=True))


def test_no_operation_stands_where_a_lenient_server_could_see_another() -> None:
    """`/sd/campaigns/Extended` is judged as a campaign; who ignores case sees `extended`, and that is judged alike or
    more mildly.

    If newer specifications break this, the policy has to look for such neighbours.
    """
    alike: dict[tuple[str, int], list[Operation]] = {}
    for row in PUBLISHED:
        alike.setdefault((row.method, len(row.segments)), []).append(row)
    for row, literal in (pair for rows in alike.values() for pair in permutations(rows, 2)):
        if _placeholder_beside(row, literal):
            assert (row.scope, row.account) == (literal.scope, literal.account)
            assert row.effect in (literal.effect, Effect.WRITE)


def test_the_operations_of_these_tests_are_what_they_are_taken_for() -> None:
    """Newer specifications may change them."""
    rules = {}
    for method, path in ((b"POST", LIST), (b"POST", EITHER), (b"GET", STREAMS), (b"POST", BOTH)):
        row = PUBLISHED.find(method, tuple(path.split(b"/")[1:]))
        assert row is not None
        rules[path] = (row.scope, row.account)
    assert rules == {
        LIST: (ScopeRule.REQUIRED, AccountRule.NEVER),
        EITHER: (ScopeRule.OPTIONAL, AccountRule.OPTIONAL),
        STREAMS: (ScopeRule.NEVER, AccountRule.REQUIRED),
        BOTH: (ScopeRule.REQUIRED, AccountRule.REQUIRED),
    }


@pytest.mark.parametrize("path", [b"/adsApi/v1/create/portfolios", b"/adsApi/v1/update/portfolios"])
def test_an_operation_with_unknown_headers_is_not_for_limited_clients(path: bytes) -> None:
    """Nothing tells by what Amazon chooses the account, so neither a Scope nor an account id opens it."""
    for limits, sent in ((PROFILED, fields(scopes=(b"123",))), ({"account_ids": (OWN,)}, fields())):
        verdict = screened(policy(**limits), request(b"POST", path, sent))
        assert verdict.refusal is not None
        assert "chooses its account" in verdict.reason


# --- next to the published table, and with a default ads account


def test_the_table_that_routing_asks_is_asked() -> None:
    """A row that the configuration adds or corrects counts here as well: its effect, and what governs it."""
    limited, target = policy(**PROFILED, access="read"), b"/new/things/list"
    asked = request(b"POST", target, fields(scopes=(b"123",)))
    assert screened(limited, asked).rule == "access"
    row = Amendment("POST", "/new/things/list", scope=ScopeRule.REQUIRED, effect=Effect.READ)
    assert screened(limited, asked, amend(PUBLISHED, [row])).refusal is None
    never = Amendment("POST", "/new/things/list", scope=ScopeRule.NEVER, effect=Effect.READ)
    assert screened(limited, asked, amend(PUBLISHED, [never])).rule == "profiles"


@pytest.mark.parametrize(
    ("path", "target", "rule"),
    [
        ("/new/{advertiserId}/things", b"/new/58/things", "profiles"),
        ("/new/{thingId}/things", b"/new/58/things", ""),
        ("/dsp/advertisers/{x}", b"/dsp/advertisers/58", "profiles"),
    ],
)
def test_the_placeholders_of_a_row_say_whether_its_path_names_an_account(path: str, target: bytes, rule: str) -> None:
    """The placeholders of an added row count; a corrected row keeps the published names."""
    table = amend(PUBLISHED, [Amendment("GET", path, scope=ScopeRule.REQUIRED)])
    verdict = screened(policy(**PROFILED), request(b"GET", target, fields(scopes=(b"123",))), table)
    assert (verdict.rule if verdict.refusal is not None else "") == rule


def test_a_default_ads_account_must_be_the_clients_own() -> None:
    """The default decides where an open path lets a request without an account pass."""
    limits = {"account_ids": (OWN,), "unscoped_paths": (EITHER.decode(),)}
    asked = request(b"POST", EITHER)
    for identifier, permitted in ((OWN, True), (OTHER, False)):
        default = replace(ROUTE, ads_account=identifier.encode(), ads_account_header=b"Amazon-Ads-AccountId")
        assert (judged(policy(**limits), asked, default).refusal is None) is permitted
