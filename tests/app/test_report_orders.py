"""What the configuration says of orders, and what Amazon would refuse: an error at start that says what to write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.app.report_orders import make_named_reports, refuse_misfits
from proxy.config import load
from proxy.errors import ConfigurationError
from proxy.reports.templates import Version1Template, Version3Template

CONFIGURATION = {
    "adProduct": "SPONSORED_TELEVISION",
    "groupBy": ["campaign"],
    "columns": ["campaignId", "date"],
    "reportTypeId": "stCampaigns",
    "timeUnit": "DAILY",
    "format": "GZIP_JSON",
    "filters": [{"field": "campaignStatus", "values": ["ENABLED"]}],
}

QUERY = {"fields": ["date.value", "campaign.id", "metric.clicks"]}
REPORT = {"format": "PARTITIONED_GZIP_JSON", "query": QUERY, "currencyOfView": "EUR"}


def named(tmp_path: Path, order: dict[str, Any], **changes: Any) -> Any:
    """The report `r` of a configuration with this order."""
    entry = {"account": "acme", "every": "6h", "order": order, **changes}
    content = {
        "accounts": {"acme": {"client_id": "c", "client_secret": "s", "refresh_token": "r", "region": "na"}},
        "reports": {"named": {"r": entry}},
    }
    path = tmp_path / "proxy.json"
    path.write_text(json.dumps(content))
    section = load(path, {}).reports
    assert section is not None
    return make_named_reports(section)["r"]


def problem_of(tmp_path: Path, order: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        named(tmp_path, order)
    (problem,) = refused.value.problems
    return problem


def in_file(tmp_path: Path, content: Any) -> dict[str, Any]:
    (tmp_path / "order.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return {"file": str(tmp_path / "order.json")}


def test_a_preset_becomes_an_order(tmp_path: Path) -> None:
    report = named(tmp_path, {"preset": "sbCampaigns", "columns": ["date", "cost"]}, profiles=[12], days=7, region="eu")
    assert report.template.content["reportTypeId"] == "sbCampaigns"
    assert (report.columns, report.template.retention) == (("date", "cost"), 60)
    assert (report.profiles, report.days, report.region, report.every, report.at) == (("12",), 7, "eu", 21600.0, None)


def test_all_profiles_are_none_in_particular(tmp_path: Path) -> None:
    assert named(tmp_path, {"preset": "spCampaigns"}).profiles is None


def test_an_order_of_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    """Without its dates."""
    order = in_file(tmp_path, {"name": "x", "startDate": "2020-01-01", "endDate": "", "configuration": CONFIGURATION})
    assert named(tmp_path, order).template == Version3Template(CONFIGURATION)


@pytest.mark.parametrize(
    "accounts", [{}, {"accessRequestedAccounts": [{"advertiserAccountId": "x"}]}, {"accessRequestedAccounts": 1}]
)
def test_an_order_of_version_1_is_sent_as_it_is(tmp_path: Path, accounts: dict[str, Any]) -> None:
    """Without its dates and accounts."""
    periods = [{"datePeriod": {"startDate": "2020-01-01", "endDate": "2020-01-02"}}]
    report = named(tmp_path, in_file(tmp_path, {**accounts, "reports": [{**REPORT, "periods": periods}]}))
    assert report.template == Version1Template(REPORT)
    assert report.columns == ("date.value", "campaign.id", "metric.clicks")


@pytest.mark.parametrize(("version_1", "most"), [(False, 95), (True, 730)])
def test_a_report_covers_as_many_days_as_its_version(tmp_path: Path, version_1: bool, most: int) -> None:
    """Amazon has no rows of earlier ones."""
    order = in_file(tmp_path, {"reports": [REPORT]}) if version_1 else {"preset": "spCampaigns"}
    assert named(tmp_path, order, days=most).days == most
    with pytest.raises(ConfigurationError) as refused:
        named(tmp_path, order, days=most + 1)
    (problem,) = refused.value.problems
    assert problem.startswith("reports.named.r.days: is ")
    assert f"write at most {most}" in problem or "out of range" in problem


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"preset": "spCampaign"}, "reports.named.r.order.preset: unknown preset 'spCampaign', did you mean"),
        (
            {"preset": "spCampaigns", "columns": ["costs"]},
            "reports.named.r.order.columns: unknown column 'costs', did you mean 'cost'?; spCampaigns has: addToList,",
        ),
    ],
)
def test_what_is_mistyped_is_an_error_that_lists_what_there_is(
    tmp_path: Path, order: dict[str, Any], words: str
) -> None:
    assert problem_of(tmp_path, order).startswith(words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ([], "has no configuration;"),
        ({"configuration": []}, "has no configuration;"),
        ({"accessRequestedAccounts": [], "reports": []}, "has no list of one report at reports"),
        ({"accessRequestedAccounts": []}, "has no list of one report at reports"),
        ({"reports": [REPORT, REPORT]}, "has no list of one report at reports; write each further one as"),
        ({"reports": [1]}, "has no list of one report at reports"),
        (
            {"reports": [REPORT], "accessRequestedAccounts": [{"managerAccountId": "m"}]},
            "names a managerAccountId; remove",
        ),
        (
            {"reports": [{**REPORT, "format": "CSV"}]},
            "has another reports[0].format than GZIP_JSON or PARTITIONED_GZIP_JSON",
        ),
        ({"reports": [{"format": "GZIP_JSON"}]}, "has no list of texts at reports[0].query.fields"),
        ({"reports": [{**REPORT, "query": {"fields": []}}]}, "has no list of texts at reports[0].query.fields"),
        (
            {"reports": [{**REPORT, "query": {"fields": ["a.b", "a.b"]}}]},
            "lists a field twice at reports[0].query.fields",
        ),
        ({"reports": [{**REPORT, "query": {**QUERY, "filter": []}}]}, "has no object at reports[0].query.filter"),
        ({"configuration": {**CONFIGURATION, "adProduct": None}}, "has no configuration.adProduct"),
        ({"configuration": {**CONFIGURATION, "columns": []}}, "has no list of texts at configuration.columns"),
        ({"configuration": {**CONFIGURATION, "groupBy": [1]}}, "has no list of texts at configuration.groupBy"),
        ({"configuration": {**CONFIGURATION, "format": "CSV"}}, "has another configuration.format than GZIP_JSON"),
        (
            {"configuration": {**CONFIGURATION, "reportTypeId": "other", "columns": ["date", "cost", "cost"]}},
            "lists a column twice at configuration.columns; remove one",
        ),
        (
            {"configuration": {**CONFIGURATION, "reportTypeId": "spCampaigns", "columns": ["reach"]}},
            "unknown column 'reach'",
        ),
    ],
)
def test_a_file_that_is_no_order_is_an_error(tmp_path: Path, content: Any, words: str) -> None:
    assert problem_of(tmp_path, in_file(tmp_path, content)).startswith(f"reports.named.r.order.file: {words}")


def test_operations_and_reports_are_told_together(tmp_path: Path) -> None:
    """One start tells what is wrong in valid sections, in all of them."""
    content = {
        "accounts": {"acme": {"client_id": "c", "client_secret": "s", "refresh_token": "r", "region": "na"}},
        "operations": [{"method": "GET", "path": "/v2/profiles"}],
        "reports": {"named": {"r": {"account": "acme", "every": "6h", "order": {"preset": "spNothing"}}}},
    }
    path = tmp_path / "proxy.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as refused:
        refuse_misfits(load(path, {}))
    assert [problem.partition(": ")[0] for problem in refused.value.problems] == [
        "operations[0].path",
        "reports.named.r.order.preset",
    ]
