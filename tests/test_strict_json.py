"""JSON that every reader must understand in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import strict_json
from proxy.strict_json import MAX_COST, JsonBody, NotUtf8, TooCostly, UnclearBody, cost_of, differ_clearly, read_json


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


OTHER_ENCODINGS = (
    b'\xef\xbb\xbf{"a": 1}',
    b'{"a": "\xe4"}',
    '{"a": 1}'.encode("utf-16"),
    '{"a": 1}'.encode("utf-16-be"),
    '{"a": 1}'.encode("utf-32-le"),
    b'{"a": 1}\0',
    b'{"a": "x+ACI-,+ACI-budget+ACI-:500"}',
    b'{"a": "+MEMAIgBc"}',
    b'{"a": "+AFw-u0062"}',
    b'{"a": "+ACJ,"}',
)
"""Bodies that are no UTF-8, or in which UTF-7 finds other ends of texts."""


@pytest.mark.parametrize("body", OTHER_ENCODINGS)
def test_another_encoding_is_refused(body: bytes) -> None:
    """JSON has UTF-8 alone (RFC 8259, 8.1), and a decoder of another encoding finds another value."""
    with pytest.raises(NotUtf8):
        JsonBody(body).exact()


@pytest.mark.parametrize("text", ["+AAA +AGM", "C+- A+B 1e+30", "+ADIDAS +ACCESSORIES", "+ABOUT+", "a+/b", "ä€+Aé"])
def test_texts_with_plus_signs_are_read(text: str) -> None:
    """What UTF-7 makes of them ends no text."""
    assert JsonBody(json.dumps({"a": text}, ensure_ascii=False).encode()).exact() == {"a": text}


@pytest.mark.parametrize("body", [b'{"a": 1, "A": 2}', b'{"start_date": 1, "startDate": 2}', b'{"\xc3\xa4": 1}'])
def test_strictly_names_must_differ_clearly(body: bytes) -> None:
    """Without case and punctuation, too; and they are plain."""
    assert read_json(body, strictly=False)
    with pytest.raises(UnclearBody):
        read_json(body, strictly=True)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[1,]"])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises((JSONDecodeError, NotUtf8)):
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


_TEXTS = st.text(alphabet='a:"\\ {},\n', max_size=4)
_VALUES = st.recursive(
    _TEXTS | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(_TEXTS, inner), max_size=3).map(tuple),
    max_leaves=12,
)


def _written(value: Any, between: tuple[str, str]) -> str:
    """JSON in which a tuple is an object: its pairs may have the same name."""
    if isinstance(value, tuple):
        before, after = between
        return (
            "{" + ",".join(f"{json.dumps(name)}{before}:{after}{_written(each, between)}" for name, each in value) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(_written(each, between) for each in value) + "]"
    return json.dumps(value)


def _has_twins(value: Any) -> bool:
    """Whether an object has a name twice."""
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(_has_twins(each) for _, each in value)
    return isinstance(value, list) and any(map(_has_twins, value))


@given(value=_VALUES, before=st.sampled_from(("", " ", "\t", "\n", "\r", " \t ")), after=st.sampled_from(("", " ")))
def test_a_name_twice_is_found_whatever_is_around_it(value: Any, before: str, after: str) -> None:
    """Colons in names and texts, and blanks around those of members, hide no second one."""
    body = _written(value, (before, after)).encode()
    if _has_twins(value):
        with pytest.raises(UnclearBody):
            read_json(body, strictly=False)
    else:
        assert read_json(body, strictly=False) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "b": ":", "a": 2}',
        b'{"a" :1, "a":2}',
        b'{"a": "\\":", "a": 2}',
        b'{"a": " :", "b": {"c": 1, "c": 1}}',
        b'{"a": {"b:": 1, "c": 2}, "a": {}}',
    ],
)
def test_colons_in_texts_hide_no_second_name(body: bytes) -> None:
    """Each colon that is none of a member could stand for one that is dropped."""
    with pytest.raises(UnclearBody):
        JsonBody(body).exact()


def _members_of(value: Any) -> int:
    """How many members the objects have whose names differ clearly."""
    if isinstance(value, dict):
        return sum(map(_members_of, value.values())) + (len(value) if differ_clearly(value) else 0)
    return sum(map(_members_of, value)) if isinstance(value, list) else 0


def _walk(value: Any) -> tuple[str, int]:
    return repr(value), _members_of(value)


@pytest.mark.parametrize("met", [-1, 0])
def test_a_value_is_what_was_walked(met: int) -> None:
    """What the walk makes of the value comes back with it, whether it met all members or not."""
    body = JsonBody(b' {"a": [1.5, {"b": "1:2"}], "c": {}}\n')
    value, made = body.walk_exact(lambda value: (repr(value), _members_of(value) + met))
    assert value == body.exact()
    assert made == repr(value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "b": ":", "a": 2}',
        b'{"a": 1, "A": 2}',
        b'{"a": {"\\": 1}}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": NaN}',
        b"[1e999]",
        b'{"a": 1} 1',
        b"{",
        b"",
        b"\xff",
    ],
)
def test_a_walk_makes_nothing_of_unclear_bodies(body: bytes) -> None:
    """A body that cannot be read exactly cannot be walked, either."""
    with pytest.raises(ValueError, match=r".*"):
        JsonBody(body).walk_exact(_walk)


def test_a_walk_costs_no_more() -> None:
    """A body with too many parts is not walked."""
    with pytest.raises(TooCostly):
        JsonBody(b"[%b0]" % (b"0," * MAX_COST)).walk_exact(_walk)


def test_what_is_remembered_of_numbers_is_bounded() -> None:
    """Clients choose the numbers, too: many of them, and long ones, do not pile up."""
    strict_json._DECIMALS.clear()
    numbers = [f"{number}.5" for number in range(strict_json._MAX_DECIMALS + 1)]
    assert JsonBody(f"[{','.join(numbers)}]".encode()).exact() == [Decimal(number) for number in numbers]
    assert 0 < len(strict_json._DECIMALS) <= strict_json._MAX_DECIMALS
    long = "0." + "1" * strict_json._MAX_DIGITS
    assert JsonBody(f"[{long}]".encode()).exact() == [Decimal(long)]
    assert long not in strict_json._DECIMALS


def test_what_is_remembered_of_names_is_bounded() -> None:
    """Clients choose the names: many forms of objects, and very long ones, are read and do not pile up."""
    for number in range(strict_json._MAX_CLEAR + 1):
        assert JsonBody(b'{"a%d": 1.5}' % number).exact() == {f"a{number}": Decimal("1.5")}
    assert len(strict_json._CLEAR) <= strict_json._MAX_CLEAR
    long = "a" * (strict_json._MAX_NAMES + 1)
    assert JsonBody(b'{"%b": 1}' % long.encode()).exact() == {long: 1}
    assert (long,) not in strict_json._CLEAR


# --- The decoder next to one that is asked about each member


def _pair_by_pair(body: bytes, number: Callable[[str], object]) -> tuple[Any, bool]:
    """The value of a body, and whether its names differ clearly, from the pairs of each object: what a decoder that
    counts members must find, too. Raises `ValueError` or `RecursionError`."""
    clear = True

    def look_at(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal clear
        if len(dict(pairs)) < len(pairs):
            raise UnclearBody
        clear = clear and differ_clearly(name for name, _ in pairs)
        return dict(pairs)

    def finite(text: str) -> object:
        if float(text) in (float("inf"), float("-inf")):
            raise UnclearBody
        try:
            return number(text)
        except InvalidOperation:
            raise UnclearBody from None

    def refused(name: str) -> None:
        raise UnclearBody

    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise UnclearBody
    return json.loads(text, object_pairs_hook=look_at, parse_float=finite, parse_constant=refused), clear


_PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"', "\\", " ", "\t", "\n", "\r", "\x0b", "\xa0", "\ufeff", "\x00"),
        *(
            '"a":',
            '"a" :',
            '"a"\n:',
            '"A":',
            '"a_":',
            '"b":',
            '":"',
            '" :"',
            '"\\":"',
            '"\\u003a"',
            '"\\u0061":',
            '"":',
        ),
        *(
            '{"a":1}',
            '{"a":1,"a":2}',
            '{"a":{"a":1,"a":2}}',
            '"a":{"b":":"}',
            '[{"a":1}]',
            "{}",
            "[]",
            '"é":',
            '"\ud800":',
        ),
        *("1", "-0", "1.5", "1e5", "1e999", "1e-9999999999999999999", "0" * 70 + "1", "1" * 70 + ".5", "NaN", "null"),
    ]
)
_SPELLED = st.lists(_PIECES, max_size=14).map("".join)
_OBJECTS = st.lists(st.tuples(st.sampled_from(["a", "b", "A", "a:", '\\":', " :"]), _SPELLED), max_size=5).map(
    lambda pairs: "{" + ",".join(f'"{name}":{value or 1}' for name, value in pairs) + "}"
)


@settings(max_examples=max(300, settings().max_examples))
@given(text=_SPELLED | _OBJECTS | st.tuples(_OBJECTS, _OBJECTS).map(lambda two: f'{{"x":{two[0]},"y":[{two[1]}]}}'))
def test_the_decoder_finds_what_one_finds_that_looks_at_each_member(text: str) -> None:
    """The same values, digit by digit, or the same refusal, of texts that are nearly JSON, too."""
    body = text.encode("utf-8", "surrogatepass")
    assert _told(lambda: read_json(body, strictly=False)) == _told(lambda: _pair_by_pair(body, float)[0])
    assert _told(lambda: read_json(body, strictly=True)) == _told(lambda: _clear(_pair_by_pair(body, float)))
    exact = _told(lambda: _clear(_pair_by_pair(body, Decimal)))
    assert _told(lambda: JsonBody(body).exact()) == exact
    assert _told(lambda: JsonBody(body).walk_exact(_walk)[0]) == exact


def _told(read: Callable[[], Any]) -> str:
    """What was read, in the order of its members, or that it was refused."""
    try:
        return repr(read())
    except (ValueError, RecursionError):
        return "refused"


def _clear(found: tuple[Any, bool]) -> Any:
    value, is_clear = found
    if not is_clear:
        raise UnclearBody
    return value
