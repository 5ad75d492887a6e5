"""The unified API: every operation of `/adsApi/v1`, its headers, bodies and answers."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema
import pytest

from proxy.simulator.ads_accounts import AccountCountry, AdsAccount, account_id
from proxy.simulator.campaigns import FIRST_ID
from proxy.simulator.operations import Operation, load_operations
from proxy.simulator.unified import Shape, load_shapes, matches
from scripts import make_simulator_operations as operations_of
from scripts import make_simulator_unified as making
from tests.simulator.conftest import Reply, SimulatorClient
from tests.simulator.test_operations import wheel
from tests.support.unified import smallest_body

JSON = "application/json"
NA, EU = "1110000000000001", "2220000000000001"
BOTH = account_id("default", 1)
"""The ads account whose profiles are NA and EU."""

PRODUCT = {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}
CAMPAIGN = {"adProduct": "SPONSORED_PRODUCTS", "name": "new", "state": "ENABLED"}
ALL = sorted(load_shapes())
COLLECTION_SENDS_SCOPE = {
    "/adsApi/v1/commitments/dsp",
    "/adsApi/v1/retrieve/commitments/dsp",
    "/adsApi/v1/retrieve/commitmentSpends/dsp",
    "/adsApi/v1/query/linearTvDayparts",
    "/adsApi/v1/query/publishers",
}
"""Operations that have no Scope in the specification, and one in Amazon's collection."""


@cache
def specification() -> dict[str, Any]:
    """The file that describes the unified API, read once: it is large."""
    return dict(operations_of.specifications(wheel()))[making.FILE]


def operation_of(key: tuple[str, str]) -> Operation:
    """The row of an operation."""
    found = load_operations().find(*key)
    assert found is not None
    return found


def body_for(shape: Shape) -> dict[str, Any] | None:
    """The smallest body that the shape allows."""
    return smallest_body(shape, BOTH)


async def send(client: SimulatorClient, key: tuple[str, str], body: Any, **changed: str | None) -> Reply:
    """A request with the headers that the operation's row wants, and no more."""
    row = operation_of(key)
    headers: dict[str, str | None] = {"Content_Type": None if body is None else JSON, "Accept": JSON}
    if row.scope == "required":
        headers["Amazon_Advertising_API_Scope"] = NA
    if row.account in ("required", "either"):
        headers["Amazon_Ads_AccountId"] = BOTH
    return await client.ask(key[0], key[1], body, **{**headers, **changed})


async def post(client: SimulatorClient, path: str, body: Any, **headers: str | None) -> Any:
    """The answer of an operation for the first ads account."""
    reply = await send(client, ("POST", f"/adsApi/v1/{path}"), body, **{"Amazon_Ads_AccountId": BOTH, **headers})
    assert reply.status in (200, 207), reply.body
    return reply.json()


@pytest.mark.parametrize("key", ALL, ids=lambda key: f"{key[0]} {key[1]}")
async def test_every_operation_answers_in_its_own_shape(client: SimulatorClient, key: tuple[str, str]) -> None:
    """With the headers of its row and the smallest body, each answers with what its specification promises: in its
    shape, and without a fault by the specification's own schema."""
    shape = load_shapes()[key]
    reply = await send(client, key, body_for(shape))
    assert (reply.status, client.kinds()) == (operation_of(key).status, [])
    value = reply.json()
    if shape.verb in ("query", "list"):
        assert isinstance(value[shape.named], list)
    else:
        assert len(value["success"]) + len(value["error"]) == 1
        assert all(shape.named in entry for entry in value["success"])
    for entry in value.get("error", []):
        assert {error["code"] for error in entry["errors"]} <= {"RESOURCE_ID_NOT_FOUND", "FIELD_VALUE_IS_NULL"}
    document = specification()
    if key[1] not in document["paths"]:
        return  # only a newer file than those of the wheel has it, or a guide: test_documented_operations.py
    schema = making.content(document, document["paths"][key[1]][key[0].lower()]["responses"][str(reply.status)])
    resolver = {"components": document["components"], **schema}
    jsonschema.Draft4Validator(resolver).validate({**value, "error": []} if "error" in value else value)


@pytest.mark.parametrize("key", ALL, ids=lambda key: f"{key[0]} {key[1]}")
async def test_every_operation_is_strict_about_its_headers(client: SimulatorClient, key: tuple[str, str]) -> None:
    """Without its client id, account or Scope an operation is refused; with one that it does not take, too."""
    row, body = operation_of(key), body_for(load_shapes()[key])
    account, scope = {"Amazon_Ads_AccountId": BOTH}, {"Amazon_Advertising_API_Scope": NA}
    no_account, no_scope = dict.fromkeys(account, None), dict.fromkeys(scope, None)
    expected = ["client-id-missing"]
    await send(client, key, body, Amazon_Ads_ClientId=None)
    if row.scope != "optional":
        await send(client, key, body, **(no_scope if row.scope == "required" else scope))
        if key[1] not in COLLECTION_SENDS_SCOPE:
            expected.append("scope-missing" if row.scope == "required" else "scope-unwanted")
    if row.account != "optional":
        missing = {"required": "account-missing", "either": "advertiser-missing", "never": "account-unwanted"}
        await send(client, key, body, **(account if row.account == "never" else no_account))
        expected.append(missing[row.account])
    if body is not None:
        await send(client, key, body, Content_Type="text/plain")
        expected.append("content-type")
    assert client.kinds() == expected


async def test_bodies_of_another_shape_pass_where_they_are_not_judged(client: SimulatorClient) -> None:
    """Without strict bodies what would be 400 gets the generic answer; what is no JSON stays 400."""
    creation = ("POST", "/adsApi/v1/create/campaigns")
    refused = await send(client, creation, {"_truncated": True})
    client.simulator.state.change(strict_bodies=False)
    passed = await send(client, creation, {"_truncated": True})
    unreadable = await send(client, creation, b"{")
    assert (refused.status, passed.status, unreadable.status) == (400, 207, 400)
    assert passed.json()["operation"] == creation[1]


async def test_what_is_created_is_found_changed_and_archived(client: SimulatorClient) -> None:
    """A campaign goes through create, query, update and delete."""
    made = await post(client, "create/campaigns", {"campaigns": [CAMPAIGN]})
    chosen = made["success"][0]["campaign"]["campaignId"]
    by_id = {**PRODUCT, "campaignIdFilter": {"include": [chosen]}}
    await post(client, "update/campaigns", {"campaigns": [{"campaignId": chosen, "name": "changed"}]})
    (found,) = (await post(client, "query/campaigns", by_id))["campaigns"]
    assert (found["name"], found["state"], found["adProduct"]) == ("changed", "ENABLED", "SPONSORED_PRODUCTS")
    deleted = await post(client, "delete/campaigns", {"campaignIds": [chosen]})
    assert deleted["success"][0]["campaign"]["state"] == "ARCHIVED"
    (found,) = (await post(client, "query/campaigns", by_id))["campaigns"]
    assert found["state"] == "ARCHIVED"


@pytest.mark.parametrize(("kind", "count"), [("campaigns", 25), ("adGroups", 40), ("ads", 10), ("targets", 10)])
async def test_an_advertiser_has_something_from_the_start(client: SimulatorClient, kind: str, count: int) -> None:
    """Pages of 7 lead by nextToken through all of a kind, each once."""
    seen: list[str] = []
    wanted: dict[str, Any] = {**PRODUCT, "maxResults": 7}
    while "nextToken" not in wanted or wanted["nextToken"]:
        page = await post(client, f"query/{kind}", wanted)
        seen += [entity[f"{kind.removesuffix('s')}Id"] for entity in page[kind]]
        wanted["nextToken"] = page.get("nextToken")
    assert len(seen) == len(set(seen)) == count
    assert min(map(int, seen)) > FIRST_ID


async def test_ad_groups_belong_to_a_campaign_that_is_there(client: SimulatorClient) -> None:
    """The campaign of an ad group can be queried."""
    (group,) = (await post(client, "query/adGroups", {**PRODUCT, "maxResults": 1}))["adGroups"]
    by_id = {**PRODUCT, "campaignIdFilter": {"include": [group["campaignId"]]}}
    assert len((await post(client, "query/campaigns", by_id))["campaigns"]) == 1


async def test_profile_and_ads_account_show_the_same_things(client: SimulatorClient) -> None:
    """A campaign made by ads account is found by the profile of that account, but not in the other region."""
    await post(client, "create/campaigns", {"campaigns": [CAMPAIGN]})
    by_name = {**PRODUCT, "nameFilter": {"include": ["new"], "queryTermMatchType": "EXACT_MATCH"}}
    by_scope = {"Amazon_Ads_AccountId": None, "Amazon_Advertising_API_Scope": NA}
    assert len((await post(client, "query/campaigns", by_name, **by_scope))["campaigns"]) == 1
    client.region = "eu"
    assert (await post(client, "query/campaigns", by_name))["campaigns"] == []


V3 = {"Amazon_Ads_AccountId": None, "Amazon_Advertising_API_Scope": NA}


async def earlier(client: SimulatorClient, method: str, path: str, body: Any, media: str) -> Any:
    """The answer of an operation before the unified API, for the first profile."""
    reply = await client.ask(method, path, body, **{"Content_Type": media, "Accept": media, **V3})
    assert reply.status in (200, 207), reply.body
    return reply.json()


@pytest.mark.parametrize(
    ("path", "media", "member", "resource", "product"),
    [
        ("/sp/campaigns", "application/vnd.spCampaign.v3+json", "campaigns", "campaigns", "SPONSORED_PRODUCTS"),
        ("/sp/adGroups", "application/vnd.spAdGroup.v3+json", "adGroups", "adGroups", "SPONSORED_PRODUCTS"),
        ("/sp/productAds", "application/vnd.spProductAd.v3+json", "productAds", "ads", "SPONSORED_PRODUCTS"),
        (
            "/sb/v4/campaigns",
            "application/vnd.sbcampaignresource.v4+json",
            "campaigns",
            "campaigns",
            "SPONSORED_BRANDS",
        ),
    ],
)
async def test_both_generations_change_the_same_objects(
    client: SimulatorClient, path: str, media: str, member: str, resource: str, product: str
) -> None:
    """What the earlier one makes, the unified API finds and renames; what that archives, the earlier one shows so."""
    client.simulator.state.change(strict_members=False)
    id_name = f"{resource.removesuffix('s')}Id"
    made = await earlier(client, "POST", path, {member: [{"name": "new", "state": "PAUSED", "bid": 1}]}, media)
    chosen = made[member]["success"][0][id_name]
    by_id = {f"{id_name}Filter": {"include": [chosen]}}
    wanted = {"adProductFilter": {"include": [product]}, **by_id}
    (found,) = (await post(client, f"query/{resource}", wanted))[resource]
    assert (found["adProduct"], found["name"], found["state"]) == (product, "new", "PAUSED")
    assert "bid" not in found
    await post(client, f"update/{resource}", {resource: [{id_name: chosen, "name": "other", "tags": []}]})
    await post(client, f"delete/{resource}", {f"{id_name}s": [chosen]})
    (shown,) = (await earlier(client, "POST", f"{path}/list", by_id, media))[member]
    assert shown == {"name": "other", "state": "ARCHIVED", "bid": 1, id_name: chosen}


@pytest.mark.parametrize(("product", "path"), [("SPONSORED_PRODUCTS", "/sp"), ("SPONSORED_DISPLAY", "/sd")])
async def test_a_unified_campaign_is_listed_by_its_product_only(
    client: SimulatorClient, product: str, path: str
) -> None:
    """Behind those that were there; Sponsored Display writes its state in small letters."""
    made = await post(client, "create/campaigns", {"campaigns": [{**CAMPAIGN, "adProduct": product}]})
    chosen = made["success"][0]["campaign"]["campaignId"]
    listed = await earlier(
        client, "POST", "/sp/campaigns/list", {"maxResults": 100}, "application/vnd.spCampaign.v3+json"
    )
    display = await earlier(client, "GET", "/sd/campaigns", None, JSON)
    here, there = (listed["campaigns"], display) if path == "/sp" else (display, listed["campaigns"])
    assert (len(here), len(there)) == (26, 25)
    assert here[-1] == {"campaignId": chosen, "name": "new", "state": "enabled" if path == "/sd" else "ENABLED"}


def budgets(amount: float, currency: str = "USD") -> list[dict[str, Any]]:
    """A daily budget, as the unified API writes it."""
    money = {"monetaryBudget": {"currencyCode": currency, "value": amount}}
    return [{"budgetType": "MONETARY", "budgetValue": {"monetaryBudgetValue": money}, "recurrenceTimePeriod": "DAILY"}]


SP_MEDIA, SB_MEDIA = "application/vnd.spCampaign.v3+json", "application/vnd.sbcampaignresource.v4+json"


async def fifth(client: SimulatorClient, product: str) -> dict[str, Any]:
    """The fifth campaign of a product, as its own API lists it: one with an end."""
    if product == "SPONSORED_DISPLAY":
        shown: dict[str, Any] = (await earlier(client, "GET", "/sd/campaigns?startIndex=4&count=1", None, JSON))[0]
        return shown
    path, media = (
        ("/sp/campaigns/list", SP_MEDIA) if product == "SPONSORED_PRODUCTS" else ("/sb/v4/campaigns/list", SB_MEDIA)
    )
    found: dict[str, Any] = (await earlier(client, "POST", path, {"maxResults": 5}, media))["campaigns"][4]
    return found


@pytest.mark.parametrize(
    ("product", "budget", "days"),
    [
        ("SPONSORED_PRODUCTS", {"budget": {"budget": 10.0, "budgetType": "DAILY"}}, ("2026-01-01", "2027-12-31")),
        ("SPONSORED_BRANDS", {"budget": 10.0, "budgetType": "DAILY"}, ("2026-01-01", "2027-12-31")),
        ("SPONSORED_DISPLAY", {"budget": 10.0, "budgetType": "daily"}, ("20260101", "20271231")),
    ],
)
async def test_a_campaign_has_its_budget_and_dates_in_every_shape(
    client: SimulatorClient, product: str, budget: dict[str, Any], days: tuple[str, str]
) -> None:
    """Each of the earlier APIs writes them differently, and the unified API with the profile's currency."""
    shown = await fifth(client, product)
    assert {name: shown[name] for name in ("budget", "budgetType", "startDate", "endDate") if name in shown} == {
        **budget,
        "startDate": days[0],
        "endDate": days[1],
    }
    wanted = {"adProductFilter": {"include": [product]}, "campaignIdFilter": {"include": [str(shown["campaignId"])]}}
    (unified,) = (await post(client, "query/campaigns", wanted))["campaigns"]
    assert unified["budgets"] == budgets(10.0)
    assert (unified["startDateTime"], unified["endDateTime"]) == ("2026-01-01T00:00:00Z", "2027-12-31T23:59:59Z")


async def test_most_campaigns_have_no_end(client: SimulatorClient) -> None:
    """One in five has."""
    (first, *_) = (await earlier(client, "POST", "/sp/campaigns/list", {"maxResults": 1}, SP_MEDIA))["campaigns"]
    assert "startDate" in first
    assert "endDate" not in first


@pytest.mark.parametrize(
    ("change", "budget"),
    [
        ({"budget": {"budget": 50, "budgetType": "DAILY"}}, budgets(50)),
        ({"budget": {"budget": 50}}, budgets(50)),
        ({"endDate": None}, budgets(10)),
        ({"name": "other"}, budgets(10)),
    ],
)
async def test_the_unified_api_shows_what_an_earlier_one_set(
    client: SimulatorClient, change: dict[str, Any], budget: list[dict[str, Any]]
) -> None:
    """A budget, and that there is no end any more; the rest stays."""
    client.simulator.state.change(strict_members=False)
    chosen = (await fifth(client, "SPONSORED_PRODUCTS"))["campaignId"]
    await earlier(client, "PUT", "/sp/campaigns", {"campaigns": [{"campaignId": chosen, **change}]}, SP_MEDIA)
    wanted = {**PRODUCT, "campaignIdFilter": {"include": [chosen]}}
    (unified,) = (await post(client, "query/campaigns", wanted))["campaigns"]
    assert unified["budgets"] == budget
    assert ("endDateTime" in unified) == ("endDate" not in change)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"budgets": budgets(7.5)}, {"budget": {"budget": 7.5, "budgetType": "DAILY"}}),
        ({"startDateTime": "2026-05-01T08:00:00Z"}, {"startDate": "2026-05-01"}),
        ({"endDateTime": "not a date"}, {"endDate": None}),
        ({"budgets": budgets(7.5) * 2}, {"budget": None}),
        ({"budgets": [{**budgets(7.5)[0], "recurrenceTimePeriod": "MONTHLY"}]}, {"budget": None}),
    ],
)
async def test_an_earlier_api_shows_what_the_unified_one_set(
    client: SimulatorClient, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    """The older API leaves out what it cannot express; the unified API shows all as it was given."""
    chosen = (await fifth(client, "SPONSORED_PRODUCTS"))["campaignId"]
    first = {"budget": {"budget": 1, "budgetType": "DAILY"}, "startDate": "2026-02-02", "endDate": "2026-03-03"}
    await earlier(client, "PUT", "/sp/campaigns", {"campaigns": [{"campaignId": chosen, **first}]}, SP_MEDIA)
    updated = (await post(client, "update/campaigns", {"campaigns": [{"campaignId": chosen, **change}]}))["success"][0]
    assert updated["campaign"].items() >= change.items()
    found = await fifth(client, "SPONSORED_PRODUCTS")
    assert {name: found.get(name) for name in shown} == shown


async def test_the_currency_is_the_profiles(client: SimulatorClient) -> None:
    """A profile of Canada has its budgets in CAD."""
    scope = {**V3, "Amazon_Advertising_API_Scope": "1110000000000002"}
    found = (await post(client, "query/campaigns", {**PRODUCT, "maxResults": 1}, **scope))["campaigns"][0]
    assert found["budgets"] == budgets(10.0, "CAD")


async def test_profiles_of_one_ads_account_have_their_own_campaigns(client: SimulatorClient) -> None:
    """A profile lists its own, and the ads account those of all its profiles in the region."""
    second = "1110000000000002"
    countries = (AccountCountry("na", "US", "E1", NA), AccountCountry("na", "CA", "E2", second))
    client.simulator.state.ads_accounts.remove(BOTH)
    client.simulator.state.ads_accounts.add(AdsAccount(BOTH, "two in a region", countries, users={"default"}))
    await post(client, "create/campaigns", {"campaigns": [CAMPAIGN]}, **{**V3, "Amazon_Advertising_API_Scope": second})
    counts = [
        len((await post(client, "query/campaigns", PRODUCT, **headers))["campaigns"])
        for headers in (V3, {**V3, "Amazon_Advertising_API_Scope": second}, {})
    ]
    assert counts == [25, 26, 51]


async def test_several_entities_succeed_and_fail_by_themselves(client: SimulatorClient) -> None:
    """An entity that needs more, and one that does not exist, are errors next to the success of the others."""
    made = await post(client, "create/campaigns", {"campaigns": [{"name": "x"}, CAMPAIGN]})
    assert [entry["index"] for entry in made["success"]] == [1]
    assert made["error"][0]["errors"][0] == {
        "code": "FIELD_VALUE_IS_NULL",
        "message": "adProduct must be there",
        "fieldLocation": "$.campaigns[0].adProduct",
    }
    gone = await post(client, "delete/adGroups", {"adGroupIds": ["1"]})
    assert gone["error"][0]["errors"][0]["code"] == "RESOURCE_ID_NOT_FOUND"


async def test_what_has_no_state_is_forgotten(client: SimulatorClient) -> None:
    """A deleted deal is gone."""
    deal = {"name": "d", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2026-02-01T00:00:00Z"}
    made = await post(client, "create/advertisingDeals/sb", {"advertisingDeals": [deal]})
    chosen = made["success"][0]["advertisingDeal"]["advertisingDealId"]
    for kind in ("success", "error"):
        assert len((await post(client, "delete/advertisingDeals/sb", {"advertisingDealIds": [chosen]}))[kind]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("query/campaigns", {}),
        ("query/campaigns", b"{"),
        ("query/campaigns", []),
        ("query/campaigns", {"adProductFilter": ["SPONSORED_PRODUCTS"]}),
        ("query/campaigns", {**PRODUCT, "maxResults": 5001}),
        ("query/campaigns", {**PRODUCT, "maxResults": 0}),
        ("query/campaigns", {**PRODUCT, "nextToken": "page-99"}),
        ("create/campaigns", {}),
        ("create/campaigns", {"campaigns": []}),
        ("create/campaigns", {"campaigns": [CAMPAIGN] * 1001}),
        ("create/campaigns", {"campaigns": [1]}),
        ("create/campaigns", {"campaigns": ["x"]}),
        ("delete/campaigns", {"campaignIds": "1"}),
    ],
)
async def test_body_of_the_wrong_shape_is_refused(client: SimulatorClient, path: str, body: Any) -> None:
    """A body outside of the specification gets 400 in the unified API's words, counted as the client's fault."""
    reply = await send(client, ("POST", f"/adsApi/v1/{path}"), body)
    assert (reply.status, reply.json()["code"], client.kinds()) == (400, "BAD_REQUEST", ["body"])
    assert len(reply.json()["message"]) > 10


async def test_what_the_specifications_do_not_know_gets_a_generic_answer(client: SimulatorClient) -> None:
    """Amazon's collection names paths that are in no specification: the client id is needed nevertheless."""
    path = "/adsApi/v1/query/commitments/dsp"
    known = await client.ask("POST", path, {}, Content_Type=JSON)
    bare = await client.ask("POST", path, {}, Content_Type=JSON, Amazon_Ads_ClientId=None)
    assert (known.status, json.loads(known.body)["operation"], bare.status) == (200, None, 401)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"stateFilter": {"include": ["enabled"]}}, True),
        ({"stateFilter": {"include": ["PAUSED"]}}, False),
        ({"tagsFilter": {"include": ["b", "c"]}}, True),
        ({"negativeFilter": {"include": [False]}}, True),
        ({"unheardFilter": {"include": ["x"]}}, True),
        ({"nameFilter": {"include": ["amp"], "queryTermMatchType": "BROAD_MATCH"}}, True),
        ({"nameFilter": {"include": ["amp"], "queryTermMatchType": "EXACT_MATCH"}}, False),
        ({"nameFilter": {"include": ["Campaign"]}, "stateFilter": {"include": ["PAUSED"]}}, False),
    ],
)
def test_filters_choose(wanted: dict[str, Any], passes: bool) -> None:
    """By any of the words, without regard to case; a name also by a part of it; all filters must agree."""
    entity = {"name": "campaign", "state": "ENABLED", "tags": ["a", "b"], "negative": False}
    assert matches(entity, wanted) is passes


async def test_a_bad_tag_is_a_part_that_failed(client: SimulatorClient) -> None:
    """The campaign is there without it, and the answer fits the specification; other resources have no such list."""
    tagged = {**CAMPAIGN, "tags": [{"key": "k", "value": "v"}, {"key": "k"}]}
    answer = await post(client, "create/campaigns", {"campaigns": [CAMPAIGN, tagged]})
    assert [each["index"] for each in answer["success"]] == [0]
    (partly,) = answer["partialSuccess"]
    assert (partly["index"], partly["campaign"]["tags"]) == (1, [{"key": "k", "value": "v"}])
    assert [each["fieldLocation"] for each in partly["errors"]] == ["$.campaigns[1].tags[1]"]
    assert answer["error"] == []
