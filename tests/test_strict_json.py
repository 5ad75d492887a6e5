"""JSON that every reader must understand in the same way."""

from __future__ import annotations

from json import JSONDecodeError

import pytest

from proxy.strict_json import UnclearBody, differ_clearly, read_json


def test_a_plain_body_is_read() -> None:
    """Its value comes back, strictly or not."""
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
