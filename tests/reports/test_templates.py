"""What is sent to Amazon for a planned order, in each version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.reports.templates import PlannedOrder, Version1Template, Version3Template

ORDER = PlannedOrder("11", "na", "2026-10-01", "2026-10-31", "amzn1.x")
CONFIGURATION = {"reportTypeId": "stCampaigns", "columns": ["date"], "timeUnit": "DAILY"}
FIELDS = ["date.value", "campaign.id", "metric.clicks"]
OF_SPONSORED_PRODUCTS = {
    "on": {
        "field": "adProduct.value",
        "comparisonOperator": "EQUALS",
        "not": False,
        "values": ["SPONSORED_PRODUCTS"],
    }
}
OF_GERMANY = {"on": {"field": "campaign.country", "comparisonOperator": "EQUALS", "not": False, "values": ["DE"]}}


def version_1(**changes: Any) -> Version1Template:
    return Version1Template({"format": "GZIP_JSON", "query": {"fields": FIELDS, **changes}})


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


def test_what_version_1_is_sent() -> None:
    """The ads account is in the body, and there is no Scope."""
    template = version_1()
    request = template.ask_for(ORDER)
    assert (request.method, request.target) == ("POST", "/adsApi/v1/create/reports")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert json.loads(request.data or b"") == {
        "accessRequestedAccounts": [{"advertiserAccountId": "amzn1.x"}],
        "reports": [
            {
                "format": "GZIP_JSON",
                "periods": [{"datePeriod": {"startDate": "2026-10-01", "endDate": "2026-10-31"}}],
                "query": {"fields": FIELDS},
            }
        ],
    }
    poll = template.ask_about(ORDER, "id-1")
    assert (poll.method, poll.target, poll.data) == ("POST", "/adsApi/v1/retrieve/reports", b'{"reportIds": ["id-1"]}')
    assert "Amazon-Advertising-API-Scope" not in poll.headers
    assert (template.columns, template.longest, template.retention) == (tuple(FIELDS), 120, 731)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, OF_GERMANY),
        ({"filter": None}, OF_GERMANY),
        ({"filter": OF_SPONSORED_PRODUCTS}, {"and": {"filters": [OF_SPONSORED_PRODUCTS, OF_GERMANY]}}),
    ],
)
def test_rows_of_other_countries_are_left_out_where_an_ads_account_has_some(
    given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """What the file filters by stays, and the template is as before."""
    template = version_1(**given)
    body = template.write(PlannedOrder("11", "na", "2026-10-01", "2026-10-31", "amzn1.x", "DE"))
    assert body["reports"][0]["query"] == {"fields": FIELDS, "filter": sent}
    assert template == version_1(**given)


def test_a_profile_without_an_ads_account_cannot_be_ordered_in_version_1() -> None:
    assert version_1().find_fault(ORDER) == ""
    assert version_1().find_fault(PlannedOrder("11", "na", "2026-10-01", "2026-10-31")) == (
        "Amazon lists no ads account with this profile, or one with several in its country; version 1 needs one."
    )
