"""`make reference`: the generated blocks of docs/ match the code, and the handwritten text around them stays.

The tables of the configuration are tried in tests/config.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import errors
from scripts import messages
from scripts.make_reference import ALERTS, BLOCK, EXAMPLE, RULE, blocks, error_rows, page, sections, stale
from scripts.make_reference import PAGES as WITH_BLOCKS
from tests.support.programs import ROOT

PAGES = [(ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in WITH_BLOCKS]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what is written."""
    for name in (*WITH_BLOCKS, "configuration.md"):
        (tmp_path / "docs" / "reference").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "docs" / "reference" / name, tmp_path / "docs" / "reference")
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config" / "proxy.schema.json", tmp_path / "config")
    for path in (ALERTS, RULE, EXAMPLE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_the_reference_is_current() -> None:
    """`make reference` would change nothing."""
    assert stale() == []


BEHIND = (
    ("docs/reference/errors.md", "| `unknown-route` | 404 |", "| `unknown-route` | 410 |"),
    ("docs/reference/metrics.md", "| `replays_total` | counter |", "| `replays_total` | gauge |"),
    ("docs/reference/messages.md", "is empty; fill it in", "is empty; fill it"),
    ("docs/reference/cli.md", "| `ads-proxy wait` | Wait ", "| `ads-proxy wait` | Waits "),
    ("docs/reference/configuration.md", "| `ADS_PROXY_LISTEN` |", "| `ADS_PROXY_LISTENS` |"),
    ("config/proxy.schema.json", '"ads-proxy"', '"other"'),
    (str(EXAMPLE), "#  probe_interval: 900", "#  probe_interval: 901"),
    (str(RULE), 'up{job="ads-proxy"} == 0', 'up{job="ads-proxy"} == 1'),
)
"""Files that are made, whole or in part: a text in each, and one that the code does not say."""


def test_files_that_are_behind_are_found(copy: Path) -> None:
    """Each outdated file is reported by one word; the unchanged one is not among them."""
    for name, old, new in BEHIND:
        text = (copy / name).read_text(encoding="utf-8")
        assert old in text
        (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    assert {*stale(copy)} == {copy / name for name, _, _ in BEHIND}


def test_what_people_wrote_of_an_error_stays() -> None:
    """The last cell of a row is the page's; the others are made."""
    written = "| `unknown-route` | 410 | yes | Old | written by hand: `/@NAME` |\n"
    assert error_rows([errors.UnknownRoute], written) == [("`unknown-route`", "404", "no", "written by hand: `/@NAME`")]


def test_a_new_error_begins_with_its_docstring() -> None:
    """The title comes first if the error has no docstring."""
    [(*_, said)] = error_rows([errors.NotPermitted], "")
    [(*_, titled)] = error_rows([errors.UnknownRoute], "")
    assert said == "The client is known, and its policy says no."
    assert titled == errors.UnknownRoute.title


def test_messages_are_found_where_they_are_declared() -> None:
    """With constants in them, and a sign for every other value; a part of a message is none."""
    details = {reason: texts for reason, texts, _ in messages.token_failures()}
    assert "Login with Amazon answered with more than … bytes." in details["malformed"]
    assert [reason for reason, texts, advice in messages.token_failures() if not (texts and advice)] == []


def test_messages_that_are_alike_are_one_form() -> None:
    """What differs is a sign; so are the words after an opening that three or more share."""
    texts = ["The file … cannot be read: look at its mode.", "The file … cannot be written: look at its mode."]
    assert messages.forms([*texts, "(line …)"]) == ["The file … cannot be … look at its mode."]
    kinds = [
        "is not a number; write digits alone",
        "is not true",
        "is not the name of an account that somebody configured",
    ]
    assert messages.openings([*kinds, "unknown key"]) == ["is not … (as in: is not true)", "unknown key"]


@pytest.mark.parametrize("found", [messages.configuration, messages.at_start, messages.of_commands])
def test_a_group_of_messages_is_not_empty(found: Callable[[], dict[str, list[str]]]) -> None:
    """A function that is renamed would leave the page without its messages."""
    assert min(map(len, found().values())) >= 1
    assert sum(map(len, found().values())) > 40


def test_every_refusal_is_in_one_section() -> None:
    """The headings of refusals.py hold them all."""
    kinds = [kind for found in sections().values() for kind in found]
    assert sorted(kind.slug for kind in kinds) == sorted(errors.REFUSALS)


def test_all_that_is_made_stands_in_a_page() -> None:
    """Each block once, under a heading of the same name where it is a section of refusals.py."""
    placed = [found["name"] for text in PAGES for found in BLOCK.finditer(text)]
    assert sorted(placed) == sorted(blocks(""))
    headings = {heading.lower() for heading in re.findall(r"^## (.+)$", PAGES[1], re.MULTILINE)}
    assert {name.lower() for name in sections()} <= headings


def test_a_block_of_a_name_that_nobody_makes_is_an_error() -> None:
    """A slip in a page does not pass as a table that is gone."""
    with pytest.raises(KeyError):
        page("<!-- made by `make reference`: metriks -->\n<!-- end -->")
