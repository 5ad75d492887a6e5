"""A flame graph is a picture that a browser shows as it is: well formed, without scripts, small, the same each time."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.checkout import ROOT
from benchmarks.flame_graph import MOST_BYTES, drawn
from benchmarks.profile import PICTURES
from benchmarks.stacks import read

SVG = "{http://www.w3.org/2000/svg}"
FOLDED = ["run (asyncio/runners.py:1);Client.take (proxy/a.py:1) 60", "run (asyncio/runners.py:1);x<y> (json.py:1) 40"]


def boxes(picture: str) -> dict[str, tuple[float, float, str]]:
    """By title: where a box begins, how wide it is, and what is written in it."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        assert box is not None
        place = float(box.attrib["x"]), float(box.attrib["width"])
        found[group.findtext(f"{SVG}title", "")] = (*place, group.findtext(f"{SVG}text", ""))
    return found


def test_a_box_is_as_wide_as_its_part_and_says_it() -> None:
    """The title has function, file and part; the box has the name alone."""
    assert boxes(drawn(read(FOLDED), "c")) == {
        "run (asyncio/runners.py): 100.0%": (8.0, 944.0, "run"),
        "Client.take (proxy/a.py): 60.0%": (8.0, 566.4, "Client.take"),
        "x<y> (json.py): 40.0%": (574.4, 377.6, "x<y>"),
    }


@pytest.mark.parametrize(
    ("samples", "text"), [(50, "ClientConnection.respond"), (13, "respond"), (5, "resp.."), (1, "")]
)
def test_a_name_is_cut_to_its_box(samples: int, text: str) -> None:
    """The class goes first, then the end of the method, then all of it."""
    name = "ClientConnection.respond (proxy/a.py:1)"
    found = boxes(drawn(read([f"f;{name} {samples}", f"f;z {100 - samples}"]), "c"))
    assert next(box[2] for title, box in found.items() if title.startswith("ClientConnection")) == text


def test_the_colour_is_that_of_the_owner_and_the_same_each_time() -> None:
    """The program, the event loop and all else differ in hue, and a second drawing not in a byte."""
    picture = drawn(read(FOLDED), "c")
    hues = re.findall(r"<title>(\w)[^<]*</title><rect [^>]*fill=\"hsl\((\d+)", picture)
    assert hues == [("r", "205"), ("C", "30"), ("x", "95")]
    assert drawn(read(FOLDED), "c") == picture


def test_very_many_functions_make_no_huge_picture() -> None:
    """The smallest are left out until it is small enough."""
    lines = [f"f;{'long' * 20}{number} (proxy/a.py:1) {number % 7 + 1}" for number in range(300)]
    picture = drawn(read(lines), "c")
    assert MOST_BYTES / 3 < len(picture) <= MOST_BYTES
    ElementTree.fromstring(picture)


def test_nothing_sampled_is_an_empty_picture() -> None:
    """With its caption."""
    assert boxes(drawn(read([]), "a & b")) == {}
    assert ElementTree.fromstring(drawn(read([]), "a & b")).findtext(f"{SVG}text") == "a & b"


@pytest.mark.parametrize("path", PICTURES.values(), ids=lambda path: path.stem)
def test_the_document_shows_a_static_picture_of_each_path(path: Path) -> None:
    """The picture is small, without anything that runs or is loaded, and it shows the program."""
    text = path.read_text(encoding="utf-8")
    assert len(text) <= MOST_BYTES
    assert not re.search(r"<script|\son\w+=|href|url\(|@import|<foreignObject", text)
    assert len([title for title in boxes(text) if "(proxy/" in title]) > 10
    assert f"]({path.name})" in (ROOT / "docs" / "development" / "benchmarks.md").read_text(encoding="utf-8")
