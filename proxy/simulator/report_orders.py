"""Orders of reports: version 3's report types, and what Amazon would find wrong with an order. No HTTP here.

Texts that public threads and logs quote are Amazon's: those about columns, report types, required fields, filters, the
range and the retention. The others are made in their form.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

JsonObject = dict[str, Any]

REQUIRED = ("startDate", "endDate", "configuration")
CONFIGURED = ("adProduct", "columns", "format", "groupBy", "reportTypeId", "timeUnit")
AD_PRODUCTS = (
    "ALL",
    "DEMAND_SIDE_PLATFORM",
    "SPONSORED_BRANDS",
    "SPONSORED_DISPLAY",
    "SPONSORED_PRODUCTS",
    "SPONSORED_TELEVISION",
)
KNOWN_PRODUCTS = ("SPONSORED_BRANDS", "SPONSORED_DISPLAY", "SPONSORED_PRODUCTS")
"""The ad products whose report types the table has. Of all other products, only the form of an order is checked."""

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class ReportGroup:
    """What one value of `groupBy` adds: columns, and filters with their values."""

    columns: tuple[str, ...]
    filters: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ReportType:
    """One report type: at most `longest` days between start and end, at most `kept` days ago."""

    ad_product: str
    longest: int
    kept: int
    columns: tuple[str, ...]
    groups: dict[str, ReportGroup]

    def allowed(self, groups: list[str]) -> list[str]:
        """The columns of a report that is grouped by these."""
        added = [column for group in groups for column in self.groups[group].columns]
        return list(dict.fromkeys([*self.columns, *added]))


@cache
def load_report_types() -> dict[str, ReportType]:
    """The committed table, by `reportTypeId`."""
    table = tomllib.loads(files("proxy.simulator").joinpath("report_types.toml").read_text())
    return {
        name: ReportType(
            ad_product=entry["ad_product"],
            longest=entry["range"],
            kept=entry["kept"],
            columns=tuple(entry["columns"].split()),
            groups={group: _group(given) for group, given in entry["group_by"].items()},
        )
        for name, entry in table.items()
    }


def _group(given: JsonObject) -> ReportGroup:
    filters = {field: tuple(values.split()) for field, values in given.get("filters", {}).items()}
    return ReportGroup(tuple(given["columns"].split()), filters)


def problem_with_order(order: JsonObject, today: date) -> str | None:
    """Why Amazon would refuse an order on a day, or None."""
    missing = _missing(order)
    if missing:
        return f"Required fields are invalid or missing: {', '.join(missing)}"
    found = next(_problems_of_form(order), None)
    if found is not None or order["configuration"]["adProduct"] not in KNOWN_PRODUCTS:
        return found
    kind = load_report_types().get(order["configuration"]["reportTypeId"])
    if kind is None:
        return "configuration reportTypeId is unknown or invalid"
    problems = chain(_problems_of_type(order["configuration"], kind), _problems_of_days(order, kind, today))
    return next(problems, None)


def _missing(order: JsonObject) -> list[str]:
    """The required members that are not there, or not of their type."""
    configuration = order.get("configuration")
    if not isinstance(configuration, dict):
        configuration = None
    missing = [name for name in REQUIRED[:2] if not isinstance(order.get(name), str)]
    if configuration is None:
        return [*missing, "configuration"]
    for name in CONFIGURED:
        value = configuration.get(name)
        listed = name in ("columns", "groupBy")
        good = _is_list_of_texts(value) if listed else isinstance(value, str) and value
        if not good:
            missing.append(f"configuration {name}")
    return missing


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, str) and entry for entry in value)


def _problems_of_form(order: JsonObject) -> Iterator[str]:
    """What is wrong whatever the report type."""
    configuration = order["configuration"]
    if configuration["adProduct"] not in AD_PRODUCTS:
        yield f"configuration adProduct is unknown or invalid. Allowed values: ({', '.join(AD_PRODUCTS)})"
    if configuration["format"] != "GZIP_JSON":
        yield "configuration format is not supported for this report type. Allowed values: (GZIP_JSON)"
    if configuration["timeUnit"] not in ("DAILY", "SUMMARY"):
        yield "configuration timeUnit is unknown or invalid. Allowed values: (DAILY, SUMMARY)"
    if order.get("name") is not None and not isinstance(order["name"], str):
        yield "name is not a text"
    for name in REQUIRED[:2]:
        if day_of(order[name]) is None:
            yield f"{name} ({order[name]}) is not a date in YYYY-MM-DD format"
    if order["endDate"] < order["startDate"]:
        yield f"startDate ({order['startDate']}) must be equal to or before endDate ({order['endDate']})"


def day_of(text: Any) -> date | None:
    """A day such as 2026-11-30, or None if the text is none."""
    if not isinstance(text, str) or not DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _problems_of_type(configuration: JsonObject, kind: ReportType) -> Iterator[str]:
    """What is wrong for this report type: product, groups, columns, filters. Only the first problem is looked for."""
    if configuration["adProduct"] != kind.ad_product:
        yield "configuration adProduct is not supported for this report type"
    groups, columns = configuration["groupBy"], configuration["columns"]
    yield from _problems_of_words("groupBy", groups, list(kind.groups))
    yield from _problems_of_words("columns", columns, kind.allowed(groups))
    if configuration["timeUnit"] == "DAILY" and {"startDate", "endDate"} & set(columns):
        yield (
            "configuration startDate and endDate are not supported columns for DAILY time unit. "
            "Please use date instead."
        )
    if configuration["timeUnit"] == "SUMMARY" and "date" in columns:
        yield (
            "configuration date is not a supported column for SUMMARY time unit. "
            "Please use startDate and/or endDate instead."
        )
    yield from _problems_of_filters(configuration.get("filters") or [], groups, kind)


def _problems_of_words(member: str, words: list[str], allowed: list[str]) -> Iterator[str]:
    unknown = ", ".join(word for word in words if word not in allowed)
    if unknown:
        yield f"configuration {member} includes invalid values: ({unknown}). Allowed values: ({', '.join(allowed)})"


def _problems_of_filters(filters: Any, groups: list[str], kind: ReportType) -> Iterator[str]:
    """Filters that not all groups have, or values that they do not take."""
    if not isinstance(filters, list) or not all(isinstance(entry, dict) for entry in filters):
        yield "configuration filters is not a list of filters"
        return
    shared = set.intersection(*(set(kind.groups[group].filters) for group in groups))
    unknown = [str(entry.get("field")) for entry in filters if entry.get("field") not in shared]
    if unknown:
        yield (
            f"configuration filters includes fields: ({', '.join(unknown)}) which are invalid for groupBys: "
            f"{', '.join(groups)}. Allowed filters: ({', '.join(sorted(shared))})"
        )
    for entry in filters:
        field = str(entry.get("field"))
        given, values = entry.get("values"), kind.groups[groups[0]].filters.get(field, ())
        if not _is_list_of_texts(given) or not set(given) <= set(values):
            yield f"configuration filters {field} has invalid values. Allowed values: ({', '.join(values)})"


def _problems_of_days(order: JsonObject, kind: ReportType, today: date) -> Iterator[str]:
    """A range that is too long (Amazon counts the days from start to end), or a start that is too long ago."""
    start, end = date.fromisoformat(order["startDate"]), date.fromisoformat(order["endDate"])
    if (end - start).days > kind.longest:
        yield (
            f"startDate to endDate range ({(end - start).days} days) must not exceed maximum range "
            f"({kind.longest} days)"
        )
    oldest = today - timedelta(days=kind.kept)
    if start < oldest:
        yield f"startDate ({start}) must be equal to or after report type data retention start date ({oldest})"


# --- Version 1 -------------------------------------------------------------------------------------------

UNIFIED_RANGE, UNIFIED_KEPT = 120, 731
"""The most days of a period, and how many days ago it may start: Amazon's guides say 120 days, and 24 months."""

MOST_FIELDS = 1000


FieldProblem = tuple[str, str, str]
"""An error code of the unified API, what is wrong, and the member that is."""


def problem_with_unified_order(order: JsonObject, today: date) -> FieldProblem | None:
    """Why Amazon would refuse a version 1 order on a day, or None. Whether its fields exist is not checked."""
    fields = order["query"].get("fields") if isinstance(order["query"], dict) else None
    if not _is_list_of_texts(fields) or (fields and len(fields) > MOST_FIELDS):
        return ("FIELD_SIZE_IS_OUT_OF_RANGE", f"fields must be 1 to {MOST_FIELDS} texts", "query.fields")
    given = order["query"].get("filter")
    if given is not None and not _is_filter(given):
        return ("FIELD_VALUE_IS_INVALID", "a filter has either on or and", "query.filter")
    periods = order["periods"]
    if not isinstance(periods, list) or len(periods) != 1:
        return ("FIELD_SIZE_IS_OUT_OF_RANGE", "there must be one period", "periods")
    period = periods[0].get("datePeriod") if isinstance(periods[0], dict) else None
    start, end = (day_of(period.get(name)) if isinstance(period, dict) else None for name in REQUIRED[:2])
    at = "periods[0].datePeriod"
    if start is None or end is None:
        return ("FIELD_VALUE_IS_INVALID", "startDate and endDate must be dates such as 2026-11-30", at)
    if end < start:
        return ("FIELD_VALUE_IS_INVALID", "endDate must not be before startDate", at)
    if (end - start).days >= UNIFIED_RANGE:
        return ("FIELD_VALUE_IS_OUT_OF_RANGE", f"a period has at most {UNIFIED_RANGE} days", at)
    if start < today - timedelta(days=UNIFIED_KEPT):
        return ("FIELD_VALUE_IS_OUT_OF_RANGE", f"startDate is more than {UNIFIED_KEPT} days ago", at)
    return None


MOST_FILTERS, MOST_VALUES = 10, 2000
FIELD = re.compile(r"[a-zA-Z0-9]+\.[a-zA-Z0-9]+")


def _is_filter(given: Any) -> bool:
    """Whether it is one comparison, or several filters that must all be met."""
    if not isinstance(given, dict) or len(given) != 1:
        return False
    inner = given.get("on", given.get("and"))
    if not isinstance(inner, dict):
        return False
    if "and" in given:
        filters = inner.get("filters")
        return isinstance(filters, list) and 1 <= len(filters) <= MOST_FILTERS and all(map(_is_filter, filters))
    return (
        bool(FIELD.fullmatch(str(inner.get("field"))))
        and inner.get("comparisonOperator") in ("EQUALS", "IN")
        and isinstance(inner.get("not"), bool)
        and _is_list_of_texts(inner.get("values"))
        and 1 <= len(inner["values"]) <= MOST_VALUES
    )


def passes_filter(given: Any, country: str) -> bool:
    """Whether a filter lets the rows of a country pass; what it says of other fields is not looked at."""
    if not _is_filter(given):
        return True
    if "and" in given:
        return all(passes_filter(each, country) for each in given["and"]["filters"])
    on = given["on"]
    return on["field"] != "campaign.country" or (country in on["values"]) is not on["not"]
