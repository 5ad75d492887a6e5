"""The diagrams of the pages as Chromium draws them: every text has its room, and the colours follow the scheme."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

from scripts.make_diagrams import IMAGES, made

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

PICTURES = sorted(made(IMAGES))
GEOMETRY = """
const box = (element) => { const {x, y, width, height} = element.getBBox(); return [x, y, x + width, y + height]; };
const of = (selector) => [...document.querySelectorAll(selector)].map((each) => [each.textContent, box(each)]);
return {boxes: of("rect:not(.card)"), card: of(".card")[0], texts: of("text:not(.label)"), labels: of("text.label")};
"""
COLOURS = """
const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
return [of(".card", "fill"), of("text", "fill"), of(".ours", "fill"), of(".amazon", "fill")];
"""
Area = tuple[float, float, float, float]


def inside(area: Area, of: Area, room: float = 3) -> bool:
    """Whether an area (left, top, right, bottom) is in another, with some room to its edges."""
    left, top, right, bottom = of
    return left + room <= area[0] and top <= area[1] and area[2] <= right - room and area[3] <= bottom


def touch(one: Area, other: Area) -> bool:
    """Whether two areas have a common point."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_no_text_leaves_its_box_or_covers_another(browser: webdriver.Chrome, picture: Path) -> None:
    """A box's line is inside of it; labels are on the card, outside of boxes and of each other."""
    browser.get(f"file://{picture}")
    found = browser.execute_script(GEOMETRY)
    boxes, labels = [area for _, area in found["boxes"]], found["labels"]
    for text, area in found["texts"]:
        assert any(inside(area, box) for box in boxes), text
        assert not any(touch(area, box) and not inside(area, box) for box in boxes), text
    for number, (text, area) in enumerate(labels):
        assert inside(area, found["card"][1]), text
        assert not [other for other, place in found["texts"] if touch(area, place)], text
        assert not [other for other, place in labels[number + 1 :] if touch(area, place)], text


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_the_colours_follow_the_scheme(browser: webdriver.Chrome, picture: Path) -> None:
    """Light and dark have other colours for the card, the text and the boxes."""
    seen = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        browser.get(f"file://{picture}")
        seen.append(browser.execute_script(COLOURS))
    light, dark = seen
    assert [one == other for one, other in zip(light, dark, strict=True)] == [False] * 4
