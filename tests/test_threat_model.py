"""Each attack of the two pages of the threat model has its test: none names a missing test."""

from __future__ import annotations

import re

from tests.support.programs import ROOT

EXPLANATION = ROOT / "docs" / "explanation"
PAGE, SPENDING = (
    (EXPLANATION / f"{name}.md").read_text(encoding="utf-8") for name in ("threat-model", "threat-model-spending")
)
ATTACKS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (PAGE.partition("## A client's limits")[2] + SPENDING).splitlines()
    if line.startswith("| ") and not line.startswith("| attack")
]


def named(cell: str) -> list[tuple[str, str]]:
    """(file, test) of a cell; `::test` belongs to the file before it, and a file alone stands for all of its tests."""
    found: list[tuple[str, str]] = []
    for file, test in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", cell):
        found.append((file or found[-1][0], test))
    return found


def is_there(file: str, test: str) -> bool:
    """Whether the file has the test, or, where none is named, any."""
    path = ROOT / "tests" / file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    sought = rf"^(async )?def {test}\(|^class {test}\b" if test else r"^(async )?def test_|^Test\w+ = "
    return re.search(sought, text, re.MULTILINE) is not None


def test_every_attack_names_tests_that_are_there() -> None:
    """Three cells: the attack, what keeps it shut, the test."""
    assert len(ATTACKS) > 25
    assert [attack for attack, control, tests in ATTACKS if not control or not named(tests)] == []
    assert [(row[0], *each) for row in ATTACKS for each in named(row[2]) if not is_there(*each)] == []
