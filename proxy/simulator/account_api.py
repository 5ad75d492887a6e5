"""The operations without a profile: profiles themselves, test accounts, AMC instances."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from proxy.simulator.addressing import AMC_ACCOUNT
from proxy.simulator.answers import Answer, error_answer
from proxy.simulator.profiles import LEVELS, PROGRAMS, TYPES, USUAL, Listing

if TYPE_CHECKING:
    from proxy.simulator.calls import Call

Match = re.Match[str]


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
    value = {"id": profile.as_json()["accountInfo"]["id"], "countryCode": profile.country, "status": "COMPLETED"}
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
