"""Values that are made for each request are values: compared by what they hold, and small."""

from __future__ import annotations

import pytest

from proxy.unchanging import unchanging


@unchanging
class Point:
    """Two numbers."""

    x: int
    y: int = 0


def test_values_are_compared_by_what_they_hold() -> None:
    """Equal ones are one key of a dictionary."""
    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert {Point(1): "found"}[Point(1, 0)] == "found"
    assert repr(Point(1)) == "Point(x=1, y=0)"


def test_there_is_no_room_for_anything_else() -> None:
    """A misspelled field is an error, and each value is as small as its fields."""
    with pytest.raises(AttributeError):
        Point(1).z = 2  # type: ignore[attr-defined]  # what is tried
    assert not hasattr(Point(1), "__dict__")


def test_the_type_checker_refuses_to_change_one() -> None:
    """mypy would tell that the exemption is not needed (`warn_unused_ignores`), were the assignment allowed."""
    point = Point(1)
    point.x = 2  # type: ignore[misc]  # what is tried
    assert point.x == 2
