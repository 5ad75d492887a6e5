"""What a run means for the result: which rows it has of each profile, and which of them are old. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.reports.conversion import FIRST_COLUMNS
from proxy.reports.journal import KeptProfile, KeptRows, OrderStep
from proxy.reports.plan import ReportProfile
from proxy.reports.store import Form, ProfileRows, Result, ResultFile, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.reports.journal import OrderState, RunPlan
    from proxy.reports.plan import NamedReport
    from proxy.reports.templates import PlannedOrder

MAX_ERRORS = 20
"""Sentences that a run's history has."""


def settle(plan: RunPlan, state: Callable[[PlannedOrder], OrderState], kept: KeptRows, now: float) -> KeptRows:
    """What is kept after a run that ended now. A profile has all rows of this run, or those that it had before."""
    profiles = {profile.id: profile for profile in plan.profiles}
    settled: dict[str, KeptProfile] = {}
    for name in (*plan.covered, *plan.missing):
        before = kept.profiles.get(name)
        if name in profiles:
            orders = [order for order in plan.orders if order.profile == name]
            settled[name] = _settle_profile(profiles[name], orders, state, now) or _stale(before, profiles[name])
        elif name in plan.missing:
            settled[name] = _stale(before, ReportProfile(name, ""))
        elif before is not None:
            settled[name] = before
    return KeptRows(settled, {**kept.ran, **dict.fromkeys(plan.groups, plan.began_at)})


def _settle_profile(
    profile: ReportProfile, orders: list[PlannedOrder], state: Callable[[PlannedOrder], OrderState], now: float
) -> KeptProfile | None:
    """The new rows of a profile; None unless all its orders brought theirs."""
    states = [state(order) for order in orders]
    if not states or any(each.step is not OrderStep.KEPT for each in states):
        return None
    first, last = min(order.first_day for order in orders), max(order.last_day for order in orders)
    rows, parts = sum(each.rows for each in states), tuple(each.part for each in reversed(states))
    return KeptProfile(profile, first, last, rows, now, parts=parts)


def _stale(before: KeptProfile | None, profile: ReportProfile) -> KeptProfile:
    return replace(before, stale=True) if before is not None else KeptProfile(profile, stale=True)


def result_of_run(plan: RunPlan, settled: KeptRows) -> RunResult:
    """How a run ended, if what it brought is published."""
    fresh = [name for name in (each.id for each in plan.profiles) if not settled.profiles[name].stale]
    if not fresh:
        return RunResult.FAILURE
    return RunResult.PARTIAL if len(fresh) < len(plan.profiles) or plan.missing else RunResult.SUCCESS


def describe_errors(errors: Mapping[str, str]) -> tuple[str, ...]:
    """Why profiles have no new rows, as sentences: those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for profile, reason in errors.items():
        by_reason.setdefault(reason, []).append(profile)
    sentences = [
        f"{'Profile' if len(names) == 1 else f'{len(names)} profiles'} {_some(names)}: {reason}"
        for reason, names in by_reason.items()
    ]
    more = len(sentences) - MAX_ERRORS
    return (*sentences[:MAX_ERRORS], *((f"There are {more} more reasons.",) if more > 0 else ()))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def make_result(report: NamedReport, run: str, kept: KeptRows, told: Mapping[str, Any], now: float) -> Result:
    """The result that is published. `told` is what the merging process said of its files."""
    profiles = tuple(map(_rows_of, kept.profiles.values()))
    days = [(profile.first_day, profile.last_day) for profile in profiles if profile.completed_at]
    return Result(
        report=report.name,
        run=run,
        account=report.account,
        completed_at=now,
        columns=tuple(dict.fromkeys((*FIRST_COLUMNS, *report.columns))),
        rows=told["rows"],
        first_day=min((first for first, _ in days), default=""),
        last_day=max((last for _, last in days), default=""),
        profiles=profiles,
        files={form: ResultFile(**told[form]) for form in Form},
        order=report.template.content,
    )


def mark_stale(result: Result, kept: KeptRows) -> Result:
    """The result from before a run that brought nothing, with the profiles marked."""
    stale = {name for name, profile in kept.profiles.items() if profile.stale}
    marked = tuple(replace(each, stale=each.stale or each.id in stale) for each in result.profiles)
    return replace(result, profiles=marked)


def parts_of(kept: KeptRows) -> Iterable[str]:
    """The files of all rows, in the order of the table."""
    return (part for profile in kept.profiles.values() for part in profile.parts)


def _rows_of(kept: KeptProfile) -> ProfileRows:
    profile, days = kept.profile, (kept.first_day, kept.last_day)
    return ProfileRows(
        profile.id, profile.country, profile.currency, *days, kept.rows, kept.completed_at, stale=kept.stale
    )
