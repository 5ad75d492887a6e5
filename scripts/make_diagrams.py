"""Draw each `docs/images/*.yaml` as an SVG of the same name, legible in light and in dark mode.

    python -m scripts.make_diagrams [--check]

A source has `title`, `size` (columns and rows of the grid), `boxes` by name, and `arrows`. A box has `at` and `size` in
the grid, `kind` (a colour) and `text`, a line each, the first one bold; a box of kind `group` is a frame for others. An
arrow leads `from` a box `to` another, straight if they face each other, else around one corner; `shift` moves it aside,
`both` gives it two heads. Everything is drawn on a card of its own, so that the page's colours do not matter.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from html import escape
from pathlib import Path
from typing import Any

import yaml

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
COLUMN, ROW, MARGIN, LINE = 76, 40, 16, 17
STYLE = """\
:root { --card: #ffffff; --ink: #1f2933; --faint: #52606d; --edge: #9aa5b1; --ours: #dbeafe; --ours-edge: #2563eb;
  --amazon: #ffedd5; --amazon-edge: #c2570c; --other: #f1f5f9; --good: #dcfce7; --good-edge: #15803d;
  --bad: #fee2e2; --bad-edge: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --card: #161b22; --ink: #e6edf3; --faint: #a9b4c0; --edge: #6b7785;
  --ours: #16335c; --ours-edge: #6ea8fe; --amazon: #4a2c10; --amazon-edge: #f59e4b; --other: #242c36;
  --good: #12391f; --good-edge: #4ade80; --bad: #4a1a1a; --bad-edge: #f87171; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
.first { font-weight: 600; } .label { fill: var(--faint); font-size: 12px; }
.label { paint-order: stroke; stroke: var(--card); stroke-width: 5px; }
.card { fill: var(--card); } rect { stroke: var(--edge); fill: var(--other); }
.ours { fill: var(--ours); stroke: var(--ours-edge); } .amazon { fill: var(--amazon); stroke: var(--amazon-edge); }
.good { fill: var(--good); stroke: var(--good-edge); } .bad { fill: var(--bad); stroke: var(--bad-edge); }
.group { fill: none; stroke-dasharray: 5 4; } .arrow { fill: none; stroke: var(--faint); stroke-width: 1.5px; }
.head { fill: var(--faint); stroke: none; }"""

Point = tuple[float, float]


class Box:
    """A box in pixels: its edges and its middle."""

    def __init__(self, source: dict[str, Any]) -> None:
        (column, row), (columns, rows) = source["at"], source["size"]
        self.left, self.top = MARGIN + column * COLUMN, MARGIN + row * ROW
        self.right, self.bottom = self.left + columns * COLUMN, self.top + rows * ROW
        self.middle: Point = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
        self.kind: str = source.get("kind", "other")
        self.lines: list[str] = source["text"]

    def svg(self) -> str:
        """The rectangle and its text: in its middle, or at the top of a group."""
        size = f'width="{self.right - self.left:g}" height="{self.bottom - self.top:g}"'
        drawn = [f'<rect class="{self.kind}" x="{self.left:g}" y="{self.top:g}" {size} rx="6"/>']
        first = self.middle[1] - (len(self.lines) - 1) * LINE / 2 + 4
        if self.kind == "group":
            first = self.top + 18
        for number, line in enumerate(self.lines):
            name = ' class="first"' if number == 0 else ""
            drawn.append(f'<text{name} x="{self.middle[0]:g}" y="{first + number * LINE:g}">{escape(line)}</text>')
        return "\n".join(drawn)


def path_between(start: Box, end: Box, shift: float) -> list[Point]:
    """The points of an arrow: across where the boxes face each other, else out of a side and into the top or bottom."""
    low, high = max(start.top, end.top), min(start.bottom, end.bottom)
    if low < high:
        y = (low + high) / 2 + shift
        return [(start.right, y), (end.left, y)] if start.left < end.left else [(start.left, y), (end.right, y)]
    down = start.top < end.top
    near, far = (start.bottom, end.top) if down else (start.top, end.bottom)
    low, high = max(start.left, end.left), min(start.right, end.right)
    if low < high:
        x = (low + high) / 2 + shift
        return [(x, near), (x, far)]
    x, y = end.middle[0] + shift, start.middle[1]
    return [(start.right if start.left < end.left else start.left, y), (x, y), (x, far)]


def arrow(source: dict[str, Any], boxes: dict[str, Box]) -> str:
    """The line, its heads, and its label at the middle of the longest part."""
    points = path_between(boxes[source["from"]], boxes[source["to"]], source.get("shift", 0))
    line = "L".join(f"{x:g} {y:g}" for x, y in points)
    heads = ' marker-end="url(#head)"' + (' marker-start="url(#head)"' if source.get("both") else "")
    drawn = f'<path class="arrow" d="M{line}"{heads}/>'
    (x, y), (to_x, to_y) = max(
        itertools.pairwise(points), key=lambda part: abs(part[0][0] - part[1][0]) + abs(part[0][1] - part[1][1])
    )
    lines = source.get("text", [])
    for number, text in enumerate(lines):
        place = (y + to_y) / 2 - 6 - (len(lines) - 1 - number) * 15 if y == to_y else (y + to_y) / 2 + 4 + number * 15
        drawn += f'\n<text class="label" x="{(x + to_x) / 2:g}" y="{place:g}">{escape(text)}</text>'
    return drawn


def draw(source: dict[str, Any]) -> str:
    """The whole picture; groups first, so that nothing hides behind them."""
    boxes = {name: Box(box) for name, box in source["boxes"].items()}
    width, height = source["size"][0] * COLUMN + 2 * MARGIN, source["size"][1] * ROW + 2 * MARGIN
    title = escape(source["title"])
    size = 'viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"'
    marker = f'<marker id="head" {size}><path class="head" d="M0 0L8 4L0 8z"/></marker>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">',
        f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n<defs>{marker}</defs>",
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="10"/>',
        *(box.svg() for box in boxes.values() if box.kind == "group"),
        *(arrow(each, boxes) for each in source.get("arrows", [])),
        *(box.svg() for box in boxes.values() if box.kind != "group"),
    ]
    return "\n".join(parts) + "\n</svg>\n"


def stale(folder: Path = IMAGES) -> list[Path]:
    """The pictures that are not those of their sources."""
    return [path for path, text in made(folder).items() if not path.exists() or path.read_text("utf-8") != text]


def made(folder: Path) -> dict[Path, str]:
    """Each picture of a source in the folder, as it ought to be."""
    sources = sorted(folder.glob("*.yaml"))
    return {path.with_suffix(".svg"): draw(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sources}


def main() -> int:
    """Write the pictures that are behind, or name them."""
    parser = argparse.ArgumentParser(description="Draw docs/images/*.yaml as SVG.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a picture is behind")
    check = parser.parse_args().check
    behind = stale()
    for path in behind:
        print(f"{'behind' if check else 'written'}: {path.name}")
        if not check:
            path.write_text(made(IMAGES)[path], encoding="utf-8")
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
