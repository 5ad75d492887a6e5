"""The diagrams of the pages are those of their sources, and each thing of a source is drawn where it belongs."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import yaml

from scripts.make_diagrams import COLUMN, IMAGES, MARGIN, ROW, Box, draw, made, path_between, stale

SVG = "{http://www.w3.org/2000/svg}"
SOURCE = """
title: a & b
size: [10, 6]
boxes:
  frame: {at: [0, 0], size: [4, 2], kind: group, text: [Frame]}
  one: {at: [0, 1], size: [2, 1], kind: ours, text: [one, "<two>"]}
  other: {at: [8, 1], size: [2, 1], text: [other]}
arrows: [{from: one, to: other, both: true, text: [over]}]
"""


def box(column: float, row: float) -> Box:
    """Two columns wide and a row high."""
    return Box({"at": [column, row], "size": [2, 1], "text": []})


def test_the_pictures_are_those_of_their_sources() -> None:
    """`make reference` would change none; and there are some."""
    assert stale() == []
    assert {path.stem for path in made(IMAGES)} >= {"request", "token-lifecycle", "deployment-shapes"}


def test_everything_of_a_source_is_drawn() -> None:
    """The title for readers of the screen, a rectangle for each box and the card, each line of text, two heads."""
    drawn = ElementTree.fromstring(draw(yaml.safe_load(SOURCE)))
    assert drawn.findtext(f"{SVG}title") == "a & b"
    assert [rect.attrib["class"] for rect in drawn.iter(f"{SVG}rect")] == ["card", "group", "ours", "other"]
    assert [text.text for text in drawn.iter(f"{SVG}text")] == ["Frame", "over", "one", "<two>", "other"]
    (line,) = (path for path in drawn.iter(f"{SVG}path") if path.attrib["class"] == "arrow")
    assert {"marker-start", "marker-end"} <= set(line.attrib)
    assert float(drawn.attrib["width"]) == 10 * COLUMN + 2 * MARGIN


def test_an_arrow_is_straight_between_boxes_that_face_each_other() -> None:
    """In all four directions, and moved aside as asked."""
    middle = MARGIN + ROW / 2
    assert path_between(box(0, 0), box(4, 0), 5) == [
        (MARGIN + 2 * COLUMN, middle + 5),
        (MARGIN + 4 * COLUMN, middle + 5),
    ]
    assert path_between(box(4, 0), box(0, 0), 0) == [(MARGIN + 4 * COLUMN, middle), (MARGIN + 2 * COLUMN, middle)]
    assert path_between(box(0, 0), box(1, 3), 0) == [
        (MARGIN + 1.5 * COLUMN, MARGIN + ROW),
        (MARGIN + 1.5 * COLUMN, MARGIN + 3 * ROW),
    ]
    assert path_between(box(0, 3), box(0, 0), 0) == [
        (MARGIN + COLUMN, MARGIN + 3 * ROW),
        (MARGIN + COLUMN, MARGIN + ROW),
    ]


def test_an_arrow_goes_around_one_corner_otherwise() -> None:
    """Out of a side, and into the top or the bottom."""
    corner = (MARGIN + 5 * COLUMN, MARGIN + ROW / 2)
    assert path_between(box(0, 0), box(4, 3), 0) == [
        (MARGIN + 2 * COLUMN, corner[1]),
        corner,
        (corner[0], MARGIN + 3 * ROW),
    ]


def test_a_picture_that_is_behind_is_found(tmp_path: Path) -> None:
    """Missing, or of an older source."""
    (tmp_path / "a.yaml").write_text(SOURCE, encoding="utf-8")
    assert stale(tmp_path) == [tmp_path / "a.svg"]
    (tmp_path / "a.svg").write_text(draw(yaml.safe_load(SOURCE)), encoding="utf-8")
    assert stale(tmp_path) == []
    (tmp_path / "a.yaml").write_text(SOURCE.replace("over", "under"), encoding="utf-8")
    assert stale(tmp_path) == [tmp_path / "a.svg"]
