"""What a clock on the wall shows in a time zone."""

from __future__ import annotations

import pytest

from proxy.spend.local_time import LocalTime, local_time

MOMENT = 1_780_340_400.0
"""Monday, 1 June 2026, 19:00 UTC."""


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", LocalTime("2026-06-01", 0, 19 * 60, "2026-06-01T19:00+00:00")),
        ("America/Los_Angeles", LocalTime("2026-06-01", 0, 12 * 60, "2026-06-01T12:00-07:00")),
        ("Asia/Tokyo", LocalTime("2026-06-02", 1, 4 * 60, "2026-06-02T04:00+09:00")),
    ],
)
def test_moment_has_its_local_time(zone: str, expected: LocalTime) -> None:
    """Date, weekday and minute are those of the zone."""
    assert local_time(MOMENT, zone) == expected


@pytest.mark.parametrize("zone", ["", "Berlin", "../../etc/passwd", "Europe", "x\0y"])
def test_unknown_zone_has_none(zone: str) -> None:
    """What is no name of a zone has no local time."""
    assert local_time(MOMENT, zone) is None
