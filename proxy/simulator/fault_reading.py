"""Faults and matches as the control API is told of them, read from JSON."""

from __future__ import annotations

import base64
from dataclasses import fields, replace
from typing import Any, get_args

from proxy.simulator.faults import Fault, Framing, Match, Point, Rest
from proxy.simulator.named_faults import NAMED

CHOICES = {"abort": get_args(Point), "hang": get_args(Point), "rest": get_args(Rest), "framing": get_args(Framing)}
"""The words that these members can have."""


class FaultUnclear(ValueError):
    """A fault that cannot be understood; the text says what is wrong with it."""


def parse_match(value: Any) -> Match:
    """A match from JSON."""
    return Match(**_known(Match, value))


def parse_fault(value: Any) -> Fault:
    """A fault from JSON: bodies as text, or as base64 in `body_base64` and its like; headers as pairs or object.

    With `named`, one of those that have a name, changed by what else is given.
    """
    if not isinstance(value, dict):
        raise FaultUnclear("a fault is a JSON object")
    given = dict(value)
    name = given.pop("named", None)
    if name is not None and name not in NAMED:
        raise FaultUnclear(f"no fault is named {name!r}; there are {', '.join(NAMED)}")
    changed = _fault_members(given)
    return Fault(**changed) if name is None else replace(NAMED[name], **changed)


def _fault_members(given: dict[str, Any]) -> dict[str, Any]:
    for name in ("body", "extra", "raw"):
        if f"{name}_base64" in given:
            given[name] = base64.b64decode(given.pop(f"{name}_base64"))
        elif isinstance(given.get(name), str):
            given[name] = given[name].encode()
    if "headers" in given:
        pairs = given["headers"].items() if isinstance(given["headers"], dict) else given["headers"]
        given["headers"] = tuple((str(name), str(content)) for name, content in pairs)
    for name, words in CHOICES.items():
        if given.get(name) not in (None, *words):
            raise FaultUnclear(f"{name} is one of {', '.join(words)}, not {given[name]!r}")
    if "interim" in given:
        given["interim"] = tuple(int(status) for status in given["interim"])
    return _known(Fault, given)


def _known(kind: type[Match] | type[Fault], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FaultUnclear("a match and a fault are JSON objects")
    names = [f.name for f in fields(kind)]
    for name in value:
        if name not in names:
            raise FaultUnclear(f"{kind.__name__} has no {name!r}; it has {', '.join(names)}")
    return value
