"""What a named report orders: the days in each profile's time zone, in orders that Amazon accepts.

Values in, values out: the moment is an argument.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.reports.presets import MAX_RANGE, MAX_RETENTION, PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import time


@dataclass(frozen=True, slots=True)
class NamedReport:
    """A report of the configuration. `profiles` and `region` limit which of the account's it covers, None for all.

    `configuration` is that of each order. It runs daily `at` a time in each profile's time zone, or `every` so many
    seconds.
    """

    name: str
    account: str
    configuration: Mapping[str, Any] = field(repr=False)
    days: int = 30
    region: str | None = None
    profiles: tuple[str, ...] | None = None
    at: time | None = None
    every: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(map(str, self.configuration["columns"]))

    @property
    def retention(self) -> int:
        """Days for which Amazon has rows."""
        preset = PRESETS.get(str(self.configuration.get("reportTypeId")))
        return preset.retention if preset is not None else MAX_RETENTION

    @property
    def digest(self) -> str:
        """Stands for all that decides on the rows; another one makes another run."""
        said = self.account, dict(self.configuration), self.days, self.region, self.profiles
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ReportProfile:
    """A profile that a report covers, as Amazon lists it."""

    id: str
    region: str
    country: str = ""
    currency: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order: a profile's rows of these days, the last one included; ISO dates."""

    profile: str
    region: str
    first_day: str
    last_day: str

    @property
    def key(self) -> str:
        """Names it among the orders of a run."""
        return f"{self.profile}-{self.first_day}"

    def content(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent to Amazon. It has no name: two orders with other names are the same report."""
        return {"startDate": self.first_day, "endDate": self.last_day, "configuration": dict(configuration)}


def plan_orders(report: NamedReport, profile: ReportProfile, now: float) -> tuple[PlannedOrder, ...]:
    """A profile's orders at a moment, the newest days first."""
    first, last = find_window(report, profile.timezone, now)
    orders = []
    while last >= first:
        begin = max(first, last - timedelta(days=MAX_RANGE - 1))
        orders.append(PlannedOrder(profile.id, profile.region, begin.isoformat(), last.isoformat()))
        last = begin - timedelta(days=1)
    return tuple(orders)


def find_window(report: NamedReport, timezone: str, now: float) -> tuple[date, date]:
    """The first and the last day that a report covers: up to yesterday in this time zone, and none that Amazon may have
    dropped already, whichever day it counts from."""
    today = datetime.fromtimestamp(now, zone_of(timezone)).date()
    days = min(report.days, report.retention - 1)
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
    chosen = tuple(found[name] for name in report.profiles if name in found)
    return chosen, tuple(name for name in report.profiles if name not in found)
