"""The amounts in an object: budgets, bids and adjustments, with their currency. Pure.

The members are those of Amazon's specifications, in both generations of the API, written down here once more: what the
simulator counts must not follow from what a proxy in front of it can read.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from proxy.simulator.profiles import COUNTRIES
from proxy.simulator.write_rules import as_number

if TYPE_CHECKING:
    from collections.abc import Iterator

AmountKind = Literal["budget", "bid", "adjustment"]

KINDS: tuple[tuple[AmountKind, re.Pattern[str]], ...] = (
    (
        "budget",
        re.compile(
            r"budget|budget\.(budget|amount)|dailyBudget"
            r"|(.*\.)?budgets?(\[\])?\.budgetValue\.monetaryBudgetValue(\.marketplaceSettings\[\])?\.monetaryBudget\.value"
            r"|.*\.budgetSettings\.daily(Min|Max)SpendValue"
        ),
    ),
    (
        "bid",
        re.compile(
            r"bid|defaultBid|bid\.(bid|defaultBid|baseBid|maxAverageBid)"
            r"|bid\.marketplaceSettings\[\]\.(bid|defaultBid|baseBid|maxAverageBid)"
        ),
    ),
    (
        "adjustment",
        re.compile(
            r"(dynamicBidding|bidding|(.*\.)?bidAdjustments)\.\w+\[\]\.percentage"
            r"|ruleDetails\.budgetIncreaseBy\.value"
        ),
    ),
)
"""A kind and the paths of its members, without the indices of lists."""

CURRENCIES = {
    {"UK": "GB"}.get(country, country): currency for rows in COUNTRIES.values() for country, currency, *_ in rows
}
"""Country of a marketplace -> currency, of the countries that profiles of the simulator have."""


class Amount(NamedTuple):
    """One amount: its path in the object, what it is, how much, and in which currency ("" for percentages).

    `period` is DAILY, LIFETIME or MONTHLY of a budget. `named` is the currency that the body names, which need not be
    the one that counts.
    """

    path: str
    kind: AmountKind
    value: Decimal
    currency: str
    period: str
    named: str

    def as_json(self) -> dict[str, object]:
        """The amount as the control API shows it."""
        return {**self._asdict(), "value": float(self.value)}


def amounts(given: dict[str, Any], currency: str) -> list[Amount]:
    """All amounts of an object whose profile pays in a currency."""
    return list(_below(given, "", {"currency": currency, "period": "DAILY", "named": ""}))


LEAST: dict[AmountKind, Decimal] = {"bid": Decimal("0.02"), "budget": Decimal(1)}


def too_small(given: dict[str, Any]) -> list[Amount]:
    """Budgets and bids below what Amazon takes, in any currency."""
    return [amount for amount in amounts(given, "") if amount.value < LEAST.get(amount.kind, amount.value)]


def _below(value: Any, path: str, around: dict[str, str]) -> Iterator[Amount]:
    if isinstance(value, dict):
        around = _with_siblings(value, around)
        for name, each in value.items():
            within = {**around, "period": "LIFETIME"} if name == "flights" else around
            yield from _below(each, f"{path}.{name}" if path else name, within)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _below(each, f"{path}[{index}]", around)
    else:
        number = as_number(value) if isinstance(value, str) else value
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
            plain = re.sub(r"\[\d+\]", "[]", path)
            for kind in (kind for kind, pattern in KINDS if pattern.fullmatch(plain)):
                counts = {"currency": "", "period": ""} if kind == "adjustment" else around
                counts = {**around, **counts, **({"period": ""} if kind == "bid" else {})}
                yield Amount(path, kind, Decimal(str(number)), **counts)


def _with_siblings(value: dict[str, Any], around: dict[str, str]) -> dict[str, str]:
    """What an object says of the amounts below it. A profile pays in its own currency, whichever the body names; the
    country of a marketplace decides."""
    found = dict(around)
    for name in ("budgetType", "recurrenceTimePeriod"):
        period = str(value.get(name, "")).upper()
        if period in ("DAILY", "LIFETIME", "MONTHLY"):
            found["period"] = period
    if isinstance(value.get("currencyCode"), str):
        found["named"] = value["currencyCode"]
    if value.get("marketplace") in CURRENCIES:
        found["currency"] = CURRENCIES[value["marketplace"]]
    return found
