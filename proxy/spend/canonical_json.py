"""JSON texts that are equal for equal values, whatever spelling a value came in. Pure.

Members of an object may come in any order, and numbers in any spelling: `500`, `500.0` and `5e2` are one number. A text
is never a number: `"500"` is another value.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

_PLAIN_EXPONENT: Final = 30


def canonical_json(value: Any) -> str:
    """The JSON of a value: members sorted, no blanks, numbers exactly and in one spelling. Raises `RecursionError` for
    what is nested too deep."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(name)}:{canonical_json(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return _text(value)
    return _number(Decimal(str(value) if isinstance(value, float) else value))


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(number: Decimal) -> str:
    """A number in plain notation, and one of absurd size by its digits and an exponent."""
    if not number:
        return "0"
    if -_PLAIN_EXPONENT <= number.adjusted() <= _PLAIN_EXPONENT:
        text = format(number, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    stripped = text.rstrip("0")
    return f"{'-' if sign else ''}{stripped}e{int(exponent) + len(text) - len(stripped)}"
