"""Whole days as an iCalendar file (RFC 5545). Decides nothing: entries in, text out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_OCTETS = 75
"""Of one line, its end not counted (RFC 5545, section 3.1)."""


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A whole day, and how many days before it people are reminded. `uid` is the same each time it is written."""

    uid: str
    day: date
    summary: str
    description: str
    reminder_days: tuple[int, ...] = ()


def render_calendar(entries: Iterable[CalendarEntry], now: float) -> str:
    """The whole file; `now` is when it is made."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//ads-proxy//consents//EN"]
    for entry in entries:
        lines += _event(entry, stamp)
    lines.append("END:VCALENDAR")
    return "".join(f"{fold(line)}\r\n" for line in lines)


def _event(entry: CalendarEntry, stamp: str) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{escape_text(entry.uid)}"
    yield f"DTSTAMP:{stamp}"
    yield f"DTSTART;VALUE=DATE:{entry.day:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{entry.day + timedelta(days=1):%Y%m%d}"
    yield f"SUMMARY:{escape_text(entry.summary)}"
    yield f"DESCRIPTION:{escape_text(entry.description)}"
    yield "TRANSP:TRANSPARENT"
    for days in entry.reminder_days:
        yield "BEGIN:VALARM"
        yield "ACTION:DISPLAY"
        yield f"DESCRIPTION:{escape_text(entry.summary)}"
        yield f"TRIGGER:-P{days}D"
        yield "END:VALARM"
    yield "END:VEVENT"


def escape_text(text: str) -> str:
    """A TEXT value (RFC 5545, section 3.3.11)."""
    return re.sub(r"([\\;,])", r"\\\1", text).replace("\r\n", "\n").replace("\n", "\\n")


def fold(line: str) -> str:
    """A long line in pieces of at most 75 octets, never cut within a character (RFC 5545, section 3.1)."""
    pieces, piece, size = [], "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > MAX_OCTETS:
            pieces.append(piece)
            piece, size = " ", 1
        piece += character
        size += octets
    return "\r\n".join([*pieces, piece])
