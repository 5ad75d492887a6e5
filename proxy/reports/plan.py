"""What a named report orders: the days in each profile's time zone, in orders that Amazon accepts.

Values in, values out: the moment is an argument.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.reports.templates import OrderTemplate, PlannedOrder
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import time

    from proxy.profiles.listing import Profile
    from proxy.profiles.reach import AdsAccount


@dataclass(frozen=True, slots=True)
class NamedReport:
    """A report of the configuration. `profiles` and `region` limit which of the account's it covers, None for all.

    `template` makes each order. It runs daily `at` a time in each profile's time zone, or `every` so many seconds.
    """

    name: str
    account: str
    template: OrderTemplate = field(repr=False)
    days: int = 30
    region: str | None = None
    profiles: tuple[str, ...] | None = None
    at: time | None = None
    every: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.template.columns

    @property
    def digest(self) -> str:
        """Stands for all that decides on the rows; another one makes another run."""
        said = self.account, dict(self.template.content), self.days, self.region, self.profiles
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ReportProfile:
    """A profile that a report covers, as Amazon lists it."""

    id: str
    region: str
    country: str = ""
    currency: str = ""
    timezone: str = ""

    @classmethod
    def from_listing(cls, profile: Profile, region: str) -> ReportProfile:
        """One of the profiles that Amazon lists in this region."""
        return cls(profile.id, region, profile.country, profile.currency, profile.timezone)


class ProfileAccount(NamedTuple):
    """The ads account that a profile belongs to. Its rows are the profile's if they are of this `country`, or all of
    them if that is empty."""

    ads_account: str = ""
    country: str = ""


def plan_orders(
    report: NamedReport, profile: ReportProfile, now: float, account: ProfileAccount | None = None
) -> tuple[PlannedOrder, ...]:
    """A profile's orders at a moment, the newest days first."""
    first, last = find_window(report, profile.timezone, now)
    orders = []
    while last >= first:
        begin = max(first, last - timedelta(days=report.template.longest - 1))
        days = begin.isoformat(), last.isoformat()
        orders.append(PlannedOrder(profile.id, profile.region, *days, *(account or ProfileAccount())))
        last = begin - timedelta(days=1)
    return tuple(orders)


def find_window(report: NamedReport, timezone: str, now: float) -> tuple[date, date]:
    """The first and the last day that a report covers: up to yesterday in this time zone, and none that Amazon may have
    dropped already, whichever day it counts from."""
    today = datetime.fromtimestamp(now, zone_of(timezone)).date()
    days = min(report.days, report.template.retention - 1)
    return today - timedelta(days=days), today - timedelta(days=1)


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; UTC for an unknown one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def select_profiles(
    report: NamedReport, known: Iterable[ReportProfile]
) -> tuple[tuple[ReportProfile, ...], tuple[str, ...]]:
    """The profiles that a report covers, of those that its account is known to have; and those that it names, but that
    are not among them."""
    found = {profile.id: profile for profile in known if report.region in (None, profile.region)}
    if report.profiles is None:
        return tuple(found.values()), ()
    named = tuple(dict.fromkeys(report.profiles))
    return tuple(found[name] for name in named if name in found), tuple(name for name in named if name not in found)


def find_accounts(listed: Iterable[AdsAccount], *, complete: bool = True) -> Mapping[str, ProfileAccount]:
    """The ads accounts of profiles, by profile, as the hosts of all regions list them: `complete` if all could be read.

    Rows of an ads account in several countries are told apart by the country, also where only one of these has a
    profile, or where a host that was not read may list another one. An ads account that has several profiles in one
    country is left out: a row could be of any of them.
    """
    profiles, countries = defaultdict[str, set[tuple[str, str]]](set), defaultdict[str, set[str]](set)
    for ads_account in listed:
        countries[ads_account.id].update(ads_account.countries, (each.country for each in ads_account.alternates))
        profiles[ads_account.id].update((each.country, each.profile) for each in ads_account.alternates if each.profile)
    accounts: dict[str, ProfileAccount] = {}
    for identifier, found in sorted(profiles.items(), key=lambda entry: len(entry[1])):
        count = Counter(country for country, _ in found)
        is_whole = complete and len(found) == 1 and len(countries[identifier] - {""}) <= 1
        for country, profile in sorted(found):
            if is_whole:
                accounts.setdefault(profile, ProfileAccount(identifier))
            elif country and count[country] == 1:
                accounts.setdefault(profile, ProfileAccount(identifier, country))
    return accounts
