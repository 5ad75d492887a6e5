"""The site made of docs/: strict about links, and complete in itself.

The index of the pages, and links as the repository's host shows them, are tried in `test_docs_index` and
`test_repository`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.docs_hooks import address, moved, unescaped, without_outer_links
from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

BROKEN = ("nowhere.md", "security.md#nothing", "#nothing", "/absolute.md", "../../config/nowhere.yaml", "../../../up")
"""Links to a page, a heading of another page or its own, an absolute address, a file next to docs/ or outside of
all."""


def build(place: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    """The site of `place`/docs in `place`/site, made as `make docs` does it but for these settings."""
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(place / "docs"),
        "site_dir": str(place / "site"),
        "hooks": [str(ROOT / "scripts" / "docs_hooks.py")],
        **changes,
    }
    (place / "mkdocs.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(place / "mkdocs.yml")]
    environ = {"NO_MKDOCS_2_WARNING": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, env=environ, cwd=place, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built pages. Strict, so each link and heading of docs/ is right."""
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", place / "docs")
    result = build(place)
    assert result.returncode == 0, result.stderr
    return place / "site"


def test_each_page_of_docs_is_a_page_of_the_site(site: Path) -> None:
    """README.md becomes index.html; everything else keeps its name."""
    made = {Path(address(path.relative_to(ROOT / "docs").as_posix())) for path in (ROOT / "docs").rglob("*.md")}
    redirects = {Path(address(old)) for old in moved(ROOT / "docs")}
    assert {path.relative_to(site) for path in site.rglob("*.html")} == made | redirects | {Path("404.html")}
    assert not made & redirects


def test_an_old_address_leads_to_the_page(site: Path) -> None:
    """By script, which keeps the heading, by refresh and by a link; each to a page that has more to say."""
    pages = moved(ROOT / "docs")
    assert {"tokens.md", "clients/README.md", "clients/curl.md"} <= set(pages)
    for old, now in pages.items():
        place = site / address(old)
        text = place.read_text(encoding="utf-8")
        targets = re.findall(r'location\.replace\("([^"]+)" \+ location\.hash\)|url=([^"]+)"|<a href="([^"]+)"', text)
        assert [(place.parent / "".join(target)).resolve() for target in targets] == [site / address(now)] * 3, old
        assert 'id="' in (site / address(now)).read_text(encoding="utf-8")


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts, images and frames are the site's own."""
    loaded = {
        address
        for path in site.rglob("*.html")
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", path.read_text(encoding="utf-8"))
        for address in re.findall(r'\b(?:src|href)="([^"]*)"', tag)
    }
    styles = {
        address
        for path in site.rglob("*.css")
        for address in re.findall(r"(?:@import|url\()\s*[\"']?([^\"')]+)", path.read_text(encoding="utf-8"))
    }
    assert loaded
    assert not [address for address in loaded | styles if re.match(r"(https?:)?//", address)]


def test_each_picture_of_a_page_is_there(site: Path) -> None:
    """What a page shows, and what it leads to for a closer look."""
    shown = {
        path.parent / address
        for path in site.rglob("*.html")
        if path.name != "404.html"  # it is shown at any address, so its links begin at the root
        for address in re.findall(r'\b(?:src|href)="([^"]*\.(?:svg|png))"', path.read_text(encoding="utf-8"))
    }
    assert {"performance.svg", "flame.svg"} <= {path.name for path in shown}
    assert not [path for path in shown if not path.exists()]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A build of a page with every broken link, and of one that no menu has."""
    place = tmp_path_factory.mktemp("broken")
    links = "\n".join(f"[a link]({link})" for link in BROKEN)
    pages = {
        "explanation/tokens.md": f"# Tokens\n\n{links}\n",
        "explanation/security.md": "# Security\n",
        "reference/old-addresses.md": "# Old addresses\n",
        "orphan.md": "# Orphan\n",
    }
    for name, text in pages.items():
        (place / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "docs" / name).write_text(text, encoding="utf-8")
    return build(place, nav=[name for name in pages if name != "orphan.md"])


@pytest.mark.parametrize("link", BROKEN)
def test_a_broken_link_is_named(refused: subprocess.CompletedProcess[str], link: str) -> None:
    """The report has the link as it is written, in a line of its own."""
    said = refused.stdout + refused.stderr
    assert [line for line in said.splitlines() if "WARNING" in line and re.search(rf"[ ']{re.escape(link)}[',]", line)]


def test_each_broken_link_and_a_page_in_no_menu_end_the_build(refused: subprocess.CompletedProcess[str]) -> None:
    """Every one of them counts, so that each would do alone."""
    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert "orphan.md" in said
    assert f"Aborted with {len(BROKEN) + 1} warnings in strict mode" in said


def test_a_link_out_of_docs_becomes_its_text() -> None:
    """The site has no repository, so the link would lead nowhere; links within docs/ stay."""
    page = "[`x`](../config/proxy.yaml) [y](../README.md#watch-it) [z](tokens.md)"
    assert without_outer_links(page, "routing.md") == "`x` y [z](tokens.md)"
    assert without_outer_links("[up](../routing.md) [out](../../README.md)", "clients/curl.md") == (
        "[up](../routing.md) out"
    )


def test_a_bar_in_a_table_is_escaped_for_the_repositorys_host_alone() -> None:
    """Within code of a table's row the backslash goes; elsewhere it stays."""
    assert unescaped("| `a\\|b` | c\\|d |\n`e\\|f`") == "| `a|b` | c\\|d |\n`e\\|f`"
