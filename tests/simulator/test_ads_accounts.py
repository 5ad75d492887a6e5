"""Ads accounts: what each login has, and the lists that show them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from proxy.simulator import Simulator, SimulatorSettings
from proxy.simulator.ads_accounts import AccountCountry, AdsAccount, AdsAccountBook, settle
from proxy.simulator.profiles import ProfileBook
from tests.simulator.conftest import Reply, SimulatorClient

LIST = "application/vnd.listaccountsresource.v1+json"
FIRST, FIRST_OF_EU = "1110000000000001", "2220000000000001"


async def listed(client: SimulatorClient, body: Any = None, region: str = "na") -> Reply:
    """`POST /adsAccounts/list`."""
    client.region = region
    return await client.ask("POST", "/adsAccounts/list", body, Content_Type=LIST, Accept=LIST)


async def queried(client: SimulatorClient, body: Any, region: str = "na") -> Reply:
    """Query the list in the form of the unified API."""
    client.region = region
    return await client.ask("POST", "/adsApi/v1/query/advertiserAccounts", body, Content_Type="application/json")


async def test_a_host_lists_the_accounts_of_its_region(client: SimulatorClient) -> None:
    """An account that lives in two regions is listed by both hosts, each with the profile that it has there."""
    by_region = {region: (await listed(client, {}, region)).json()["adsAccounts"] for region in ("na", "eu", "fe")}
    assert {region: len(accounts) for region, accounts in by_region.items()} == {"na": 3, "eu": 3, "fe": 1}
    na, eu = by_region["na"][0], by_region["eu"][0]
    assert na["adsAccountId"] == eu["adsAccountId"]
    assert [entry["profileId"] for entry in na["alternateIds"]] == [int(FIRST)]
    assert [entry["profileId"] for entry in eu["alternateIds"]] == [int(FIRST_OF_EU)]
    assert (na["countryCodes"], na["status"]) == (["US"], "CREATED")


async def test_a_host_can_list_all_regions(client: SimulatorClient) -> None:
    """With `ads_account_lists` all, every host shows every account with all that it has."""
    client.simulator.state.change(ads_account_lists="all")
    accounts = (await listed(client, {}, "fe")).json()["adsAccounts"]
    assert len(accounts) == 4
    assert [entry["profileId"] for entry in accounts[0]["alternateIds"]] == [int(FIRST), int(FIRST_OF_EU)]


async def test_only_the_id_is_sure_to_be_there(client: SimulatorClient) -> None:
    """An account of DSP advertisers alone has no countries; a partly created one says what went wrong where."""
    client.simulator.state.change(ads_account_lists="all")
    *_, partly, dsp = (await listed(client)).json()["adsAccounts"]
    assert sorted(dsp) == ["accountName", "adsAccountId", "status"]
    assert partly["status"] == "PARTIALLY_CREATED"
    assert partly["errors"]["JP"][0]["errorCode"] == "ACCOUNT_NOT_CREATED"


async def test_lists_come_in_pages(client: SimulatorClient) -> None:
    """nextToken leads through all pages, each account once, and is absent at the end."""
    seen: list[str] = []
    wanted: dict[str, Any] = {"maxResults": 2}
    for expected in (2, 1):
        page = (await listed(client, wanted)).json()
        assert len(page["adsAccounts"]) == expected
        seen += [account["adsAccountId"] for account in page["adsAccounts"]]
        wanted["nextToken"] = page.get("nextToken")
    assert wanted["nextToken"] is None
    assert len(set(seen)) == 3


@pytest.mark.parametrize("size", [0, 101, "5", True])
async def test_page_size_is_from_1_to_100(client: SimulatorClient, size: object) -> None:
    """Another maxResults is 400 in the shape that these operations have."""
    reply = await listed(client, {"maxResults": size})
    assert reply.status == 400
    assert "maxResults" in reply.json()["errors"][0]["errorMessage"]


async def test_list_needs_its_media_type(client: SimulatorClient) -> None:
    """The vendor's media type is required, and is that of the answer."""
    plain = await client.ask("POST", "/adsAccounts/list", {}, Content_Type="application/json")
    assert (plain.status, client.kinds()) == (415, ["content-type"])
    assert (await listed(client)).header("Content-Type") == LIST


async def test_one_account_is_shown_by_its_id(client: SimulatorClient) -> None:
    """`GET /adsAccounts/{id}` shows it; 404 where it does not live, or is another's."""
    found = (await listed(client)).json()["adsAccounts"][1]
    path = f"/adsAccounts/{found['adsAccountId']}"
    assert (await client.ask("GET", path)).json() == {"adsAccount": found}
    client.region = "fe"
    assert (await client.ask("GET", path)).status == 404


async def test_unified_list_has_regions_and_dsp_advertisers(client: SimulatorClient) -> None:
    """In the unified API profile ids are text, and each id names its region."""
    first, second, dsp = (await queried(client, {})).json()["advertiserAccounts"]
    assert first["alternateIds"][0] | {"entityId": ""} == {
        "countryCode": "US",
        "entityId": "",
        "profileId": FIRST,
        "region": "NA",
    }
    assert [sorted(entry) for entry in dsp["alternateIds"]] == [["dspAdvertiserId", "region"]]
    by_id = {"advertiserAccountIdFilter": {"include": [second["advertiserAccountId"]]}}
    assert (await queried(client, by_id)).json()["advertiserAccounts"] == [second]
    assert (await queried(client, {"maxResults": 9})).status == 400


async def test_manager_accounts_link_profiles_and_advertisers(client: SimulatorClient) -> None:
    """Profile ids are text there, and null for a DSP advertiser."""
    (manager,) = (await client.ask("GET", "/managerAccounts")).json()["managerAccounts"]
    linked = manager["linkedAccounts"]
    assert [account["profileId"] for account in linked] == [*client.simulator.profiles["na"], None, None]
    assert [bool(account["dspAdvertiserId"]) for account in linked] == [False, False, False, True, True]
    query = await client.ask("POST", "/adsApi/v1/query/managerAccounts", {}, Content_Type="application/json")
    assert query.json()["managerAccounts"][0]["managerAccountId"] == manager["managerAccountId"]


async def test_manager_accounts_show_fifty_at_most(client: SimulatorClient) -> None:
    """The list has no pages: what is beyond fifty is not shown."""
    client.simulator.state.add_user("default", 60)
    managers = (await client.ask("GET", "/managerAccounts")).json()["managerAccounts"]
    assert len(managers[0]["linkedAccounts"]) == 50


async def test_an_account_can_be_registered(client: SimulatorClient) -> None:
    """A new account is pending, and is listed from then on."""
    kind = "application/vnd.registeradsaccountresource.v1+json"
    body = {"accountName": "New", "countryCodes": ["US"]}
    made = await client.ask("POST", "/adsAccounts", body, Content_Type=kind)
    assert (made.status, made.json()["adsAccount"]["status"]) == (201, "PENDING")
    assert (await listed(client)).json()["adsAccounts"][-1]["accountName"] == "New"


async def test_each_user_has_accounts_of_its_own(client: SimulatorClient) -> None:
    """A further user lists other accounts, made of its own profiles."""
    mine = (await listed(client)).json()["adsAccounts"]
    user = (await client.control("POST", "/users", {"user": "other"})).json()
    client.token = (await client.refresh(refresh_token=user["refresh_token"])).json()["access_token"]
    theirs = (await listed(client)).json()["adsAccounts"]
    assert not {account["adsAccountId"] for account in mine} & {account["adsAccountId"] for account in theirs}
    assert theirs[0]["alternateIds"][0]["profileId"] == int(user["profiles"]["na"][0])


async def test_accounts_come_and_go_by_control(client: SimulatorClient) -> None:
    """An account that was added is listed with what it was given, and gone after it was removed."""
    account_country = {"region": "fe", "country": "JP", "profile_id": "42"}
    given = {"account_id": "amzn1.ads-account.g.x", "name": "X", "presences": [account_country], "status": "DISABLED"}
    assert (await client.control("POST", "/ads-accounts", given)).json()["regions"] == ["fe"]
    added = (await listed(client, {}, "fe")).json()["adsAccounts"][-1]
    assert (added["adsAccountId"], added["status"]) == ("amzn1.ads-account.g.x", "DISABLED")
    assert added["alternateIds"] == [{"countryCode": "JP", "profileId": 42}]
    gone = await client.control("POST", "/ads-accounts", {"action": "remove", "account_id": "amzn1.ads-account.g.x"})
    assert gone.json() == {"removed": True}
    assert len((await client.control("GET", "/ads-accounts?user=default")).json()) == 4


@pytest.mark.parametrize(
    "given",
    [
        {"action": "remove"},
        {"action": "ad"},
        {"status": "GOOD"},
        {"presences": [{"region": "us"}]},
        {"presences": [{"region": "na", "profile": "1"}]},
    ],
)
async def test_account_without_sense_is_refused(client: SimulatorClient, given: dict[str, Any]) -> None:
    """A control request that cannot be understood is 400 with a sentence."""
    reply = await client.control("POST", "/ads-accounts", given)
    assert reply.status == 400
    assert len(reply.json()["error"]) > 10


async def test_number_of_accounts_is_a_setting(settings: SimulatorSettings, client: SimulatorClient) -> None:
    """A login may have hundreds of accounts; those beyond its profiles have countries and no profile."""
    async with Simulator(dataclasses.replace(settings, ads_accounts_per_login=300)) as simulator:
        crowded = dataclasses.replace(client, simulator=simulator, token="")
        assert len((await listed(crowded)).json()["adsAccounts"]) == 100
        accounts = simulator.state.ads_accounts.listed("default")
        assert len({account.account_id for account in accounts}) == 300
        assert [account_country.profile_id for account_country in accounts[-4].presences] == [None, None]
        assert len(simulator.about()["ads_accounts"]) == 10


def test_an_account_is_found_by_each_of_its_ids() -> None:
    """By its own id, by a profile, by a DSP advertiser; and no more once it is gone."""
    book = AdsAccountBook()
    account_countries = (AccountCountry("na", "US", profile_id="1"), AccountCountry("eu", advertiser_id="58"))
    account = book.add(AdsAccount("a", "A", account_countries, users={"u"}))
    assert (book.named("a"), book.named("58"), book.of_profile("1")) == (account, account, account)
    assert (book.regions_of("a"), book.regions_of("58"), book.regions_of("1")) == (("na", "eu"), ("eu",), ())
    assert (book.remove("a"), book.remove("a")) == (True, False)
    assert (book.named("58"), book.of_profile("1"), book.regions_of("a")) == (None, None, ())


def test_no_profile_is_in_two_accounts() -> None:
    """Settling twice gives further accounts the profiles that are left."""
    book, profiles = AdsAccountBook(), ProfileBook(5)
    made = settle(book, profiles, "default", 4) + settle(book, profiles, "default", 4)
    ids = [p.profile_id for account in made for p in account.presences if p.profile_id is not None]
    assert len(made) == len(book.accounts) == 8
    assert len(ids) == len(set(ids)) == 10
