"""Lists of ads accounts: `/adsAccounts*`, its twin in the unified API, and the manager accounts above them.

Whether one host of Amazon's lists the accounts of all regions is said nowhere. With `ads_account_lists` "region" a host
lists what lives in its region, and of each account only what it has there; with "all", everything.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import AMC_ACCOUNT
from proxy.simulator.ads_accounts import AccountCountry, AdsAccount, account_id
from proxy.simulator.answers import Answer, error_answer, json_answer
from proxy.simulator.calls import page_of
from proxy.simulator.profiles import LEVELS, PROGRAMS, TYPES, USUAL, Listing
from proxy.simulator.settings import REGIONS

if TYPE_CHECKING:
    from proxy.simulator.calls import Call


# --- The operations without a profile --------------------------------------------------------------------


def list_profiles(call: Call, match: Match) -> Answer:
    """`GET /v2/profiles`: those of this region that the token's user may use, as the query asks for them."""
    asked = call.parameters()
    program, level = asked.get("apiProgram", USUAL.program), asked.get("accessLevel", USUAL.level)
    kinds = frozenset(kind for kind in asked.get("profileTypeFilter", "").split(",") if kind)
    payment = asked.get("validPaymentMethodFilter", "")
    known = program in PROGRAMS and level in LEVELS and kinds <= set(TYPES) and payment in ("", "true", "false")
    if not known:
        return error_answer(400, "INVALID_ARGUMENT", f"a parameter has a value that there is not: {call.query}")
    listing = Listing(program, level, kinds, {"true": True, "false": False}.get(payment))
    return call.answer([p.as_json() for p in call.state.profiles.listed(call.region, call.caller.user, listing)])


def show_profile(call: Call, match: Match) -> Answer:
    """`GET /v2/profiles/{id}`."""
    profile = call.state.profiles.find(call.region, match["id"], call.caller.user)
    if profile is None:
        return error_answer(404, "NOT_FOUND", f"no profile {match['id']} here")
    return call.answer(profile.as_json())


def update_profiles(call: Call, match: Match) -> Answer:
    """`PUT /v2/profiles`: the daily budget is kept."""
    results = []
    for change in call.json_list():
        profile = call.state.profiles.find(call.region, str(change.get("profileId")), call.caller.user)
        if profile is not None and isinstance(change.get("dailyBudget"), int | float):
            profile.daily_budget = float(change["dailyBudget"])
        results.append({"profileId": change.get("profileId"), "code": "SUCCESS" if profile else "NOT_FOUND"})
    return call.answer(results, 207)


def order_test_account(call: Call, match: Match) -> Answer:
    """`POST /testAccounts`: made at once, shown by `GET /testAccounts`."""
    wanted = call.json_object()
    profile = call.state.profiles.add(call.region, user=call.caller.user)
    profile.name = f"Test {wanted.get('accountType', 'account')}"
    return call.answer({"requestId": f"{uuid.uuid4()}:{profile.profile_id}"})


def show_test_account(call: Call, match: Match) -> Answer:
    """`GET /testAccounts?requestId=...`."""
    request_id = call.parameters().get("requestId", "")
    profile = call.state.profiles.find(call.region, request_id.rpartition(":")[2], call.caller.user)
    if profile is None:
        return call.answer([])
    value = {"id": profile.account_id, "countryCode": profile.country, "status": "COMPLETED"}
    return call.answer([{**value, "accountType": profile.kind.upper(), "asins": []}])


def list_amc_accounts(call: Call, match: Match) -> Answer:
    """`GET /amc/accounts`."""
    account = {"accountId": AMC_ACCOUNT, "accountName": "Pretend AMC", "marketplaceId": "ATVPDKIKX0DER"}
    return call.answer({"amcAccounts": [account]})


def list_amc_instances(call: Call, match: Match) -> Answer:
    """`GET /amc/instances`: it needs to know the advertiser and the marketplace."""
    for name in ("Amazon-Advertising-API-AdvertiserId", "Amazon-Advertising-API-MarketplaceId"):
        if call.head.first(name.lower()) is None:
            return error_answer(400, "INVALID_ARGUMENT", f"{name} is missing")
    return call.answer({"instances": [_instance("amcsandbox")], "nextToken": ""})


def show_amc_instance(call: Call, match: Match) -> Answer:
    """`GET /amc/instances/{id}`."""
    return call.answer({"instance": _instance(match["id"])})


def _instance(instance_id: str) -> dict[str, str]:
    return {
        "instanceId": instance_id,
        "instanceName": "pretend",
        "instanceType": "STANDARD",
        "customerCanonicalName": "sandbox",
        "creationStatus": "COMPLETED",
    }


# --- Lists of ads accounts -------------------------------------------------------------------------------

Match = re.Match[str]

MANAGER_ID = "amzn1.ads1.ma1.sandbox"
LINKED = 50
"""How many linked accounts a manager account shows at most; that list has no pages."""

APPROVED = {"statusCode": "APPROVED", "statusMessage": "Approved"}
IN_PROGRESS = {"statusCode": "REGISTRATION_IN_PROGRESS", "statusMessage": "In progress"}


def list_ads_accounts(call: Call, match: Match) -> Answer:
    """`POST /adsAccounts/list`: pages of 1 to 100, by `nextToken`."""
    accounts, following = page_of(_seen(call), call.json_object(), (1, 100))
    return call.answer({"adsAccounts": [_as_listed(call, account) for account in accounts], **following})


def show_ads_account(call: Call, match: Match) -> Answer:
    """`GET /adsAccounts/{id}`."""
    found = next((account for account in _seen(call) if account.account_id == match["id"]), None)
    if found is None:
        return json_answer({"message": "Advertising Account not found."}, 404)
    return call.answer({"adsAccount": _as_listed(call, found)})


def register_ads_account(call: Call, match: Match) -> Answer:
    """`POST /adsAccounts`: a pending account that has a country and nothing else yet."""
    wanted = call.json_object()
    countries = wanted.get("countryCodes") or [None]
    book, user = call.state.ads_accounts, call.caller.user
    made = AdsAccount(
        account_id(user, len(book.accounts) + 1),
        str(wanted.get("accountName", "unnamed")),
        (AccountCountry(call.region, countries[0]),),
        "PENDING",
        {user},
    )
    book.add(made)
    value = {"adsAccountId": made.account_id, "accountName": made.name, "status": made.status}
    return json_answer({"adsAccount": value}, 201)


def query_advertiser_accounts(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/query/advertiserAccounts`: pages of 10 to 100, by `nextToken`."""
    wanted = call.json_object()
    chosen = (wanted.get("advertiserAccountIdFilter") or {}).get("include")
    accounts = [account for account in _seen(call) if chosen is None or account.account_id in chosen]
    shown, following = page_of(accounts, wanted, (10, 100))
    return call.answer({"advertiserAccounts": [_as_queried(call, account) for account in shown], **following})


def list_manager_accounts(call: Call, match: Match) -> Answer:
    """`GET /managerAccounts`: the region's profiles and DSP advertisers, linked to one manager."""
    names = ("accountId", "accountName", "accountType", "profileId", "dspAdvertiserId", "marketplaceId")
    linked: list[tuple[str | None, ...]] = []
    for profile in call.state.profiles.listed(call.region, call.caller.user):
        kind = "VENDOR" if profile.kind == "vendor" else "SELLER"
        linked.append((profile.account_id, profile.name, kind, profile.profile_id, None, profile.marketplace))
    for account in call.state.ads_accounts.listed(call.caller.user):
        advertisers = (each.advertiser_id for each in account.in_regions((call.region,)))
        linked += [
            (f"ENTITY{each}", account.name, "DSP_ADVERTISING_ACCOUNT", None, each, None) for each in advertisers if each
        ]
    accounts = [dict(zip(names, each, strict=True)) for each in linked[:LINKED]]
    manager = {"managerAccountId": MANAGER_ID, "managerAccountName": "Pretend manager", "linkedAccounts": accounts}
    return call.answer({"managerAccounts": [manager]})


def query_manager_accounts(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/query/managerAccounts`: the one manager account that there is."""
    account = {"managerAccountId": MANAGER_ID, "name": "Pretend manager", "type": "ADVERTISER"}
    return call.answer({"managerAccounts": [account]})


def _regions(call: Call) -> tuple[str, ...]:
    return REGIONS if call.state.settings.ads_account_lists == "all" else (call.region,)


def _seen(call: Call) -> list[AdsAccount]:
    regions = _regions(call)
    return [account for account in call.state.ads_accounts.listed(call.caller.user) if account.in_regions(regions)]


def _as_listed(call: Call, account: AdsAccount) -> dict[str, Any]:
    """An account as a list shows it. An account with DSP advertisers alone has no countries; only the id is sure to be
    there."""
    account_countries = [p for p in account.in_regions(_regions(call)) if p.country is not None]
    value: dict[str, Any] = {"adsAccountId": account.account_id, "accountName": account.name, "status": account.status}
    if account_countries:
        value["countryCodes"] = [account_country.country for account_country in account_countries]
        value["alternateIds"] = [_alternate(account_country) for account_country in account_countries]
    if account.status == "PARTIALLY_CREATED":
        error = {"errorId": 1001, "errorCode": "ACCOUNT_NOT_CREATED", "errorMessage": "The account is not created."}
        value["errors"] = {str(account_countries[-1].country if account_countries else "US"): [error]}
    return value


def _alternate(account_country: AccountCountry) -> dict[str, Any]:
    profile_id = account_country.profile_id and int(account_country.profile_id)
    return _known(countryCode=account_country.country, entityId=account_country.entity_id, profileId=profile_id)


def _known(**members: object) -> dict[str, Any]:
    """The members whose value is known."""
    return {name: value for name, value in members.items() if value is not None}


def _as_queried(call: Call, account: AdsAccount) -> dict[str, Any]:
    """An account as the unified API returns it: ids are text, and each names its region."""
    alternate = [
        _known(
            countryCode=account_country.country,
            dspAdvertiserId=account_country.advertiser_id,
            entityId=account_country.entity_id,
            profileId=account_country.profile_id,
            region=account_country.region.upper(),
        )
        for account_country in account.in_regions(_regions(call))
    ]
    return {
        "advertiserAccountId": account.account_id,
        "alternateIds": alternate,
        "businessDetails": [{"website": "https://example.com"}],
        "displayName": account.name,
        "isGlobalAccount": len(account.regions) > 1,
        "status": APPROVED if account.status == "CREATED" else IN_PROGRESS,
    }
