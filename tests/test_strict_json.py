"""JSON that every reader must understand in the same way."""

from __future__ import annotations

import json
from decimal import Decimal
from json import JSONDecodeError
from typing import Any

import pytest

from proxy.strict_json import MAX_COST, JsonBody, TooCostly, UnclearBody, cost_of, differ_clearly, read_json


def test_a_plain_body_is_read() -> None:
    """The body's value comes back, strictly or not."""
    assert read_json(b"[1.5e3, 1e-999, -0.5]", strictly=True) == [1500.0, 0.0, -0.5]
    for strictly in (True, False):
        assert read_json(b' {"a": [1, "\\u0062"], "c": {}} ', strictly=strictly) == {"a": [1, "b"], "c": {}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": NaN}',
        b"[Infinity]",
        b"[1e999]",
        b"[-1.5E400]",
        b'\xef\xbb\xbf{"a": 1}',
    ],
)
def test_what_readers_understand_differently_is_refused(body: bytes) -> None:
    """A name twice, a number that JSON or a reader does not have, and a byte order mark."""
    with pytest.raises(UnclearBody):
        read_json(body, strictly=False)


@pytest.mark.parametrize("body", [b'{"a": 1, "A": 2}', b'{"start_date": 1, "startDate": 2}', b'{"\xc3\xa4": 1}'])
def test_strictly_names_must_differ_clearly(body: bytes) -> None:
    """Without case and punctuation, too; and they are plain."""
    assert read_json(body, strictly=False)
    with pytest.raises(UnclearBody):
        read_json(body, strictly=True)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[1,]"])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises((JSONDecodeError, UnicodeDecodeError)):
        read_json(body, strictly=True)


@pytest.mark.parametrize(
    ("names", "differ"), [((), True), (("a",), True), (("a", "b"), True), (("a\nb",), False), (("a\\",), False)]
)
def test_names_that_differ_clearly(names: tuple[str, ...], differ: bool) -> None:
    """No name, one, or several."""
    assert differ_clearly(names) is differ


def test_a_body_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all readers, strict or not; a reader of a body that cannot be decoded gets the same answer each time."""
    texts: list[str] = []
    loads = json.loads

    def counted(text: str, **how: Any) -> Any:
        texts.append(text)
        return loads(text, **how)

    monkeypatch.setattr(json, "loads", counted)
    body, alike, broken = JsonBody(b'{"a": [1]}'), JsonBody(b'{"a": 1, "A": 2}'), JsonBody(b"{")
    assert body.read(strictly=True) is body.read(strictly=False)
    assert alike.read(strictly=False) == {"a": 1, "A": 2}
    for _ in range(2):
        with pytest.raises(UnclearBody):
            alike.read(strictly=True)
        with pytest.raises(ValueError):
            broken.read(strictly=False)
    assert texts == ['{"a": [1]}', '{"a": 1, "A": 2}', "{"]
    assert repr(body) == "<JsonBody of 10 bytes>"


@pytest.mark.parametrize("unit", [b"{},", b"[],", b'"",', b'"[0]",', b'"\\u0061",', b'{"a":1},', b'"%41",'])
def test_every_part_of_a_body_has_its_cost(unit: bytes) -> None:
    """Each kind of part counts, and what costs too much is not decoded."""
    assert cost_of(unit * 80) >= 2 * 80
    body = JsonBody(b"[%b0]" % (unit * (MAX_COST // 2)))
    with pytest.raises(TooCostly):
        body.read(strictly=False)


@pytest.mark.parametrize("body", [b"", b"a" * 8, b"," * 8, b"a" * 800, b"{" * 800, b"a," * 400, b"a" * 80_000])
def test_whether_a_body_costs_more_is_told_by_its_cost(body: bytes) -> None:
    """The size alone may tell that a body costs more."""
    cost = cost_of(body)
    for limit in range(max(0, cost - 2), cost + 3):
        assert JsonBody(body).costs_more_than(limit) is (cost > limit)


def test_exact_numbers_keep_their_digits() -> None:
    """A number is a `Decimal` of its own digits, in any spelling; integers and texts stay what they are."""
    body = b'{"a": [0.1, 2.50, 5E2, -1e-3, 1e-999], "b": 500, "c": "1.5", "d": true, "e": null}'
    value = JsonBody(body).exact()
    assert [str(number) for number in value["a"]] == ["0.1", "2.50", "5E+2", "-0.001", "1E-999"]
    assert {type(number) for number in value["a"]} == {Decimal}
    assert (value["b"], value["c"], value["d"], value["e"]) == (500, "1.5", True, None)


@pytest.mark.parametrize("number", [b"1e999", b"-1.5E400", b"NaN", b"1e-9999999999999999999", b"0e9999999999999999999"])
def test_exact_numbers_of_absurd_size_are_refused(number: bytes) -> None:
    """A number that one reader takes for infinite or nothing, and another one for an error, is not read."""
    with pytest.raises(UnclearBody):
        JsonBody(b"[%b]" % number).exact()


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 1}', b'{"a": 1, "A": 2}', b'\xef\xbb\xbf{"a": 1}', b"{", b"", b"\xff", b"[%b]" % (b"9" * 5000)],
)
def test_exact_values_are_as_strict(body: bytes) -> None:
    """What cannot be read strictly cannot be read exactly."""
    with pytest.raises(ValueError, match=r".*"):
        JsonBody(body).read(strictly=True)
    with pytest.raises(ValueError, match=r".*"):
        JsonBody(body).exact()


def test_exact_values_cost_no_more() -> None:
    """A body with too many parts is not decoded."""
    with pytest.raises(TooCostly):
        JsonBody(b"[%b0]" % (b"0," * MAX_COST)).exact()
