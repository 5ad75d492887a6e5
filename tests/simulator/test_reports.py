"""The rows of a report: which columns, and what is in them."""

from __future__ import annotations

import csv
import gzip
import json
from typing import Any

import pytest

from proxy.simulator.reports import COUNT, USUAL, as_csv, as_gzip_json, cell, columns_of


@pytest.mark.parametrize(
    ("order", "columns"),
    [
        ({}, USUAL),
        ({"configuration": {}}, USUAL),
        ({"configuration": {"columns": ["date", "clicks", "clicks"]}}, ("date", "clicks")),
        ({"metrics": "impressions, clicks"}, ("impressions", "clicks")),
        ({"query": {"fields": ["campaign.id", "metric.clicks"]}}, ("campaign.id", "metric.clicks")),
        ({"dimensions": ["ORDER"], "metrics": ["totalCost"]}, ("ORDER", "totalCost")),
    ],
)
def test_an_order_names_its_columns(order: dict[str, Any], columns: tuple[str, ...]) -> None:
    """Each kind of report has its own way to name columns; a repeated one counts once; without any, the usual."""
    assert columns_of(order) == columns


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("campaignId", "10002"),
        ("campaign.id", "10002"),
        ("date", "2025-01-03"),
        ("campaignName", "campaignName 2"),
        ("impressions", 1014),
        ("metric.clicks", 12),
        ("purchases14d", 12),
        ("cost", 3.0),
    ],
)
def test_a_cell_fits_its_column(column: str, value: Any) -> None:
    """Ids are text, dates are days, counts are whole numbers, names are text, money has a fraction."""
    assert (cell(column, 2), type(cell(column, 2))) == (value, type(value))


def test_rows_are_the_same_in_both_forms() -> None:
    """JSON and CSV hold the same cells, under the names that were asked for."""
    columns = ("campaign.id", "metric.clicks")
    rows = json.loads(gzip.decompress(as_gzip_json(columns)))
    lines = list(csv.DictReader(as_csv(columns).decode().splitlines()))
    assert len(rows) == COUNT
    assert [{name: str(value) for name, value in row.items()} for row in rows] == lines
