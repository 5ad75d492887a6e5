"""The rows of a report: which columns, and what is in them."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from proxy.simulator.report_rows import USUAL, RowPlan, as_csv, as_json, columns_of, gzipped, is_daily

DAYS = tuple(date(2026, 11, 1) + timedelta(days=day) for day in range(3))
NOON = datetime(2026, 11, 4, 12, tzinfo=UTC).timestamp()
PLAN = RowPlan(("date", "campaignId", "impressions", "sales7d", "purchases7d"), DAYS, True, 200, "111", NOON)


def rows(plan: RowPlan) -> list[dict[str, Any]]:
    """All rows of a report."""
    found: list[dict[str, Any]] = json.loads(b"".join(as_json(plan, 0, plan.rows)))
    return found


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
    ("order", "daily"),
    [
        ({"configuration": {"timeUnit": "DAILY"}}, True),
        ({"configuration": {"timeUnit": "SUMMARY"}}, False),
        ({"query": {"fields": ["date.value", "metric.clicks"]}}, True),
        ({"query": {"fields": ["metric.clicks"]}}, False),
        ({"metrics": "clicks"}, False),
    ],
)
def test_an_order_says_whether_it_is_by_day(order: dict[str, Any], daily: bool) -> None:
    """By the time unit in version 3, by a field in version 1."""
    assert is_daily(order) is daily


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("campaignId", int),
        ("keywordId", int),
        ("campaign.id", int),
        ("date", str),
        ("campaignName", str),
        ("campaignBudgetCurrencyCode", str),
        ("matchType", str),
        ("impressions", int),
        ("metric.clicks", int),
        ("purchases14d", int),
        ("cost", float),
        ("keywordBid", float),
        ("sales14d", float),
        ("clickThroughRate", float),
        ("acosClicks7d", float),
    ],
)
def test_a_value_fits_its_column(column: str, kind: type) -> None:
    """Ids and counts are whole numbers, days and names are text, money and ratios have a fraction."""
    found = [row[column] for row in rows(replace(PLAN, columns=(column,)))]
    assert {type(value) for value in found} <= {kind, int}
    assert kind in {type(value) for value in found}


def test_ids_are_text_where_the_api_has_them_as_text() -> None:
    """Only version 3 has numbers."""
    (first, *_) = rows(replace(PLAN, columns=("campaign.id", "campaignId"), text_ids=True))
    assert [type(value) for value in first.values()] == [str, str]
    assert all(value.isdecimal() for value in first.values())


def test_ids_beyond_doubles_are_rounded_by_who_reads_them_as_such() -> None:
    """No campaign id survives as a double, each ad group id does; and no two rows share one."""
    found = rows(replace(PLAN, columns=("campaignId", "adGroupId"), daily=False))
    assert all(int(float(row["campaignId"])) != row["campaignId"] for row in found)
    assert all(int(float(row["adGroupId"])) == row["adGroupId"] for row in found)
    assert len({row["campaignId"] for row in found}) == len(found) == 200


def test_names_hold_what_other_formats_must_escape() -> None:
    """Among the names are quotes, commas, letters beyond ASCII, and what a spreadsheet takes for a formula."""
    found = "".join(row["searchTerm"] for row in rows(replace(PLAN, columns=("searchTerm",))))
    assert all(part in found for part in ('"50% off"', ", ", "größer", "=9+1"))


@pytest.mark.parametrize("column", ["portfolioId", "topOfSearchImpressionShare"])
def test_some_cells_are_empty(column: str) -> None:
    """Some campaigns are in no portfolio, or were never at the top of a search."""
    found = [row[column] for row in rows(replace(PLAN, columns=(column,)))]
    assert 0 < found.count(None) < len(found)


def test_a_daily_report_has_a_row_for_each_campaign_and_day() -> None:
    """Days in order, each with the same campaigns; a summary has each campaign once, with the sums of the days."""
    daily, whole = rows(PLAN), rows(replace(PLAN, daily=False))
    assert [row["date"] for row in daily] == [day.isoformat() for day in DAYS for _ in range(200)]
    assert [row["campaignId"] for row in daily] == [row["campaignId"] for row in whole] * 3
    for name in ("impressions", "purchases7d", "sales7d"):
        parts = [sum(daily[day * 200 + number][name] for day in range(3)) for number in range(200)]
        assert [row[name] for row in whole] == pytest.approx(parts)


def test_values_depend_on_advertiser_day_and_row() -> None:
    """A mix-up of any of the three is seen."""
    mine, other = rows(PLAN), rows(replace(PLAN, advertiser="112"))
    assert mine == rows(PLAN)
    assert mine[0]["impressions"] != mine[200]["impressions"] != other[200]["impressions"]
    assert mine[0]["impressions"] != mine[1]["impressions"]
    assert mine[0]["campaignId"] != other[0]["campaignId"]


@pytest.mark.parametrize(("later", "sales", "purchases"), [(60, 0.01, 0), (3600, 0.6, 1), (86_400, 14.4, 24)])
def test_sales_and_conversions_grow_with_the_time_of_the_order(later: float, sales: float, purchases: int) -> None:
    """A cent a minute and one an hour, so that a result tells its run; what was shown and clicked stays."""
    then, now = rows(PLAN), rows(replace(PLAN, ordered_at=NOON + later))
    for before, after in zip(then, now, strict=True):
        assert after["impressions"] == before["impressions"]
        assert after["sales7d"] - before["sales7d"] == pytest.approx(sales)
        assert after["purchases7d"] - before["purchases7d"] == purchases


def test_a_day_is_restated_for_sixty_days() -> None:
    """Later orders get the same."""
    late = replace(PLAN, ordered_at=NOON + 60 * 86_400)
    assert rows(late) == rows(replace(late, ordered_at=NOON + 90 * 86_400))


@pytest.mark.parametrize("entities", [1, 96, 97, 98, 10_001])
def test_rows_are_complete_however_many_there_are(entities: int) -> None:
    """Neither the period of the values nor the size of a piece loses or repeats a row."""
    plan = replace(PLAN, columns=("campaignId", "date"), entities=entities)
    found = rows(plan)
    assert len(found) == plan.rows == 3 * entities
    assert len({(row["campaignId"], row["date"]) for row in found}) == 3 * entities


def test_rows_are_the_same_in_both_forms() -> None:
    """JSON and CSV hold the same cells, under the names that were asked for."""
    plan = replace(PLAN, columns=("campaign.id", "campaignName", "metric.clicks"), entities=10_001, text_ids=True)
    lines = list(csv.DictReader(b"".join(as_csv(plan, 0, plan.rows)).decode().splitlines()))
    assert [{name: str(value) for name, value in row.items()} for row in rows(plan)] == lines


def test_a_damaged_file_has_a_wrong_checksum() -> None:
    """The damage shows at the end of the file, not before."""
    assert gzip.decompress(b"".join(gzipped([b"[]"]))) == b"[]"
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(b"".join(gzipped([b"[]"], good=False)))


@pytest.mark.long
def test_memory_does_not_grow_with_the_rows() -> None:
    """A file of twice as many rows needs no more while it is made and read."""
    peaks = []
    for entities in (40_000, 80_000):
        plan = replace(PLAN, entities=entities, daily=False)
        tracemalloc.start()
        for _ in gzipped(as_json(plan, 0, plan.rows)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0] < 24 * 1024 * 1024  # the rows are three times as many
