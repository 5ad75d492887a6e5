"""Where the pages of docs/ as a site differ from the same pages in the repository.

They are written for a reader of the repository. The site has no repository beside it, so a link that leads out of docs/
becomes its text, once it is known that it leads somewhere. Headings keep the addresses that they have there, and a `|`
in a table is escaped there alone. mkdocs.yml names this file.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING

from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#\s]*)(?:#[^)\s]*)?\)")
CODE = re.compile(r"`[^`\n]+`")
log = logging.getLogger("mkdocs.hooks.ads_proxy")


def on_config(config: MkDocsConfig) -> None:
    """Addresses of headings: lower case, and a hyphen for each blank."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The page as Python-Markdown is to read it."""
    return without_outer_links(unescaped(markdown), page.file.src_uri)


def unescaped(markdown: str) -> str:
    """`markdown` with each escaped bar as a plain one, where it stands in code within a table."""
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
