"""What a clock on the wall shows in a time zone.

Values in, values out: the moment is an argument.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class LocalTime(NamedTuple):
    """A moment in a time zone: its date (ISO 8601), the day of the week from 0 for Monday, the minutes since midnight,
    and all of it as a text."""

    date: str
    weekday: int
    minute: int
    text: str


def local_time(now: float, zone: str) -> LocalTime | None:
    """The local time at `now`, seconds since the epoch, in the time zone of this IANA name; None for an unknown one."""
    return _local_time(int(now // 60), zone) if zone else None


@lru_cache(maxsize=64)
def _local_time(minute: int, zone: str) -> LocalTime | None:
    """Remembered, as each write of a minute asks for the same."""
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    local = datetime.fromtimestamp(minute * 60, place)
    text = local.isoformat(timespec="minutes")
    return LocalTime(text[:10], local.weekday(), local.hour * 60 + local.minute, text)
