"""Field lines as a pattern: what was read stands in it literally, values that nobody read are holes. Pure.

What is read of a request or a response is for `request_shape` and `response_shape`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOLE = rb"[!-~\x80-\xff][\t -~\x80-\xff]*+(?<![\t ])"
"""A value that is not empty, without white space around it."""
LENGTH_HOLE = rb"[0-9]{1,18}+"


@dataclass(frozen=True, slots=True)
class LinePattern:
    """One field line. `value` is a pattern; `given` is the name under which its match is given out, empty for none."""

    name: bytes
    value: bytes
    passes: bool
    given: bytes = b""


@dataclass(frozen=True, slots=True)
class FieldPattern:
    """Field lines one after another: the groups of those that pass, in order, and those of values that are given out.

    Lines that pass and follow each other are one group.
    """

    pattern: re.Pattern[bytes]
    passing: tuple[int, ...]
    given: Mapping[bytes, int]

    def __repr__(self) -> str:
        return f"<FieldPattern that gives {', '.join(map(bytes.decode, self.given)) or 'nothing'}>"

    def lines(self, found: re.Match[bytes]) -> bytes:
        """The lines that pass."""
        return b"".join([found[group] for group in self.passing])


def literal(line: bytes) -> LinePattern:
    """A line that passes as it is, such as a status line; it has no name."""
    return LinePattern(b"", re.escape(line), passes=True)


def field_pattern(lines: Iterable[LinePattern], ending: bytes = b"") -> FieldPattern:
    """The pattern of these lines, each with its CRLF, and of the literal `ending` behind them."""
    source: list[bytes] = []
    passing: list[int] = []
    given: dict[bytes, int] = {}
    groups, inside = 0, False
    for line in lines:
        if line.passes != inside:
            source.append(b"(" if line.passes else b")")
            groups += line.passes
            passing += [groups] if line.passes else []
        inside = line.passes
        value = line.value
        if line.given:
            groups += 1
            given[line.given], value = groups, b"(" + value + b")"
        source += (re.escape(line.name), b": " if line.name else b"", value, rb"\r\n")
    source += (b")" if inside else b"", re.escape(ending))
    return FieldPattern(re.compile(b"".join(source)), tuple(passing), given)
