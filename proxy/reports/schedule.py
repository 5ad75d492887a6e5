"""When named reports run: each day at a time in each profile's time zone, or at an interval.

Values in, values out: the moment is an argument.
Profiles whose runs are due at the same moments are a group: those of one time zone, or all. Moments are wall-clock
seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from proxy.reports.plan import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import time

    from proxy.reports.plan import NamedReport, ReportProfile

RETRY: Final = 900.0
"""Seconds between a run that failed and the next, while there is no result at all."""
DAY: Final = 86_400.0


def group_of(report: NamedReport, profile: ReportProfile) -> str:
    """The group that a profile runs with: the name of its time zone, or empty for all profiles together."""
    return profile.timezone if report.at is not None else ""


def groups_of(report: NamedReport, profiles: Iterable[ReportProfile]) -> tuple[str, ...]:
    """All groups of a report."""
    return tuple(sorted({group_of(report, profile) for profile in profiles}))


def next_run(report: NamedReport, group: str, began_at: float | None, *, has_result: bool = True) -> float:
    """When a group runs next, if its last run began then; 0.0, which is at once, if it never ran."""
    if began_at is None:
        return 0.0
    planned = began_at + interval_of(report) if report.at is None else _next_at(report.at, group, began_at)
    return planned if has_result else min(planned, began_at + RETRY)


def due_groups(
    report: NamedReport, groups: Iterable[str], ran: Mapping[str, float], now: float, *, has_result: bool
) -> tuple[str, ...]:
    """The groups that run now. `ran` tells when the last run of each began; one from the future counts as none, since
    the clock was wrong then."""
    return tuple(
        group for group in groups if next_run(report, group, _past(ran.get(group), now), has_result=has_result) <= now
    )


def next_of_all(
    report: NamedReport, groups: Iterable[str], ran: Mapping[str, float], now: float, *, has_result: bool
) -> float | None:
    """The moment of the next run of any group, not before now; None without groups."""
    moments = [next_run(report, group, _past(ran.get(group), now), has_result=has_result) for group in groups]
    return max(now, min(moments)) if moments else None


def interval_of(report: NamedReport) -> float:
    """Seconds between two runs, with which a result's age is compared."""
    return report.every if report.every is not None else DAY


def _past(moment: float | None, now: float) -> float | None:
    return moment if moment is not None and moment <= now + DAY else None


def _next_at(at: time, zone: str, after: float) -> float:
    """The next time of day in a time zone after a moment. A time that a change of the clocks skips comes an hour later;
    of one that it repeats, the first is meant."""
    found = zone_of(zone)
    day = datetime.fromtimestamp(after, found).date()
    moments = (datetime.combine(day + timedelta(days=ahead), at, found).timestamp() for ahead in range(3))
    return next(moment for moment in moments if moment > after)
