"""Each attack of docs/explanation/threat-model.md has its test: the page has no missing test."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
ATTACKS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## A client's limits")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| attack")
]


def named(cell: str) -> list[tuple[str, str]]:
    """(file, test) of a cell; `::test` belongs to the file before it, and a file alone stands for all of its tests."""
    found: list[tuple[str, str]] = []
    for file, test in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", cell):
        found.append((file or found[-1][0], test))
    return found


@pytest.mark.parametrize("row", ATTACKS, ids=[row[0][:60] for row in ATTACKS])
def test_every_attack_names_tests_that_are_there(row: list[str]) -> None:
    """Three cells: the attack, what keeps it shut, the test."""
    _, control, tests = row
    assert control
    assert named(tests)
    for file, test in named(tests):
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text if test else re.search(r"^(async )?def test_|^Test\w+ = ", text, re.MULTILINE)


def test_the_page_has_the_attacks() -> None:
    """The tables are read at all."""
    assert len(ATTACKS) > 25
