"""The rows of a report: the columns that were asked for, filled with numbers that are the same each time. Pure."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import date, timedelta
from typing import Any

COUNT = 50
USUAL = ("campaignId", "impressions", "clicks", "cost")
"""The columns of a report that names none."""

FIRST_DAY = date(2025, 1, 1)


def columns_of(order: dict[str, Any]) -> tuple[str, ...]:
    """What an order asks for: v3 `configuration.columns`, v2 `metrics` by commas, v1 `query.fields`, DSP lists."""
    configuration, query = order.get("configuration"), order.get("query")
    found: list[Any] = []
    if isinstance(configuration, dict):
        found = configuration.get("columns") or []
    elif isinstance(query, dict):
        found = query.get("fields") or []
    else:
        for name in ("dimensions", "metrics"):
            given = order.get(name) or []
            found += given.split(",") if isinstance(given, str) else given
    return tuple(dict.fromkeys(str(column).strip() for column in found)) or USUAL


def cell(column: str, number: int) -> Any:
    """The value of a column in a row; the kind of value follows from the column's name."""
    name = column.rpartition(".")[2].lower()
    if name.endswith("id"):
        return str(10_000 + number)
    if "date" in name:
        return (FIRST_DAY + timedelta(days=number)).isoformat()
    if name.endswith(("name", "status", "type", "code", "term", "keyword", "sku", "asin", "unit")):
        return f"{column} {number}"
    if name == "impressions":
        return 1000 + 7 * number
    if name == "clicks" or name.startswith(("purchases", "units", "orders")):
        return 10 + number
    return round(1.5 * number, 2)


def table(columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """All rows."""
    return [{column: cell(column, number) for column in columns} for number in range(COUNT)]


def as_gzip_json(columns: tuple[str, ...]) -> bytes:
    """A gzip file of a JSON array."""
    return gzip.compress(json.dumps(table(columns)).encode(), mtime=0)


def as_csv(columns: tuple[str, ...]) -> bytes:
    """Lines with commas between the cells, the columns' names first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(table(columns))
    return text.getvalue().encode()
