"""The rows of a report, made while they are read, so that a report may have millions.

A value follows from the column, the advertiser, the day, the row and, for what Amazon restates, the time of the order.
Rows repeat after `PERIOD`, but for their numbers: names and ids. So each is a template that only gets its number.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PERIOD = 97
PIECE = 10_000
"""The rows that are made at once."""

RESTATED_DAYS = 60
"""Days for which the sales and conversions of a day grow."""

TEXTS = {
    "campaignStatus": ("ENABLED", "PAUSED", "ARCHIVED"),
    "adStatus": ("ENABLED", "PAUSED"),
    "adKeywordStatus": ("ENABLED", "PAUSED"),
    "campaignBudgetType": ("DAILY_BUDGET",),
    "campaignBiddingStrategy": ("LEGACY", "AUTOMATIC", "MANUAL"),
    "costType": ("CPC",),
    "keywordType": ("BROAD", "PHRASE", "EXACT", "TARGETING_EXPRESSION"),
    "matchType": ("BROAD", "PHRASE", "EXACT", "TARGETING_EXPRESSION"),
    "placementClassification": ("Top of Search on-Amazon", "Detail Page on-Amazon", "Other on-Amazon"),
}
"""Columns with few values."""

LARGE = {"campaignId": "9007", "keywordId": "281474", "adId": "281475", "targetingId": "281476"}
"""How the ids begin that are beyond 2^53."""

NAMED = re.compile(
    r"(name|status|type|code|term|keyword|sku|asin|unit|targeting|text|expression|classification|strategy|category"
    r"|optimization|product|order|currency)$",
    re.IGNORECASE,
)
RATIO = re.compile(r"(rate|percentage|share|average|roas|acos|costperclick)$|(acos|roas)clicks\d+d$", re.IGNORECASE)
MONEY = re.compile(r"cost|spend|sales|budgetamount|bid$|royalties|ecp|fee|revenue|price|value", re.IGNORECASE)
RESTATED = re.compile(
    r"^(attributed|conversions|longterm|newtobrand|orders|purchases|sales|total|units)", re.IGNORECASE
)
WINDOW = re.compile(r"(\d+)d$")


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What a report's rows are made from: `entities` campaigns (or keywords, products) on `days`.

    With `daily` there is a row for each on each day. `ordered_at` is a time of the calendar. Numbers are ids in version
    3 reports; with `text_ids` they are text, as in others. `advertiser` is whose rows these are, in which `country`.
    """

    columns: tuple[str, ...]
    days: tuple[date, ...]
    daily: bool
    entities: int
    advertiser: str
    ordered_at: float
    currency: str = "USD"
    text_ids: bool = False
    country: str = ""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.entities * (len(self.days) if self.daily else 1)

    def encoded(self, first: int, last: int) -> Iterator[bytes]:
        """The rows from `first` up to before `last`, each a JSON object."""
        number = first
        while number < last:
            on, entity = divmod(number, self.entities)
            until = min(self.entities, entity + last - number)
            templates = _templates(self, (self.days[on],) if self.daily else self.days)
            for each in range(entity, until):
                template, places = templates[each % PERIOD]
                yield template % ((each,) * places)
            number += until - entity

    def template(self, kind: int, days: tuple[date, ...]) -> tuple[bytes, int]:
        """A row of a kind with places for its number, and how many these are."""
        cells = {column: self._cell(column, kind, days) for column in self.columns}
        text = json.dumps(cells, ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
        places = text.count(SHORT) + text.count(LONG)
        if not self.text_ids:
            text = text.replace(f'"{ID}', "").replace(f'{ID}"', "")
        return text.replace(ID, "").replace(SHORT, "%d").replace(LONG, "%09d").encode(), places

    def _cell(self, column: str, kind: int, days: tuple[date, ...]) -> Any:
        """The value of a column, the same for every row of a kind but for the places of its number."""
        name = column.rpartition(".")[2]
        if name.lower().endswith("date") or column == "date.value":
            return (days[-1] if name == "endDate" else days[0]).isoformat()
        if name == "id" or name.endswith(("Id", "ID")):
            return self._id(name, kind)
        if name.lower().endswith(("currencycode", "currency")):
            return self.currency
        if name == "country":
            return self.country
        if name in TEXTS:
            return TEXTS[name][kind % len(TEXTS[name])]
        if NAMED.search(name):
            return _name(name, kind)
        return self._number(name, kind, days)

    def _id(self, name: str, kind: int) -> Any:
        """An id, of which some are beyond 2^53 and odd, so that who reads them as a double sees another one."""
        if "BudgetRule" in name or (name == "portfolioId" and kind % 10 == 4):
            return None
        return f"{ID}{LARGE.get(name, '20')}{_digits(self.advertiser) % 1000:03d}{LONG}1{ID}"

    def _number(self, name: str, kind: int, days: tuple[date, ...]) -> Any:
        if name == "topOfSearchImpressionShare" and kind % 10 == 3:
            return None
        window = WINDOW.search(name)
        salt = _digits(WINDOW.sub("", name)) + _digits(self.advertiser)
        mixed = [(salt + 17 * day.toordinal() + 7 * kind) % 997 for day in days]
        if RATIO.search(name):
            return round(mixed[0] / 1000, 4)
        grown = [self._restated_minutes(day) if RESTATED.search(name) else 0 for day in days]
        later = int(window[1]) if window else 0
        if MONEY.search(name):
            return sum(100 + part + minutes + later for part, minutes in zip(mixed, grown, strict=True)) / 100
        least = 1000 if name == "impressions" else 10
        most = 997 if name == "impressions" else 50
        return sum(least + part % most + minutes // 60 + later for part, minutes in zip(mixed, grown, strict=True))

    def _restated_minutes(self, day: date) -> int:
        """For how many minutes Amazon added to a day's sales before the order."""
        over = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        return int(min(max(self.ordered_at - over.timestamp(), 0), RESTATED_DAYS * 86_400) // 60)


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """The rows of several plans, one after another; all have these columns."""

    columns: tuple[str, ...]
    plans: tuple[RowPlan, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(plan.rows for plan in self.plans)

    def encoded(self, first: int, last: int) -> Iterator[bytes]:
        """The rows from `first` up to before `last`, each a JSON object."""
        for plan in self.plans:
            yield from plan.encoded(max(first, 0), min(last, plan.rows))
            first, last = first - plan.rows, last - plan.rows


Rows = RowPlan | JoinedRows

ID, SHORT, LONG = "\ue001", "\ue002", "\ue003"
"""Marks in a template: around an id, which may become a JSON number, and for a row's number, short or with zeros."""


@lru_cache(maxsize=8)
def _templates(plan: RowPlan, days: tuple[date, ...]) -> list[tuple[bytes, int]]:
    """A template for each kind of row."""
    return [plan.template(kind, days) for kind in range(min(PERIOD, plan.entities))]


def _name(name: str, kind: int) -> str:
    """A text with the row's number; of ten, one that CSV must quote, and one that a spreadsheet would calculate."""
    label = NAMED.sub("", name) or name
    if kind % 10 == 7:
        return f'{label} {SHORT}, "50% off", größer'
    if kind % 10 == 9 and name.endswith(("Term", "keyword")):
        return f"={SHORT}+1"
    return f"{label} {SHORT}"


def _digits(text: str) -> int:
    return zlib.crc32(text.encode())


# --- Files -----------------------------------------------------------------------------------------------


def as_json(plan: Rows, first: int, last: int) -> Iterator[bytes]:
    """A JSON array in pieces."""
    yield b"["
    for start in range(first, last, PIECE):
        rows = b",".join(plan.encoded(start, min(last, start + PIECE)))
        yield rows if start == first else b"," + rows
    yield b"]"


def as_csv(plan: Rows, first: int, last: int) -> Iterator[bytes]:
    """Lines with commas between the cells, the columns' names first, in pieces."""
    for start in range(first, max(last, first + 1), PIECE):
        text = io.StringIO()
        writer = csv.DictWriter(text, plan.columns)
        if start == first:
            writer.writeheader()
        rows = b",".join(plan.encoded(start, min(last, start + PIECE)))
        writer.writerows(json.loads(b"[" + rows + b"]"))
        yield text.getvalue().encode()


def gzipped(pieces: Iterable[bytes], *, good: bool = True) -> Iterator[bytes]:
    """A gzip file in pieces; unless it is `good`, its checksum is wrong."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    end = packer.flush()
    yield end if good else end[:-8] + bytes(byte ^ 255 for byte in end[-8:-4]) + end[-4:]


# --- What an order says of its rows ----------------------------------------------------------------------

USUAL = ("campaignId", "impressions", "clicks", "cost")
"""The columns of a report without a list of columns."""


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


def is_daily(order: dict[str, Any]) -> bool:
    """Whether an order wants a row for each day: v3 by its time unit, v1 by a field."""
    configuration, query = order.get("configuration"), order.get("query")
    if isinstance(configuration, dict):
        return configuration.get("timeUnit") == "DAILY"
    return isinstance(query, dict) and "date.value" in (query.get("fields") or [])
