"""What the configuration limits of a client's spending: the rules of `clients[].spend`, and the hours of writes. Pure.

Nothing here judges. A rule that is None is not configured, and limits nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.events import SpendMode
from proxy.spend.local_time import local_time
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from proxy.spend.local_time import LocalTime

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART: Final = re.compile(
    r"(?P<days>\S+)\s+(?P<start>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})(?:\s+(?P<zone>\S+))?"
)
_FORM: Final = 'write DAYS HH:MM-HH:MM [ZONE], such as "mon-fri 08:00-18:00 Europe/Berlin"'
_MIDNIGHT: Final = 24 * 60


class _Span(NamedTuple):
    """The same minutes of several days. It begins on `days`, and ends on the next day if `end` is not after `start`.
    `zone` is empty for the time zone of the profile."""

    days: frozenset[int]
    start: int
    end: int
    zone: str

    def holds(self, local: LocalTime) -> bool:
        is_after_start, is_before_end = local.minute >= self.start, local.minute < self.end
        if self.start < self.end:
            return local.weekday in self.days and is_after_start and is_before_end
        began = local.weekday if is_after_start else (local.weekday - 1) % 7
        return began in self.days and (is_after_start or is_before_end)


class Beyond(StrEnum):
    """What happens to a write that can be read and is over a limit."""

    REFUSE = "refuse"
    APPROVE = "approve"
    """A person is asked."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When writes may be sent: `text` as the configuration has it, and the spans of time that it names."""

    text: str
    spans: tuple[_Span, ...]

    @classmethod
    def parse(cls, text: str) -> Hours:
        """The hours of `DAYS HH:MM-HH:MM [ZONE]`, or of several of these, separated by `;`. Raises `ValueError`."""
        return cls(text, tuple(_read_span(part.strip()) for part in text.split(";")))

    def permits(self, now: float, zone: str) -> bool | None:
        """Whether a write may be sent at this wall-clock time. `zone` is the profile's time zone, empty for an unknown
        one. None where it cannot be told without it."""
        is_told = True
        for span in self.spans:
            local = local_time(now, span.zone or zone)
            if local is None:
                is_told = False
            elif span.holds(local):
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


def _read_span(text: str) -> _Span:
    read = _PART.fullmatch(text)
    if read is None:
        raise ValueError(f'"{text}" is not a span of hours: {_FORM}')
    start, end = _minutes(read["start"]), _minutes(read["end"])
    if start in (end, _MIDNIGHT):
        raise ValueError(f'"{text}" has no beginning before its end: a whole day is 00:00-24:00')
    zone = read["zone"] or ""
    if zone and local_time(0, zone) is None:
        raise ValueError(f'"{zone}" is not a time zone: name one as IANA does, such as Europe/Berlin')
    return _Span(_days(read["days"].lower()), start, end, zone)


def _minutes(text: str) -> int:
    """The minutes since midnight of `HH:MM`, 24:00 included."""
    hours, minutes = int(text[:2]), int(text[3:])
    found = hours * 60 + minutes
    if minutes > 59 or found > _MIDNIGHT:
        raise ValueError(f'"{text}" is not a time of day: {_FORM}')
    return found


def _days(text: str) -> frozenset[int]:
    """The days of `mon-fri`, `sat,sun` or `mon`, as numbers from 0; a range may go on past Sunday."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f'"{part}" is not a day: {_FORM}; days are {", ".join(DAYS)}')
        begin = DAYS.index(first)
        count = (DAYS.index(last) - begin) % 7 if dash else 0
        found.update((begin + number) % 7 for number in range(count + 1))
    return frozenset(found)
