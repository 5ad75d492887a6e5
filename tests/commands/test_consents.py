"""`consents`: the order, the words about each, and a calendar that a calendar's rules accept."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from proxy.commands.consents import (
    CalendarEntry,
    calendar_entries,
    ending_within,
    escape_text,
    fold,
    print_consents,
    render_calendar,
    rows_of,
)
from proxy.config import load
from proxy.tokens.consent import DAY, Consent, ConsentPhase, start_of

NOW = start_of(date(2027, 6, 1))
JULY = start_of(date(2026, 7, 1))
CONSENTS = {
    "none": Consent(),
    "old": Consent(start_of(date(2025, 1, 1))),
    "unknown": Consent(first_seen=JULY),
    "later": Consent(JULY + 40 * DAY),
    "b": Consent(JULY),
    "a": Consent(JULY),
    "over": Consent(start_of(date(2026, 6, 30)) - 0.0),
}


def test_the_first_to_end_is_at_the_top() -> None:
    """Known ends by day and name; then unknown ones, those without an end, and accounts without a consent."""
    now = start_of(date(2027, 6, 30))
    rows = rows_of(CONSENTS, now)
    assert [row.account for row in rows] == ["over", "a", "b", "later", "unknown", "old", "none"]
    assert [row.days_left for row in rows] == [0, 1, 1, 41, None, None, None]
    assert rows[0].phase is ConsentPhase.ENDED
    assert rows[1].ends_on == date(2027, 7, 1)
    assert rows[-1].explanation.startswith("No refresh token")


def test_only_the_next_to_end_are_listed() -> None:
    """The list has those within so many days, that day included, and expired ones; unknown days are named apart."""
    rows = rows_of(CONSENTS, start_of(date(2027, 6, 30)))
    ending, unknown = ending_within(rows, 1)
    assert ([row.account for row in ending], unknown) == (["over", "a", "b"], ("unknown",))
    assert [row.account for row in ending_within(rows, 0)[0]] == ["over"]
    assert [row.account for row in ending_within(rows, 41)[0]] == ["over", "a", "b", "later"]


def parsed(text: str) -> list[tuple[str, str]]:
    """Unfolded content lines, as name with parameters and value (RFC 5545, section 3.1)."""
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    return [(name, value) for name, _, value in (line.partition(":") for line in unfolded.split("\r\n") if line)]


def test_the_calendar_has_a_day_for_each_end() -> None:
    """Every property that the format requires, three reminders, and the end of each thing that begins."""
    lines = parsed(render_calendar(calendar_entries(rows_of(CONSENTS, NOW)), NOW))
    assert lines[:2] == [("BEGIN", "VCALENDAR"), ("VERSION", "2.0")]
    assert [value for name, value in lines if name == "BEGIN"].count("VEVENT") == 4
    open_ones: list[str] = []
    for name, value in lines:
        if name == "BEGIN":
            open_ones.append(value)
        if name == "END":
            assert open_ones.pop() == value
    assert open_ones == []
    for required in ("UID", "DTSTAMP", "DTSTART;VALUE=DATE", "DTEND;VALUE=DATE", "SUMMARY"):
        assert len([value for name, value in lines if name == required]) == 4, required
    assert ("UID", "a@consents.ads-proxy") in lines
    assert ("DTSTART;VALUE=DATE", "20270701") in lines
    assert ("DTEND;VALUE=DATE", "20270702") in lines
    assert ("DTSTAMP", "20270601T000000Z") in lines
    assert [value for name, value in lines if name == "TRIGGER"] == ["-P30D", "-P7D", "-P1D"] * 4


def test_text_is_escaped_and_folded_between_characters() -> None:
    """Commas, semicolons, backslashes and line ends; never within a character of several octets."""
    assert escape_text("a,b;c\\d\r\ne\nf") == "a\\,b\\;c\\\\d\\ne\\nf"
    long = "é" * 100
    assert all(len(line.encode()) <= 75 for line in fold(long).split("\r\n"))
    assert fold(long).replace("\r\n ", "") == long
    entry = CalendarEntry("u", date(2027, 7, 1), "日本" * 60, "d")
    assert ("SUMMARY", "日本" * 60) in parsed(render_calendar([entry], NOW))


def test_what_has_no_day_is_said_in_the_words_of_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown, never, not given; and where that was read, as the proxy's state may be another."""
    (tmp_path / "proxy.yaml").write_text(f"""
accounts:
  new: {{client_id: c, client_secret: s}}
  old: {{client_id: c, client_secret: s, refresh_token: r, consented_on: 2026-06-29}}
  partner: {{client_id: c, client_secret: s, refresh_token: r}}
state: {{url: 'file:{tmp_path}/s'}}
""")
    assert print_consents(load(tmp_path / "proxy.yaml", {}), "table") == 0
    printed = capsys.readouterr()
    assert (
        printed.err == f"note: read from the state store {tmp_path}/s; a proxy with another state.url may have other "
        "days\n"
    )
    said = {line.split()[0]: line for line in printed.out.splitlines()}
    shown = {
        name: next(word for word in ("unknown", "never", "not given") if word in said[name])
        for name in said
        if name != "account"
    }
    assert shown == {"partner": "unknown", "old": "never", "new": "not given"}


def test_within_days_names_the_accounts_whose_day_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, so that the list can be read by a program."""
    accounts = "".join(
        f"  {name}: {{client_id: c, client_secret: s, refresh_token: r{more}}}\n"
        for name, more in {"over": ", consented_on: 2026-07-01", "partner": ""}.items()
    )
    (tmp_path / "proxy.yaml").write_text(f"accounts:\n{accounts}state: {{url: 'memory:'}}\n")
    assert print_consents(load(tmp_path / "proxy.yaml", {}), "json", 100_000) == 0
    printed = capsys.readouterr()
    assert [row["account"] for row in json.loads(printed.out)] == ["over"]
    assert printed.err == "note: the day of consent is unknown for partner; it may expire too; set consented_on\n"


@pytest.mark.parametrize("layout", ["table", "json", "ical"])
def test_a_hundred_accounts_are_listed_without_asking_amazon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    """From the configuration and the state alone."""
    accounts = "\n".join(
        f"  a{number}: {{client_id: c, client_secret: s, refresh_token: r, consented_on: 2026-07-{number % 31 + 1:02}}}"
        for number in range(100)
    )
    (tmp_path / "proxy.yaml").write_text(f"accounts:\n{accounts}\nstate: {{url: 'file:{tmp_path}/s'}}\n")
    assert print_consents(load(tmp_path / "proxy.yaml", {}), layout) == 0
    out = capsys.readouterr().out
    if layout == "json":
        rows = json.loads(out)
        assert (len(rows), rows[0]["ends_on"], rows[0]["account"]) == (100, "2027-07-01", "a0")
    elif layout == "ical":
        assert out.count("BEGIN:VEVENT") == 100
    else:
        assert re.match(r"account +expires on +days +given on +\na0 +2027-07-01 +\d+ +2026-07-01 +The consent of", out)
        assert len(out.splitlines()) == 101
