"""docs/development/architecture.md says what is there: every room in its order, and no file that is gone."""

from __future__ import annotations

import ast
import re

import pytest

from proxy.forwarding.phases import Phase
from tests.support.modules import LAYERS, MODULES, nodes_of
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "development" / "architecture.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.]+)/?` \| (.*?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
APART = {"simulator"}
WHERE_TO_PUT = (
    *("capability", "header rule", "retry rule", "metric", "configuration key", "limit on spending"),
    *("fact of an approval", "claim to check", "notice", "command"),
)


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


def _defined(path: str) -> set[str]:
    """The functions and classes of a module of proxy/, and the methods of each class."""
    nodes = nodes_of(f"proxy/{path}")
    names = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return names | {
        f"{each.name}.{member.name}" for each in classes for member in each.body if isinstance(member, ast.FunctionDef)
    }


def test_every_function_that_the_page_names_is_where_it_says() -> None:
    """Written as `name` (`module.py`), or `name` in `module.py`."""
    named = re.findall(r"`([\w.]+)`(?: \(| in )`([a-z_0-9]+/[a-z_0-9]+\.py)`", PAGE)
    assert len(named) > 20
    assert not [(name, path) for name, path in named if name not in _defined(path)]


def test_the_page_has_every_capability_in_the_order_of_their_gates() -> None:
    """The table of capabilities is the list that `app` plugs in."""
    [listing] = [module for module in MODULES if module.path == "proxy/app/capabilities.py"]
    plugged = re.findall(
        r"^ {8}(?:\*\(\()?(\w+)\(|append\((\w+)\(", listing.text.partition("def plug_in")[2], re.MULTILINE
    )
    rows = re.findall(r"^\| `(\w+)` \(`\w+/\w+\.py`\) \|", PAGE, re.MULTILINE)
    assert rows == [first or last for first, last in plugged]


def test_the_page_has_every_phase_of_an_exchange() -> None:
    """In their order, in one sentence."""
    sentence = re.search(r"An exchange's `phase` is ([^.]+)\.", " ".join(PAGE.split()))
    assert sentence is not None
    assert re.findall(r"\w+", sentence[1].replace(" or ", ", ")) == [str(phase) for phase in Phase]


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
