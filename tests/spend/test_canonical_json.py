"""The JSON text of a value is one for equal values, and another for others."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.spend.canonical_json import canonical_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (500, "500"),
        (Decimal("500.0"), "500"),
        (Decimal("5e2"), "500"),
        (Decimal("0.50"), "0.5"),
        (Decimal("-0.0"), "0"),
        (0.1, "0.1"),
        pytest.param(10**5000, "1e5000", id="5001 digits"),
        (Decimal("1e40"), "1e40"),
        (Decimal("-1.50e-40"), "-15e-41"),
        ("500", '"500"'),
        ("Müller", '"Müller"'),
        (True, "true"),
        (None, "null"),
        ({"b": [1, {"d": 2}], "a": "x"}, '{"a":"x","b":[1,{"d":2}]}'),
    ],
)
def test_equal_values_have_equal_texts(value: Any, text: str) -> None:
    assert canonical_json(value) == text


_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False) | st.integers()
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """A value that Python finds equal to another one exactly where JSON does."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return ("truth", value) if isinstance(value, bool) else value


@given(_VALUES, _VALUES)
def test_two_values_have_one_text_only_if_they_are_equal(one: Any, other: Any) -> None:
    """The canonical text tells apart what JSON tells apart, and nothing else."""
    assert (canonical_json(one) == canonical_json(other)) is (plain(one) == plain(other))


@given(_NUMBERS)
def test_a_number_is_written_exactly(number: Decimal | int) -> None:
    """No digit is lost, however many a number has."""
    assert json.loads(canonical_json(number), parse_int=Decimal, parse_float=Decimal) == number
