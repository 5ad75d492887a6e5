"""The hours of `clients[].spend.hours` as a text, and the spans of time that it names. Pure, but for the time zones of
this system.

When a span holds is for those who use it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.config.model.expected import Expected, WrongValue

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = r"[A-Za-z,-]+ +[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}( +[A-Za-z0-9_/+-]+)?"
HOURS = re.compile(rf" *{_SPAN} *(; *{_SPAN} *)*")
_MIDNIGHT = 24 * 60


class HoursSpan(NamedTuple):
    """The same minutes of several days. It begins on `days`, numbers from 0, and ends on the next day if `end` is not
    after `start`. `zone` is empty for the time zone of the profile."""

    days: frozenset[int]
    start: int
    end: int
    zone: str


def read_spans(text: str) -> tuple[HoursSpan, ...]:
    """The spans of `DAYS HH:MM-HH:MM [ZONE]`, or of several of these, separated by `;`. Raises `WrongValue`."""
    if HOURS.fullmatch(text) is None:
        raise WrongValue(Expected.HOURS)
    return tuple(_read_span(*part.split()) for part in text.split(";"))


def _read_span(days: str, times: str, zone: str = "") -> HoursSpan:
    start, end = map(_minutes, times.split("-"))
    if start in (end, _MIDNIGHT):
        raise WrongValue(Expected.HOURS_ORDER)
    if zone and not _is_zone(zone):
        raise WrongValue(Expected.HOURS_ZONE)
    return HoursSpan(_days(days.lower()), start, end, zone)


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # not above: few configurations name one

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _minutes(text: str) -> int:
    """The minutes since midnight of `HH:MM`, 24:00 included."""
    hours, minutes = int(text[:2]), int(text[3:])
    found = hours * 60 + minutes
    if minutes > 59 or found > _MIDNIGHT:
        raise WrongValue(Expected.HOURS_TIME)
    return found


def _days(text: str) -> frozenset[int]:
    """The days of `mon-fri`, `sat,sun` or `mon`, as numbers from 0; a range may go on past Sunday."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise WrongValue(Expected.HOURS_DAY)
        begin = DAYS.index(first)
        count = (DAYS.index(last) - begin) % 7 if dash else 0
        found.update((begin + number) % 7 for number in range(count + 1))
    return frozenset(found)
