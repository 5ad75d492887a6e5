"""Tests, benchmarks and scripts keep the sizes that the program keeps (tests/test_architecture.py)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.modules import statements
from tests.support.programs import ROOT
from tests.test_architecture import LINES_PER_FUNCTION

pytestmark = pytest.mark.no_cover  # reads files

FILES = sorted(path for folder in ("tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py"))

# A longer function needs its reason here: {"tests/x.py:name": "why"}.
LONG_FUNCTIONS: dict[str, str] = {}


def _functions(within: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in statements(within):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        yield from _functions(node)


def test_no_function_is_too_long() -> None:
    """60 lines without decorators, but for those with a reason; none of the reasons is out of date."""
    functions = ((path, node) for path in FILES for node in _functions(ast.parse(path.read_text(encoding="utf-8"))))
    long = {
        f"{path.relative_to(ROOT).as_posix()}:{node.name}"
        for path, node in functions
        if (node.end_lineno or 0) - node.lineno + 1 > LINES_PER_FUNCTION
    }
    assert long == LONG_FUNCTIONS.keys()
