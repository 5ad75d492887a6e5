"""JSON that every reader must understand in the same way: anything else is an error. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_BETWEEN = "\n"
_PUNCTUATION = re.compile(r"[^a-z0-9\n]")
_MARK = "\ufeff"


class UnclearBody(ValueError):
    """Another reader may find something else in it."""


def read_json(body: bytes, *, strictly: bool) -> Any:
    """The value of a body, if every reader of JSON must find the same. Raises `ValueError` or `RecursionError`.

    No object has a name twice; `strictly`, every name is plain, and differs from the others also for who takes no
    notice of case and punctuation.
    """
    text = body.decode("utf-8")
    if text.startswith(_MARK):
        raise UnclearBody
    hook = _strict_object if strictly else _object
    return json.loads(text, object_pairs_hook=hook, parse_constant=_constant, parse_float=_float)


def differ_clearly(names: Iterable[str]) -> bool:
    """Whether names are plain, and differ also for who takes no notice of case and punctuation."""
    given = tuple(names)
    if not given:
        return True
    text = _BETWEEN.join(given)
    if not text.isascii() or "\\" in text or text.count(_BETWEEN) >= len(given):
        return False
    return len(given) == 1 or len(set(_PUNCTUATION.sub("", text.lower()).split(_BETWEEN))) == len(given)


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = _object(pairs)
    if not differ_clearly(found):
        raise UnclearBody
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearBody
    return found


def _float(text: str) -> float:
    """One reader makes infinity of a number such as 1e999, another one an error."""
    value = float(text)
    if math.isinf(value):
        raise UnclearBody
    return value


def _constant(_name: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259, 6)."""
    raise UnclearBody
