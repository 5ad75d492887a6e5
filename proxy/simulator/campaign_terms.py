"""A campaign's budget and dates, which every API of the simulator shows in a shape of its own. No HTTP here.

What one API sets is shown there as it was given, and by the others in their shapes. A budget that the earlier APIs
cannot express, such as a monthly one, is shown by the unified API alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Entity = dict[str, Any]
Generation = Literal["unified", "earlier"]

MEMBERS: dict[Generation, dict[str, tuple[str, ...]]] = {
    "unified": {"budget": ("budgets",), "start": ("startDateTime",), "end": ("endDateTime",)},
    "earlier": {"budget": ("budget", "budgetType"), "start": ("startDate",), "end": ("endDate",)},
}
"""The members by which each generation of the API says what may be spent, and when."""
OTHER: dict[Generation, Generation] = {"unified": "earlier", "earlier": "unified"}
PERIODS = ("DAILY", "LIFETIME")
DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:T.*)?")


@dataclass(slots=True)
class Terms:
    """The budget and dates of one campaign. `amount` is None for no budget, or one of several parts. Days are
    YYYY-MM-DD, empty for none."""

    currency: str
    amount: float | None = None
    period: str = PERIODS[0]
    start: str = ""
    end: str = ""

    def take(self, generation: Generation, given: Entity) -> list[str]:
        """Note what one generation sets. Returns the other's members that no longer say the truth."""
        taken = [what for what, names in MEMBERS[generation].items() if any(name in given for name in names)]
        if "budget" in taken:
            read = _read_budgets if generation == "unified" else self._read_budget
            self.amount, self.period = read(given)
        if "start" in taken:
            self.start = _day(given[MEMBERS[generation]["start"][0]])
        if "end" in taken:
            self.end = _day(given[MEMBERS[generation]["end"][0]])
        return [name for what in taken for name in MEMBERS[OTHER[generation]][what]]

    def show(self, generation: Generation, product: str) -> Entity:
        """The members of one generation, for a campaign of this product."""
        return self._as_unified() if generation == "unified" else self._as_earlier(product)

    def _as_unified(self) -> Entity:
        shown: Entity = {}
        if self.amount is not None:
            money = {"monetaryBudget": {"currencyCode": self.currency, "value": self.amount}}
            value = {"monetaryBudgetValue": money}
            shown["budgets"] = [
                {"budgetType": "MONETARY", "budgetValue": value, "recurrenceTimePeriod": self.period},
            ]
        if self.start:
            shown["startDateTime"] = f"{self.start}T00:00:00Z"
        if self.end:
            shown["endDateTime"] = f"{self.end}T23:59:59Z"
        return shown

    def _as_earlier(self, product: str) -> Entity:
        """Sponsored Products has an object with amount and period; Sponsored Display writes in small letters, and days
        without hyphens."""
        small = product == "SPONSORED_DISPLAY"
        period = self.period.lower() if small else self.period
        days = {"startDate": self.start, "endDate": self.end}
        shown: Entity = {name: day.replace("-", "") if small else day for name, day in days.items() if day}
        if self.amount is None:
            return shown
        if product == "SPONSORED_PRODUCTS":
            return {**shown, "budget": {"budget": self.amount, "budgetType": period}}
        return {**shown, "budget": self.amount, "budgetType": period}

    def _read_budget(self, given: Entity) -> tuple[float | None, str]:
        """Amount and period of an earlier generation; what is not given stays."""
        budget = given.get("budget", self.amount)
        if isinstance(budget, dict):
            given, budget = budget, budget.get("budget", self.amount)
        return _amount(budget), str(given.get("budgetType", self.period)).upper()


def seeded(number: int, currency: str) -> Terms:
    """What the campaign of this number may spend from the start: 10 to 25 a day; one in five has an end."""
    return Terms(currency, 10.0 + 5 * ((number - 1) % 4), start="2026-01-01", end="" if number % 5 else "2027-12-31")


def _read_budgets(given: Entity) -> tuple[float | None, str]:
    """Amount and period of the unified API, if there is one budget, of money."""
    try:
        (budget,) = given["budgets"]
        amount = budget["budgetValue"]["monetaryBudgetValue"]["monetaryBudget"]["value"]
        period = budget["recurrenceTimePeriod"]
    except (KeyError, TypeError, ValueError):
        return None, PERIODS[0]
    return (_amount(amount), period) if period in PERIODS else (None, PERIODS[0])


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _day(value: object) -> str:
    found = DAY.fullmatch(value) if isinstance(value, str) else None
    return "-".join(found.groups()) if found else ""
