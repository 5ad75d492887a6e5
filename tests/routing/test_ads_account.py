"""How a request's ads account chooses account and region, and where a default one is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.app.rules import make_routing_table
from proxy.commands.specifications import SCOPE, STRENGTH, Described, read_specifications, strength
from proxy.errors import AccountRequired, ConflictingAdsAccount, RegionRequired
from proxy.http1.target import path_segments
from proxy.routing.ads_account import (
    PUBLISHED_PARAMETERS,
    AccountParameter,
    ParameterPlace,
    any_names_account,
    names_account,
    parse_parameters,
    takes_default_scope,
)
from proxy.routing.operations import PUBLISHED, ScopeRule
from proxy.routing.route import Route
from proxy.routing.table import ClientScope, EmptyDirectory
from tests.support.deciding import NAMING_AN_ADVERTISER, Listed, config, fields, routed
from tests.support.specifications import published_specifications

DIRECTORY = Listed(
    owners={"11": (("acme", "na"),), "22": (("acme", "eu"),), "33": (("zeta", "fe"),), "44": (("gone", "na"),)},
    first={("pins", "na"): "901"},
    ads_accounts={
        "a.eu": (("acme", "eu"),),
        "a.two": (("acme", "eu"), ("acme", "na")),
        "a.away": (("acme", "eu"), ("acme", "fe")),
        "z": (("zeta", "eu"),),
        "shared": (("acme", "na"), ("zeta", "eu")),
        "58": (("zeta", "fe"),),
        "own.eu": (("ads", "eu"),),
    },
)
TABLE = make_routing_table(
    config(
        {
            "acme": {"region": "na"},
            "zeta": {"region": "eu"},
            "both": {"default_profile": "11", "default_ads_account": "d"},
            "ads": {"default_ads_account": "own.eu"},
            "pins": {"default_profile": "first", "default_ads_account": "d"},
        },
        routes={"brand": {"account": "both", "profile": "123"}, "brand-fe": {"account": "acme", "region": "fe"}},
    ),
    DIRECTORY,
)
CAMPAIGNS, STREAMS, BOTH = (
    b"/adsApi/v1/query/campaigns",
    b"/dsp/streams/subscriptions",
    b"/sp/global/targets/keywords/recommendations/list",
)
"""Takes either; takes the account id alone, in a spelling of its own; wants Scope and account id."""
SCOPE_ALONE, NEITHER, UNKNOWN, AMC = (
    b"/sp/campaigns/list",
    b"/adsApi/v1/create/reports",
    b"/new/thing",
    b"/amc/reporting/x/schedules",
)


def found(target: bytes, *ads_accounts: str, scope: str = "", caller: ClientScope | None = None, **sent: Any) -> Route:
    """Where a POST with these values of Amazon-Ads-AccountId goes."""
    lines = tuple(f"Amazon-Ads-AccountId: {each}".encode() for each in ads_accounts)
    read = fields(*lines, *sent.pop("lines", ()), scopes=(scope.encode(),) if scope else (), **sent)
    return routed(b"POST", target, read, TABLE, *((caller,) if caller is not None else ()))


@pytest.mark.parametrize(
    ("ads_account", "sent", "account", "region"),
    [
        ("a.eu", {}, "acme", "eu"),
        ("z", {}, "zeta", "eu"),
        ("58", {}, "zeta", "fe"),
        ("a.two", {}, "acme", "na"),
        ("a.away", {"region": "fe"}, "acme", "fe"),
        ("a.away", {"region": "na"}, "acme", "na"),
        ("a.away", {"host": b"advertising-api-eu.amazon.com"}, "acme", "eu"),
        ("a.two", {"scope": "22"}, "acme", "eu"),
        ("a.away", {"scope": "11"}, "acme", "na"),
        ("a.away", {"account": "zeta"}, "zeta", "eu"),
        ("shared", {"account": "acme"}, "acme", "na"),
        ("shared", {"scope": "33"}, "zeta", "fe"),
        ("shared", {"region": "eu"}, "zeta", "eu"),
        ("z", {"scope": "999"}, "zeta", "eu"),
        ("unknown", {"scope": "22"}, "acme", "eu"),
        ("unknown", {"account": "zeta"}, "zeta", "eu"),
    ],
)
@pytest.mark.parametrize("target", [CAMPAIGNS, SCOPE_ALONE, UNKNOWN, b"/mcp"])
def test_an_ads_account_leads_to_account_and_region(
    target: bytes, ads_account: str, sent: dict[str, Any], account: str, region: str
) -> None:
    """The ads account chooses as a Scope does, whatever the operation; a named region decides before it."""
    route = found(target, ads_account, **sent)
    assert (route.account, route.region, route.ads_account) == (account, region, ads_account.encode())
    assert route.ads_account_header == b""


@pytest.mark.parametrize("name", [b"Amazon-Ads-AccountId", b"AMAZON-ADS-ACCOUNTID", b"Amazon-Ads-Account-ID"])
def test_either_spelling_leads(name: bytes) -> None:
    """In any case; the four operations of /dsp/streams/subscriptions spell it their own way."""
    route = found(STREAMS, lines=(name + b": z",))
    assert (route.account, route.region, route.ads_account) == ("zeta", "eu", b"z")


def test_a_prefix_chooses_the_region() -> None:
    """The prefix of a route does so as well."""
    assert found(b"/eu" + CAMPAIGNS, "a.two").region == "eu"
    assert found(b"/@brand-fe" + CAMPAIGNS, "a.two").region == "fe"


def test_several_regions_without_a_choice_are_named() -> None:
    """400 that says how to choose."""
    with pytest.raises(RegionRequired, match=r"is in several regions: eu, fe\. Choose one with X-Ads-Region") as no:
        found(CAMPAIGNS, "a.away")
    assert no.value.status == 400


def test_an_ads_account_of_several_accounts_needs_a_choice() -> None:
    """400 that names those which the client may use; of one there is no choice to make."""
    with pytest.raises(AccountRequired, match="Several accounts have this ads account: acme, zeta"):
        found(CAMPAIGNS, "shared")
    assert found(CAMPAIGNS, "shared", caller=ClientScope(accounts=frozenset({"zeta"}))).account == "zeta"


@pytest.mark.parametrize("sent", [{}, {"account": "acme"}, {"account": "zeta"}, {"region": "eu"}])
def test_scope_and_ads_account_of_different_accounts_are_refused(sent: dict[str, Any]) -> None:
    """The response is 400, also if the request selects one of the two."""
    with pytest.raises(ConflictingAdsAccount, match="leads to account acme, and Amazon-Ads-AccountId to account zeta"):
        found(CAMPAIGNS, "z", scope="11", **sent)


def test_a_client_is_told_nothing_of_accounts_that_it_may_not_use() -> None:
    """The client learns no more of such an account's ads account than of an unknown one."""
    only = ClientScope(accounts=frozenset({"acme"}))
    assert found(CAMPAIGNS, "z", scope="11", caller=only).account == "acme"
    assert found(CAMPAIGNS, "z", caller=only).account == "acme"


@pytest.mark.parametrize(
    "lines",
    [
        (b"Amazon-Ads-AccountId: a.eu", b"Amazon-Ads-AccountId: z"),
        (b"Amazon-Ads-AccountId: a.eu", b"Amazon-Ads-Account-ID: z"),
        (b"Amazon-Ads-AccountId: a.eu, z",),
    ],
)
def test_two_ads_accounts_are_refused(lines: tuple[bytes, ...]) -> None:
    """In either spelling, and as a list."""
    with pytest.raises(ConflictingAdsAccount, match="more than one account"):
        found(b"/@acme" + CAMPAIGNS, lines=lines)


def test_the_same_ads_account_twice_is_one() -> None:
    """Amazon gets what the client sent."""
    assert found(CAMPAIGNS, "z", "z").account == "zeta"


@pytest.mark.parametrize("target", [CAMPAIGNS, STREAMS, BOTH])
def test_an_empty_ads_account_is_absent(target: bytes) -> None:
    """Amazon's collection sends it so where a variable is not set; the default is added, the empty one not sent."""
    read = fields(b"amazon-ads-accountid:  ", b"Amazon-Ads-Account-ID:", b"X: y", scopes=(b"",))
    route = routed(b"POST", b"/@both" + target, read, TABLE)
    assert route.ads_account == b"d"
    assert read.passing == b"X: y\r\n"


ACCOUNT_ID, STREAMS_ID = b"Amazon-Ads-AccountId", b"Amazon-Ads-Account-ID"


@pytest.mark.parametrize(
    ("target", "sent", "profile", "ads_account", "header"),
    [
        (b"/@both" + CAMPAIGNS, {}, b"", b"d", ACCOUNT_ID),
        (b"/@both" + STREAMS, {}, b"", b"d", STREAMS_ID),
        (b"/@both" + BOTH, {}, b"11", b"d", ACCOUNT_ID),
        (b"/@both" + SCOPE_ALONE, {}, b"11", b"", b""),
        (b"/@both" + NEITHER, {}, b"", b"", b""),
        (b"/@both" + UNKNOWN, {}, b"11", b"", b""),
        (b"/@both" + AMC, {}, b"11", b"", b""),
        (b"/@both/mcp", {}, b"", b"", b""),
        (b"/@both" + CAMPAIGNS, {"scope": "22"}, b"22", b"", b""),
        (b"/@both" + BOTH, {"scope": "22"}, b"22", b"", b""),
        (b"/@both" + CAMPAIGNS, {"ads": "x"}, b"", b"x", b""),
        (b"/@both" + BOTH, {"ads": "x"}, b"11", b"x", b""),
        (b"/@both" + SCOPE_ALONE, {"ads": "x"}, b"", b"x", b""),
        (b"/@both" + UNKNOWN, {"ads": "x"}, b"", b"x", b""),
        (b"/@brand" + CAMPAIGNS, {}, b"123", b"", b""),
        (b"/@brand" + STREAMS, {}, b"", b"", b""),
        (b"/@brand" + CAMPAIGNS, {"ads": "x"}, b"", b"x", b""),
        (b"/@both" + CAMPAIGNS, {"lines": (b"Amazon-Ads-Manager-AccountId: m",)}, b"", b"", b""),
        (b"/@both" + STREAMS, {"lines": (b"Amazon-Ads-Manager-AccountId: m",)}, b"", b"d", STREAMS_ID),
        (b"/@both" + CAMPAIGNS, {"lines": (b"Amazon-Ads-Manager-AccountId:",)}, b"", b"d", ACCOUNT_ID),
        (b"/@ads" + SCOPE_ALONE, {}, b"", b"", b""),
        (b"/@pins" + CAMPAIGNS, {}, b"", b"d", ACCOUNT_ID),
        (b"/@pins" + BOTH, {}, b"901", b"d", ACCOUNT_ID),
    ],
)
def test_what_is_added_to_what_was_sent(
    target: bytes, sent: dict[str, Any], profile: bytes, ads_account: bytes, header: bytes
) -> None:
    """The ads account before the profile, where the operation takes one; both only where it wants both."""
    given = {**sent}
    own = given.pop("ads", "")
    route = found(target, *((own,) if own else ()), **given)
    assert (route.profile, route.ads_account, route.ads_account_header) == (profile, ads_account, header)


def test_a_default_ads_account_chooses_the_region() -> None:
    """The default chooses as a sent ads account does; a prefix decides before both."""
    assert found(b"/@ads" + CAMPAIGNS).region == "eu"
    assert found(b"/@ads/fe" + CAMPAIGNS).region == "fe"
    assert found(b"/@ads" + SCOPE_ALONE).region == "na"


WORDS = ("accountid", "advertiserid", "entityid", "manageraccount", "instanceid", "profileid", "marketplaceid")
HEADERS = [parameter.name for parameter in PUBLISHED_PARAMETERS if parameter.place is ParameterPlace.HEADER]


def test_the_list_has_every_header_of_the_specifications() -> None:
    """The two DSP audience operations' plain AdvertiserId is on it, and the one that only a text names."""
    assert len(HEADERS) == 11
    assert {"AdvertiserId", "Amazon-Advertising-AccountId", "Amazon-Ads-Manager-Account-ID"} <= set(HEADERS)
    assert {parameter.place for parameter in PUBLISHED_PARAMETERS} == set(ParameterPlace)


@pytest.mark.parametrize("parameter", PUBLISHED_PARAMETERS, ids=lambda parameter: f"{parameter.place}-{parameter.name}")
def test_every_parameter_of_the_specifications_names_an_account(parameter: AccountParameter) -> None:
    """In the specifications' spelling and in others that a lenient server takes for the same."""
    name = parameter.name.encode()
    for spelling in (
        name,
        name.upper(),
        name.lower(),
        name.replace(b"-", b"_"),
        name + b"s",
        b"x-" + name,
        b" %b\t" % name,
    ):
        assert names_account(spelling)


@pytest.mark.parametrize(
    "name",
    [
        b"Amazon-Advertising-API-Entity-Id",
        b"Amazon-Advertising-API-Account-ID",
        b"Amazon-Advertising-Advertiser-Id",
        b"Amazon-Ads-AccountID",
        b"dspAdvertiserId",
        b"encryptedAdvertiserId",
        b"filter[profile.id]",
        b"ENTITY\xe2\x80\x8bID",
        b"x" * 200 + b"-profile-id",
    ],
)
def test_what_is_alike_names_an_account(name: bytes) -> None:
    """Neighbours of Amazon's names, and names with anything between their letters."""
    assert names_account(name)


@pytest.mark.parametrize(
    "name",
    [
        b"Amazon-Advertising-API-Scope",
        b"Amazon-Advertising-API-ClientId",
        b"Amazon-Ads-ClientId",
        b"profileTypeFilter",
        b"campaignIdFilter",
        b"countryCode",
        b"vendorProductIds",
        b"account",
        b"x-accounting-id",
        b"Content-Type",
        b"",
        b"y" * 200,
    ],
)
def test_other_names_do_not(name: bytes) -> None:
    """Scope and client ids have rules of their own; filters by something else are free."""
    assert not names_account(name)


@given(st.sampled_from(WORDS), st.data())
def test_no_case_and_no_punctuation_hides_a_word(word: str, data: st.DataObject) -> None:
    """Any signs between the letters, any case, anything before and behind."""
    signs = st.text(alphabet="-_. []%+:\x00\xa0", max_size=3)
    letters = [data.draw(st.sampled_from((letter, letter.upper()))) + data.draw(signs) for letter in word]
    name = data.draw(signs) + "x" + "".join(letters) + data.draw(signs)
    assert names_account(name.encode("latin-1"))


def test_headings_are_no_parameters() -> None:
    """A comment and the columns' names come before the list."""
    text = "# a\nplace\tname\toperations\nquery\tprofileId\t1\n"
    assert parse_parameters(text) == (AccountParameter(ParameterPlace.QUERY, "profileId"),)


EITHER_WILL_DO = {f"/adsApi/v1/{verb}/ads" for verb in ("create", "query", "update", "delete")}
"""One file alone requires a Scope here, and knows no account id; others let the account id do instead."""


def find_scope_rule(method: bytes, path: bytes) -> ScopeRule:
    """The rule of the published operation with this path."""
    operation = PUBLISHED.find(method, path_segments(path))
    return ScopeRule.UNKNOWN if operation is None else operation.scope


@pytest.fixture(scope="module")
def published() -> tuple[Described, ...]:
    return read_specifications(published_specifications())


def test_every_published_operation_has_its_rule(published: tuple[Described, ...]) -> None:
    """All 723 operations of Amazon's files are found in the table, with the strongest rule that any file has.

    Four of them are optional though a file says required: a client of another file has no Scope to send.
    """
    assert len(published) == 723
    rules: dict[tuple[str, str], str] = {}
    for described in published:
        rules[described.key] = max(
            rules.get(described.key, "never"), strength(described, SCOPE), key=STRENGTH.__getitem__
        )
    wrong, softened = [], set()
    for described in published:
        path = re.sub(r"\{[^{}]*\}", "some-Value_1", described.path).encode()
        found = find_scope_rule(described.method.encode(), path)
        if found is ScopeRule.OPTIONAL and rules[described.key] == "required":
            softened.add(described.path)
        elif found.value != rules[described.key] or STRENGTH[found.value] < STRENGTH[strength(described, SCOPE)]:
            wrong.append((described, found))
    assert not wrong
    assert softened == EITHER_WILL_DO


def test_published_operations_are_counted(published: tuple[Described, ...]) -> None:
    """Scope is required on 282 operations of the files, optional on 242, and absent from 199."""
    counts = [sum(strength(each, SCOPE) == rule for each in published) for rule in ("required", "optional", "never")]
    assert counts == [282, 242, 199]


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        (b"GET", b"/v2/profiles", ScopeRule.NEVER),
        (b"HEAD", b"/v2/profiles", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/", ScopeRule.NEVER),
        (b"GET", b"//v2//profiles", ScopeRule.NEVER),
        (b"GET", b"/v2/%70rofiles", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/123", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/1%2F3", ScopeRule.NEVER),
        (b"GET", b"/V2/profiles", ScopeRule.UNKNOWN),
        (b"get", b"/v2/profiles", ScopeRule.UNKNOWN),
        (b"DELETE", b"/v2/profiles", ScopeRule.UNKNOWN),
        (b"GET", b"/v2/profiles/123/more", ScopeRule.UNKNOWN),
        (b"GET", b"/v2", ScopeRule.UNKNOWN),
        (b"GET", b"/", ScopeRule.UNKNOWN),
        (b"GET", b"", ScopeRule.UNKNOWN),
        (b"GET", b"/never/heard/of", ScopeRule.UNKNOWN),
        (b"GET", b"/{}", ScopeRule.UNKNOWN),
        (b"POST", b"/sp/campaigns/list", ScopeRule.REQUIRED),
        (b"POST", b"/reporting/reports", ScopeRule.OPTIONAL),
        (b"POST", b"/sp/global/targets/keywords/recommendations/list", ScopeRule.REQUIRED),
        (b"POST", b"/v2/dp/audiencemetadata", ScopeRule.NEVER),
        (b"GET", b"/amc/instances", ScopeRule.OPTIONAL),
        (b"POST", b"/amc/instances", ScopeRule.NEVER),
        (b"GET", b"/accounts/ENTITY1/dsp/amazonAdTag", ScopeRule.OPTIONAL),
        (b"GET", b"/managerAccounts", ScopeRule.NEVER),
        (b"POST", b"/adsAccounts/list", ScopeRule.NEVER),
        (b"GET", b"/adsAccounts/list", ScopeRule.NEVER),
        (b"GET", b"/testAccounts", ScopeRule.NEVER),
        (b"GET", b"/partnerOpportunities/summary", ScopeRule.NEVER),
    ],
)
def test_rule_of_an_operation(method: bytes, path: bytes, rule: ScopeRule) -> None:
    """Method and path find their rule, however the path spells its slashes and letters."""
    assert find_scope_rule(method, path) is rule


def test_a_literal_segment_beats_a_parameter_unless_the_rest_does_not_fit() -> None:
    """`/adsAccounts/list` is its own operation for POST; for GET it is an account of that name."""
    assert {"/adsAccounts/list", "/adsAccounts/{advertisingAccountId}"} <= {row.template for row in PUBLISHED}
    assert find_scope_rule(b"GET", b"/adsAccounts/list") is find_scope_rule(b"GET", b"/adsAccounts/7")


def test_segments_are_decoded_after_the_path_was_split() -> None:
    """An encoded slash does not make two segments of one."""
    assert path_segments(b"/a//b%2Fc/%64/") == (b"a", b"b/c", b"d")


OPERATIONS = {
    ScopeRule.REQUIRED: (b"POST", b"/sp/campaigns/list"),
    ScopeRule.OPTIONAL: (b"POST", b"/reporting/reports"),
    ScopeRule.UNKNOWN: (b"GET", b"/no/such/operation"),
    ScopeRule.NEVER: (b"GET", b"/v2/profiles"),
}


@pytest.mark.parametrize("between", [bytes((byte,)) for byte in range(128) if not chr(byte).isalnum() and byte != 10])
def test_nothing_between_its_letters_hides_a_name_among_others(between: bytes) -> None:
    """Control characters neither: a query's names come decoded."""
    assert any_names_account([b"count", b"account" + between + b"id"])
    assert not any_names_account([b"account", b"id"])


def sent_scope(rule: ScopeRule, own: bytes, names_account: bool, default: str | None) -> bytes:
    """The Scope with which a request leaves: an operation of this rule, an account with this default profile."""
    method, path = OPERATIONS[rule]
    assert find_scope_rule(method, path) is rule
    table = make_routing_table(config({"acme": {"default_profile": default}}), EmptyDirectory())
    lines = (NAMING_AN_ADVERTISER,) if names_account else ()
    return routed(method, path, fields(*lines, scopes=(own,) if own else ()), table).profile


@pytest.mark.parametrize(
    ("rule", "own", "names_account", "sent"),
    [
        (ScopeRule.REQUIRED, b"", False, b"9"),
        (ScopeRule.REQUIRED, b"", True, b"9"),
        (ScopeRule.REQUIRED, b"1", False, b"1"),
        (ScopeRule.OPTIONAL, b"", False, b"9"),
        (ScopeRule.OPTIONAL, b"", True, b""),
        (ScopeRule.OPTIONAL, b"1", True, b"1"),
        (ScopeRule.UNKNOWN, b"", False, b"9"),
        (ScopeRule.UNKNOWN, b"", True, b""),
        (ScopeRule.UNKNOWN, b"1", True, b"1"),
        (ScopeRule.NEVER, b"", False, b""),
        (ScopeRule.NEVER, b"", True, b""),
        (ScopeRule.NEVER, b"1", True, b"1"),
    ],
)
def test_scope_that_is_sent(rule: ScopeRule, own: bytes, names_account: bool, sent: bytes) -> None:
    """The client's own always passes; the default one goes where the operation wants it and nothing contradicts it."""
    assert sent_scope(rule, own, names_account, "9") == sent
    if not own:
        operation = PUBLISHED.find(OPERATIONS[rule][0], path_segments(OPERATIONS[rule][1]))
        added = takes_default_scope(operation, ads_account=False, names_account=names_account)
        assert added is (sent == b"9")


@pytest.mark.parametrize("rule", ScopeRule)
def test_without_a_default_no_scope_is_invented(rule: ScopeRule) -> None:
    """An account without a default profile sends none, whatever the operation wants."""
    assert sent_scope(rule, b"", False, None) == b""
