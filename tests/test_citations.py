"""What comments cite is here: a page of docs/ and a heading in it, an RFC, or Amazon's own documentation.

A citation of a page is written `docs/PAGE.md`, or `docs/PAGE.md, Heading`; what follows the comma is a heading.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

SOURCES = sorted(
    path for folder in ("proxy", "scripts", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
CITATION = re.compile(r"docs/(?P<page>[a-z0-9/_-]+\.md)(?:,\s(?P<heading>[A-Z`].{0,60}))?")
ELSEWHERE = re.compile(r"\bfacts?,? ?\d+|\bdesign, |\bcontract: ", re.IGNORECASE)


def prose(text: str) -> str:
    """The text with each break of a docstring's or comment's line as one blank."""
    return re.sub(r"\s*\n\s*(?:# )?", " ", text)


@functools.cache
def headings(page: Path) -> tuple[str, ...]:
    return tuple(re.findall(r"^#+ (.+?) *$", page.read_text(encoding="utf-8"), re.MULTILINE))


def broken(text: str) -> list[str]:
    """The citations in a text that lead nowhere."""
    found = []
    for citation in CITATION.finditer(prose(text)):
        page, heading = ROOT / "docs" / citation["page"], citation["heading"]
        if not page.is_file() or (heading and not heading.startswith(headings(page))):
            found.append(citation[0])
    return found


def test_every_citation_leads_somewhere() -> None:
    """The page is in docs/, and the heading is in the page."""
    found = {
        source.relative_to(ROOT).as_posix(): broken(source.read_text(encoding="utf-8"))
        for source in SOURCES
        if source != Path(__file__)
    }
    assert {name: citations for name, citations in found.items() if citations} == {}


def test_a_citation_that_leads_nowhere_is_found() -> None:
    """A page that is not there, a heading that is not in it, also over a line's end; and those that are right pass."""
    assert broken("see docs/nowhere.md for more")
    assert broken("(docs/development/amazon.md,\n    # Tolkien)")
    assert not broken(
        "docs/development/amazon-login.md, Tokens; docs/development/amazon-login.md,\n    Token errors, as ever"
    )
    assert not broken("docs/reference/errors.md, which says")


def test_nothing_outside_the_repository_is_cited() -> None:
    """No comment refers to a text that a reader of the repository does not have."""
    citing = {
        path.relative_to(ROOT).as_posix(): found[0]
        for path in SOURCES
        if path != Path(__file__) and (found := ELSEWHERE.search(path.read_text(encoding="utf-8")))
    }
    assert not citing
