"""What Amazon would find wrong with an order of a version 3 report."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from proxy.simulator.report_orders import load_report_types, problem_with_order

TODAY = date(2026, 11, 29)
CONFIGURATION = {
    "adProduct": "SPONSORED_PRODUCTS",
    "groupBy": ["campaign"],
    "columns": ["date", "campaignId", "impressions", "sales7d"],
    "reportTypeId": "spCampaigns",
    "timeUnit": "DAILY",
    "format": "GZIP_JSON",
}


def problem(changed: dict[str, Any] | None = None, /, **configured: Any) -> str | None:
    """What is wrong with an order; None leaves a member out."""
    configuration = {**CONFIGURATION, **configured}
    order = {"startDate": "2026-11-01", "endDate": "2026-11-28", "configuration": configuration, **(changed or {})}
    kept = {name: value for name, value in order.items() if value is not None}
    if isinstance(kept.get("configuration"), dict):
        kept["configuration"] = {name: value for name, value in kept["configuration"].items() if value is not None}
    return problem_with_order(kept, TODAY)


def test_a_good_order_is_taken() -> None:
    """With or without a name and filters, which may be null."""
    assert problem() is None
    assert problem({"name": "sp"}, filters=[{"field": "campaignStatus", "values": ["ENABLED"]}]) is None
    assert problem(filters=None) is None
    assert problem_with_order({**_order(), "name": None}, TODAY) is None


def _order() -> dict[str, Any]:
    return {"startDate": "2026-11-01", "endDate": "2026-11-28", "configuration": {**CONFIGURATION, "filters": None}}


@pytest.mark.parametrize("name", ["adProduct", "columns", "format", "groupBy", "reportTypeId", "timeUnit"])
@pytest.mark.parametrize("value", [None, "", [], 1])
def test_each_required_field_is_named(name: str, value: Any) -> None:
    """Whether it is left out, empty or of another type."""
    assert problem(**{name: value}) == f"Required fields are invalid or missing: configuration {name}"


@pytest.mark.parametrize("name", ["startDate", "endDate", "configuration"])
def test_each_required_member_is_named(name: str) -> None:
    """One sentence names all missing members."""
    assert problem({name: None}) == f"Required fields are invalid or missing: {name}"
    assert problem_with_order({}, TODAY) == "Required fields are invalid or missing: startDate, endDate, configuration"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"startDate": "20261101"}, "startDate (20261101) is not a date"),
        ({"endDate": "2026-02-30"}, "endDate (2026-02-30) is not a date"),
        ({"startDate": "2026-11-29"}, "must be equal to or before endDate (2026-11-28)"),
        ({"startDate": "2026-10-27"}, "range (32 days) must not exceed maximum range (31 days)"),
        (
            {"startDate": "2026-08-25", "endDate": "2026-08-26"},
            "startDate (2026-08-25) must be equal to or after report type data retention start date (2026-08-26)",
        ),
        ({"name": 7}, "name is not a text"),
    ],
)
def test_days_and_name_are_checked(changed: dict[str, Any], text: str) -> None:
    """ISO dates in order, at most 31 days from start to end, not before what Amazon keeps."""
    assert text in (problem(changed) or "")


def test_the_longest_range_and_the_oldest_day_are_taken() -> None:
    """31 days from start to end, 95 days ago."""
    assert problem({"startDate": "2026-10-28"}) is None
    assert problem({"startDate": "2026-08-26", "endDate": "2026-08-26"}) is None


@pytest.mark.parametrize(
    ("configured", "text"),
    [
        ({"adProduct": "SP"}, "configuration adProduct is unknown or invalid"),
        ({"adProduct": "SPONSORED_BRANDS"}, "configuration adProduct is not supported for this report type"),
        ({"format": "CSV"}, "configuration format is not supported"),
        ({"timeUnit": "HOURLY"}, "configuration timeUnit is unknown or invalid"),
        ({"reportTypeId": "spCampaign"}, "configuration reportTypeId is unknown or invalid"),
        (
            {"groupBy": ["asin"]},
            "groupBy includes invalid values: (asin). Allowed values: (campaign, adGroup, campaignPlacement)",
        ),
        ({"columns": ["date", "sales", "adGroupId"]}, "columns includes invalid values: (sales, adGroupId). Allowed"),
        ({"columns": ["date", "startDate"]}, "startDate and endDate are not supported columns for DAILY"),
        ({"timeUnit": "SUMMARY"}, "configuration date is not a supported column for SUMMARY time unit."),
        ({"filters": {"field": "x"}}, "configuration filters is not a list of filters"),
        ({"filters": [{"field": "adStatus", "values": ["ENABLED"]}]}, "filters includes fields: (adStatus)"),
        (
            {
                "filters": [{"field": "campaignStatus", "values": ["ENABLED"]}],
                "groupBy": ["campaign", "adGroup"],
            },
            "filters includes fields: (campaignStatus) which are invalid for groupBys: campaign, adGroup",
        ),
        ({"filters": [{"field": "campaignStatus", "values": ["ON"]}]}, "Allowed values: (ENABLED, PAUSED, ARCHIVED)"),
        ({"filters": [{"field": "campaignStatus"}]}, "configuration filters campaignStatus has invalid values"),
    ],
)
def test_a_configuration_must_fit_the_report_type(configured: dict[str, Any], text: str) -> None:
    """Product, groups, columns, time unit and filters are those of the table."""
    assert text in (problem(**configured) or "")


def test_the_refusal_of_a_column_lists_those_that_are_allowed() -> None:
    """The list has the columns of the type and of its groups, each once."""
    text = problem(columns=["x"], groupBy=["campaign", "adGroup"]) or ""
    allowed = text.rpartition("(")[2].removesuffix(")").split(", ")
    assert {"impressions", "campaignName", "adGroupId"} <= set(allowed)
    assert len(allowed) == len(set(allowed))


@pytest.mark.parametrize(
    ("ad_product", "kept"), [("SPONSORED_PRODUCTS", 95), ("SPONSORED_BRANDS", 60), ("SPONSORED_DISPLAY", 65)]
)
def test_each_product_keeps_its_reports_so_long(ad_product: str, kept: int) -> None:
    """Only one report type, of Sponsored Brands, is kept for two years."""
    found = {name: kind.kept for name, kind in load_report_types().items() if kind.ad_product == ad_product}
    assert len(found) >= 4
    assert set(found.values()) - {731} == {kept}


@pytest.mark.parametrize("name", sorted(load_report_types()))
def test_each_report_type_takes_all_of_its_columns(name: str) -> None:
    """By day and as a summary, grouped in each of its ways."""
    kind = load_report_types()[name]
    right = {"adProduct": kind.ad_product, "reportTypeId": name}
    for group in kind.groups:
        for unit, left_out in (("DAILY", {"startDate", "endDate"}), ("SUMMARY", {"date"})):
            columns = [column for column in kind.allowed([group]) if column not in left_out]
            assert problem({}, **right, groupBy=[group], columns=columns, timeUnit=unit) is None


@pytest.mark.parametrize("ad_product", ["DEMAND_SIDE_PLATFORM", "SPONSORED_TELEVISION", "ALL"])
def test_other_products_are_checked_by_their_form_only(ad_product: str) -> None:
    """Their report types are not in the table."""
    assert problem(adProduct=ad_product, reportTypeId="dspCampaign", columns=["any"]) is None
    assert problem(adProduct=ad_product, format="CSV") is not None
