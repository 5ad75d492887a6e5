"""docs/development/architecture.md says what is there: every room in its order, and no file that is gone."""

from __future__ import annotations

import re

import pytest

from tests.support.modules import LAYERS
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "development" / "architecture.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.]+)/?` \| (.*?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
APART = {"simulator"}
WHERE_TO_PUT = ("header rule", "retry rule", "metric", "configuration key", "command")


def test_every_room_has_its_row_in_the_order_of_the_layers() -> None:
    """The table has all the layers, from top to bottom, and nothing else."""
    assert tuple(room for room, _, _ in ROWS) == LAYERS


def test_every_folder_and_file_of_the_program_is_in_a_room() -> None:
    """Each file and folder in proxy/ is in a row, or is a file apart that the page describes."""
    folders = {path.parent.name for path in (ROOT / "proxy").glob("*/__init__.py")}
    files = {path.name for path in (ROOT / "proxy").glob("*.py") if not path.name.startswith("__")}
    assert folders | files == set(LAYERS) | APART
    assert all(f"`{name}/` is separate" in PAGE for name in APART)


def test_every_room_says_what_lives_there_and_what_must_not() -> None:
    """A sentence in both columns; the last room has nothing to leave out."""
    assert all(lives for _, lives, _ in ROWS)
    assert all(never for _, _, never in ROWS[:-1])


def test_every_file_that_the_page_names_is_there() -> None:
    """A path is one of proxy/ or of the repository."""
    named = set(re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*/?(?:\.(?:py|yaml|md))?)`", PAGE))
    paths = {name for name in named if "/" in name or name.endswith((".py", ".yaml"))}
    assert len(paths) > 30
    assert not [path for path in paths if not (ROOT / "proxy" / path).exists() and not (ROOT / path).exists()]


def test_every_room_has_its_tests() -> None:
    """tests/ mirrors the folders of proxy/."""
    rooms = [layer for layer in (*LAYERS, *APART) if not layer.endswith(".py")]
    assert not [room for room in rooms if not list((ROOT / "tests" / room).glob("test_*.py"))]


@pytest.mark.parametrize("what", WHERE_TO_PUT)
def test_the_page_says_where_the_next_one_goes(what: str) -> None:
    """A paragraph begins with it, and names a place that is there."""
    paragraph = re.search(rf"^\*\*A new {what}\.\*\*(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert paragraph is not None
    assert re.search(r"`[a-z_0-9]+/[\w/]*", paragraph[1])
