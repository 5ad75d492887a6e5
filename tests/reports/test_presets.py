"""The presets: what an order looks like, what is refused, and whether Amazon's own words agree."""

from __future__ import annotations

import json
import tomllib
import zipfile
from typing import Any

import pytest

from proxy.commands.specifications import RESOURCES
from proxy.reports.presets import MAX_RANGE, PRESETS, find_problems, make_configuration
from tests.support.programs import ROOT
from tests.support.specifications import published_specifications


@pytest.mark.parametrize("name", PRESETS)
def test_the_usual_columns_are_columns_of_the_preset(name: str) -> None:
    """Each once, whichever the time unit."""
    for time_unit in ("DAILY", "SUMMARY"):
        columns = make_configuration(name, time_unit, ())["columns"]
        assert find_problems(name, time_unit, tuple(columns)) == ()
    assert len(set(PRESETS[name].columns)) == len(PRESETS[name].columns)


def test_an_order_with_columns() -> None:
    assert make_configuration("sbCampaigns", "DAILY", ("date", "cost")) == {
        "adProduct": "SPONSORED_BRANDS",
        "groupBy": ["campaign"],
        "columns": ["date", "cost"],
        "reportTypeId": "sbCampaigns",
        "timeUnit": "DAILY",
        "format": "GZIP_JSON",
    }


def test_a_summary_has_the_first_and_the_last_day_instead_of_the_date() -> None:
    columns = make_configuration("spCampaigns", "SUMMARY", ())["columns"]
    assert columns[:3] == ["startDate", "endDate", "campaignId"]
    assert "date" not in columns


@pytest.mark.parametrize(
    ("name", "time_unit", "columns", "key", "words"),
    [
        (
            "spCampaign",
            "DAILY",
            "",
            "preset",
            "unknown preset 'spCampaign', did you mean 'spCampaigns'?; write one of: ",
        ),
        ("x", "DAILY", "", "preset", "unknown preset 'x'; write one of: spCampaigns, "),
        ("spCampaigns", "DAILY", "costs", "columns", "unknown column 'costs', did you mean 'cost'?; spCampaigns has: "),
        ("spCampaigns", "DAILY", "startDate", "columns", "'startDate' is not for time_unit: DAILY; write date"),
        ("spCampaigns", "SUMMARY", "date", "columns", "'date' is not for time_unit: SUMMARY; write startDate and"),
        ("spCampaigns", "DAILY", "cost cost", "columns", "'cost' is listed twice; remove one"),
    ],
)
def test_what_amazon_would_refuse_is_named(name: str, time_unit: str, columns: str, key: str, words: str) -> None:
    ((found_key, problem),) = find_problems(name, time_unit, tuple(columns.split()))
    assert found_key == key
    assert problem.startswith(words)


def test_every_column_is_listed_where_one_is_unknown() -> None:
    ((_, problem),) = find_problems("sbSearchTerm", "DAILY", ("nothing",))
    assert all(column in problem for column in PRESETS["sbSearchTerm"].columns)


@pytest.mark.parametrize("name", PRESETS)
def test_a_second_reading_of_amazons_pages_finds_the_same(name: str) -> None:
    """The simulator's table is another person's work, from the same pages."""
    table = tomllib.loads((ROOT / "proxy/simulator/report_types.toml").read_text(encoding="utf-8"))
    preset, read = PRESETS[name], table[name]
    columns = f"{read['columns']} {read['group_by'][preset.group_by].get('columns', '')}".split()
    assert set(preset.columns) == set(columns)
    assert (preset.ad_product, preset.retention, read["range"]) == (read["ad_product"], read["kept"], MAX_RANGE)


@pytest.mark.parametrize("name", PRESETS)
def test_an_order_is_one_of_the_specification(name: str) -> None:
    """Amazon's words for products, units and formats, and no member that it does not know; it names no columns."""
    with zipfile.ZipFile(published_specifications()) as wheel:
        specification = json.loads(wheel.read(f"{RESOURCES}ReportingVersion3.json"))
    schemas: dict[str, Any] = specification["components"]["schemas"]
    known = schemas["AsyncReportConfiguration"]["properties"]
    order = make_configuration(name, "DAILY", ())
    assert order.keys() <= known.keys()
    assert order["adProduct"] in schemas["AsyncReportAdProduct"]["enum"]
    assert order["format"] in known["format"]["enum"]
    assert {"DAILY", "SUMMARY"} <= set(known["timeUnit"]["enum"])
