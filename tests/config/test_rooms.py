"""The rooms of the configuration stand upon each other: the model knows no file, reading knows no judgement."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent / "proxy" / "config"
ROOMS = ("checks", "reading", "model")
"""Each may import from those after it, types included."""


def imported(room: str) -> set[str]:
    """Every module of the configuration that a room's files name in an import."""
    return {
        node.module
        for file in (ROOT / room).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("proxy.config")
    }


@pytest.mark.parametrize(("position", "room"), [*enumerate(ROOMS)])
def test_a_room_knows_only_those_below_it(position: int, room: str) -> None:
    """What lies above a room, the whole package included, is not imported by it."""
    below = tuple(f"proxy.config.{name}" for name in ROOMS[position:])
    assert imported(room)
    assert not [name for name in imported(room) if not name.startswith(below)]


def test_the_model_opens_no_file_and_asks_no_environment() -> None:
    """Whatever its values refer to is asked of the reading."""
    calls = {"open", "read_text", "read_bytes", "getenv", "cwd", "home"}
    for file in (ROOT / "model").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in called}
        assert not names & calls, file.name
