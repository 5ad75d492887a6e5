"""What an object in the body of a write may hold: types, words, bounds and required members. Pure.

`writes.jsonl` is made by `scripts/make_simulator_writes.py` from Amazon's specifications.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Fault = Literal["missing", "type", "word", "low", "high"]
Rule = dict[str, Any]

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": int,
}
BEYOND = float("inf")
"""What Python reads where a number is larger than any float."""


class Misfit(NamedTuple):
    """One value that does not fit: its place below the object, what is wrong, the value, and the bound or words."""

    place: str
    fault: Fault
    value: object
    allowed: object


@dataclass(frozen=True, slots=True)
class WriteRule:
    """What the body of an operation lists, how many objects it may have, and the rule of each."""

    member: str
    bounds: tuple[int, int]
    rule: Rule

    def misfits(self, given: Any, *, members: bool = True, number_texts: bool = False) -> list[Misfit]:
        """All that is wrong with one object. Without `members`, required ones may be missing. With `number_texts`, a
        text that is a number may stand for it."""
        found = _misfits(self.rule, given, "", number_texts)
        return [misfit for misfit in found if members or misfit.fault != "missing"]


@cache
def load_write_rules() -> dict[tuple[str, str], WriteRule]:
    """(method, path) -> rule, of the committed table."""
    lines = files("proxy.simulator").joinpath("writes.jsonl").read_text().splitlines()
    entries = map(json.loads, lines)
    return {
        (each["method"], each["path"]): WriteRule(each["member"], (each["bounds"][0], each["bounds"][1]), each["rule"])
        for each in entries
    }


def as_number(text: str) -> float | None:
    """The number that a text is in JSON, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _misfits(rule: Rule, value: Any, place: str, number_texts: bool) -> Iterator[Misfit]:
    """Ids are taken as texts and as numbers, since Amazon's own APIs differ in them."""
    kind = rule.get("type", "")
    if value is None or (place.endswith("Id") and isinstance(value, str | int) and not isinstance(value, bool)):
        return
    if number_texts and kind in ("number", "integer") and isinstance(value, str):
        number = as_number(value)
        value = value if number is None else number
    if kind and not _is(kind, value):
        yield Misfit(place, "type", value, kind)
        return
    if value not in rule.get("enum", (value,)):
        yield Misfit(place, "word", value, rule["enum"])
    if kind in ("number", "integer"):
        yield from _out_of_bounds(rule, value, place)
    if kind == "object":
        yield from _misfits_of_members(rule, value, place, number_texts)
    if kind == "array":
        size, least, most = len(value), rule.get("minItems", 0), rule.get("maxItems", len(value))
        if not least <= size <= most:
            yield Misfit(place, "low" if size < least else "high", size, least if size < least else most)
        for index, each in enumerate(value):
            yield from _misfits(rule.get("items", {}), each, f"{place}[{index}]", number_texts)


def _is(kind: str, value: Any) -> bool:
    """Whether a value is of a type of JSON schema: 5.0 is an integer, and true is no number."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[kind])


def _out_of_bounds(rule: Rule, value: float, place: str) -> Iterator[Misfit]:
    if value < rule.get("minimum", value):
        yield Misfit(place, "low", value, rule["minimum"])
    if value > rule.get("maximum", value) or not -BEYOND < value < BEYOND:
        yield Misfit(place, "high", value, rule.get("maximum", 0))


def _misfits_of_members(rule: Rule, value: dict[str, Any], place: str, number_texts: bool) -> Iterator[Misfit]:
    """A required member is there and not null; of several shapes, the value has one."""
    start = f"{place}." if place else ""
    for name in rule.get("required", ()):
        if value.get(name) is None:
            yield Misfit(f"{start}{name}", "missing", None, "")
    for name, each in rule.get("members", {}).items():
        if name in value:
            yield from _misfits(each, value[name], f"{start}{name}", number_texts)
    shapes = [list(_misfits(shape, value, place, number_texts)) for shape in rule.get("any", ())]
    yield from min(shapes, key=len, default=[])
