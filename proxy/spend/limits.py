"""What the configuration limits of a client's spending: the rules of `clients[].spend`, and the hours of writes. Pure.

Nothing here judges. A rule that is None is not configured, and limits nothing.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from proxy.config.model.hours import read_spans
from proxy.events import SpendMode
from proxy.spend.local_time import local_time
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from proxy.config.model.hours import HoursSpan
    from proxy.spend.local_time import LocalTime


def _holds(span: HoursSpan, local: LocalTime) -> bool:
    is_after_start, is_before_end = local.minute >= span.start, local.minute < span.end
    if span.start < span.end:
        return local.weekday in span.days and is_after_start and is_before_end
    began = local.weekday if is_after_start else (local.weekday - 1) % 7
    return began in span.days and (is_after_start or is_before_end)


class Beyond(StrEnum):
    """What happens to a write that can be read and is over a limit."""

    REFUSE = "refuse"
    APPROVE = "approve"
    """A person is asked."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When writes may be sent: `text` as the configuration has it, and the spans of time that it names."""

    text: str
    spans: tuple[HoursSpan, ...]

    @classmethod
    def parse(cls, text: str) -> Hours:
        """The hours of `DAYS HH:MM-HH:MM [ZONE]`, or of several of these, separated by `;`. Raises `ValueError`."""
        return cls(text, read_spans(text))

    def permits(self, now: float, zone: str) -> bool | None:
        """Whether a write may be sent at this wall-clock time. `zone` is the profile's time zone, empty for an unknown
        one. None where it cannot be told without it."""
        is_told = True
        for span in self.spans:
            local = local_time(now, span.zone or zone)
            if local is None:
                is_told = False
            elif _holds(span, local):
                return True
        return False if is_told else None


@dataclass(frozen=True)
class SpendLimits:
    """The rules of one client. Amounts are by currency (ISO 4217); `allow` names operations as the table of money
    fields does, such as `POST /sp/rules/campaignOptimization` or `MCP campaign_management-create_campaign`."""

    mode: SpendMode = SpendMode.ENFORCE
    budget: Mapping[str, Decimal] | None = None
    bid: Mapping[str, Decimal] | None = None
    bid_adjustment: Decimal | None = None
    states: frozenset[str] | None = None
    hours: Hours | None = None
    new_per_day: int | None = None
    budget_per_day: Mapping[str, Decimal] | None = None
    allow: frozenset[str] = frozenset()
    beyond: Beyond = Beyond.REFUSE

    @property
    def asks_approvers(self) -> bool:
        """Whether a write over these limits waits for an approval."""
        return self.beyond is Beyond.APPROVE and self.mode is SpendMode.ENFORCE

    @cached_property
    def version(self) -> str:
        """A digest of all rules: the same for the same rules, in every process and replica."""
        rules = {
            "mode": self.mode.value,
            "budget": _amounts_text(self.budget),
            "bid": _amounts_text(self.bid),
            "bid_adjustment": None if self.bid_adjustment is None else amount_text(self.bid_adjustment),
            "states": None if self.states is None else sorted(self.states),
            "hours": None if self.hours is None else self.hours.text,
            "new_per_day": self.new_per_day,
            "budget_per_day": _amounts_text(self.budget_per_day),
            "allow": sorted(self.allow),
            "beyond": self.beyond.value,
        }
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def _amounts_text(amounts: Mapping[str, Decimal] | None) -> dict[str, str] | None:
    return None if amounts is None else {currency: amount_text(amount) for currency, amount in amounts.items()}


def amount_text(amount: Decimal) -> str:
    """A number in plain decimal notation, without zeros at its end: the same text for equal amounts."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_ALSO_CALLED: Final = {"active": "enabled", "inactive": "paused"}


def plain_state(word: str) -> str:
    """The name of a state in lower case, the same for all words that mean it."""
    lower = word.lower()
    return _ALSO_CALLED.get(lower, lower)
