"""The orders that a named report would send now: its profiles are listed at Amazon, and nothing is ordered."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from proxy.app.report_orders import make_named_reports
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.reports.plan import ReportProfile, plan_orders, select_profiles

if TYPE_CHECKING:
    from proxy.commands.amazon_session import Finding
    from proxy.config import Config
    from proxy.reports.plan import NamedReport


def print_orders(config: Config, name: str) -> int:
    """One line of JSON for each order; 1 where a region or profile of the report cannot be listed."""
    from proxy.commands.amazon_session import explain

    assert config.reports is not None
    report = make_named_reports(config.reports)[name]
    finding = asyncio.run(_list_profiles(config, report.account))
    known = [
        ReportProfile(each.id, listing.region, each.country, each.currency, each.timezone)
        for listing in finding.listings
        for each in listing.profiles
    ]
    profiles, unlisted = select_profiles(report, known)
    count = _print(report, profiles)
    tell(f"note: {count} orders for {len(profiles)} profiles. Nothing was ordered.")
    for sentence in explain(finding):
        complain(sentence)
    for profile in unlisted:
        complain(f"{name}: profile {profile} is not listed for account {report.account}")
    return OK if finding.is_sound and profiles and not unlisted else FAILED


def _print(report: NamedReport, profiles: tuple[ReportProfile, ...]) -> int:
    """Print the orders; returns how many."""
    now, count = time.time(), 0
    for profile in profiles:
        for order in plan_orders(report, profile, now):
            body = report.template.write(order)
            say(json.dumps({"region": order.region, "profileId": order.profile, "order": body}))
            count += 1
    return count


async def _list_profiles(config: Config, account: str) -> Finding:
    from proxy.commands.amazon_session import open_session, try_account

    async with open_session(config) as amazon:
        return await try_account(amazon, config.accounts[account])
