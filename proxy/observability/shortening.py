"""Lines that are too long, made to fit: the longest values lose most, and what was cut says so. Pure.

Whatever is shortened here was cleaned of secrets before: a half of one would not be known again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_LINE_BYTES: Final = 4096
"""Its line end included. What collects lines splits longer ones, or drops them."""
CUT: Final = "[...]"
_SHORTEST: Final = 24
_WORST_ESCAPE: Final = 6
"""Bytes that one character of a value can take in JSON: a backslash, `u` and four digits."""
_ENDS_COUNT: Final = frozenset({"traceback"})
"""Of these the end says what happened, of all others the beginning."""

Values = dict[str, object]


def fit(values: Mapping[str, object], render: Callable[[Values], str], limit: int = MAX_LINE_BYTES) -> str:
    """The line that `render` makes of the values, of which the longest are cut until the line fits."""
    kept = dict(values)
    line = render(dict(kept))
    while (excess := len(line.encode("utf-8", "backslashreplace")) - limit) > 0:
        name = max(kept, key=lambda name: _weight(kept[name]))
        if _weight(kept[name]) == 0:
            break
        kept[name] = _shortened(kept[name], excess, from_the_start=name in _ENDS_COUNT)
        line = render(dict(kept))
    return line


def _weight(value: object) -> int:
    """Roughly how much of the line a value takes that can be cut."""
    if isinstance(value, list):
        return sum(_weight(item) + 1 for item in value)
    return 0 if value is None or isinstance(value, bool | int | float) else len(str(value))


def _shortened(value: object, excess: int, *, from_the_start: bool) -> object:
    """Shorter by an eighth, or by what is too much where every character takes as many bytes as it can."""
    if isinstance(value, list):
        items = [item for item in value if item != CUT]
        if len(items) > 1:
            return [*items[: -max(1, len(items) // 4)], CUT]
        return [_shortened(item, excess, from_the_start=from_the_start) for item in items]
    text = str(value)
    if len(text) <= _SHORTEST:
        return ""
    length = len(text) - max(excess // _WORST_ESCAPE, len(text) // 8, len(CUT) + 1)
    length = max(length, _SHORTEST - len(CUT))
    return CUT + text[-length:] if from_the_start else text[:length] + CUT
