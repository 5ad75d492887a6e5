"""Which rows a result has after a run, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.reports.journal import EMPTY, KeptProfile, KeptRows, OrderState, OrderStep, RunPlan
from proxy.reports.outcome import (
    MAX_ERRORS,
    describe_errors,
    make_result,
    mark_stale,
    parts_of,
    result_of_run,
    settle,
)
from proxy.reports.plan import ReportProfile
from proxy.reports.store import Form, RunResult
from proxy.reports.templates import PlannedOrder, Version3Template
from tests.reports.reporting import DE, JP, US, make_report

US_NEW = PlannedOrder("11", "na", "2026-10-02", "2026-11-01")
US_OLD = PlannedOrder("11", "na", "2026-10-01", "2026-10-01")
DE_ALL = PlannedOrder("22", "eu", "2026-10-01", "2026-11-01")
GOOD = {
    US_NEW: OrderState(OrderStep.KEPT, rows=3, part="us-new"),
    US_OLD: OrderState(OrderStep.KEPT, rows=2, part="us-old"),
    DE_ALL: OrderState(OrderStep.KEPT, rows=7, part="de"),
}
BAD = OrderState(OrderStep.FAILED, error="Amazon answered 400.")
OLD_DE = KeptProfile(DE, "2026-09-01", "2026-10-01", 9, 50.0, parts=("de-before",))
OLD_JP = KeptProfile(JP, "2026-09-01", "2026-10-01", 4, 60.0, stale=True, parts=("jp-before",))


def plan(**changes: Any) -> RunPlan:
    given: dict[str, Any] = {
        "run": "r1",
        "began_at": 100.0,
        "digest": "d",
        "groups": ("",),
        "profiles": (US, DE),
        "orders": (US_NEW, US_OLD, DE_ALL),
        "covered": ("11", "22"),
    }
    return RunPlan(**{**given, **changes})


def settled(
    states: Mapping[PlannedOrder, OrderState], kept: KeptRows = EMPTY, *, of: RunPlan | None = None
) -> KeptRows:
    return settle(of or plan(), lambda order: states.get(order, OrderState()), kept, 200.0)


def test_all_rows_of_a_run_that_went_well() -> None:
    """A profile's orders in the order of their days."""
    kept = settled(GOOD)
    assert kept.profiles["11"] == KeptProfile(US, "2026-10-01", "2026-11-01", 5, 200.0, parts=("us-old", "us-new"))
    assert kept.profiles["22"] == KeptProfile(DE, "2026-10-01", "2026-11-01", 7, 200.0, parts=("de",))
    assert kept.ran == {"": 100.0}
    assert list(parts_of(kept)) == ["us-old", "us-new", "de"]
    assert result_of_run(plan(), kept) is RunResult.SUCCESS


@pytest.mark.parametrize("state", [BAD, OrderState(), OrderState(OrderStep.ORDERED, "id")])
def test_a_profile_has_all_rows_of_a_run_or_none(state: OrderState) -> None:
    """Never those of one of its orders."""
    kept = settled({**GOOD, US_OLD: state})
    assert kept.profiles["11"] == KeptProfile(US, stale=True)
    assert result_of_run(plan(), kept) is RunResult.PARTIAL


def test_a_failing_profile_keeps_its_rows_as_stale() -> None:
    before = KeptRows({"22": OLD_DE})
    kept = settled({**GOOD, DE_ALL: BAD}, before)
    assert kept.profiles["22"] == KeptProfile(DE, "2026-09-01", "2026-10-01", 9, 50.0, stale=True, parts=("de-before",))


def test_a_run_without_new_rows_failed() -> None:
    assert result_of_run(plan(), settled({})) is RunResult.FAILURE


def test_profiles_of_other_groups_stay_as_they_are() -> None:
    """Those of another time zone ran at another time, and are no older than they should be."""
    of = plan(profiles=(US,), orders=(US_NEW, US_OLD), covered=("11", "22"), groups=("America/Los_Angeles",))
    kept = settled(GOOD, KeptRows({"22": OLD_DE}, {"Europe/Berlin": 5.0}), of=of)
    assert kept.profiles["22"] == OLD_DE
    assert kept.ran == {"Europe/Berlin": 5.0, "America/Los_Angeles": 100.0}
    assert result_of_run(of, kept) is RunResult.SUCCESS


def test_a_profile_that_is_not_covered_any_more_goes() -> None:
    assert list(settled(GOOD, KeptRows({"33": OLD_JP})).profiles) == ["11", "22"]


def test_a_profile_that_never_ran_is_in_no_result_before_it_does() -> None:
    """It was listed after the last run of its time zone."""
    assert list(settled(GOOD, of=plan(covered=("11", "22", "33"))).profiles) == ["11", "22"]


def test_a_missing_profile_keeps_its_rows_as_stale() -> None:
    """Named by the configuration, or of a region that cannot be listed now."""
    of = plan(missing=("33", "99"))
    kept = settled(GOOD, KeptRows({"33": OLD_JP}), of=of)
    assert kept.profiles["33"] == OLD_JP
    assert kept.profiles["99"] == KeptProfile(ReportProfile("99", ""), stale=True)
    assert result_of_run(of, kept) is RunResult.PARTIAL


def told(rows: int) -> dict[str, Any]:
    return {"rows": rows, **{form: {"name": f"r.{form}.gz", "size": 9, "sha256": "d", "stored": 5} for form in Form}}


def test_a_result_names_what_it_covers() -> None:
    kept = settled({**GOOD, DE_ALL: BAD}, KeptRows({"22": OLD_DE}))
    result = make_result(make_report(), "r1", kept, told(14), 300.0)
    assert (result.rows, result.run, result.account, result.completed_at) == (14, "r1", "main", 300.0)
    assert result.columns == ("profileId", "countryCode", "currencyCode", "date", "campaignId", "cost")
    assert (result.first_day, result.last_day, result.stale) == ("2026-09-01", "2026-11-01", ("22",))
    assert result.files[Form.CSV].name == "r.csv.gz"
    assert [(each.id, each.country, each.rows) for each in result.profiles] == [("11", "US", 5), ("22", "DE", 9)]


def test_a_column_that_every_result_has_is_not_listed_twice() -> None:
    report = make_report(template=Version3Template({"columns": ["countryCode", "cost"]}))
    result = make_result(report, "r1", settled(GOOD), told(12), 300.0)
    assert result.columns == ("profileId", "countryCode", "currencyCode", "cost")


def test_a_result_without_any_rows_has_no_days() -> None:
    result = make_result(make_report(), "r1", settled({}), told(0), 300.0)
    assert (result.first_day, result.last_day) == ("", "")


def test_after_a_run_that_brought_nothing_the_result_is_marked() -> None:
    """And is otherwise the same."""
    result = make_result(make_report(), "r1", settled(GOOD), told(12), 300.0)
    marked = mark_stale(result, settled({US_NEW: BAD}, settled(GOOD)))
    assert marked.stale == ("11", "22")
    assert (marked.completed_at, marked.rows, marked.files) == (300.0, 12, result.files)
    assert mark_stale(result, settled(GOOD)) == result


def test_errors_with_one_reason_are_one_sentence() -> None:
    errors = {**dict.fromkeys(("1", "2", "3", "4"), "Amazon answered 400."), "5": "It was cut."}
    assert describe_errors(errors) == ("4 profiles 1, 2, 3, ...: Amazon answered 400.", "Profile 5: It was cut.")


def test_the_number_of_reasons_is_bounded() -> None:
    sentences = describe_errors({str(number): f"Reason {number}." for number in range(MAX_ERRORS + 5)})
    assert len(sentences) == MAX_ERRORS + 1
    assert sentences[-1] == "There are 5 more reasons."
