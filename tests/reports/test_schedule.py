"""When runs are due, with every boundary; the clock is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from proxy.reports.schedule import RETRY, due_groups, groups_of, interval_of, next_of_all, next_run
from tests.reports.reporting import DE, JP, US, make_report, moment

DAILY = make_report(at=time(6, 0))
OFTEN = make_report(every=600.0)
BERLIN = "Europe/Berlin"


def in_utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def test_profiles_of_one_time_zone_run_together() -> None:
    """At an interval, all do."""
    assert groups_of(DAILY, [US, DE, JP, DE]) == ("America/Los_Angeles", "Asia/Tokyo", BERLIN)
    assert groups_of(OFTEN, [US, DE, JP]) == ("",)


@pytest.mark.parametrize(
    ("zone", "began", "next_at"),
    [
        (BERLIN, "2026-11-02 04:59", "2026-11-02 05:00"),
        (BERLIN, "2026-11-02 05:00", "2026-11-03 05:00"),
        (BERLIN, "2026-11-02 23:30", "2026-11-03 05:00"),
        ("America/Los_Angeles", "2026-11-02 13:59", "2026-11-02 14:00"),
        ("Asia/Tokyo", "2026-11-02 12:00", "2026-11-02 21:00"),
        ("", "2026-11-02 12:00", "2026-11-03 06:00"),
        (BERLIN, "2026-10-24 12:00", "2026-10-25 05:00"),
        (BERLIN, "2026-03-28 12:00", "2026-03-29 04:00"),
    ],
)
def test_a_time_of_day_is_that_of_the_profile(zone: str, began: str, next_at: str) -> None:
    """Also on the days on which the clocks change."""
    assert in_utc(next_run(DAILY, zone, moment(began))) == next_at


def test_a_time_that_the_clocks_skip_comes_an_hour_later() -> None:
    """2:30 on the day on which summer time begins."""
    report = make_report(at=time(2, 30))
    assert in_utc(next_run(report, BERLIN, moment("2026-03-28 12:00"))) == "2026-03-29 01:30"


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    report = make_report(at=time(2, 30))
    first = next_run(report, BERLIN, moment("2026-10-24 12:00"))
    assert in_utc(first) == "2026-10-25 00:30"
    assert in_utc(next_run(report, BERLIN, first)) == "2026-10-26 01:30"


def test_an_interval_counts_from_the_beginning_of_the_last_run() -> None:
    assert next_run(OFTEN, "", 1000.0) == 1600.0


@pytest.mark.parametrize(("report", "interval"), [(DAILY, 86_400.0), (OFTEN, 600.0)])
def test_the_interval_of_a_report(report: object, interval: float) -> None:
    assert interval_of(report) == interval  # type: ignore[arg-type]  # one of the two above


def test_without_a_result_a_run_is_due_at_once() -> None:
    assert due_groups(DAILY, ["", BERLIN], {}, 5.0, has_result=False) == ("", BERLIN)
    assert next_run(DAILY, BERLIN, None) == 0.0


def test_after_a_restart_nothing_is_due_that_ran() -> None:
    ran = {BERLIN: moment("2026-11-02 05:00")}
    assert due_groups(DAILY, [BERLIN], ran, moment("2026-11-03 04:59"), has_result=True) == ()
    assert due_groups(DAILY, [BERLIN], ran, moment("2026-11-03 05:00"), has_result=True) == (BERLIN,)


def test_a_missed_time_is_made_up_for_once() -> None:
    """The program was stopped for days."""
    now = moment("2026-11-09 12:00")
    assert due_groups(DAILY, [BERLIN], {BERLIN: moment("2026-11-02 05:00")}, now, has_result=True) == (BERLIN,)
    assert due_groups(DAILY, [BERLIN], {BERLIN: now}, now, has_result=True) == ()


def test_a_first_run_that_failed_is_tried_again_soon() -> None:
    """Not only the next day, but not at once either."""
    began = moment("2026-11-02 12:00")
    assert next_run(DAILY, BERLIN, began, has_result=False) == began + RETRY
    assert next_run(OFTEN, "", began, has_result=False) == began + 600.0


def test_a_run_from_the_future_counts_as_none() -> None:
    """The clock was wrong then."""
    now = moment("2026-11-02 12:00")
    assert due_groups(OFTEN, [""], {"": now + 90_000}, now, has_result=True) == ("",)


def test_the_next_run_of_all_is_the_earliest() -> None:
    now = moment("2026-11-02 12:00")
    ran = {BERLIN: now, "Asia/Tokyo": now}
    assert in_utc(next_of_all(DAILY, list(ran), ran, now, has_result=True) or 0) == "2026-11-02 21:00"
    assert next_of_all(DAILY, ["America/Los_Angeles", *ran], ran, now, has_result=True) == now
    assert next_of_all(DAILY, [], ran, now, has_result=True) is None
