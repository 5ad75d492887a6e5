"""`consents`: List the day on which each consent expires.

It reads the state store and does not contact Amazon.

Example: ads-proxy consents --within 30 --config proxy.yaml
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.consoles import answers, plain_table
from proxy.commands.terminal import OK, say, tell
from proxy.config import StateKind, environment, load
from proxy.events import Observers
from proxy.tokens.consent import Consent, ConsentLedger, ConsentPhase, day_of, describe, phase
from proxy.tokens.opening import directory_of, open_store
from proxy.tokens.store import choose
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.config import Config


_ORDER = (ConsentPhase.UNKNOWN, ConsentPhase.ENDLESS, ConsentPhase.NONE)
"""The order of consents without a known end, after those with one."""
_WITHOUT_A_DAY = {
    ConsentPhase.UNKNOWN: "unknown",
    ConsentPhase.ENDLESS: "never",
    ConsentPhase.NONE: "not given",
}
"""The words of `status` and the console for consents without a known end."""


def consents(
    layout: Annotated[Literal["table", "json", "ical"], typer.Option("--format", help="The output format.")] = "table",
    ical: Annotated[bool, typer.Option("--ical", help="Print an iCalendar file, as --format ical does.")] = False,
    within: Annotated[
        int | None,
        typer.Option(min=0, metavar="DAYS", help="Only consents that expire within this many days, or have expired."),
    ] = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return print_consents(load(config, environment(env_file)), "ical" if ical else layout, within)


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """One account's consent, for people to look at. Days are in UTC."""

    account: str
    phase: ConsentPhase
    given_on: date | None
    ends_on: date | None
    days_left: int | None
    explanation: str


def print_consents(config: Config, layout: str, within: int | None = None) -> int:
    """Print them, the first to end at the top; with `within` only those that end within so many days, or have ended."""
    now = time.time()
    found = rows_of(asyncio.run(_read(config)), now)
    if within is not None:
        found, unknown = ending_within(found, within)
        if unknown:
            tell(f"note: the day of consent is unknown for {', '.join(unknown)}; it may expire too; set consented_on")
    if layout == "json":
        say(json.dumps([asdict(row) for row in found], indent=2, default=str))
    elif layout == "ical":
        say(render_calendar(calendar_entries(found), now).rstrip("\r\n"))
    else:
        _print_table(found)
        if isinstance(config.state.url, str) and config.state.kind is StateKind.FILE:
            place = directory_of(config.state.url)
            tell(f"note: read from the state store {place}; a proxy with another state.url may have other days")
    return OK


def rows_of(consents: Mapping[str, Consent], now: float) -> list[ConsentRow]:
    """The consents by their end, then those without one by what is known; accounts of one day by name. Pure."""
    rows = []
    for account, consent in consents.items():
        ends_at = consent.ends_at
        rows.append(
            ConsentRow(
                account,
                phase(consent, now),
                None if consent.given_at is None else day_of(consent.given_at),
                None if ends_at is None else day_of(ends_at),
                None if ends_at is None else int((ends_at - now) // 86400),
                describe(consent, now) or "No refresh token: no consent yet.",
            )
        )
    return sorted(rows, key=_place)


def ending_within(rows: Iterable[ConsentRow], days: int) -> tuple[list[ConsentRow], tuple[str, ...]]:
    """The consents that expire within so many days, or have expired, and the accounts without a known day. Pure."""
    rows = list(rows)
    ending = [row for row in rows if row.days_left is not None and row.days_left <= days]
    return ending, tuple(row.account for row in rows if row.phase is ConsentPhase.UNKNOWN)


def _place(row: ConsentRow) -> tuple[int, str, str]:
    rank = _ORDER.index(row.phase) + 1 if row.phase in _ORDER else 0
    return rank, str(row.ends_on or ""), row.account


def calendar_entries(rows: Iterable[ConsentRow]) -> list[CalendarEntry]:
    """A whole-day entry on each end that is known, with reminders as the proxy's own."""
    return [
        CalendarEntry(
            uid=f"{row.account}@consents.ads-proxy",
            day=row.ends_on,
            summary=f"Amazon Ads consent of {row.account} expires",
            description=f"{row.explanation} Renew it before: ads-proxy invite {row.account}",
            reminder_days=(30, 7, 1),
        )
        for row in rows
        if row.ends_on is not None
    ]


async def _read(config: Config) -> dict[str, Consent]:
    store = open_store(config.state.url, config.state.key)
    try:
        ledger = ConsentLedger(store, Observers(()), time.time)
        await ledger.load()
        found = {}
        for name, account in config.accounts.items():
            stored = await store.read(name)
            entry = stored if choose(account.refresh_tokens[0], stored).origin.is_stored else None
            found[name] = ledger.consent(name, account.refresh_tokens[0], entry, account.consented_on)
        return found
    finally:
        await store.close()


def _print_table(rows: Iterable[ConsentRow]) -> None:
    columns = ("account", "expires on", "days", "given on")
    table = plain_table(*columns, "", unbroken=columns, overflow="ellipsis")
    for row in rows:
        days = "" if row.days_left is None else str(row.days_left)
        ends = str(row.ends_on) if row.ends_on is not None else _WITHOUT_A_DAY.get(row.phase, row.phase)
        table.add_row(row.account, ends, days, str(row.given_on or ""), row.explanation)
    answers().print(table)


# --- Whole days as an iCalendar file (RFC 5545) ----------------------------------------------------------

MAX_OCTETS = 75
"""The most bytes of one line, without its end (RFC 5545, section 3.1)."""


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
