"""docs/README.md and README.md lead to every page, and each page says first what it is for."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.programs import ROOT

DOCS = ROOT / "docs"
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md")


def links(page: str) -> set[str]:
    """The relative targets of a page's links, without headings."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text)
    return {target.partition("#")[0] for target in found if ":" not in target}


def test_the_index_has_every_page() -> None:
    """Pages of a folder with an index of its own are left out: its README.md, or the list of alerts for the
    runbooks."""
    pages = {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} - {Path("README.md")}
    indexed = {path.relative_to(DOCS).parent for path in DOCS.glob("*/**/README.md")} | {Path("runbooks")}
    wanted = {page for page in pages if page.parent not in indexed or page.name == "README.md"}
    assert links("docs/README.md") == {page.as_posix() for page in wanted}


def test_the_readme_leads_to_the_index_and_to_the_beginning() -> None:
    """A newcomer finds the way on."""
    assert {"docs/README.md", "docs/tutorials/getting-started.md"} <= links("README.md")


def test_the_readme_shows_the_console_in_light_and_in_dark_mode() -> None:
    """The pictures of both modes exist."""
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(pictures) == 2
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_the_readme_is_read_in_five_minutes() -> None:
    """At most 1,200 words, at 240 a minute."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200


def test_a_page_says_first_what_it_is_for() -> None:
    """In one sentence behind the title, of 5 to 40 words."""
    wrong = []
    for page in (*DOCS.rglob("*.md"), *(ROOT / name for name in BESIDE)):
        title, first, *_ = page.read_text(encoding="utf-8").split("\n\n")
        sentence = re.split(r"(?<=\.)\s", first, maxsplit=1)[0]
        if not (title.startswith("# ") and re.match(r"[A-Z]", sentence) and 5 <= len(sentence.split()) <= 40):
            wrong.append(page.relative_to(ROOT).as_posix())
    assert wrong == []
