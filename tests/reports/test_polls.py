"""Which answers to polls others get, and for how long."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.reports.orders import Report, ReportStatus
from proxy.reports.polls import LEAST_LEFT, LONG, MAX_ANSWER, PollAnswer, answer_to_poll, read_moment

NOW = 1_800_000_000.0
BODY = json.dumps({"reportId": "report-1", "status": "PENDING"}).encode()
PENDING = Report("report-1", ReportStatus.PENDING)
ANSWER = PollAnswer(200, "application/json", BODY.decode(), NOW, 0.0, NOW)


def completed(*ends: str) -> Report:
    return Report("report-1", ReportStatus.COMPLETED, {}, ends)


def test_an_answer_about_an_unfinished_report_is_kept_as_it_came() -> None:
    """With the moment at which it came."""
    assert answer_to_poll(200, "application/json", BODY, PENDING, NOW) == ANSWER


def test_a_large_answer_is_not_kept() -> None:
    """Memory is bounded."""
    assert answer_to_poll(200, "application/json", b"x" * MAX_ANSWER, PENDING, NOW) is not None
    assert answer_to_poll(200, "application/json", b"x" * (MAX_ANSWER + 1), PENDING, NOW) is None


@pytest.mark.parametrize(("age", "fresh"), [(-1.0, False), (0.0, True), (59.9, True), (60.0, False)])
def test_an_answer_is_fresh_for_the_interval(age: float, fresh: bool) -> None:
    """Not if the clock was set back."""
    assert ANSWER.is_fresh(NOW + age, 60.0) is fresh


@pytest.mark.parametrize(("age", "fresh"), [(119.9, True), (120.0, False)])
def test_a_report_that_takes_long_is_asked_for_half_as_often(age: float, fresh: bool) -> None:
    """After half an hour."""
    late = replace(ANSWER, waiting_since=NOW - LONG - 1)
    assert late.is_fresh(NOW + age, 60.0) is fresh


def test_an_answer_continues_the_wait_of_the_one_before() -> None:
    """The first that is kept begins it."""
    later = replace(ANSWER, at=NOW + 60, waiting_since=NOW + 60)
    assert later.after(None).waiting_since == NOW + 60
    assert later.after(ANSWER).waiting_since == NOW


def test_a_download_address_must_be_good_for_a_while() -> None:
    """The one that ends first decides; without a moment that can be read none is."""
    found = answer_to_poll(200, "", BODY, completed("2027-01-15T09:00:00Z", "2027-01-15T08:30:00Z"), NOW)
    assert found is not None
    assert found.until == NOW + 1800 - LEAST_LEFT
    assert found.is_fresh(NOW + 899, 1000.0)
    assert not found.is_fresh(NOW + 900, 1000.0)
    for ends in (("2027-01-15T08:15:00Z",), ("2027-01-15T09:00:00Z", "soon"), ()):
        assert answer_to_poll(200, "", BODY, completed(*ends), NOW) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00.500Z", NOW + 0.5),
        ("2027-01-15T09:00:00+01:00", NOW),
        ("2027-01-15T08:00:00", NOW),
        ("tomorrow", None),
        (5, None),
        (None, None),
    ],
)
def test_a_moment_is_read_as_amazon_writes_it(text: object, moment: float | None) -> None:
    """RFC 3339; without an offset it is in UTC."""
    assert read_moment(text) == moment
