"""`{command: [PROGRAM, ARGUMENT, ...], every: 15m}`: a program that prints a secret, as a value. Nothing here runs it.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.values import parse_interval
from proxy.value_classes import dataclass

MAX_INTERVAL = 31 * 86_400
KEYS = frozenset({"command", "every"})


@dataclass(frozen=True, slots=True)
class SecretCommand:
    """A program with its arguments, and the directory that it runs in. Arguments are not shown: one may be a secret."""

    arguments: tuple[str, ...] = field(repr=False)
    directory: Path


class CommandFailed(WrongValue):
    """A command that gave no secret. The problem is a sentence without secrets."""

    def __init__(self, problem: str) -> None:
        ValueError.__init__(self, problem)
        self.expected = Expected.COMMAND_PENDING


def parse_command(value: Mapping[Any, Any]) -> tuple[tuple[str, ...], float | None]:
    """The arguments, and the seconds between two runs, None for runs at start and by each reload alone. Raises
    `WrongValue`."""
    arguments = value.get("command")
    if not isinstance(arguments, list | tuple) or not arguments or not all(isinstance(each, str) for each in arguments):
        raise WrongValue(Expected.COMMAND)
    if not arguments[0].strip() or any("\0" in each for each in arguments):
        raise WrongValue(Expected.COMMAND)
    return tuple(arguments), parse_every(value.get("every"))


def parse_every(value: Any) -> float | None:
    """Seconds, from a number or a text with its unit, such as `15m`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 1 <= value <= MAX_INTERVAL:
            raise WrongValue(Expected.EVERY)
        return float(value)
    try:
        return parse_interval(value)
    except WrongValue:
        raise WrongValue(Expected.EVERY) from None


def more_often(one: float | None, other: float | None) -> float | None:
    """The shorter of two intervals; None is none."""
    return min((each for each in (one, other) if each is not None), default=None)
