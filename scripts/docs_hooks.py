"""How the pages of docs/ as a site differ from the same pages in the repository.

They are written for a reader of the repository. The site has no repository, so a link that leads out of docs/ becomes
its text, once it is known that it leads somewhere. Headings keep the addresses that they have there, and a `|` in a
table is escaped there alone. Old addresses of pages redirect to the new ones. mkdocs.yml names this file.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#\s]*)(?:#[^)\s]*)?\)")
CODE = re.compile(r"`[^`\n]+`")
OLD_ADDRESSES = PurePosixPath("reference", "old-addresses.md")
MOVED = re.compile(r"^\| `(?P<old>[^`]+)` \| \[[^\]]*\]\((?P<now>[^)]+)\) \|$", re.MULTILINE)
REDIRECT = """\
<!doctype html>
<meta charset="utf-8">
<title>Moved</title>
<link rel="canonical" href="{target}">
<script>location.replace("{target}" + location.hash)</script>
<meta http-equiv="refresh" content="0; url={target}">
<p>This page moved to <a href="{target}">{target}</a>.</p>
"""
"""The script keeps the heading of an address; without scripts, the page itself is found."""
log = logging.getLogger("mkdocs.hooks.ads_proxy")


def on_config(config: MkDocsConfig) -> None:
    """Addresses of headings: lower case, and a hyphen for each blank."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The page as Python-Markdown is to read it."""
    return without_outer_links(unescaped(markdown), page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Write a page at each old address that leads to the new one."""
    for old, now in moved(Path(config.docs_dir)).items():
        place = Path(config.site_dir, address(old))
        place.parent.mkdir(parents=True, exist_ok=True)
        target = relpath(address(now), PurePosixPath(old).parent)
        place.write_text(REDIRECT.format(target=target), encoding="utf-8")


def moved(docs: Path) -> dict[str, str]:
    """The pages that moved, as paths in `docs`: old and new, as the table of the page about them has them."""
    table = (docs / OLD_ADDRESSES).read_text(encoding="utf-8")
    return {row["old"]: normpath(OLD_ADDRESSES.parent / row["now"]) for row in MOVED.finditer(table)}


def address(page: str) -> str:
    """Where the site has a page of docs/."""
    path = PurePosixPath(page)
    return str(path.with_name("index.html") if path.name == "README.md" else path.with_suffix(".html"))


def unescaped(markdown: str) -> str:
    """`markdown` with each escaped bar in code within a table as a plain one."""
    return re.sub(
        r"^\|.*$", lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), markdown, flags=re.MULTILINE
    )


def without_outer_links(markdown: str, source: str) -> str:
    """The page at `source` (a path in docs/). A file that is not there is a warning, and so ends the build."""

    def text_or_link(link: re.Match[str]) -> str:
        path = normpath(PurePosixPath("docs", source).parent / link["target"])
        if path.startswith("docs/"):
            return link[0]
        if path.startswith("../") or not (ROOT / path).exists():
            log.warning("docs/%s leads to %s, which is not there", source, link["target"])
        return link["text"]

    return LINK.sub(text_or_link, markdown)
