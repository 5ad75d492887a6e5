"""What is sent to Amazon for a planned order, in each version."""

from __future__ import annotations

import json

import pytest

from proxy.reports.orders import Report, ReportStatus
from proxy.reports.templates import PlannedOrder, Version3Template

ORDER = PlannedOrder("11", "na", "2026-10-01", "2026-10-31", "amzn1.x")
CONFIGURATION = {"reportTypeId": "stCampaigns", "columns": ["date"], "timeUnit": "DAILY"}


def test_an_order_is_known_by_its_profile_and_first_day() -> None:
    assert ORDER.key == "11-2026-10-01"


def test_what_version_3_is_sent() -> None:
    """The profile is the Scope."""
    template = Version3Template(CONFIGURATION)
    request = template.ask_for(ORDER)
    assert (request.method, request.target, request.profile) == ("POST", "/reporting/reports", "11")
    assert json.loads(request.data or b"") == {
        "startDate": "2026-10-01",
        "endDate": "2026-10-31",
        "configuration": CONFIGURATION,
    }
    assert request.headers["Content-Type"] == "application/vnd.createasyncreportrequest.v3+json"
    poll = template.ask_about(ORDER, "a/b")
    assert (poll.method, poll.target, poll.profile, poll.data) == ("GET", "/reporting/reports/a%2Fb", "11", None)
    assert (template.columns, template.longest, template.find_fault(ORDER)) == (("date",), 31, "")


@pytest.mark.parametrize(("kind", "days"), [("sbCampaigns", 60), ("stCampaigns", 95)])
def test_a_type_is_kept_as_long_as_its_preset_says(kind: str, days: int) -> None:
    """95 days without one."""
    assert Version3Template({**CONFIGURATION, "reportTypeId": kind}).retention == days


def test_a_report_of_version_3_shows_what_was_ordered() -> None:
    shown = {"startDate": "2026-10-01", "endDate": "2026-10-31", "configuration": CONFIGURATION}
    template = Version3Template(CONFIGURATION)
    assert template.has_data_of(ORDER, Report("1", ReportStatus.PENDING, shown))
    assert not template.has_data_of(ORDER, Report("1", ReportStatus.PENDING, {**shown, "endDate": "2026-10-30"}))
