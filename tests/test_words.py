"""One word for one thing, in pages and in what the program says; and pages that are read in ten minutes."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from scripts import measure_pages, measure_program
from tests.support.modules import nodes_of
from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

PAGES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
SPOKEN = [
    *(path for path in (ROOT / "proxy").rglob("*.py") if "simulator" not in path.parts),
    *(ROOT / "proxy" / "admin" / "static").glob("*.html"),
    *(ROOT / "config").rglob("*.y*ml"),
]
OTHER_WORDS = {
    r"mint(s|ed)?": "obtain, renew",
    r"advertising accounts?": "ads account",
    r"refresh (it |them )?now": "renew now",
    r"log(s|ged|ging)? in to": "sign in",
    r"(dummy|fake) (token|key)s?": "placeholder",
    r"(api|access) keys?": "key",
    r"quotas?": "budget",
    r"(black|white)lists?": "what is permitted, or refused",
}
"""Words that are not used, and the words to use instead."""
GENERATED = "docs/reference/configuration.md"
"""Made as a whole by `make reference`; the generated blocks of other pages are not measured either."""
MEASURED = measure_pages.measure_files(page for page in measure_pages.PAGES if page != ROOT / GENERATED)
ALL_WORDS, PAGE_WORDS = 75_000, 3_000
LOOKED_UP = {"docs/reference/cli.md": 3_500}
"""Pages in which a reader looks up one heading, such as one command, and more words than a page to read may have."""
"""The most words that people wrote: of all pages, a tenth above what they had in December 2026; and of one page.

A feature that needs new pages raises the first number to a tenth above what the pages then have.
"""


@functools.cache
def _said(path: Path) -> str:
    """A page's prose; of a program its texts, docstrings and names left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.sub(r"`[^`\n]*`", "", text)
    nodes = nodes_of(path.relative_to(ROOT).as_posix())
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = (node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join(str(node.value) for node in texts if id(node) not in docstrings)


@pytest.mark.parametrize("other", OTHER_WORDS)
def test_a_thing_has_one_word(other: str) -> None:
    """Pages, messages, help, errors, alerts and the console all use that word."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]} (say: {OTHER_WORDS[other]})"
        for path in (*PAGES, *SPOKEN)
        for match in re.finditer(rf"\b{other}\b", _said(path), re.IGNORECASE)
    ]
    assert found == []


def test_each_word_is_explained_once() -> None:
    """A second row for a word would be a second meaning."""
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    words = [
        word for row in re.findall(r"^\| (.+?) \|", page, re.MULTILINE) for word in row.split(", ") if row != "word"
    ]
    assert len(words) > 30
    assert sorted(words) == sorted(set(words))


def test_a_page_is_read_in_ten_minutes() -> None:
    """And has no phrase that the style guide replaces."""
    assert {
        page: found.words for page, found in MEASURED.items() if found.words > LOOKED_UP.get(page, PAGE_WORDS)
    } == {}
    assert {page: found.phrases for page, found in MEASURED.items() if found.phrases} == {}


def test_all_pages_together_have_slack_for_the_next_change() -> None:
    """The limit catches unnoticed growth, with room for an intended change."""
    assert len(MEASURED) > 70
    assert measure_pages.together(MEASURED.values()).words <= ALL_WORDS


# --- what the program says, and what its code says of itself ------------------------------------------------


@functools.cache
def _all_passages() -> list[measure_program.Passage]:
    return [passage for path in measure_program.files() for passage in measure_program.passages_of(path)]


def _passages(kind: str) -> list[measure_program.Passage]:
    """The texts, docstrings or comments of proxy/."""
    return [passage for passage in _all_passages() if passage.kind == kind]


@pytest.mark.parametrize("kind", measure_program.KINDS)
def test_programs_speak_no_dialect(kind: str) -> None:
    """Help, errors, logs, metrics and pages of the program, its docstrings and comments use the field's words."""
    found = [
        f"{passage.path.relative_to(ROOT)}:{passage.line}: {phrase} (write: {instead})"
        for passage in _passages(kind)
        for phrase, instead in passage.phrases
    ]
    assert found == []
