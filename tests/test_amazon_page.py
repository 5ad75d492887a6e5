"""The pages of beliefs about Amazon: each says where it is from, how sure it is, and what happens if it is wrong."""

from __future__ import annotations

import re

from tests.support.programs import ROOT

PAGES = [
    (ROOT / "docs" / "development" / name).read_text(encoding="utf-8") for name in ("amazon.md", "amazon-login.md")
]
HEAD = "| assumption | source | certainty | if wrong |"
SOURCES = ("documentation", "specification", "collection", "observed", "inferred", "no source found", "nobody")
DEGREES = ("sure", "likely", "open", "\u2013")


def beliefs() -> list[list[str]]:
    """The cells of every row of every table of beliefs, on both pages."""
    found: list[list[str]] = []
    inside = False
    for line in "\n".join(PAGES).splitlines():
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
    """The table of Amazon's pages leads to headings of the same page."""
    found = 0
    for page in PAGES:
        table = page.partition("| heading | page |\n|---|---|\n")[2].partition("\n\n")[0]
        named = {name.strip() for line in table.splitlines() for name in line.split("|")[1].split(",")}
        assert named <= set(re.findall(r"^## (.+)$", page, re.MULTILINE))
        found += len(named)
    assert found > 10
