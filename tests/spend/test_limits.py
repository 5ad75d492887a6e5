"""The hours in which a client may write."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from proxy.events import SpendMode
from proxy.spend.limits import Beyond, Hours, SpendLimits, amount_text, plain_state

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> float:
    """The wall-clock time of `2026-12-01 08:00` in a zone; the first of December 2026 is a Tuesday."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("hours", "when", "permitted"),
    [
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-12-01 08:00", True),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-12-01 07:59", False),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-12-01 17:59", True),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-12-01 18:00", False),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-12-05 12:00", False),
        ("sat,sun 00:00-24:00 Europe/Berlin", "2026-12-05 23:59", True),
        ("sat,sun 00:00-24:00 Europe/Berlin", "2026-12-07 00:00", False),
        ("MON-Fri 08:00-18:00 Europe/Berlin", "2026-12-01 12:00", True),
        ("tue 08:00-09:00 Europe/Berlin; tue 10:00-11:00 Europe/Berlin", "2026-12-01 10:30", True),
        ("tue 08:00-09:00 Europe/Berlin; tue 10:00-11:00 Europe/Berlin", "2026-12-01 09:30", False),
        ("mon,wed-fri 08:00-18:00 Europe/Berlin", "2026-12-01 12:00", False),
        ("sat-tue 08:00-18:00 Europe/Berlin", "2026-12-01 12:00", True),
        ("sat-tue 08:00-18:00 Europe/Berlin", "2026-12-02 12:00", False),
        ("mon 22:00-06:00 Europe/Berlin", "2026-12-01 05:59", True),
        ("mon 22:00-06:00 Europe/Berlin", "2026-12-01 06:00", False),
        ("mon 22:00-06:00 Europe/Berlin", "2026-12-01 22:00", False),
        ("mon 22:00-06:00 Europe/Berlin", "2026-11-30 22:00", True),
        ("mon 22:00-06:00 Europe/Berlin", "2026-11-30 05:00", False),
        ("tue 07:00-08:00 UTC", "2026-12-01 08:00", True),
    ],
)
def test_hours_hold(hours: str, when: str, permitted: bool) -> None:
    """A span has its beginning and not its end, and one over midnight belongs to the day on which it begins."""
    assert Hours.parse(hours).permits(at(when), "") is permitted


def test_hours_without_zone_are_the_profiles() -> None:
    """Without a zone of its own, a span is in the time zone of the profile."""
    hours = Hours.parse("tue 08:00-09:00")
    assert hours.permits(at("2026-12-01 08:30", "America/Los_Angeles"), "America/Los_Angeles") is True
    assert hours.permits(at("2026-12-01 08:30"), "America/Los_Angeles") is False


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../../etc/passwd"])
def test_hours_without_any_zone_cannot_be_told(zone: str) -> None:
    """Where neither the span nor the profile has a known time zone, nothing is permitted or forbidden."""
    assert Hours.parse("mon-sun 00:00-24:00").permits(0, zone) is None


def test_span_with_zone_is_told_beside_one_without() -> None:
    """A span with a zone permits, whatever is unknown of another span."""
    hours = Hours.parse("mon 08:00-09:00; tue 08:00-09:00 Europe/Berlin")
    assert hours.permits(at("2026-12-01 08:30"), "") is True
    assert hours.permits(at("2026-12-01 09:30"), "") is None


def test_hours_of_one_text_are_equal() -> None:
    """A reload that leaves the text alone changes no limits."""
    assert Hours.parse("mon 08:00-18:00 UTC") == Hours.parse("mon 08:00-18:00 UTC")
    assert Hours.parse("mon 08:00-18:00 UTC") != Hours.parse("tue 08:00-18:00 UTC")


def test_limits_are_absent_unless_configured() -> None:
    """A client with an empty `spend` has no rule, and refuses what cannot be read."""
    limits = SpendLimits()
    assert limits.mode is SpendMode.ENFORCE
    assert (limits.budget, limits.bid, limits.bid_adjustment, limits.states) == (None, None, None, None)
    assert SpendLimits(budget={"USD": Decimal(5)}) != limits


@pytest.mark.parametrize(
    ("word", "state"),
    [("ENABLED", "enabled"), ("Active", "enabled"), ("INACTIVE", "paused"), ("paused", "paused"), ("DRAFT", "draft")],
)
def test_states_are_compared_by_their_meaning(word: str, state: str) -> None:
    """A state has one name, whatever its case, and whichever API it comes from."""
    assert plain_state(word) == state


@pytest.mark.parametrize(
    ("value", "text"), [("200.00", "200"), ("2.50", "2.5"), ("1E+3", "1000"), ("0.000001", "0.000001"), ("0", "0")]
)
def test_an_amount_is_plain(value: str, text: str) -> None:
    """Neither exponents nor zeros at the end."""
    assert amount_text(Decimal(value)) == text


@pytest.mark.parametrize("mode", SpendMode)
@pytest.mark.parametrize("beyond", Beyond)
def test_only_limits_in_force_ask_approvers(mode: SpendMode, beyond: Beyond) -> None:
    """In observe mode no write is held, so no approver is asked."""
    asked = SpendLimits(mode=mode, beyond=beyond).asks_approvers
    assert asked is (mode is SpendMode.ENFORCE and beyond is Beyond.APPROVE)
