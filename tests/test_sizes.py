"""Tests, benchmarks and scripts keep the sizes that the program keeps (tests/test_architecture.py)."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.test_architecture import LINES_PER_FUNCTION

pytestmark = pytest.mark.no_cover  # reads files

FILES = sorted(path for folder in ("tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py"))

# A longer function needs its reason here: {"tests/x.py:name": "why"}.
LONG_FUNCTIONS: dict[str, str] = {}


@functools.cache
def long_functions(path: Path) -> frozenset[str]:
    """Those of more lines than a function may have, without decorators."""
    found = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = (node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    long = (node for node in functions if (node.end_lineno or 0) - node.lineno + 1 > LINES_PER_FUNCTION)
    return frozenset(f"{path.relative_to(ROOT).as_posix()}:{node.name}" for node in long)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_function_is_too_long(path: Path) -> None:
    """60 lines, but for those with a reason."""
    assert long_functions(path) <= LONG_FUNCTIONS.keys()


def test_no_reason_is_out_of_date() -> None:
    """Each is for a function that is there and long."""
    assert LONG_FUNCTIONS.keys() == {name for path in FILES for name in long_functions(path)}
