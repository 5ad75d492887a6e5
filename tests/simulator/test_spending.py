"""What a day's writes would have cost: `GET /_sim/spend`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.simulator import SimulatorSettings
from proxy.simulator.write_rules import load_write_rules
from scripts import make_simulator_writes as making
from tests.simulator.conftest import SimulatorClient
from tests.simulator.test_mcp import called
from tests.simulator.test_operations import wheel
from tests.support.programs import ROOT

US, CA, UK = "1110000000000001", "1110000000000002", "2220000000000001"
SP = "application/vnd.spCampaign.v3+json"
JSON = "application/json"
MIDNIGHT = 1_780_300_800
"""2026-06-01 08:00 in UTC, 01:00 in Los Angeles."""

CAMPAIGN = {
    "name": "new",
    "state": "ENABLED",
    "targetingType": "MANUAL",
    "budget": {"budget": 50, "budgetType": "DAILY"},
}
DYNAMIC = {
    "strategy": "AUTO_FOR_SALES",
    "placementBidding": [{"placement": "PLACEMENT_TOP", "percentage": 100}],
    "shopperCohortBidding": [
        {"shopperCohortType": "AUDIENCE_SEGMENT", "percentage": 50, "audienceSegments": [{"audienceId": "1"}]}
    ],
}


def monetary(value: float, **named: str) -> list[dict[str, Any]]:
    """The budgets of a campaign of the unified API: one, for a day."""
    value_of = {"monetaryBudgetValue": {"monetaryBudget": {"value": value, **named}}}
    return [{"budgetType": "MONETARY", "budgetValue": value_of, "recurrenceTimePeriod": "DAILY"}]


UNIFIED = {"adProduct": "SPONSORED_PRODUCTS", "name": "new", "state": "ENABLED", "budgets": monetary(70)}


@pytest.fixture
def settings() -> SimulatorSettings:
    """Settings with a calendar that only tests move."""
    return SimulatorSettings(clock=lambda: 1000.0, calendar=lambda: MIDNIGHT)


async def write(
    client: SimulatorClient, method: str, path: str, body: Any, media: str = JSON, scope: str = US
) -> dict[str, Any]:
    """The answer to a write, which must be 207."""
    headers = {"Content_Type": media, "Accept": "*/*", "Amazon_Advertising_API_Scope": scope}
    reply = await client.ask(method, path, body, **headers)
    assert reply.status == 207, reply.body
    found: dict[str, Any] = reply.json()
    return found


async def sp(client: SimulatorClient, *campaigns: dict[str, Any], method: str = "POST", scope: str = US) -> Any:
    """The result of campaigns that are created, or changed with PUT."""
    body = {"campaigns": list(campaigns)}
    return (await write(client, method, "/sp/campaigns", body, SP, scope))["campaigns"]


async def spent(client: SimulatorClient, scope: str = US) -> dict[str, Any]:
    """What a profile's day would have cost."""
    found = json.loads((await client.send("GET", f"{client.simulator.control_url}/_sim/spend", {})).body)
    profile: dict[str, Any] = next((each for each in found["profiles"] if each["profile"] == scope), {})
    return {**profile, "writes": [each for each in found["writes"] if each["profile"] == scope]}


async def test_created_campaigns_count_with_their_budgets(client: SimulatorClient) -> None:
    """The sums grow by what was created, in the profile's own currency; what failed is not there."""
    assert (await spent(client)) == {"writes": []}
    (paused,) = (await sp(client, {**CAMPAIGN, "state": "PAUSED"}))["success"]
    seeded = (await spent(client))["daily_budgets"]["USD"]
    wrong = {**CAMPAIGN, "budget": {"budget": 0.5, "budgetType": "DAILY"}}
    made = await sp(client, CAMPAIGN, wrong)
    await sp(client, CAMPAIGN, scope=CA)
    us, canada = await spent(client), await spent(client, CA)
    assert [each["index"] for each in made["success"]] == [0]
    assert (us["created_today"], us["budgets_set_today"]) == (2, {"USD": 100})
    assert (us["daily_budgets"], us["day"]) == ({"USD": seeded + 50}, "2026-06-01")
    assert (canada["currency"], canada["budgets_set_today"]) == ("CAD", {"CAD": 50})
    first, second = us["writes"]
    assert (first["operation"], first["action"], first["state"]) == ("POST /sp/campaigns", "create", "PAUSED")
    chosen = [each["campaignId"] for each in (paused, made["success"][0])]
    assert [first["object"], second["object"]] == [f"campaign/{each}" for each in chosen]
    (amount,) = second["amounts"]
    assert (amount["path"], amount["value"], amount["currency"]) == ("budget.budget", 50, "USD")


async def test_a_change_keeps_what_it_does_not_name(client: SimulatorClient) -> None:
    """A new name leaves the budget, a new budget the state, and a paused campaign costs nothing."""
    (made,) = (await sp(client, CAMPAIGN))["success"]
    start = (await spent(client))["daily_budgets"]["USD"]
    change = {"campaignId": made["campaignId"]}
    await sp(client, {**change, "name": "other"}, method="PUT")
    assert (await spent(client))["daily_budgets"]["USD"] == start
    await sp(client, {**change, "budget": {"budget": 80, "budgetType": "DAILY"}}, method="PUT")
    assert (await spent(client))["daily_budgets"]["USD"] == start + 30
    await sp(client, {**change, "state": "PAUSED"}, method="PUT")
    after = await spent(client)
    assert (after["daily_budgets"]["USD"], after["created_today"]) == (start - 50, 1)
    assert [each["action"] for each in after["writes"]] == ["create", "update", "update", "update"]


async def test_archived_is_final(client: SimulatorClient) -> None:
    """An archived campaign cannot be changed, in no generation of the API."""
    (made,) = (await sp(client, CAMPAIGN))["success"]
    chosen = made["campaignId"]
    body = {"campaignIdFilter": {"include": [chosen]}}
    await write(client, "POST", "/sp/campaigns/delete", body, SP)
    (error,) = (await sp(client, {"campaignId": chosen, "state": "ENABLED"}, method="PUT"))["error"]
    assert error["errors"][0]["errorValue"]["entityStateError"]["reason"] == "ARCHIVED_ENTITY_CANNOT_BE_MODIFIED"
    change = {"campaigns": [{"campaignId": chosen, "state": "ENABLED"}]}
    unified = await write(client, "POST", "/adsApi/v1/update/campaigns", change)
    assert unified["error"][0]["errors"][0]["code"] == "ARCHIVED_RESOURCE_CANNOT_EDIT"
    assert [each["action"] for each in (await spent(client))["writes"]] == ["create", "delete"]


async def test_display_is_archived_by_a_change(client: SimulatorClient) -> None:
    """Sponsored Display has budgets as numbers and states in small letters; its results have codes."""
    made = await write(
        client, "POST", "/sd/campaigns", [{"name": "d", "budget": 40, "state": "enabled"}, {"budget": "x"}]
    )
    assert [each["code"] for each in made] == ["SUCCESS", "INVALID_ARGUMENT"]  # type: ignore[index]  # a list of results
    change = [{"campaignId": made[0]["campaignId"], "state": "archived"}]  # type: ignore[index]  # a list of results
    codes = [(await write(client, "PUT", "/sd/campaigns", change))[0]["code"] for _ in range(2)]  # type: ignore[index]  # a list of results
    found = await spent(client)
    assert (codes, found["budgets_set_today"]) == (["SUCCESS", "INVALID_ARGUMENT"], {"USD": 40})
    assert found["writes"][-1]["state"] == "ARCHIVED"


async def test_brands_may_have_a_budget_for_their_lifetime(client: SimulatorClient) -> None:
    """A lifetime budget is summed apart from those of a day; more than ten campaigns are refused at once."""
    media = "application/vnd.sbcampaignresource.v4+json"
    brand = {"name": "b", "state": "ENABLED", "budget": 900, "budgetType": "LIFETIME"}
    await write(client, "POST", "/sb/v4/campaigns", {"campaigns": [brand]}, media)
    assert (await spent(client))["lifetime_budgets"] == {"USD": 900}
    headers = {"Content_Type": media, "Amazon_Advertising_API_Scope": US}
    assert (await client.ask("POST", "/sb/v4/campaigns", {"campaigns": [brand] * 11}, **headers)).status == 400


async def test_the_largest_bid_is_shown_with_all_that_raises_it(client: SimulatorClient) -> None:
    """Adjustments multiply with each other and with the strategy; what is paused does not count."""
    (made,) = (await sp(client, {**CAMPAIGN, "dynamicBidding": DYNAMIC}))["success"]
    parents = {"campaignId": made["campaignId"], "adGroupId": "1"}
    keyword = {**parents, "keywordText": "x", "matchType": "EXACT", "state": "ENABLED", "bid": 1.5}
    body = {"keywords": [keyword, {**keyword, "bid": 9, "state": "PAUSED"}, {**keyword, "bid": 0.01}]}
    result = await write(client, "POST", "/sp/keywords", body, "application/vnd.spKeyword.v3+json")
    assert [each["index"] for each in result["keywords"]["success"]] == [0, 1]
    found = await spent(client)
    assert (found["largest_bid"], found["largest_adjusted_bid"]) == ({"USD": 1.5}, {"USD": 9.0})
    await sp(client, {"campaignId": made["campaignId"], "state": "PAUSED"}, method="PUT")
    assert (await spent(client))["largest_bid"] == {}


@pytest.mark.parametrize(
    ("budget", "fits"),
    [
        (b"50", True),
        (b"5e1", True),
        (b"5.0E+1", True),
        (b"50.00", True),
        (b'"50"', False),
        (b"true", False),
        (b"[50]", False),
        (b'{"amount": 50}', False),
        (b"1e999", False),
    ],
)
async def test_numbers_come_in_any_spelling_of_json(client: SimulatorClient, budget: bytes, fits: bool) -> None:
    """Other types are errors of their item."""
    body = json.dumps({"campaigns": [CAMPAIGN]}).encode().replace(b'"budget": 50', b'"budget": ' + budget)
    found = (await write(client, "POST", "/sp/campaigns", body, SP))["campaigns"]
    assert (len(found["success"]), len(found["error"])) == ((1, 0) if fits else (0, 1))
    assert [each["value"] for write in (await spent(client))["writes"] for each in write["amounts"]] == [50] * fits


async def test_texts_may_stand_for_numbers_if_set(client: SimulatorClient) -> None:
    """With `number_texts` they count with their value; other texts are wrong as before."""
    client.simulator.state.change(number_texts=True)
    texts = [{**CAMPAIGN, "budget": {"budget": text, "budgetType": "DAILY"}} for text in (" 5E1 ", "fifty", "0.5")]
    assert [each["index"] for each in (await sp(client, *texts))["success"]] == [0]
    assert (await spent(client))["budgets_set_today"] == {"USD": 50}


async def test_not_a_number_is_no_json(client: SimulatorClient) -> None:
    """NaN and Infinity are refused with the whole body."""
    headers = {"Content_Type": SP, "Amazon_Advertising_API_Scope": US}
    for name in (b"NaN", b"Infinity", b"-Infinity"):
        body = json.dumps({"campaigns": [CAMPAIGN]}).encode().replace(b'"budget": 50', b'"budget": ' + name)
        assert (await client.ask("POST", "/sp/campaigns", body, **headers)).status == 400


async def test_the_unified_api_spends_too(client: SimulatorClient) -> None:
    """In the currency of the profile, whichever the body names; wrong values are errors of their item."""
    body = {
        "campaigns": [UNIFIED, {**UNIFIED, "budgets": monetary(30, currencyCode="JPY")}, {**UNIFIED, "state": "ON"}]
    }
    made = await write(client, "POST", "/adsApi/v1/create/campaigns", body)
    assert [each["index"] for each in made["success"]] == [0, 1]
    assert made["error"][0]["errors"][0]["code"] == "FIELD_VALUE_IS_INVALID"
    found = await spent(client)
    assert (found["budgets_set_today"], found["created_today"]) == ({"USD": 100}, 2)
    assert found["writes"][1]["amounts"][0]["named"] == "JPY"
    chosen = made["success"][0]["campaign"]["campaignId"]
    change = {"campaigns": [{"campaignId": chosen, "budgets": monetary(20)}]}
    before = found["daily_budgets"]["USD"]
    await write(client, "POST", "/adsApi/v1/update/campaigns", change)
    assert (await spent(client))["daily_budgets"]["USD"] == before - 50


async def test_a_marketplace_pays_in_its_own_currency(client: SimulatorClient) -> None:
    """In a campaign for several, each amount counts by its marketplace."""
    settings = [
        {"marketplace": country, "monetaryBudget": {"value": value}} for country, value in (("US", 10), ("DE", 20))
    ]
    budget = {**monetary(1)[0], "budgetValue": {"monetaryBudgetValue": {"marketplaceSettings": settings}}}
    await write(client, "POST", "/adsApi/v1/create/campaigns", {"campaigns": [{**UNIFIED, "budgets": [budget]}]})
    assert (await spent(client))["budgets_set_today"] == {"EUR": 20, "USD": 10}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
async def test_tools_spend_as_the_api_does(client: SimulatorClient, path: str) -> None:
    """A campaign that a tool creates counts, also through the tool that invokes others."""
    name, arguments = "campaign_management-create_campaign", {"profileId": US, "body": {"campaigns": [UNIFIED]}}
    if path == "/mcp/lite":
        name, arguments = "amazon_ads_mcp-invoke_tool", {"name": name, "arguments": arguments}
    succeeded, said = await called(client, name, arguments, path)
    assert (succeeded, len(said["success"])) == (True, 1)
    chosen = said["success"][0]["campaign"]["campaignId"]
    arguments = {"profileId": US, "body": {"campaignIds": [chosen]}}
    assert (await called(client, "campaign_management-delete_campaign", arguments))[0]
    found = await spent(client)
    assert (found["created_today"], found["budgets_set_today"]) == (1, {"USD": 70})
    assert [each["object"] for each in found["writes"]] == [f"campaign/{chosen}"] * 2


async def test_tools_change_bids_and_budgets(client: SimulatorClient) -> None:
    """Tools for one member of an object change it as the unified API does, and leave the rest."""
    create = {"profileId": US, "body": {"campaigns": [UNIFIED]}}
    _, made = await called(client, "campaign_management-create_campaign", create)
    chosen = made["success"][0]["campaign"]["campaignId"]
    budget = {"profileId": US, "body": {"campaigns": [{"campaignId": chosen, "budgets": monetary(90)}]}}
    assert (await called(client, "campaign_management-update_campaign_budget", budget))[1]["error"] == []
    group = {"adProduct": "SPONSORED_PRODUCTS", "campaignId": chosen, "name": "g", "state": "ENABLED"}
    arguments = {"profileId": US, "body": {"adGroups": [{**group, "bid": {"defaultBid": 1.25}}]}}
    _, made = await called(client, "campaign_management-create_ad_group", arguments)
    group_id = made["success"][0]["adGroup"]["adGroupId"]
    assert (await spent(client))["largest_bid"] == {"USD": 1.25}
    change = {"profileId": US, "body": {"adGroups": [{"adGroupId": group_id, "bid": {"defaultBid": 2.75}}]}}
    assert (await called(client, "campaign_management-update_ad_group", change))[1]["error"] == []
    found = await spent(client)
    assert (found["largest_bid"], found["budgets_set_today"]) == ({"USD": 2.75}, {"USD": 160})


async def test_a_day_is_the_profiles_own(client: SimulatorClient) -> None:
    """At 23 hours later it is still the same day in Los Angeles, and the next in London; another hour ends it."""
    await sp(client, CAMPAIGN)
    client.region = "eu"
    await sp(client, CAMPAIGN, scope=UK)
    client.simulator.state.advance(22.5 * 3600)
    assert [(await spent(client, scope))["created_today"] for scope in (US, UK)] == [1, 0]
    client.simulator.state.advance(3600)
    assert (await spent(client))["created_today"] == 0


async def test_the_api_shows_it_too(client: SimulatorClient) -> None:
    """The answer at the port of a region is the one of the control port, and needs no header."""
    await sp(client, CAMPAIGN)
    urls = (client.simulator.api_urls["na"], client.simulator.control_url)
    shown = [json.loads((await client.send("GET", f"{url}/_sim/spend", {})).body) for url in urls]
    assert shown[0] == shown[1]
    assert (shown[0]["created_today"], client.kinds()) == (1, [])


async def test_the_newest_writes_can_be_chosen(client: SimulatorClient) -> None:
    """`last` bounds the writes, not the sums; a reset forgets all."""
    await sp(client, CAMPAIGN, {**CAMPAIGN, "name": "newest"})
    url = f"{client.simulator.control_url}/_sim/spend?last=1"
    found = json.loads((await client.send("GET", url, {})).body)
    assert (found["created_today"], len(found["writes"])) == (2, 1)
    client.simulator.state.reset()
    assert json.loads((await client.send("GET", url, {})).body) == {"created_today": 0, "profiles": [], "writes": []}


def test_the_table_of_rules_is_made_from_the_specifications() -> None:
    """The committed table is what the script makes, and has a rule for each kind of object that costs money."""
    assert (ROOT / "proxy" / "simulator" / "writes.jsonl").read_text().splitlines() == making.table(wheel())
    assert {("POST", "/sp/campaigns"), ("PUT", "/sd/targets"), ("POST", "/portfolios")} < set(load_write_rules())
