"""The tests and modules that docs/development/sharing.md names for each item are there."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import ROOT
from tests.test_threat_model import named

PAGE = (ROOT / "docs" / "development" / "sharing.md").read_text(encoding="utf-8")
ITEMS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## What, and how far")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| item")
]


@pytest.mark.parametrize("row", ITEMS, ids=[row[0][:60] for row in ITEMS])
def test_every_item_names_its_module_and_its_tests(row: list[str]) -> None:
    """Four cells: the item, its form and module, the guarantee, the tests."""
    _, modules, guarantee, tests = row
    assert guarantee
    assert re.findall(r"`[\w/]+\.py`", modules)
    assert named(tests)


def test_what_the_page_names_is_there() -> None:
    """Modules under proxy/, and tests under tests/."""
    tests = named(PAGE)
    assert len(tests) > 20
    for file, test in tests:
        if test:
            assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
        else:
            assert any((ROOT / place / file).is_file() for place in ("proxy", "tests"))
