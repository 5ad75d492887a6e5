"""The orders that a named report would send now: its profiles are listed at Amazon, and nothing is ordered."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.app.report_orders import make_named_reports
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.reports.plan import ReportProfile, find_accounts, plan_orders, select_profiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.commands.amazon_session import AccountFinding
    from proxy.config import Config
    from proxy.reports.plan import NamedReport, ProfileAccount


def print_orders(config: Config, name: str) -> int:
    """One line of JSON for each order; 1 where a region or profile of the report cannot be listed."""
    from proxy.commands.amazon_session import explain

    assert config.reports is not None
    report = make_named_reports(config.reports)[name]
    finding, accounts = asyncio.run(_list(config, report))
    known = [
        ReportProfile.from_listing(each, listing.region) for listing in finding.listings for each in listing.profiles
    ]
    profiles, unlisted = select_profiles(report, known)
    planned = [order for each in profiles for order in plan_orders(report, each, time.time(), accounts.get(each.id))]
    faults = {order.profile: fault for order in planned if (fault := report.template.find_fault(order))}
    orders = [order for order in planned if order.profile not in faults]
    for order in orders:
        say(json.dumps({"region": order.region, "profileId": order.profile, "order": report.template.write(order)}))
    tell(f"note: {len(orders)} orders for {len(profiles) - len(faults)} profiles. Nothing was ordered.")
    for sentence in explain(finding):
        complain(sentence)
    for profile in unlisted:
        complain(f"{name}: profile {profile} is not listed for account {report.account}")
    for profile, fault in faults.items():
        complain(f"{name}: profile {profile}: {fault}")
    return OK if finding.is_sound and profiles and not unlisted and not faults else FAILED


async def _list(config: Config, report: NamedReport) -> tuple[AccountFinding, Mapping[str, ProfileAccount]]:
    """The profiles, and the ads accounts of profiles where an order names them."""
    from proxy.commands.amazon_session import open_session, try_account

    async with open_session(config) as amazon:
        account = config.accounts[report.account]
        finding = await try_account(amazon, account)
        if not report.template.needs_ads_accounts or finding.problem:
            return finding, {}
        listed = await try_account(amazon, account, ads_accounts=True)
        problems = tuple(each for each in listed.listings if each.problem)
        readings = (each for reading in listed.readings for each in reading.ads_accounts)
        accounts = find_accounts(readings, complete=not problems)
        return replace(finding, listings=(*finding.listings, *problems)), accounts
