"""docs/development/amazon.md: each belief says where it is from, how sure it is, and what happens if it is wrong."""

from __future__ import annotations

import re

from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "development" / "amazon.md").read_text(encoding="utf-8")
HEAD = "| assumption | source | certainty | if it is wrong |"
SOURCES = ("documentation", "specification", "collection", "observed", "inferred", "no source found", "nobody")
DEGREES = ("sure", "likely", "open", "\u2013")


def beliefs() -> list[list[str]]:
    """The cells of every row of every table of beliefs."""
    found: list[list[str]] = []
    inside = False
    for line in PAGE.splitlines():
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("|---"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def test_every_belief_is_whole() -> None:
    """Four cells, none empty; a known source; sure, likely or open."""
    rows = beliefs()
    assert len(rows) > 80
    assert [row for row in rows if len(row) != 4 or not all(row)] == []
    assert [row for row in rows if not row[1].startswith(SOURCES)] == []
    assert [row for row in rows if not row[2].startswith(DEGREES)] == []


def test_pages_are_named_for_headings_that_are_there() -> None:
    """The table of Amazon's pages leads to headings of this page."""
    table = PAGE.partition("| heading | page |\n|---|---|\n")[2].partition("\n\n")[0]
    named = {name.strip() for line in table.splitlines() for name in line.split("|")[1].split(",")}
    assert len(named) > 10
    assert named <= set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))
