"""A flame graph as SVG: static, without scripts, readable on light and on dark ground. Pure.

The outermost function is on top; a box is as wide as its part of the samples, and its title, which a browser shows
over it, says that part. The same stacks make the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.stacks import ELSEWHERE, EVENT_LOOP, Frame, Stacks, frames, room

LEAST = 0.003
"""A part of the samples below which a frame is not drawn."""
MOST_BYTES = 60_000
_WIDTH, _MARGIN, _ROW, _TOP = 960, 8, 18, 52
_LETTER = 6.7
"""Width of a letter in the boxes, with some room."""
_FEWEST_LETTERS = 3
_STYLE = (
    "text{font:12px sans-serif;fill:#333}g text{font:11px monospace;fill:#111}rect{stroke:#fff;stroke-width:.5}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}rect{stroke:#222}}"
)
_PROGRAM = "proxy"
_HUES = {_PROGRAM: 30, EVENT_LOOP: 205, ELSEWHERE: 95}
_SHADES = 8
_LEGEND = 190


def drawn(stacks: Stacks, caption: str) -> str:
    """The picture; where it grew beyond `MOST_BYTES`, less is drawn."""
    least = LEAST
    while len(picture := _picture(frames(stacks, least), caption)) > MOST_BYTES:
        least *= 1.5
    return picture


def _picture(found: Sequence[Frame], caption: str) -> str:
    height = _TOP + _ROW * (max((frame.depth for frame in found), default=0) + 1) + _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
    )
    legend = [
        f'<rect x="{_MARGIN + place * _LEGEND}" y="28" width="12" height="12" fill="{_color(hue, 4)}"/>'
        f'<text x="{_MARGIN + place * _LEGEND + 18}" y="39">{owner}</text>'
        for place, (owner, hue) in enumerate(_HUES.items())
    ]
    lines = [head, f"<style>{_STYLE}</style>", f'<text x="{_MARGIN}" y="18">{escape(caption)}</text>', *legend]
    return "\n".join([*lines, *map(_box, found), "</svg>\n"])


def _box(frame: Frame) -> str:
    scale = _WIDTH - 2 * _MARGIN
    left, width, top = _MARGIN + frame.start * scale, frame.width * scale, _TOP + frame.depth * _ROW
    color = _color(_HUES[_owner(frame.function)], zlib.crc32(frame.function.encode()) % _SHADES)
    said = _fitting(frame.function.partition(" ")[0], int((width - 4) / _LETTER))
    text = f'<text x="{left + 3:.1f}" y="{top + 13}">{escape(said)}</text>' if said else ""
    return (
        f"<g><title>{escape(frame.function)}: {frame.width:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 1}" fill="{color}"/>{text}</g>'
    )


def _fitting(name: str, letters: int) -> str:
    """As much of a frame's name as has room; of `Class.method` the end says more than the beginning."""
    if len(name) <= letters:
        return name
    last = name.rpartition(".")[2]
    if len(last) <= letters:
        return last
    return f"{last[: letters - 2]}.." if letters >= _FEWEST_LETTERS else ""


def _owner(function: str) -> str:
    found = room(function)
    return _PROGRAM if found and found != EVENT_LOOP else found or ELSEWHERE


def _color(hue: int, shade: int) -> str:
    return f"hsl({hue},{60 + shade}%,{62 + 2 * shade}%)"
