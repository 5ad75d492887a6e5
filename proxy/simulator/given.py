"""What a control request gives: a JSON object, read member by member."""

from __future__ import annotations

from typing import Any

Given = dict[str, Any]


class ControlRefused(ValueError):
    """A control request that makes no sense; the text says why."""


def text(given: Given, name: str) -> str:
    """A member that must be there."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ControlRefused(f"{name!r} is missing or no text")
    return value
